/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/path.h"
#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int vd_folder_length(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (int)(slash + 1 - path) : 0;
}

const char *vd_base_name(const char *path)
{
	return path + vd_folder_length(path);
}

char *vd_folder_of(const char *path)
{
	int n = vd_folder_length(path);

	return n ? vd_strndup(path, n > 1 ? (size_t)n - 1 : 1) : vd_strdup(".");
}

char *vd_path_beside(const char *path, const char *name)
{
	return name[0] == '/' ? vd_strdup(name) : vd_asprintf("%.*s%s", vd_folder_length(path), path, name);
}

const char *vd_name_beside(const char *path, const char *name)
{
	size_t n = (size_t)vd_folder_length(path);

	return strncmp(path, name, n) ? name : name + n;
}

int vd_folder_sync(const char *path, vd_error *err)
{
	VD_AUTO_FREE char *dir = vd_folder_of(path);
	int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1, rc;

	if (fd < 0)
		return dir ? vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", dir) : vd_fail_nomem(err, strlen(path));
	rc = fsync(fd) && errno != EINVAL && errno != ENOTSUP ? vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", dir) : 0;
	close(fd);
	return rc;
}

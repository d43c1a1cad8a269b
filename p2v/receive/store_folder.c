/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store_folder.h"

#include "common/fail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 16

static int remove_at(int dir, const char *name, int depth, vdisk_error *err);

/* What is in it; takes the descriptor. */
static int empty(int fd, const char *name, int depth, vdisk_error *err)
{
	DIR *d = fdopendir(fd);
	struct dirent *e;
	int rc = 0;

	if (!d) {
		close(fd);
		return fail_errno(err, "%s", name);
	}
	while (!rc && (e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			rc = remove_at(dirfd(d), e->d_name, depth, err);
	closedir(d);
	return rc;
}

static int remove_at(int dir, const char *name, int depth, vdisk_error *err)
{
	int fd;

	if (!unlinkat(dir, name, 0) || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return fail_errno(err, "%s", name);
	fd = depth < DEPTH_MAX ? openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
	if (fd < 0)
		return fail_errno(err, "%s", name);
	if (empty(fd, name, depth + 1, err))
		return -1;
	return unlinkat(dir, name, AT_REMOVEDIR) ? fail_errno(err, "%s", name) : 0;
}

int folder_remove(int dir, const char *name, vdisk_error *err) { return remove_at(dir, name, 0, err); }

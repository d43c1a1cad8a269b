/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "core/trust.h"
#include "base/alloc.h"
#include "base/path.h"
#include "io/http.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* "nbd:", "http://…": letters, then a colon, before any slash.  One letter is a Windows drive, and just a name that does not
   exist. */
static bool has_scheme(const char *name)
{
	size_t n = strcspn(name, ":/");

	return name[n] == ':' && n > 1;
}

static int open_beneath(int dirfd, const char *rel, bool write)
{
	struct open_how how = {
		.flags = (uint64_t)((write ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, dirfd, rel, &how, sizeof(how));
}

/* Opens `real`, an absolute path without links, below the folder `dir`; -1 with errno EXDEV if it is not below. */
static int open_below(const char *dir, const char *real, bool write)
{
	char base[PATH_MAX];
	size_t n;
	int dirfd, fd, saved;

	if (!realpath(dir, base))
		return -1;
	n = strlen(base);
	while (n && base[n - 1] == '/')
		base[--n] = 0;
	if (strncmp(real, base, n) || real[n] != '/') {
		errno = EXDEV;
		return -1;
	}
	dirfd = open(n ? base : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return -1;
	fd = open_beneath(dirfd, real + n + 1, write);
	saved = errno;
	close(dirfd);
	errno = saved;
	return fd;
}

/* Tries the image's own folder first, then the allowed ones.  -1 with errno; EXDEV: outside all of them. */
static int open_trusted(const struct vd_trust *t, const char *path, const char *name, bool write)
{
	VD_AUTO_FREE char *folder = vd_path_beside(t->image, ".");
	char real[PATH_MAX];
	int fd = -1;

	if (!folder) {
		errno = ENOMEM;
		return -1;
	}
	if (name[0] != '/') {
		int dirfd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC), saved;

		if (dirfd < 0)
			return -1;
		fd = open_beneath(dirfd, name, write);
		saved = errno;
		close(dirfd);
		errno = saved;
		if (fd >= 0 || errno != EXDEV)
			return fd;
	}
	if (!realpath(path, real))
		return -1;
	fd = open_below(folder, real, write);
	for (const char *const *d = t->allow_dirs; fd < 0 && errno == EXDEV && d && *d; d++)
		fd = open_below(*d, real, write);
	return fd;
}

static int refuse_outside(const char *path, vd_error *err)
{
	int n = vd_folder_length(path);

	return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
	               "names '%s', which lies outside the image's folder; --allow-parent %.*s would allow it", path,
	               n > 1 ? n - 1 : 1, n ? path : ".");
}

int vd_trust_open(const struct vd_trust *t, const char *name, bool write, struct vd_file **out, char **path_out, vd_error *err)
{
	VD_AUTO_FREE char *path = NULL;
	int fd;

	if (!name[0])
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "names a file with an empty name");
	if (has_scheme(name))
		return vd_fail(
			err, VDISK_REFUSED, VDISK_NO_OFFSET,
			"names '%s': remote and pseudo names in images are never followed; --parent '%s=FILE' would put a file in its place",
			name, name);
	if (!t->said)
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
		               "names '%s', but only the image's own bytes say that it is %s; -f %s would allow it", name,
		               t->format, t->format);
	if (t->self && t->self->flags & VD_FILE_EXPORT)
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
		               "names '%s', but there is nothing beside the export of an NBD server", name);
	if (t->self && t->self->flags & VD_FILE_REMOTE) {
		if (vd_file_http_beside(t->self, name, out, err))
			return -1;
		if (!path_out || (*path_out = vd_strdup((*out)->name)))
			return 0;
		vd_file_close(*out);
		return vd_fail_nomem(err, strlen(name));
	}
	path = vd_path_beside(t->image, name);
	if (!path)
		return vd_fail_nomem(err, strlen(name));
	fd = open_trusted(t, path, name, write);
	if (fd < 0 && (errno == EXDEV || errno == ELOOP))
		return refuse_outside(path, err);
	if (fd < 0)
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "cannot open '%s', which it names", path);
	if (vd_file_posix_fd(fd, path, write, out, err))
		return -1;
	if (path_out) {
		*path_out = path;
		path = NULL;
	}
	return 0;
}

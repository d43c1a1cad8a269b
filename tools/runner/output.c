/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "output.h"
#include "common/write_all.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int output_judge(const char *path, vdisk_error *err)
{
	const char *slash = path ? strrchr(path, '/') : NULL;
	char folder[PATH_MAX];
	struct stat st;

	if (!path)
		return 0;
	if (!stat(path, &st)) {
		if (S_ISDIR(st.st_mode))
			errno = EISDIR;
		return S_ISDIR(st.st_mode) || access(path, W_OK) ? fail_errno(err, "%s", path) : 0;
	}
	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
	return errno != ENOENT || access(folder, W_OK | X_OK) ? fail_errno(err, "%s", path) : 0;
}

int output_write(const char *path, const void *bytes, size_t n, vdisk_error *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666), rc, why;
	struct stat st;

	if (fd < 0)
		return fail_errno(err, "%s", path);
	rc = write_all(fd, bytes, n);
	why = errno;
	if (rc && !fstat(fd, &st) && S_ISREG(st.st_mode) && !ftruncate(fd, 0))
		unlink(path);
	if (close(fd) && !rc) {
		rc = -1;
		why = errno;
	}
	errno = why;
	return rc ? fail_errno(err, "%s", path) : 0;
}

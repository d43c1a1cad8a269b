/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/rename.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int rename_new(int from_dir, const char *from, int to_dir, const char *to)
{
	if (!renameat2(from_dir, from, to_dir, to, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* A file system that knows no such flag (NFS, much of FUSE): the moment in between has to do. */
	if (!faccessat(to_dir, to, F_OK, AT_SYMLINK_NOFOLLOW))
		errno = EEXIST;
	return errno == ENOENT ? renameat(from_dir, from, to_dir, to) : -1;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Identities of host files.  Pure but for statx(2). */
#include "io/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static int identify(int dirfd, const char *name, int flags, struct vd_identity *id)
{
	struct statx x;

	if (statx(dirfd, name, flags | AT_STATX_SYNC_AS_STAT, STATX_INO | STATX_TYPE | STATX_BTIME, &x))
		return -1;
	id->dev = makedev(x.stx_dev_major, x.stx_dev_minor);
	id->ino = x.stx_ino;
	id->birth = x.stx_mask & STATX_BTIME ? (uint64_t)x.stx_btime.tv_sec * UINT64_C(1000000000) + x.stx_btime.tv_nsec : 0;
	errno = EINVAL;
	return S_ISREG(x.stx_mode) ? 0 : -1;
}

int vd_identity_of(int fd, struct vd_identity *id, vd_error *err)
{
	return identify(fd, "", AT_EMPTY_PATH, id) ? vd_fail_errno(err, errno, VDISK_NO_OFFSET, "asking which file it is") : 0;
}

bool vd_identity_at(int dirfd, const char *name, const struct vd_identity *id)
{
	struct vd_identity there = { 0 };

	return !identify(dirfd, name, AT_SYMLINK_NOFOLLOW, &there) && there.dev == id->dev && vd_identity_same(&there, id);
}

bool vd_identity_same(const struct vd_identity *a, const struct vd_identity *b)
{
	return a->ino == b->ino && (a->birth == b->birth || !a->birth || !b->birth);
}

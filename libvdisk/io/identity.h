/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which file of the host it is, whatever its name. */
#ifndef VD_IO_IDENTITY_H
#define VD_IO_IDENTITY_H

#include "base/error.h"

struct vd_identity {
	uint64_t dev, ino;
	uint64_t birth; /* ns since 1970, as a number is used again for another file; 0: the file system does not say */
};

/* Of an open regular file; VDISK_IO with EINVAL for others. */
int vd_identity_of(int fd, struct vd_identity *id, vd_error *err);
/* Whether the file of that name is it; a symbolic link is not followed. */
bool vd_identity_at(int dirfd, const char *name, const struct vd_identity *id);
/* The same number, and born at the same time where both are known; that of the device is not asked, as another boot gives
   others. */
bool vd_identity_same(const struct vd_identity *a, const struct vd_identity *b);

#endif

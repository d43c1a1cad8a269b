/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file system that FUSE asks: a tree over an image. */
#ifndef VDISK_MOUNT_FS_H
#define VDISK_MOUNT_FS_H

#include "tree.h"

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#define FS_MAX_IO (1u << 20)

struct fs {
	vdisk_image *img;
	struct tree *tree;
	struct timespec mtime; /* the image's */
	uid_t uid;
	gid_t gid;
};

/* The session's operations; its userdata is a struct fs. */
extern const struct fuse_lowlevel_ops fs_ops;

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of an image becomes which node. */
#ifndef VDISK_MOUNT_POPULATE_H
#define VDISK_MOUNT_POPULATE_H

#include "fs.h"

/* The root, for the first of fs->states, which is open: before the mount.  0, or -1 with *err. */
int populate_root(struct fs *fs, vdisk_error *err);
/* A folder below snapshots/ that somebody looks into: opens its source.  What goes wrong becomes its file "error". */
void populate_folder(struct fs *fs, struct node *folder);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of an image becomes which node. */
#ifndef VDISK_MOUNT_POPULATE_H
#define VDISK_MOUNT_POPULATE_H

#include "fs.h"

/* disk, info.json, partitions/N: before the mount.  0, or -1 with *err. */
int populate_image(struct fs *fs, vdisk_error *err);
/* partitions/by-label, by-uuid, by-type: what libblkid says of the partitions' files below `mountpoint`, which must be served by then.
   A file system that it does not know is no error. */
void populate_links(struct fs *fs, const char *mountpoint);

#endif

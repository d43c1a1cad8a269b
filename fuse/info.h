/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* info.json: the image, its partitions and volumes. */
#ifndef VDISK_MOUNT_INFO_H
#define VDISK_MOUNT_INFO_H

#include "fs.h"

struct info {
	struct fs *fs;
	struct state *src;
	struct vdisk_partition_table table;
	struct vdisk_partition *parts;
	size_t n_parts;
	vdisk_error table_problem; /* of kind VDISK_OK: none */
};

/* Returns owned; NULL: out of memory. */
char *info_text(const struct info *info);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a disk's file systems call free: `vdisk map --free` is asked, which looks at it through FUSE, libblkid and partclone. */
#ifndef CAPTURE_FREE_H
#define CAPTURE_FREE_H

#include "disk.h"

struct free_note { /* a region of which nothing is left out, though one may have expected otherwise */
	char text[400];
};

struct free_map {
	struct ranges free; /* sorted, aligned to DISK_ALIGN */
	struct free_note *notes;
	size_t n_notes;
};

/* live: what is free now, although the file systems are not at rest.  0, or -1 with *err when it cannot be told (the whole disk is
   to be read). */
int free_find(struct disk *d, bool live, struct free_map *out, vdisk_error *err);
void free_map_free(struct free_map *f);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What one pass takes of a disk: its bytes, with zeros where its file systems have nothing, and in other places bytes that stand
 * for them: a snapshot's, or such as were read before it was made.
 */
#ifndef CAPTURE_CONTENT_H
#define CAPTURE_CONTENT_H

#include "disk.h"

struct content_layer {     /* of the disk's bytes [off, off+len) */
	uint64_t off, len; /* aligned to sectors */
	struct disk *from; /* NULL: `bytes` */
	uint64_t at;       /* in `from`, aligned to sectors */
	uint64_t piece, stride; /* of a stripe: each `piece` bytes of it lie `stride` bytes after those before in `from`; 0: it is
	                           in one piece there */
	const uint8_t *bytes;
};

struct content {
	struct disk *disk;
	struct ranges free;     /* sorted, aligned to DISK_ALIGN: not read */
	const struct content_layer *layers; /* ascending, none overlapping; borrowed */
	size_t n_layers;
};

/* The disk's chunk `index` into `buf` (TRANSFER_CHUNK bytes, aligned to DISK_ALIGN). */
int content_read(const struct content *c, uint64_t index, void *buf, vdisk_error *err);
/* How many whole chunks from `index` on, at most `most`, are free altogether. */
uint64_t content_free_run(const struct content *c, uint64_t index, uint64_t most);

/* Where bytes [from, from+len) of the layer's `from` lie on the disk: false: not in this layer, or nowhere.  Of a stripe, all that
   it has of them. */
bool content_layer_find(const struct content_layer *l, uint64_t from, uint64_t len, struct vdisk_range *out);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading an image's windows into buffers on a pool; what digest, sha256 and compare share. */
#ifndef VD_OPS_SCAN_H
#define VD_OPS_SCAN_H

#include "ops/flow.h"
#include "ops/walk.h"

#define VD_SCAN_WINDOW VDISK_DIGEST_LEAF
#define VD_SCAN_BUDGET (UINT64_C(32) << 20)

/* One image's part of a window. */
struct vd_slice {
	struct vd_extent_list extents;
	uint8_t *buf; /* VD_SCAN_WINDOW bytes */
};

int vd_slice_init(struct vd_slice *s, vd_error *err);
void vd_slice_free(struct vd_slice *s);
/* Fills s->buf with the window that begins at `off`; releases what a forward source need not keep.  On any thread. */
int vd_slice_read(vdisk_image *img, struct vd_slice *s, uint64_t off, vd_error *err);
bool vd_slice_has_data(const struct vd_slice *s);

/* Tickets in flight for buffers of `each` bytes. */
unsigned vd_scan_tickets(uint64_t memory_bytes, uint64_t each, unsigned threads);

/* The threads for reading img where `threads` were asked for: of 0, one for each processor, and enough to keep a web server's
   answers coming, which are a network away. */
unsigned vd_scan_threads(const vdisk_image *img, unsigned threads);

#endif

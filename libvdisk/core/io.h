/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads and writes under a claim that the caller holds; core only. */
#ifndef VD_CORE_IO_H
#define VD_CORE_IO_H

#include "core/claims.h"
#include "core/image.h"
#include "core/iov.h"

/* [off, off+len) into the next len bytes of *it. */
int vd_read_unclaimed(vdisk_image *img, uint64_t off, uint64_t len, struct vd_iov *it, vd_error *err);
/* The same into a buffer; what lies past the disk's end reads as zeros. */
int vd_read_buf(vdisk_image *img, uint64_t off, void *buf, size_t len, vd_error *err);

/* vd_image_map() of the layers from `depth` on, each of them asked. */
int vd_map_from(vdisk_image *img, unsigned depth, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err);
/* Whether the packed unit x (depth and file set) can be unpacked. */
int vd_image_try_unit(vdisk_image *img, const struct vd_extent *x, vd_error *err);

/* Each takes its own claims and begins the layer. */
int vd_write(vdisk_image *img, uint64_t off, uint64_t len, struct vd_iov *it, vd_error *err);
int vd_zero(vdisk_image *img, uint64_t off, uint64_t len, vd_error *err);
int vd_discard(vdisk_image *img, uint64_t off, uint64_t len, vd_error *err);

/* An exclusive claim on [off, off+len) rounded out to the top layer's allocation grain. */
void vd_claim_units(vdisk_image *img, struct vd_claim *k, uint64_t off, uint64_t len);
/* Writes under such a claim. */
int vd_write_claimed(vdisk_image *img, uint64_t off, uint64_t len, struct vd_iov *it, vd_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Zeroing and discarding: by the format's zero state where it has one, in place where the bytes are plain, else by writing
   zeros. */
#include "core/io.h"
#include "base/alloc.h"
#include "base/bytes.h"

#define ZERO_BATCH 32
#define ZERO_PIECE (UINT64_C(256) << 20) /* bounds how long one claim is held */
#define ZERO_BUFFER (256u << 10)

/* The layer need not say anything for this extent to read as zeros, now and later. */
static bool zero_already(const struct vd_layer *l, const struct vd_extent *x)
{
	return x->kind == VD_ZERO || (x->kind == VD_ABSENT && !l->parent_ref.n_names && !l->parent);
}

static int write_zeros(vdisk_image *img, uint64_t off, uint64_t len, vd_error *err)
{
	size_t chunk = vd_min(vd_max(ZERO_BUFFER, img->top->alloc_grain), len);
	VD_AUTO_FREE uint8_t *zeros = vd_calloc(1, chunk);

	if (!zeros)
		return vd_fail_nomem(err, chunk);
	while (len) {
		struct iovec v = { .iov_base = zeros, .iov_len = vd_min(chunk, len) };
		struct vd_iov it = { .v = &v, .n = 1 };

		if (vd_write_claimed(img, off, v.iov_len, &it, err))
			return -1;
		off += v.iov_len;
		len -= v.iov_len;
	}
	return 0;
}

/* Without the help of a zero state. */
static int zero_bytes(vdisk_image *img, uint64_t off, uint64_t len, vd_error *err)
{
	struct vd_extent buf[ZERO_BATCH];
	struct vd_layer *l = img->top;
	uint64_t end = off + len;

	while (off < end) {
		struct vd_extents e;

		vd_extents_init(&e, buf, ZERO_BATCH, off, end - off);
		if (vd_layer_map(l, off, end - off, VD_MAP_HOLES, &e, err))
			return -1;
		for (size_t i = 0; i < e.n; i++) {
			const struct vd_extent *x = &e.v[i];
			int rc;

			if (zero_already(l, x))
				continue;
			if ((x->flags & VD_EXT_WRITABLE) && !(x->flags & VD_EXT_CIPHERED))
				rc = vd_file_zero(l->files[x->file], x->host, x->len, true, err);
			else
				rc = write_zeros(img, x->off, x->len, err);
			if (rc)
				return -1;
		}
		off = e.next;
	}
	return 0;
}

static int zero_publish(struct vd_layer *l, uint64_t off, uint64_t end, vd_error *err)
{
	while (off < end) {
		struct vd_resv r = { .off = off, .len = end - off, .kind = VD_ZERO };

		if (vd_layer_reserve(l, &r, err) || vd_layer_publish(l, &r, 1, err))
			return -1;
		off += r.len;
	}
	return 0;
}

/* Whole presence grains [off, end); the last may stick out over the disk's end. */
static int zero_units(vdisk_image *img, uint64_t off, uint64_t end, vd_error *err)
{
	struct vd_extent buf[ZERO_BATCH];
	struct vd_layer *l = img->top;

	while (off < end && off < l->size) {
		struct vd_extents e;

		vd_extents_init(&e, buf, ZERO_BATCH, off, vd_min(end, l->size) - off);
		if (vd_layer_map(l, off, e.end - off, 0, &e, err))
			return -1;
		for (size_t i = 0; i < e.n; i++) {
			const struct vd_extent *x = &e.v[i];

			int rc;

			if (zero_already(l, x))
				continue;
			/* A part of a packed unit cannot be made zero by itself, even where the presence grain is finer. */
			if ((x->flags & VD_EXT_COMPRESSED) && x->len < x->unit_len)
				rc = zero_bytes(img, x->off, x->len, err);
			else
				rc = zero_publish(l, x->off, vd_up(x->off + x->len, l->presence_grain), err);
			if (rc)
				return -1;
		}
		off = e.next;
	}
	return 0;
}

static int zero_piece(vdisk_image *img, uint64_t off, uint64_t len, vd_error *err)
{
	struct vd_layer *l = img->top;
	uint64_t grain = l->presence_grain, end = off + len;
	uint64_t a = vd_up(off, grain), b = end == l->size ? vd_up(end, grain) : vd_down(end, grain);

	if (!(vd_layer_caps(l) & VD_CAP_ZERO) || a >= b)
		return zero_bytes(img, off, len, err);
	if (a > off && zero_bytes(img, off, a - off, err))
		return -1;
	if (zero_units(img, a, b, err))
		return -1;
	return b < end ? zero_bytes(img, b, end - b, err) : 0;
}

static int discard_piece(vdisk_image *img, uint64_t off, uint64_t len, vd_error *err)
{
	struct vd_layer *l = img->top;
	uint64_t grain = l->alloc_grain, end = off + len;
	uint64_t a = vd_up(off, grain), b = end == l->size ? vd_up(end, grain) : vd_down(end, grain);

	if (l->flags & VD_LAYER_FIXED)
		return zero_bytes(img, off, len, err);
	if (a >= b)
		return 0;
	return vd_layer_unmap(l, a, vd_min(b, l->size) - a, l->parent_ref.n_names || l->parent ? VD_ZERO : VD_ABSENT, err);
}

/* Does one or the other to the range, a piece under one claim at a time, cut at a unit's boundary. */
static int in_pieces(vdisk_image *img, uint64_t off, uint64_t len, int (*piece)(vdisk_image *, uint64_t, uint64_t, vd_error *),
                     vd_error *err)
{
	uint64_t end = off + len;

	if (vd_layer_begin(img->top, err))
		return -1;
	while (off < end) {
		uint64_t stop = end - off > ZERO_PIECE ? vd_down(off + ZERO_PIECE, img->top->alloc_grain) : end;
		struct vd_claim k;
		int rc;

		vd_claim_units(img, &k, off, stop - off);
		rc = vd_layer_touch(img->top, off, stop - off, err) || piece(img, off, stop - off, err) ? -1 : 0;
		vd_claim_drop(img->claims, &k);
		if (rc)
			return -1;
		off = stop;
	}
	return 0;
}

int vd_zero(vdisk_image *img, uint64_t off, uint64_t len, vd_error *err)
{
	return in_pieces(img, off, len, zero_piece, err);
}

int vd_discard(vdisk_image *img, uint64_t off, uint64_t len, vd_error *err)
{
	return in_pieces(img, off, len, discard_piece, err);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes that a layer leaves to its parents become its own, a piece at a time under an exclusive claim, so that the image may be in
 * use meanwhile.  The content is the same before, during and after, whatever moment it stops at: what is written is what is read.
 */
#include "core/io.h"
#include "core/layer.h"
#include "core/mapcache.h"
#include "core/open.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/zero.h"

#define PULL_BATCH 32
#define PULL_BUFFER (1u << 20)

struct pull {
	vdisk_image *img, *other;
	uint8_t *buf, *other_buf;
	size_t room;
	uint64_t copied;
};

/* Whether any layer below the top one (or of `other`) has data in the range. */
static int range_has_data(vdisk_image *img, uint64_t off, uint64_t len, bool *data, vd_error *err)
{
	uint64_t end = vd_min(off + len, img->top->size);
	struct vd_extent buf[PULL_BATCH];

	*data = false;
	while (off < end && !*data) {
		struct vd_extents e;

		vd_extents_init(&e, buf, PULL_BATCH, off, end - off);
		if (vd_image_map(img, off, end - off, VD_MAP_HOLES, &e, err))
			return -1;
		for (size_t i = 0; i < e.n; i++)
			*data |= e.v[i].kind == VD_DATA;
		off = e.next;
	}
	return 0;
}

/* Writes what differs of the range's bytes in p->buf, by whole units of `unit` bytes. */
static int write_different(struct pull *p, uint64_t off, size_t len, size_t unit, vd_error *err)
{
	for (size_t at = 0; at < len;) {
		size_t end = at;

		while (end < len) {
			size_t n = vd_min(unit - (off + end) % unit, len - end);
			bool same = p->other ? !memcmp(p->buf + end, p->other_buf + end, n) : vd_is_zero(p->buf + end, n);

			if (same)
				break;
			end += n;
		}
		if (end > at) {
			struct iovec v = { .iov_base = p->buf + at, .iov_len = end - at };
			struct vd_iov it = { .v = &v, .n = 1 };

			if (vd_write_claimed(p->img, off + at, end - at, &it, err))
				return -1;
			p->copied += end - at;
			at = end;
		} else {
			at += vd_min(unit - (off + at) % unit, len - at);
		}
	}
	return 0;
}

/* [off, off+len), absent in the top layer, at most p->room bytes. */
static int pull_chunk(struct pull *p, uint64_t off, size_t len, bool all, vd_error *err)
{
	struct vd_layer *top = p->img->top;
	size_t unit = vd_max(top->presence_grain, 4096u);
	bool data, other_data = false;
	struct iovec v = { .iov_base = p->buf, .iov_len = len };
	struct vd_iov it = { .v = &v, .n = 1 };

	if (range_has_data(p->img, off, len, &data, err) || (p->other && range_has_data(p->other, off, len, &other_data, err)))
		return -1;
	if (!data && !other_data && !all)
		return 0;
	if (vd_read_buf(p->img, off, p->buf, len, err) || (p->other && vd_read_buf(p->other, off, p->other_buf, len, err)))
		return -1;
	if (!all)
		return write_different(p, off, len, unit, err);
	p->copied += len;
	return vd_write_claimed(p->img, off, len, &it, err);
}

static int pull_range(struct pull *p, uint64_t off, uint64_t len, vd_error *err)
{
	struct vd_extent buf[PULL_BATCH];
	uint64_t end = off + len;

	while (off < end) {
		struct vd_extents e;

		vd_extents_init(&e, buf, PULL_BATCH, off, end - off);
		if (vd_layer_map(p->img->top, off, end - off, 0, &e, err))
			return -1;
		for (size_t i = 0; i < e.n; i++) {
			const struct vd_extent *x = &e.v[i];
			/* Without a parent some formats take the bytes that lie there for the guest's. */
			bool all = (x->flags & VD_EXT_MAPPED) && !p->other;

			for (uint64_t at = x->off; x->kind == VD_ABSENT && at < x->off + x->len;) {
				size_t n = vd_min(p->room - at % p->room, x->off + x->len - at);

				if (pull_chunk(p, at, n, all, err))
					return -1;
				at += n;
			}
		}
		off = e.next;
	}
	return 0;
}

int vd_image_pull(vdisk_image *img, vdisk_image *other, uint64_t off, uint64_t len, uint64_t *copied, vd_error *err)
{
	size_t room = vd_max(PULL_BUFFER, img->top->alloc_grain);
	VD_AUTO_FREE uint8_t *buf = vd_malloc(room), *other_buf = other ? vd_malloc(room) : NULL;
	struct pull p = { .img = img, .other = other, .buf = buf, .other_buf = other_buf, .room = room };
	struct vd_claim k;
	int rc;

	if (!buf || (other && !other_buf))
		return vd_fail_nomem(err, room);
	if (vd_layer_begin(img->top, err))
		return -1;
	vd_claim_units(img, &k, off, len);
	rc = pull_range(&p, off, len, err);
	vd_claim_drop(img->claims, &k);
	*copied += p.copied;
	return rc;
}

int vd_image_replace_parents(vdisk_image *img, vdisk_image *parents, vd_error *err)
{
	for (unsigned i = 1; i < img->n_layers; i++)
		vd_layer_free(img->chain[i]);
	img->n_layers = 1;
	img->top->parent = NULL;
	vd_mapcache_free(img->mapcache);
	img->mapcache = NULL;
	return parents ? vd_image_adopt_parent(img, parents, err) : 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The flattened map: what each layer leaves to its parent is asked of the parent, down to the last. */
#include "core/image.h"
#include "core/io.h"
#include "core/mapcache.h"
#include "base/bytes.h"

#define MAP_BATCH 32 /* on the stack, once for each layer of the chain */
#define MAP_BELOW 512u /* pieces that the layers below get, though one above them has used up all */

/* By way of what is remembered, where something is. */
static int map_any(vdisk_image *img, unsigned depth, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e,
                   vd_error *err)
{
	if (!flags && img->mapcache && vd_mapcache_depth(img->mapcache) == depth)
		return vd_mapcache_map(img, off, len, e, err);
	return vd_map_from(img, depth, off, len, flags, e, err);
}

static void map_absent(struct vd_extents *e, unsigned depth, uint64_t off, uint64_t len)
{
	struct vd_extent x = { .off = off, .len = len, .kind = VD_ABSENT, .depth = (uint16_t)depth };

	vd_extents_add(e, &x);
}

static int map_below(vdisk_image *img, unsigned depth, const struct vd_extent *x, uint32_t flags, struct vd_extents *e,
                     vd_error *err)
{
	bool last = !e->left;

	if (last)
		e->left = MAP_BELOW;
	if (map_any(img, depth, x->off, x->len, flags, e, err))
		return -1;
	if (last)
		e->left = 0;
	return 0;
}

/* One layer's answer, its gaps filled from below.  Stops when *e is full, or nothing is left of it. */
static int map_take(vdisk_image *img, unsigned depth, const struct vd_extents *part, uint32_t flags, struct vd_extents *e,
                    vd_error *err)
{
	for (size_t i = 0; i < part->n; i++) {
		struct vd_extent x = part->v[i];
		uint64_t end = x.off + x.len;

		x.depth = (uint16_t)depth;
		if (x.kind != VD_ABSENT) {
			vd_extents_add(e, &x);
		} else if (depth + 1 < img->n_layers) {
			if (map_below(img, depth + 1, &x, flags, e, err))
				return -1;
			if (!e->left)
				return 0;
		} else {
			map_absent(e, depth, x.off, x.len);
		}
		if (e->next < end)
			return 0;
	}
	return 0;
}

/* Salvage: a packed unit that does not unpack is lost, which only unpacking it tells. */
static int map_salvage(vdisk_image *img, unsigned depth, struct vd_extents *part, vd_error *err)
{
	if (!img->chain[depth]->drv->codec)
		return 0;
	for (size_t i = 0; i < part->n; i++) {
		struct vd_extent *x = &part->v[i];
		vd_error why = { 0 };

		x->depth = (uint16_t)depth;
		if (!(x->flags & VD_EXT_COMPRESSED) || !vd_image_try_unit(img, x, &why))
			continue;
		if (why.kind == VDISK_NOMEM) {
			if (err)
				*err = why;
			return -1;
		}
		vd_file_release(img->chain[depth]->files[x->file], x->host, x->host_len); /* a pipe need not keep it */
		*x = (struct vd_extent){ .off = x->off, .len = x->len, .kind = VD_ZERO, .flags = VD_EXT_LOST };
	}
	return 0;
}

int vd_map_from(vdisk_image *img, unsigned depth, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err)
{
	struct vd_layer *l = img->chain[depth];
	struct vd_extent buf[MAP_BATCH];
	uint64_t end = off + len;

	for (uint64_t at = off; at < end;) {
		struct vd_extents part;

		if (at >= l->size) { /* a shorter parent reads as zeros */
			map_absent(e, depth, at, end - at);
			return 0;
		}
		vd_extents_init(&part, buf, MAP_BATCH, at, vd_min(end, l->size) - at);
		if (vd_layer_map(l, at, part.end - at, flags, &part, err))
			return -1;
		vd_extents_spend(e, VD_MAP_WORK - part.left);
		if (img->flags & VDISK_OPEN_SALVAGE && map_salvage(img, depth, &part, err))
			return -1;
		if (map_take(img, depth, &part, flags, e, err))
			return -1;
		if (e->next < part.next || !e->left)
			return 0;
		at = part.next;
	}
	return 0;
}

int vd_image_map(vdisk_image *img, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err)
{
	return map_any(img, 0, off, len, flags, e, err);
}

int vdisk_map(vdisk_image *img, uint64_t off, uint64_t len, struct vdisk_extent *out, size_t cap, size_t *n, vdisk_error *err)
{
	struct vd_extent buf[MAP_BATCH];
	struct vd_extents e;

	*n = 0;
	if (!vd_within(off, len, vdisk_size(img)))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "%s: range %" PRIu64 "+%" PRIu64 " is outside the disk (%" PRIu64 " bytes)", img->path, off, len,
		               vdisk_size(img));
	if (!len || !cap)
		return 0;
	vd_extents_init(&e, buf, vd_min(cap, MAP_BATCH), off, len);
	if (vd_image_map(img, off, len, VD_MAP_HOLES, &e, err))
		return -1;
	for (size_t i = 0; i < e.n; i++) {
		const struct vd_extent *x = &e.v[i];

		out[i] = (struct vdisk_extent){
			.off = x->off,
			.len = x->len,
			.kind = (enum vdisk_kind)x->kind,
			.flags = x->flags,
			.file = x->file,
			.depth = x->depth,
			.host = x->host,
			.host_len = x->host_len,
		};
	}
	*n = e.n;
	return 0;
}

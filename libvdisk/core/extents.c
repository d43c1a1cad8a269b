/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers to map(): an append-only list that keeps order, contiguity and coalescing, so that drivers need not. */
#include "core/driver.h"

#include <assert.h>

static void extent_cut_head(struct vd_extent *x, uint64_t from)
{
	uint64_t cut = from - x->off;

	x->off = from;
	x->len -= cut;
	if (x->flags & VD_EXT_MAPPED) {
		x->host += cut;
		x->host_len -= cut;
	}
}

static bool extent_joins(const struct vd_extent *a, const struct vd_extent *b)
{
	if (a->kind != b->kind || a->flags != b->flags || a->depth != b->depth || (a->flags & VD_EXT_COMPRESSED))
		return false;
	return !(a->flags & VD_EXT_MAPPED) || (a->file == b->file && a->host + a->len == b->host);
}

bool vd_extents_add(struct vd_extents *e, const struct vd_extent *x)
{
	struct vd_extent y = *x;

	if (e->next >= e->end)
		return false;
	if (y.off + y.len <= e->next)
		return true;
	assert(y.off <= e->next);
	if ((y.flags & VD_EXT_COMPRESSED) && !y.unit_len) {
		y.unit_off = y.off;
		y.unit_len = y.len;
	}
	if (y.off < e->next)
		extent_cut_head(&y, e->next);
	if (y.len > e->end - y.off) {
		y.len = e->end - y.off;
		if (y.flags & VD_EXT_MAPPED)
			y.host_len = y.len;
	}
	if (e->n && extent_joins(&e->v[e->n - 1], &y)) {
		struct vd_extent *last = &e->v[e->n - 1];

		last->len += y.len;
		if (last->flags & VD_EXT_MAPPED)
			last->host_len += y.len;
	} else {
		if (e->n == e->cap)
			return false;
		e->v[e->n++] = y;
	}
	e->next = y.off + y.len;
	return vd_extents_spend(e, 1) && e->next < e->end;
}

int vd_extents_add_plain(struct vd_extents *e, struct vd_file *f, struct vd_extent x, uint32_t flags, bool *more, vd_error *err)
{
	uint64_t end = x.off + x.len;

	for (*more = true; *more && x.off < end;) {
		bool data = true;

		x.len = end - x.off;
		if (flags & VD_MAP_HOLES && vd_file_extent(f, x.host, &x.len, &data, err))
			return -1;
		x.kind = data ? VD_DATA : VD_ZERO;
		x.host_len = x.len;
		*more = vd_extents_add(e, &x);
		x.off += x.len;
		x.host += x.len;
	}
	return 0;
}

int vd_map_pieces(struct vd_layer *l, uint64_t off, uint64_t len, bool salvage, vd_piece_fn *find, struct vd_extents *e,
                  vd_error *err)
{
	uint64_t end = off + len;
	bool more = true;

	while (more && off < end) {
		struct vd_extent x = { .off = off, .len = end - off };
		vd_error why = { 0 };

		if (find(l, &x, &why)) {
			if (salvage && why.kind == VDISK_CORRUPT) {
				x = (struct vd_extent){
					.off = off, .len = x.off + x.len - off, .kind = VD_ZERO, .flags = VD_EXT_LOST
				};
			} else if (e->n) {
				return 0; /* an answer; the trouble is met again by whoever asks from there on */
			} else {
				if (err)
					*err = why;
				return -1;
			}
		}
		more = vd_extents_add(e, &x);
		off = x.off + x.len; /* of a packed unit perhaps past `end` */
	}
	return 0;
}

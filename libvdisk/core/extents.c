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
	return e->next < e->end;
}

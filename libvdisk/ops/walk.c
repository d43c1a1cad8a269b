/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owns one batch of the map's answer.  One thread at a time.  Memory is the batch, whatever the image; a piece is bounded so that a
 * sparse image of many TiB gives the caller a chance to look at its cancel flag.
 */
#include "ops/walk.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <assert.h>

void vd_extent_list_free(struct vd_extent_list *l)
{
	vd_free(l->v);
	l->v = NULL;
	l->n = l->cap = 0;
}

static int list_add(struct vd_extent_list *l, const struct vd_extent *x, vd_error *err)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 16;
		struct vd_extent *v = vd_realloc(l->v, cap, sizeof(*v));

		if (!v)
			return vd_fail_nomem(err, cap * sizeof(*v));
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = *x;
	return 0;
}

bool vd_image_is_forward(const vdisk_image *img)
{
	return img->top->flags & VD_LAYER_FORWARD;
}

int vd_image_whole(const vdisk_image *img, vd_error *err)
{
	const struct vd_layer *last = img->chain[img->n_layers - 1];

	if (!last->parent_ref.n_names)
		return 0;
	return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: its parent, %s, was not opened", last->path,
	               last->parent_ref.names[0]);
}

void vd_walk_init(struct vd_walk *w, vdisk_image *img, uint64_t size, uint64_t forward_piece)
{
	w->img = img;
	w->pos = 0;
	w->size = size;
	w->piece = vd_image_is_forward(img) ? forward_piece : VD_WALK_ZERO_MAX;
	w->flags = VD_MAP_HOLES;
	w->lost = 0;
	w->on_lost = NULL;
	w->lost_ctx = NULL;
	w->skip = NULL;
	w->n_skip = 0;
	w->next = 0;
	vd_extents_init(&w->answer, w->v, VD_WALK_EXTENTS, 0, 0);
}

int vd_skip_judge(const struct vdisk_range *skip, size_t n, uint64_t size, vd_error *err)
{
	uint64_t end = 0;

	for (size_t i = 0; i < n; i++) {
		if (!skip[i].len || skip[i].off < end || !vd_within(skip[i].off, skip[i].len, size))
			return vd_fail(err, VDISK_INVALID, skip[i].off,
			               "range %zu to be left out, %" PRIu64 " bytes at offset %" PRIu64
			               ", is empty, out of order or outside the disk",
			               i, skip[i].len, skip[i].off);
		end = skip[i].off + skip[i].len;
	}
	return 0;
}

bool vd_skip_at(const struct vdisk_range *skip, size_t n, uint64_t pos, uint64_t *to)
{
	size_t i = vd_range_find(skip, n, sizeof(*skip), pos);

	*to = UINT64_MAX;
	if (i == n)
		return false;
	*to = skip[i].off <= pos ? skip[i].off + skip[i].len : skip[i].off;
	return skip[i].off <= pos;
}

/* The extent at w->pos, whole as the map gave it. */
static int walk_peek(struct vd_walk *w, struct vd_extent *x, vd_error *err)
{
	uint64_t inside = w->img->top->size;

	assert(w->pos < w->size);
	while (w->next < w->answer.n && w->v[w->next].off + w->v[w->next].len <= w->pos)
		w->next++;
	if (w->next == w->answer.n && w->pos < inside) {
		uint64_t len = vd_min(inside - w->pos, w->piece);

		/* Aligned pieces: a forward source's units are not asked for in halves. */
		if (len == w->piece)
			len = vd_down(w->pos, w->piece) + w->piece - w->pos;
		vd_extents_init(&w->answer, w->v, VD_WALK_EXTENTS, w->pos, len);
		w->next = 0;
		if (vd_image_map(w->img, w->pos, len, w->flags, &w->answer, err)) {
			w->answer.n = 0;
			return -1;
		}
	}
	if (w->next < w->answer.n)
		*x = w->v[w->next];
	else
		*x = (struct vd_extent){ .off = w->pos, .len = w->size - w->pos, .kind = VD_ABSENT };
	return 0;
}

static void extent_cut(struct vd_extent *x, uint64_t from, uint64_t to)
{
	uint64_t end = vd_min(x->off + x->len, to);

	if (x->off < from) {
		if (x->flags & VD_EXT_MAPPED)
			x->host += from - x->off;
		x->off = from;
	}
	x->len = end - x->off;
	if (x->flags & VD_EXT_MAPPED)
		x->host_len = x->len;
}

static void walk_lose(struct vd_walk *w, uint64_t off, uint64_t len)
{
	w->lost += len;
	if (w->on_lost && len)
		w->on_lost(w->lost_ctx, off, len);
}

int vd_walk_next(struct vd_walk *w, uint64_t end, struct vd_extent *x, vd_error *err)
{
	uint64_t stop;

	end = vd_min(end, w->size);
	if (vd_skip_at(w->skip, w->n_skip, w->pos, &stop)) {
		*x = (struct vd_extent){ .off = w->pos, .len = vd_min(stop, end) - w->pos, .kind = VD_ABSENT };
		w->pos += x->len;
		return 0;
	}
	if (walk_peek(w, x, err))
		return -1;
	extent_cut(x, w->pos, vd_min(end, stop));
	w->pos += x->len;
	if (x->flags & VD_EXT_LOST)
		walk_lose(w, x->off, x->len);
	return 0;
}

int vd_walk_zeros(struct vd_walk *w, uint64_t *end, vd_error *err)
{
	struct vd_extent x;
	uint64_t stop;

	*end = w->pos;
	if (w->pos >= w->size)
		return 0;
	if (vd_skip_at(w->skip, w->n_skip, w->pos, &stop)) {
		*end = vd_min(stop, w->size);
		return 0;
	}
	if (walk_peek(w, &x, err))
		return -1;
	/* LOST ones are counted as they are passed, one by one. */
	if (x.kind != VD_DATA)
		*end = vd_min(x.off + x.len, w->size);
	return 0;
}

void vd_walk_skip(struct vd_walk *w, uint64_t to)
{
	uint64_t stop;

	assert(to >= w->pos && to <= w->size);
	if (!vd_skip_at(w->skip, w->n_skip, w->pos, &stop) && w->next < w->answer.n && w->v[w->next].flags & VD_EXT_LOST)
		walk_lose(w, w->pos, to - w->pos);
	w->pos = to;
}

int vd_walk_collect(struct vd_walk *w, uint64_t end, struct vd_extent_list *l, vd_error *err)
{
	l->n = 0;
	while (w->pos < end) {
		struct vd_extent x;

		if (vd_walk_next(w, end, &x, err))
			return -1;
		if (x.kind != VD_DATA && l->n && l->v[l->n - 1].kind != VD_DATA) {
			l->v[l->n - 1].len += x.len;
			continue;
		}
		if (x.kind != VD_DATA)
			x.flags = 0;
		if (list_add(l, &x, err))
			return -1;
	}
	return 0;
}

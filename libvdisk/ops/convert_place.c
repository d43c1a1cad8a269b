/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Space in the target.  Listing what is needed is the pool's; asking for it and publishing is the coordinator's, in ticket order.
 *
 * In each of the target's allocation units there is one place at most, from the first byte that has to change to the last one: the
 * target hands the unit out once.  It holds data if anything in it is data, or if zeros said by the presence grain would cover
 * bytes that are the backing image's.
 */
#include "ops/convert.h"
#include "base/alloc.h"
#include "base/bytes.h"

int vd_conv_add_place(struct vd_window *w, const struct vd_place *p, vd_error *err)
{
	if (w->n_places == w->cap_places) {
		size_t cap = w->cap_places ? w->cap_places * 2 : 32;
		struct vd_place *v = vd_realloc(w->places, cap, sizeof(*v));
		struct vd_resv *r;

		if (!v)
			return vd_fail_nomem(err, cap * sizeof(*v));
		w->places = v;
		r = vd_realloc(w->resv, cap, sizeof(*r));
		if (!r)
			return vd_fail_nomem(err, cap * sizeof(*r));
		w->resv = r;
		w->cap_places = cap;
	}
	w->places[w->n_places++] = *p;
	return 0;
}

/* What the runs of one unit, or of a part of it, ask for. */
struct need {
	size_t from, to; /* of the window; from == to: nothing */
	bool data, same;
};

/* `i`: the first run that may reach into [from, to); moved on. */
static struct need need_of(const struct vd_window *w, size_t from, size_t to, size_t *i)
{
	struct need n = { 0 };

	while (*i < w->runs.n && (size_t)w->runs.v[*i].off + w->runs.v[*i].len <= from)
		(*i)++;
	for (size_t k = *i; k < w->runs.n && w->runs.v[k].off < to; k++) {
		const struct vd_run *r = &w->runs.v[k];

		if (r->kind != VD_RUN_DATA && r->kind != VD_RUN_ZERO)
			continue;
		if (n.from == n.to)
			n.from = vd_max(r->off, from);
		n.to = vd_min((size_t)r->off + r->len, to);
		n.data |= r->kind == VD_RUN_DATA;
	}
	return n;
}

static bool has_same(const struct vd_window *w, size_t from, size_t to, size_t i)
{
	for (; i < w->runs.n && w->runs.v[i].off < to; i++)
		if (w->runs.v[i].kind == VD_RUN_SAME && (size_t)w->runs.v[i].off + w->runs.v[i].len > from)
			return true;
	return false;
}

static int list_place(struct vd_conv *c, struct vd_window *w, const struct need *n, size_t i, vd_error *err)
{
	uint64_t from = vd_down(w->off + n->from, c->to->presence_grain);
	uint64_t to = vd_up(w->off + n->to, c->to->presence_grain);
	bool data = n->data || !c->has_zero || has_same(w, from - w->off, to - w->off, i);
	struct vd_place *last = w->n_places ? &w->places[w->n_places - 1] : NULL;
	struct vd_place p = { .r = { .off = from, .len = to - from, .kind = data ? VD_DATA : VD_ZERO } };

	if (data && c->packed) {
		/* Units are packed whole. */
		p.r.off = vd_down(from, c->to->alloc_grain);
		p.r.len = c->to->alloc_grain;
	} else if (last && last->r.kind == p.r.kind && last->r.off + last->r.len == from) {
		last->r.len += p.r.len;
		return 0;
	}
	return vd_conv_add_place(w, &p, err);
}

int vd_conv_list_places(struct vd_conv *c, struct vd_window *w, vd_error *err)
{
	size_t i = 0;

	for (size_t at = 0; at < w->span; at += c->to->alloc_grain) {
		struct need n = need_of(w, at, at + c->to->alloc_grain, &i);

		if (n.from != n.to && list_place(c, w, &n, i, err))
			return -1;
	}
	return 0;
}

/* The target gave less than was asked: the rest becomes a place of its own. */
static int split_place(struct vd_window *w, size_t i, uint64_t rest, vd_error *err)
{
	struct vd_place p = w->places[i];

	p.r = (struct vd_resv){ .off = p.r.off + p.r.len, .len = rest, .kind = p.r.kind };
	if (vd_conv_add_place(w, &p, err))
		return -1;
	memmove(&w->places[i + 2], &w->places[i + 1], (w->n_places - i - 2) * sizeof(p));
	w->places[i + 1] = p;
	return 0;
}

int vd_conv_reserve(struct vd_conv *c, struct vd_window *w, vd_error *err)
{
	for (size_t i = 0; i < w->n_places; i++) {
		struct vd_resv *r = &w->places[i].r;
		uint64_t asked = r->len;

		if (vd_layer_reserve(c->to, r, err))
			return -1;
		w->n_reserved = i + 1;
		/* What sticks out over the disk's end may go unanswered. */
		if (r->len < asked && r->off + r->len < c->size && split_place(w, i, asked - r->len, err))
			return -1;
	}
	return 0;
}

int vd_conv_publish(struct vd_conv *c, struct vd_window *w, vd_error *err)
{
	size_t n = w->n_reserved;

	w->n_reserved = 0; /* from here on they are the target's, whatever it says */
	for (size_t i = 0; i < n; i++)
		w->resv[i] = w->places[i].r;
	return n ? vd_layer_publish(c->to, w->resv, n, err) : 0;
}

void vd_conv_abandon(struct vd_conv *c, struct vd_window *w)
{
	for (size_t i = 0; i < w->n_reserved; i++)
		vd_layer_abandon(c->to, &w->places[i].r);
	w->n_reserved = 0;
}

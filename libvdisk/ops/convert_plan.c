/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which windows there are.  The coordinator's. */
#include "ops/convert.h"
#include "base/bytes.h"

#define PLAN_ROUNDS 64                     /* looks at the map before the coordinator goes round */
#define ZEROS_AT_ONCE (UINT64_C(256) << 20)

/* Zeros from c->walk.pos on, in whole windows: in the source, and in the source and what the target shows there by itself. */
static int plan_zeros(struct vd_conv *c, uint64_t *zeros, uint64_t *free_zeros, vd_error *err)
{
	uint64_t back = 0;

	if (vd_walk_zeros(&c->walk, zeros, err))
		return -1;
	if (c->backed && vd_walk_zeros(&c->back_walk, &back, err))
		return vd_fail_in(err, "backing image");
	*free_zeros = c->backed ? vd_min(*zeros, back) : *zeros;
	if (*zeros < c->size)
		*zeros = vd_down(*zeros, c->window);
	if (*free_zeros < c->size)
		*free_zeros = vd_down(*free_zeros, c->window);
	if (!c->new_zero && !c->backed) /* with a backing image, what is not written shows its zeros */
		*free_zeros = 0;
	return 0;
}

static void plan_skip(struct vd_conv *c, uint64_t to)
{
	vd_walk_skip(&c->walk, to);
	if (c->backed)
		vd_walk_skip(&c->back_walk, to);
}

/* Whole windows from c->walk.pos on that are known to be the backing image's: where they end. */
static uint64_t plan_same(const struct vd_conv *c)
{
	uint64_t pos = c->walk.pos, to;

	if (!c->backed || c->tree || !vd_skip_at(c->opts->same, c->opts->n_same, pos, &to))
		return pos;
	return to < c->size ? vd_down(to, c->window) : c->size;
}

static int plan_zero_window(struct vd_conv *c, struct vd_window *w, uint64_t zeros, vd_error *err)
{
	uint64_t most = c->backed ? c->window : vd_max(vd_down(ZEROS_AT_ONCE, c->window), c->window);
	uint64_t end = vd_min(zeros, w->off + most);
	struct vd_place p = { .r = { .off = w->off, .kind = VD_ZERO } };

	plan_skip(c, end);
	w->zeros = true;
	w->len = end - w->off;
	p.r.len = vd_up(w->len, c->to->presence_grain);
	return vd_conv_add_place(w, &p, err);
}

static int plan_data_window(struct vd_conv *c, struct vd_window *w, vd_error *err)
{
	struct vd_place p = { .r = { .off = w->off, .kind = VD_DATA } };

	w->len = vd_min(c->window, c->size - w->off);
	w->span = vd_up(w->len, c->to->alloc_grain);
	if (vd_walk_collect(&c->walk, w->off + w->len, &w->src, err))
		return -1;
	if (c->backed && vd_walk_collect(&c->back_walk, w->off + w->len, &w->back, err))
		return vd_fail_in(err, "backing image");
	if (!c->direct)
		return 0;
	p.r.len = w->span;
	return vd_conv_add_place(w, &p, err) || vd_conv_reserve(c, w, err) ? -1 : 0;
}

int vd_conv_plan(struct vd_conv *c, struct vd_window *w, bool *more, vd_error *err)
{
	uint64_t zeros = 0, free_zeros = 0, same;

	w->n_places = w->n_reserved = 0;
	w->runs.n = 0;
	w->zeros = false;
	w->len = w->span = 0;
	w->data = w->same = w->offloaded = w->packed_in = w->packed_out = 0;
	for (unsigned i = 0;; i++) {
		w->off = c->walk.pos;
		*more = w->off < c->size;
		if (!*more || i == PLAN_ROUNDS)
			return 0;
		same = plan_same(c);
		if (same > w->off) {
			c->same += same - w->off;
			plan_skip(c, same);
			continue;
		}
		if (plan_zeros(c, &zeros, &free_zeros, err))
			return -1;
		if (free_zeros <= w->off)
			break;
		plan_skip(c, free_zeros);
	}
	if (zeros > w->off && c->has_zero && !c->append) {
		if (plan_zero_window(c, w, zeros, err))
			return -1;
		return c->direct ? vd_conv_reserve(c, w, err) : 0;
	}
	return plan_data_window(c, w, err);
}

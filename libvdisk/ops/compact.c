/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk_compact(): space that holds what nobody misses goes back to the host, in place.  The map is the coordinator's, units are
 * read and judged on the pool, and all discards are the coordinator's again.  Discarding keeps the crash invariants by itself
 * (driver.h), so that it may be stopped anywhere.
 */
#include "ops/flow.h"
#include "ops/scan.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/zero.h"

#include <string.h>

#define COMPACT_WINDOW (UINT64_C(1) << 20)
#define COMPACT_UNIT   65536u /* a smaller hole is not worth its record in the host's file system */

struct compact_ticket {
	struct vd_ticket t;
	uint64_t off, len;            /* len 0: nothing to read */
	struct vd_extent_list extents;
	uint8_t *buf;
	struct vdisk_range *zeros;    /* whole units that are all zeros, joined */
	size_t n_zeros;
};

struct compactor {
	struct vd_flow flow;
	vdisk_image *img;
	const struct vdisk_compact_options *o;
	uint64_t unit, window;
	struct vd_walk walk;
	struct vdisk_compact_report report;
	struct vd_pacer pacer;
	struct vdisk_progress progress;
};

static bool leaf_stores(const struct vd_extent *x)
{
	return x->kind == VD_DATA && x->depth == 0;
}

/* ---- what is not missed */

/* A leaf over a parent has to say zeros where it says nothing any more: done only where it did say something. */
static int range_discard(struct compactor *c, const struct vdisk_range *r, vd_error *err)
{
	uint64_t end = r->off + r->len, stored = 0;
	bool parent = c->img->n_layers > 1;

	for (uint64_t off = r->off; off < end;) {
		struct vdisk_extent x[64];
		size_t n;

		if (c->flow.cancel && *c->flow.cancel)
			return vd_fail(err, VDISK_CANCELLED, VDISK_NO_OFFSET, "stopped on request");
		if (vdisk_map(c->img, off, end - off, x, sizeof(x) / sizeof(x[0]), &n, err))
			return -1;
		for (size_t i = 0; i < n; off = x[i].off + x[i].len, i++) {
			if (x[i].kind != VDISK_DATA || x[i].depth)
				continue;
			stored += x[i].len;
			if (parent && vdisk_discard(c->img, x[i].off, x[i].len, err))
				return -1;
		}
	}
	c->report.free += stored;
	return stored && !parent ? vdisk_discard(c->img, r->off, r->len, err) : 0;
}

static int ranges_discard(struct compactor *c, vd_error *err)
{
	for (size_t i = 0; i < c->o->n_skip; i++) {
		if (range_discard(c, &c->o->skip[i], err))
			return -1;
		vd_pacer_show(&c->pacer, &c->progress, false);
	}
	return 0;
}

/* ---- what is zeros */

static int compact_plan(struct vd_flow *f, struct vd_ticket *ticket, bool *more, vd_error *err)
{
	struct compactor *c = f->ctx;
	struct compact_ticket *t = (struct compact_ticket *)ticket;
	struct vd_walk *w = &c->walk;
	bool any = false;
	uint64_t zeros;

	t->n_zeros = 0;
	t->len = 0;
	if (vd_walk_zeros(w, &zeros, err))
		return -1;
	if (zeros < w->size)
		zeros = vd_down(zeros, c->window);
	*more = w->pos < w->size;
	t->off = vd_max(w->pos, zeros);
	if (zeros > w->pos) {
		/* One look tells of a bounded range only; the coordinator goes round in between. */
		vd_walk_skip(w, zeros);
		return 0;
	}
	if (!*more)
		return 0;
	if (vd_walk_collect(w, vd_min(w->pos + c->window, w->size), &t->extents, err))
		return -1;
	for (size_t i = 0; i < t->extents.n; i++)
		any |= leaf_stores(&t->extents.v[i]);
	t->len = any ? w->pos - t->off : 0;
	return 0;
}

static void unit_add(struct compact_ticket *t, uint64_t off, uint64_t len)
{
	struct vdisk_range *last = t->n_zeros ? &t->zeros[t->n_zeros - 1] : NULL;

	if (last && last->off + last->len == off)
		last->len += len;
	else
		t->zeros[t->n_zeros++] = (struct vdisk_range){ off, len };
}

/* Some of [from, to) is stored in the leaf. */
static bool unit_stored(const struct compact_ticket *t, uint64_t from, uint64_t to, size_t *i)
{
	while (*i < t->extents.n && t->extents.v[*i].off + t->extents.v[*i].len <= from)
		(*i)++;
	for (size_t k = *i; k < t->extents.n && t->extents.v[k].off < to; k++)
		if (leaf_stores(&t->extents.v[k]))
			return true;
	return false;
}

static int compact_work(struct vd_ticket *ticket, unsigned stage, vd_error *err)
{
	struct compact_ticket *t = (struct compact_ticket *)ticket;
	struct compactor *c = ticket->flow->ctx;
	size_t first = 0;

	(void)stage;
	for (size_t i = 0; t->len && i < t->extents.n; i++) {
		const struct vd_extent *x = &t->extents.v[i];

		if (vd_image_read_extent(c->img, x, x->off, t->buf + (x->off - t->off), x->len, err))
			return -1;
	}
	for (uint64_t at = 0; at < t->len; at += c->unit) {
		size_t n = vd_min(c->unit, t->len - at);

		if (vd_is_zero(t->buf + at, n) && unit_stored(t, t->off + at, t->off + at + n, &first))
			unit_add(t, t->off + at, n);
	}
	return 0;
}

static int compact_step(struct vd_ticket *ticket, unsigned stage, vd_error *err)
{
	struct compact_ticket *t = (struct compact_ticket *)ticket;
	struct compactor *c = ticket->flow->ctx;

	(void)stage;
	for (size_t i = 0; i < t->n_zeros; i++) {
		if (vdisk_discard(c->img, t->zeros[i].off, t->zeros[i].len, err))
			return -1;
		c->report.zero += t->zeros[i].len;
	}
	c->progress.done = t->off + t->len;
	c->progress.zero = c->report.zero;
	return 0;
}

static void compact_tick(struct vd_flow *f)
{
	struct compactor *c = f->ctx;

	vd_pacer_show(&c->pacer, &c->progress, false);
}

static const struct vd_flow_ops compact_ops = {
	.plan = compact_plan,
	.work = compact_work,
	.step = compact_step,
	.tick = compact_tick,
};

static void ticket_free(struct compact_ticket *t)
{
	vd_extent_list_free(&t->extents);
	vd_free(t->buf);
	vd_free(t->zeros);
}

static int zeros_discard(struct compactor *c, vd_error *err)
{
	unsigned n = vd_scan_tickets(c->o->job.memory_bytes, c->window, vd_pool_threads(c->flow.pool)), made = 0;
	VD_AUTO_FREE struct compact_ticket *tickets = vd_calloc(n, sizeof(*tickets));
	VD_AUTO_FREE struct vd_ticket **ring = vd_calloc(n, sizeof(*ring));
	int rc = tickets && ring ? 0 : vd_fail_nomem(err, n * sizeof(*tickets));

	for (; !rc && made < n; made++) {
		struct compact_ticket *t = &tickets[made];

		ring[made] = &t->t;
		t->buf = vd_aligned(4096, c->window);
		t->zeros = vd_calloc(c->window / c->unit, sizeof(*t->zeros));
		rc = t->buf && t->zeros ? 0 : vd_fail_nomem(err, c->window);
	}
	if (!rc)
		rc = vd_flow_run(&c->flow, ring, n, err);
	for (unsigned i = 0; i < made; i++)
		ticket_free(&tickets[i]);
	return rc;
}

/* ---- the whole */

static int allocated(vdisk_image *img, uint64_t *bytes, vd_error *err)
{
	*bytes = 0;
	for (unsigned i = 0; i < img->top->n_files; i++) {
		uint64_t n;

		if (vd_file_allocated(img->top->files[i], &n, err))
			return -1;
		*bytes += n;
	}
	return 0;
}

static int compact(struct compactor *c, vd_error *err)
{
	vdisk_image *img = c->img;

	c->unit = vd_max(COMPACT_UNIT, img->top->alloc_grain);
	c->window = vd_max(COMPACT_WINDOW, c->unit);
	c->pacer = (struct vd_pacer){ .fn = c->o->job.progress, .ctx = c->o->job.progress_ctx };
	c->progress.total = img->top->size;
	vd_walk_init(&c->walk, img, img->top->size, 0);
	c->walk.skip = c->o->skip;
	c->walk.n_skip = c->o->n_skip;
	if (vdisk_flush(img, err) || allocated(img, &c->report.allocated_before, err) || ranges_discard(c, err) ||
	    zeros_discard(c, err) || vdisk_flush(img, err) || allocated(img, &c->report.allocated_after, err))
		return -1;
	c->progress.done = c->progress.total;
	vd_pacer_show(&c->pacer, &c->progress, true);
	return 0;
}

int vdisk_compact(vdisk_image *img, const struct vdisk_compact_options *opts, struct vdisk_compact_report *report, vdisk_error *err)
{
	static const struct vdisk_compact_options none;
	VD_AUTO_FREE struct compactor *c = vd_calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return vd_fail_nomem(err, sizeof(*c));
	c->img = img;
	c->o = opts ? opts : &none;
	if (!vdisk_is_writable(img))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: not open for writing", img->path);
	if (vd_image_whole(img, err) || vd_skip_judge(c->o->skip, c->o->n_skip, img->top->size, err))
		return -1;
	rc = vd_flow_init(&c->flow, &compact_ops, c, c->o->job.threads, c->o->job.cancel, err);
	if (!rc)
		rc = compact(c, err);
	vd_flow_free(&c->flow);
	if (report)
		*report = c->report;
	return rc;
}

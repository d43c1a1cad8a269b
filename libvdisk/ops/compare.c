/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk_compare(): windows where both maps say zeros cost nothing, the others are read on the pool.  Steps run in guest order, so
 * the first window that differs has the first byte that differs.
 */
#include "ops/digest.h"
#include "ops/scan.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/zero.h"

struct compare_ticket {
	struct vd_ticket t;
	uint64_t off, len;
	struct vd_slice a, b;
	bool differs;
	uint64_t at;
};

struct comparer {
	struct vd_flow flow;
	vdisk_image *a, *b;
	struct vd_walk walk_a, walk_b;
	uint64_t size; /* of the longer one */
	bool found;    /* the coordinator's: planning ends */
	uint64_t at;
	struct vd_pacer pacer;
	struct vdisk_progress progress;
};

static int compare_plan(struct vd_flow *f, struct vd_ticket *ticket, bool *more, vd_error *err)
{
	struct comparer *c = f->ctx;
	struct compare_ticket *t = (struct compare_ticket *)ticket;
	uint64_t pos = c->walk_a.pos, za, zb, zeros;

	*more = !c->found && pos < c->size;
	if (!*more)
		return 0;
	if (vd_walk_zeros(&c->walk_a, &za, err) || vd_walk_zeros(&c->walk_b, &zb, err))
		return -1;
	zeros = vd_min(za, zb);
	if (zeros < c->size)
		zeros = vd_down(zeros, VD_SCAN_WINDOW);
	t->differs = false;
	if (zeros > pos) {
		vd_walk_skip(&c->walk_a, zeros);
		vd_walk_skip(&c->walk_b, zeros);
		t->off = zeros;
		t->len = 0;
		return 0;
	}
	t->off = pos;
	t->len = vd_leaf_len(c->size, pos);
	if (vd_walk_collect(&c->walk_a, pos + t->len, &t->a.extents, err))
		return -1;
	return vd_walk_collect(&c->walk_b, pos + t->len, &t->b.extents, err);
}

/* Position of the first byte in which a and b differ; len if there is none. */
static size_t first_difference(const uint8_t *a, const uint8_t *b, size_t len)
{
	enum { STEP = 4096 };
	size_t i = 0;

	while (i < len && !memcmp(a + i, b + i, vd_min(STEP, len - i)))
		i += vd_min(STEP, len - i);
	while (i < len && a[i] == b[i])
		i++;
	return i;
}

static size_t first_nonzero(const uint8_t *a, size_t len)
{
	size_t i = 0;

	if (vd_is_zero(a, len))
		return len;
	while (!a[i])
		i++;
	return i;
}

static int compare_work(struct vd_ticket *ticket, unsigned stage, vd_error *err)
{
	struct compare_ticket *t = (struct compare_ticket *)ticket;
	struct comparer *c = ticket->flow->ctx;
	bool in_a, in_b;
	size_t at = 0;

	(void)stage;
	if (!t->len)
		return 0;
	in_a = vd_slice_has_data(&t->a);
	in_b = vd_slice_has_data(&t->b);
	if (in_a && vd_slice_read(c->a, &t->a, t->off, err))
		return vd_fail_in(err, "%s", c->a->path);
	if (in_b && vd_slice_read(c->b, &t->b, t->off, err))
		return vd_fail_in(err, "%s", c->b->path);
	if (in_a && in_b)
		at = first_difference(t->a.buf, t->b.buf, t->len);
	else /* neither: both are zeros, in several extents */
		at = in_a || in_b ? first_nonzero(in_a ? t->a.buf : t->b.buf, t->len) : t->len;
	t->differs = at < t->len;
	t->at = t->off + at;
	return 0;
}

static int compare_step(struct vd_ticket *ticket, unsigned stage, vd_error *err)
{
	struct compare_ticket *t = (struct compare_ticket *)ticket;
	struct comparer *c = ticket->flow->ctx;

	(void)stage;
	(void)err;
	if (!t->len)
		c->progress.zero += t->off - c->progress.done;
	c->progress.done = t->off + t->len;
	if (t->differs && !c->found) {
		c->found = true;
		c->at = t->at;
	}
	return 0;
}

static void compare_tick(struct vd_flow *f)
{
	struct comparer *c = f->ctx;

	vd_pacer_show(&c->pacer, &c->progress, false);
}

static const struct vd_flow_ops compare_ops = {
	.plan = compare_plan,
	.work = compare_work,
	.step = compare_step,
	.tick = compare_tick,
};

static int compare_run(struct comparer *c, const struct vdisk_job_options *o, vd_error *err)
{
	unsigned n = vd_scan_tickets(o->memory_bytes, 2 * VD_SCAN_WINDOW, vd_pool_threads(c->flow.pool)), made = 0;
	VD_AUTO_FREE struct compare_ticket *tickets = vd_calloc(n, sizeof(*tickets));
	VD_AUTO_FREE struct vd_ticket **ring = vd_calloc(n, sizeof(*ring));
	int rc = tickets && ring ? 0 : vd_fail_nomem(err, n * sizeof(*tickets));

	for (; !rc && made < n; made++) {
		ring[made] = &tickets[made].t;
		rc = vd_slice_init(&tickets[made].a, err) || vd_slice_init(&tickets[made].b, err) ? -1 : 0;
	}
	if (!rc)
		rc = vd_flow_run(&c->flow, ring, n, err);
	for (unsigned i = 0; i < made; i++) {
		vd_slice_free(&tickets[i].a);
		vd_slice_free(&tickets[i].b);
	}
	return rc;
}

/* Two owners of one piece of host space mean that neither content can be trusted. */
static int compare_survey(vdisk_image *img, const volatile int *cancel, vd_error *err)
{
	struct vd_survey s;

	return vd_image_is_forward(img) ? 0 : vd_survey_image(img, 65536, NULL, 0, cancel, &s, err);
}

int vdisk_compare(vdisk_image *a, vdisk_image *b, bool strict, const struct vdisk_job_options *opts,
                  struct vdisk_compare_result *out, vdisk_error *err)
{
	static const struct vdisk_job_options none;
	const struct vdisk_job_options *o = opts ? opts : &none;
	VD_AUTO_FREE struct comparer *c = vd_calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return vd_fail_nomem(err, sizeof(*c));
	if (vd_image_whole(a, err) || vd_image_whole(b, err))
		return -1;
	*out = (struct vdisk_compare_result){ .equal = true, .size_differs = a->top->size != b->top->size };
	if (strict && out->size_differs) {
		out->equal = false;
		out->offset = vd_min(a->top->size, b->top->size);
		return 0;
	}
	if (compare_survey(a, o->cancel, err) || compare_survey(b, o->cancel, err))
		return -1;
	c->a = a;
	c->b = b;
	c->size = vd_max(a->top->size, b->top->size);
	c->pacer = (struct vd_pacer){ .fn = o->progress, .ctx = o->progress_ctx };
	c->progress.total = c->size;
	vd_walk_init(&c->walk_a, a, c->size, VD_SCAN_WINDOW);
	vd_walk_init(&c->walk_b, b, c->size, VD_SCAN_WINDOW);
	rc = vd_flow_init(&c->flow, &compare_ops, c, vd_max(vd_scan_threads(a, o->threads), vd_scan_threads(b, o->threads)),
	                  o->cancel, err);
	if (!rc)
		rc = compare_run(c, o, err);
	vd_flow_free(&c->flow);
	/* A window that failed past the first difference is of no interest. */
	if (rc && !c->found)
		return -1;
	out->equal = !c->found;
	out->offset = c->found ? c->at : 0;
	vd_pacer_show(&c->pacer, &c->progress, true);
	return 0;
}

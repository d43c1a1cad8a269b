/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk_digest() and vdisk_sha256(): windows are read on the pool and put together in order by the caller's thread. */
#include "ops/digest.h"
#include "ops/scan.h"
#include "base/alloc.h"
#include "base/bytes.h"

struct leaf_ticket {
	struct vd_ticket t;
	uint64_t off, len;
	struct vd_slice slice;
	uint8_t digest[32];
};

struct digester {
	struct vd_flow flow;
	vdisk_image *img;
	struct vd_walk walk;
	struct vd_tree *tree;    /* digest */
	struct vd_sha256 *flat;  /* sha256: all bytes, zeros too */
	uint64_t hashed;         /* flat: up to here */
	uint8_t *zeros;          /* flat: a window of them */
	struct vd_pacer pacer;
	struct vdisk_progress progress;
};

static int digest_plan(struct vd_flow *f, struct vd_ticket *ticket, bool *more, vd_error *err)
{
	struct digester *d = f->ctx;
	struct leaf_ticket *t = (struct leaf_ticket *)ticket;
	struct vd_walk *w = &d->walk;
	uint64_t zeros;

	if (vd_walk_zeros(w, &zeros, err))
		return -1;
	if (zeros < w->size)
		zeros = vd_down(zeros, VD_SCAN_WINDOW);
	if (zeros > w->pos) {
		vd_walk_skip(w, zeros);
		/* One look tells of a bounded range only; the coordinator goes round in between. */
		t->off = zeros;
		t->len = 0;
		*more = true;
		return 0;
	}
	*more = w->pos < w->size;
	if (!*more)
		return 0;
	t->off = w->pos;
	t->len = vd_leaf_len(w->size, w->pos);
	return vd_walk_collect(w, t->off + t->len, &t->slice.extents, err);
}

static int digest_work(struct vd_ticket *ticket, unsigned stage, vd_error *err)
{
	struct leaf_ticket *t = (struct leaf_ticket *)ticket;
	struct digester *d = ticket->flow->ctx;

	(void)stage;
	if (!t->len)
		return 0;
	if (vd_slice_read(d->img, &t->slice, t->off, err))
		return -1;
	return d->tree ? vd_sha256_of(t->slice.buf, t->len, t->digest, err) : 0;
}

static int flat_zeros(struct digester *d, uint64_t to, vd_error *err)
{
	while (d->hashed < to) {
		size_t n = vd_min(to - d->hashed, VD_SCAN_WINDOW);

		if (vd_sha256_add(d->flat, d->zeros, n, err))
			return -1;
		d->hashed += n;
		if (d->flow.cancel && *d->flow.cancel)
			return vd_fail(err, VDISK_CANCELLED, VDISK_NO_OFFSET, "stopped on request");
		d->progress.done = d->hashed;
		vd_pacer_show(&d->pacer, &d->progress, false);
	}
	return 0;
}

static int digest_step(struct vd_ticket *ticket, unsigned stage, vd_error *err)
{
	struct leaf_ticket *t = (struct leaf_ticket *)ticket;
	struct digester *d = ticket->flow->ctx;

	(void)stage;
	d->progress.zero += t->off - d->progress.done;
	d->progress.done = t->off + t->len;
	if (d->tree)
		return vd_tree_zeros(d->tree, t->off, err) || (t->len && vd_tree_leaf(d->tree, t->digest, err)) ? -1 : 0;
	if (flat_zeros(d, t->off, err))
		return -1;
	d->hashed += t->len;
	d->progress.done = d->hashed;
	return vd_sha256_add(d->flat, t->slice.buf, t->len, err);
}

static void digest_tick(struct vd_flow *f)
{
	struct digester *d = f->ctx;

	vd_pacer_show(&d->pacer, &d->progress, false);
}

static const struct vd_flow_ops digest_ops = {
	.plan = digest_plan,
	.work = digest_work,
	.step = digest_step,
	.tick = digest_tick,
};

static int digest_run(struct digester *d, const struct vdisk_job_options *o, vd_error *err)
{
	unsigned n = vd_scan_tickets(o->memory_bytes, VD_SCAN_WINDOW, vd_pool_threads(d->flow.pool)), made = 0;
	VD_AUTO_FREE struct leaf_ticket *tickets = vd_calloc(n, sizeof(*tickets));
	VD_AUTO_FREE struct vd_ticket **ring = vd_calloc(n, sizeof(*ring));
	int rc = tickets && ring ? 0 : vd_fail_nomem(err, n * sizeof(*tickets));

	for (; !rc && made < n; made++) {
		ring[made] = &tickets[made].t;
		rc = vd_slice_init(&tickets[made].slice, err);
	}
	if (!rc)
		rc = vd_flow_run(&d->flow, ring, n, err);
	for (unsigned i = 0; i < made; i++)
		vd_slice_free(&tickets[i].slice);
	return rc;
}

static int digester_init(struct digester *d, vdisk_image *img, const struct vdisk_job_options *o, vd_error *err)
{
	d->img = img;
	d->pacer = (struct vd_pacer){ .fn = o->progress, .ctx = o->progress_ctx };
	d->progress.total = img->top->size;
	vd_walk_init(&d->walk, img, img->top->size, VD_SCAN_WINDOW);
	return vd_flow_init(&d->flow, &digest_ops, d, vd_scan_threads(img, o->threads), o->cancel, err);
}

static void digester_end(struct digester *d, int rc)
{
	vd_flow_free(&d->flow);
	if (rc)
		return;
	d->progress.zero += d->progress.total - d->progress.done;
	d->progress.done = d->progress.total;
	vd_pacer_show(&d->pacer, &d->progress, true);
}

int vd_digest_image(vdisk_image *img, const struct vdisk_job_options *opts, struct vd_leaf_sink *sink, uint8_t digest[32],
                    vd_error *err)
{
	static const struct vdisk_job_options none;
	const struct vdisk_job_options *o = opts ? opts : &none;
	VD_AUTO_FREE struct digester *d = vd_calloc(1, sizeof(*d));
	int rc;

	if (!d)
		return vd_fail_nomem(err, sizeof(*d));
	if (vd_image_whole(img, err))
		return -1;
	rc = digester_init(d, img, o, err);
	if (!rc)
		rc = vd_tree_new(img->top->size, o->cancel, &d->tree, err);
	if (!rc)
		vd_tree_tell(d->tree, sink);
	if (!rc)
		rc = digest_run(d, o, err);
	if (!rc)
		rc = vd_tree_end(d->tree, digest, err);
	digester_end(d, rc);
	vd_tree_free(d->tree);
	return rc;
}

int vdisk_digest(vdisk_image *img, const struct vdisk_job_options *opts, uint8_t digest[32], vdisk_error *err)
{
	return vd_digest_image(img, opts, NULL, digest, err);
}

int vdisk_sha256(vdisk_image *img, const struct vdisk_job_options *opts, uint8_t digest[32], vdisk_error *err)
{
	static const struct vdisk_job_options none;
	const struct vdisk_job_options *o = opts ? opts : &none;
	VD_AUTO_FREE struct digester *d = vd_calloc(1, sizeof(*d));
	VD_AUTO_FREE uint8_t *zeros = vd_calloc(1, VD_SCAN_WINDOW);
	int rc;

	if (!d || !zeros)
		return vd_fail_nomem(err, VD_SCAN_WINDOW);
	if (vd_image_whole(img, err))
		return -1;
	d->zeros = zeros;
	rc = digester_init(d, img, o, err);
	if (!rc && !(d->flat = vd_sha256_new()))
		rc = vd_fail_nomem(err, 0);
	if (!rc)
		rc = digest_run(d, o, err);
	if (!rc)
		rc = flat_zeros(d, img->top->size, err);
	if (!rc)
		rc = vd_sha256_end(d->flat, digest, err);
	digester_end(d, rc);
	vd_sha256_free(d->flat);
	return rc;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk_convert(): judges the arguments, surveys the source, makes the target, runs the tickets through the flow, and commits.  The
 * target's metadata is touched by the calling thread only; what the tickets hold is in convert.h.
 */
#include "ops/convert.h"
#include "ops/scan.h"
#include "ops/manifest.h"
#include "ops/reread.h"
#include "ops/target.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <string.h>
#include <time.h>

#define CONVERT_BUDGET (UINT64_C(32) << 20)
#define CONVERT_WINDOW (UINT64_C(1) << 20)
#define SPARSE_DEFAULT 4096u
#define CACHE_LARGE (UINT64_C(1) << 30)

/* ---- the flow's callbacks */

static int conv_plan(struct vd_flow *f, struct vd_ticket *t, bool *more, vd_error *err)
{
	struct vd_conv *c = f->ctx;
	struct vd_window *w = (struct vd_window *)t;

	if (vd_conv_plan(c, w, more, err))
		return -1;
	w->after = (struct vd_walk_point){ c->walk.pos, c->walk.answer.off, c->back_walk.answer.off, c->walk.lost };
	return 0;
}

static int conv_work(struct vd_ticket *t, unsigned stage, vd_error *err)
{
	struct vd_conv *c = t->flow->ctx;
	struct vd_window *w = (struct vd_window *)t;

	if (!w->len || w->zeros)
		return 0;
	if (stage == 1)
		return vd_conv_write(c, w, err);
	if (vd_conv_read(c, w, err))
		return -1;
	if (c->flow.n_stages == 1)
		return vd_conv_write(c, w, err);
	if (c->direct)
		return 0;
	if (vd_conv_list_places(c, w, err))
		return -1;
	return c->packed ? vd_conv_pack(c, w, err) : 0;
}

static int conv_hash(struct vd_conv *c, struct vd_window *w, vd_error *err)
{
	if (!c->tree)
		return 0;
	if (vd_tree_zeros(c->tree, w->zeros ? w->off + w->len : w->off, err))
		return -1;
	for (uint64_t at = 0, i = 0; !w->zeros && at < w->len; i++) {
		if (vd_tree_leaf(c->tree, w->leaf_zero[i] ? vd_leaf_zero : w->leaves[i], err))
			return -1;
		at += vd_leaf_len(c->size, w->off + at);
	}
	return 0;
}

int vd_conv_count(struct vd_conv *c, struct vd_window *w, vd_error *err)
{
	if (conv_hash(c, w, err))
		return -1;
	c->report.data += w->data;
	c->report.offloaded += w->offloaded;
	c->report.packed_in += w->packed_in;
	c->report.packed_out += w->packed_out;
	c->same += w->same;
	c->progress.done = w->off + w->len;
	c->progress.copied = c->report.data;
	c->progress.zero = c->progress.done - c->report.data - c->same;
	return 0;
}

static int conv_step(struct vd_ticket *t, unsigned stage, vd_error *err)
{
	struct vd_conv *c = t->flow->ctx;
	struct vd_window *w = (struct vd_window *)t;

	if (stage + 1 < c->flow.n_stages)
		return c->direct ? 0 : vd_conv_reserve(c, w, err);
	if (vd_conv_publish(c, w, err) || vd_conv_count(c, w, err))
		return -1;
	vd_resume_window(c, w);
	return c->punch ? vd_punch_tick(c, err) : 0;
}

static void conv_drop(struct vd_ticket *t, unsigned stage)
{
	(void)stage;
	vd_conv_abandon(t->flow->ctx, (struct vd_window *)t);
}

static void conv_tick(struct vd_flow *f)
{
	struct vd_conv *c = f->ctx;

	vd_resume_tick(c);
	vd_pacer_show(&c->pacer, &c->progress, false);
}

static const struct vd_flow_ops conv_ops = {
	.plan = conv_plan,
	.work = conv_work,
	.step = conv_step,
	.drop = conv_drop,
	.tick = conv_tick,
};

/* ---- windows */

static uint64_t packed_bytes(const struct vd_conv *c)
{
	/* What pack() may use for each unit (driver.h). */
	return c->packed ? c->window / c->to->alloc_grain * (c->to->alloc_grain + 4096) : 0;
}

uint64_t vd_window_bytes(const struct vd_conv *c)
{
	return sizeof(struct vd_window) + c->window * (c->backed ? 2 : 1) + packed_bytes(c);
}

int vd_window_init(struct vd_conv *c, struct vd_window *w, vd_error *err)
{
	size_t leaves = c->window / VDISK_DIGEST_LEAF;

	memset(w, 0, sizeof(*w));
	w->buf = vd_aligned(4096, c->window);
	w->back_buf = c->backed ? vd_aligned(4096, c->window) : NULL;
	w->packed = c->packed ? vd_aligned(4096, packed_bytes(c)) : NULL;
	w->leaves = vd_calloc(leaves, sizeof(*w->leaves));
	w->leaf_zero = vd_calloc(leaves, sizeof(*w->leaf_zero));
	if (w->buf && (w->back_buf || !c->backed) && (w->packed || !c->packed) && w->leaves && w->leaf_zero)
		return 0;
	vd_window_free(w);
	return vd_fail_nomem(err, vd_window_bytes(c));
}

void vd_window_free(struct vd_window *w)
{
	vd_extent_list_free(&w->src);
	vd_extent_list_free(&w->back);
	vd_free(w->runs.v);
	vd_free(w->buf);
	vd_free(w->back_buf);
	vd_free(w->packed);
	vd_free(w->places);
	vd_free(w->resv);
	vd_free(w->leaves);
	vd_free(w->leaf_zero);
	memset(w, 0, sizeof(*w));
}

static int conv_run(struct vd_conv *c, vd_error *err)
{
	uint64_t budget = c->opts->memory_bytes ? c->opts->memory_bytes : CONVERT_BUDGET;
	unsigned threads = vd_pool_threads(c->flow.pool), made = 0;
	/* Few enough that a window is written while the caches hold it; enough that nobody waits. */
	unsigned n = (unsigned)vd_max(vd_min(budget / vd_window_bytes(c), 3ull * threads + 2), 1);
	VD_AUTO_FREE struct vd_window *windows = vd_calloc(n, sizeof(*windows));
	VD_AUTO_FREE struct vd_ticket **ring = vd_calloc(n, sizeof(*ring));
	int rc = windows && ring ? 0 : vd_fail_nomem(err, n * sizeof(*windows));

	for (; !rc && made < n; made++) {
		ring[made] = &windows[made].t;
		rc = vd_window_init(c, &windows[made], err);
	}
	if (!rc)
		rc = vd_flow_run(&c->flow, ring, n, err);
	for (unsigned i = 0; i < made; i++)
		vd_window_free(&windows[i]);
	return rc;
}

/* ---- setting up */

static int conv_judge(const char *path, const struct vdisk_convert_options *o, vd_error *err)
{
	if (!o || !o->format)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "no format was given for the destination");
	if (o->flags & VDISK_CONVERT_VERIFY && !strcmp(path, "-"))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "what goes to a pipe cannot be read back to verify it");
	if (o->manifest && !strcmp(path, o->manifest))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: cannot be the image and its manifest", path);
	if (o->flags & (VDISK_CONVERT_RESUME | VDISK_CONVERT_PUNCH_SOURCE) && !(o->flags & VDISK_CONVERT_CHECKPOINT))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "a conversion that keeps no record cannot be resumed");
	if (o->n_same && (!o->backing || o->flags & VDISK_CONVERT_CHECKPOINT))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "what has not changed is left out over a backing image, without a record");
	if (o->sparse_bytes && (!vd_is_pow2(o->sparse_bytes) || o->sparse_bytes < 512 || o->sparse_bytes > 1u << 30))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "sparse size %u is not a power of two from 512 to 1 GiB",
		               o->sparse_bytes);
	return 0;
}

static int skip_judge(vdisk_image *src, const struct vdisk_convert_options *o, vd_error *err)
{
	if (o->n_skip && vd_image_is_forward(src))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: of what comes from a pipe nothing can be left out",
		               src->path);
	return vd_skip_judge(o->skip, o->n_skip, src->top->size, err) || vd_skip_judge(o->same, o->n_same, src->top->size, err) ? -1
	                                                                                                                        : 0;
}

/* What of the target decides how windows are cut and judged. */
static int conv_target(struct vd_conv *c, vd_error *err)
{
	const struct vdisk_convert_options *o = c->opts;
	struct vd_layer *to = c->dst->top;
	uint32_t caps = vd_layer_caps(to);

	c->to = to;
	c->append = !(to->files[0]->flags & VD_FILE_SEEKABLE);
	c->direct = to->flags & VD_LAYER_FIXED;
	c->new_zero = to->flags & VD_LAYER_NEW_ZERO;
	c->has_zero = caps & VD_CAP_ZERO;
	c->packed = o->flags & VDISK_CONVERT_COMPRESS || caps & VD_CAP_PACKED_ONLY;
	c->backed = c->dst->n_layers > 1;
	if (c->packed && (!to->drv->codec || !to->drv->codec->pack))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s images are not compressed", to->drv->info.name);
	assert(vd_is_pow2(to->alloc_grain) && vd_is_pow2(to->presence_grain));
	assert(!(c->direct && (c->packed || c->backed)));
	c->window = vd_max(CONVERT_WINDOW, to->alloc_grain);
	if (vd_image_is_forward(c->src)) /* a packed unit is read once */
		c->window = vd_max(c->window, c->src->top->alloc_grain);
	c->fine = (uint32_t)vd_min(o->sparse_bytes ? o->sparse_bytes : SPARSE_DEFAULT, c->window);
	c->skip = c->fine;
	/* To a pipe, a place follows what was written: the flow brings one window after the other, so that no job waits in the pipe
	   for another one, which may fail. */
	c->flow.n_stages = c->direct && !c->append ? 1 : 2;
	c->flow.one_by_one = c->append;
	if (!(o->flags & VDISK_CONVERT_NO_REFLINK) && !c->packed && !c->backed && !c->append)
		return vd_offload_new(c->src, c->dst->path, &c->offload, err);
	return 0;
}

/* In layers that are bases of others, too, what was cached before stays. */
static void layer_cache_spare(struct vd_layer *l, bool own)
{
	for (unsigned i = 0; i < l->n_files; i++)
		vd_file_cache_spare(l->files[i], own);
}

static int conv_move(struct vd_conv *c, vd_error *err)
{
	const struct vdisk_convert_options *o = c->opts;

	if (conv_target(c, err) || vd_layer_begin(c->to, err))
		return -1;
	if (vd_conv_digests(o) && vd_tree_new(c->size, o->cancel, &c->tree, err))
		return -1;
	if (o->manifest) {
		if (vd_manifest_new(o->manifest, c->src, c->size, o->flags & VDISK_CONVERT_OVERWRITE, &c->manifest, err))
			return -1;
		vd_tree_tell(c->tree, vd_manifest_sink(c->manifest));
	}
	vd_walk_init(&c->walk, c->src, c->size, c->window);
	c->walk.skip = o->skip;
	c->walk.n_skip = o->n_skip;
	c->walk.on_lost = o->lost;
	c->walk.lost_ctx = o->lost_ctx;
	if (c->spare) {
		for (unsigned d = 0; d < c->src->n_layers; d++)
			layer_cache_spare(c->src->chain[d], false);
		for (unsigned d = 0; d < c->dst->n_layers; d++)
			layer_cache_spare(c->dst->chain[d], d == 0);
	}
	if (c->backed)
		vd_walk_init(&c->back_walk, c->dst, c->size, c->window);
	c->pacer = (struct vd_pacer){ .fn = o->progress, .ctx = o->progress_ctx };
	c->progress.total = c->size;
	if (vd_resume_start(c, err) || (o->flags & VDISK_CONVERT_PUNCH_SOURCE && vd_punch_new(c, err)) || conv_run(c, err))
		return -1;
	vd_resume_settle(c);
	c->report.size = c->size;
	c->report.zero = c->size - c->report.data - c->same;
	c->report.lost = c->walk.lost;
	if (!c->tree)
		return 0;
	c->report.has_digest = true;
	if (vd_tree_end(c->tree, c->report.digest, err))
		return -1;
	return c->manifest ? vd_manifest_finish(c->manifest, c->report.digest, err) : 0;
}

/* ---- the whole */

static void verify_progress(void *ctx, const struct vdisk_progress *now)
{
	struct vd_conv *c = ctx;
	struct vdisk_progress p = *now;

	p.verifying = true;
	vd_pacer_show(&c->pacer, &p, now->done == now->total);
}

/* Before the result has its name. */
static int conv_verify(struct vd_conv *c, const char *path, vd_error *err)
{
	const struct vdisk_convert_options *o = c->opts;
	struct vdisk_job_options job = { .threads = o->threads, .memory_bytes = o->memory_bytes, .cancel = o->cancel,
	                                 .progress = verify_progress, .progress_ctx = c };
	uint8_t digest[32];
	vdisk_image *img;
	int rc;

	if (vd_image_finish(c->dst, err))
		return -1;
	if (vd_reread(c->dst, o->options, &img, err))
		return vd_fail_in(err, "verifying");
	if (c->spare)
		layer_cache_spare(img->top, true);
	c->progress.done = c->size;
	c->progress.zero = c->report.zero;
	vd_pacer_show(&c->pacer, &c->progress, true);
	rc = vdisk_digest(img, &job, digest, err);
	if (!rc && memcmp(digest, c->report.digest, sizeof(digest)))
		rc = vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "%s: what was read back differs from what was written", path);
	vdisk_close(img, NULL);
	return rc;
}

static int manifest_commit(struct vd_conv *c, vd_error *err)
{
	struct vd_manifest *m = c->manifest;

	c->manifest = NULL;
	return vd_manifest_commit(m, err);
}

static int conv_make(struct vd_conv *c, const char *path, vd_error *err)
{
	const struct vdisk_convert_options *o = c->opts;
	bool dry_run = o->flags & VDISK_CONVERT_DRY_RUN;
	struct vd_new_image n;
	struct vd_survey s;
	int rc;

	if (vd_target_new(c->src, path, o, &n, &s, err) || vd_resume_begin(c, path, &n, err) ||
	    vd_image_create(&n, &c->dst, &c->size, err))
		return -1;
	c->report.skipped = s.skipped;
	c->spare = o->cache == VDISK_CACHE_SPARE ||
	           (o->cache == VDISK_CACHE_AUTO && (vd_image_is_forward(c->src) || s.data > CACHE_LARGE));
	if (dry_run) {
		c->report.size = c->size;
		return o->manifest ? vd_manifest_judge(o->manifest, c->src, o->flags & VDISK_CONVERT_OVERWRITE, err) : 0;
	}
	rc = vd_flow_init(&c->flow, &conv_ops, c, vd_scan_threads(c->dst, vd_scan_threads(c->src, o->threads)), o->cancel, err);
	if (!rc)
		rc = conv_move(c, err);
	vd_flow_free(&c->flow);
	if (!rc && o->flags & VDISK_CONVERT_VERIFY)
		rc = conv_verify(c, path, err);
	if (rc) {
		vd_resume_leave(c, err);
		vd_image_abort(c->dst);
		return -1;
	}
	if (vd_resume_commit(c, err))
		return -1;
	if (c->punch)
		vd_punch_finish(c);
	if (c->manifest && manifest_commit(c, err))
		return -1;
	c->progress.done = c->size;
	c->progress.zero = c->report.zero;
	c->progress.verifying = o->flags & VDISK_CONVERT_VERIFY;
	vd_pacer_show(&c->pacer, &c->progress, true);
	return 0;
}

static double seconds_since(const struct timespec *t0)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)(t.tv_sec - t0->tv_sec) + (double)(t.tv_nsec - t0->tv_nsec) * 1e-9;
}

int vdisk_convert(vdisk_image *src, const char *path, const struct vdisk_convert_options *opts, struct vdisk_convert_report *report,
                  vdisk_error *err)
{
	VD_AUTO_FREE struct vd_conv *c = vd_calloc(1, sizeof(*c));
	vd_error unwanted = { 0 };
	struct timespec t0;
	int rc;

	err = err ? err : &unwanted;
	clock_gettime(CLOCK_MONOTONIC, &t0);
	if (!c)
		return vd_fail_nomem(err, sizeof(*c));
	if (conv_judge(path, opts, err) || vd_image_whole(src, err) || skip_judge(src, opts, err))
		return -1;
	c->opts = opts;
	c->src = src;
	rc = conv_make(c, path, err);
	vd_tree_free(c->tree);
	vd_manifest_abort(c->manifest);
	vd_offload_free(c->offload);
	vd_punch_free(c);
	vd_resume_end(c);
	c->report.seconds = seconds_since(&t0);
	if (report)
		*report = rc ? (struct vdisk_convert_report){ .resumable = c->report.resumable } : c->report;
	return rc;
}

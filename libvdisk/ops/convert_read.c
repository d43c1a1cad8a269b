/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A window's bytes: read into its buffer, and told apart by runs.  On the pool; touches nothing but the window.
 *
 * Zeros that the map knows are not even made: their part of the buffer stays as it is until somebody needs it (vd_run_fill()).
 */
#include "ops/convert.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/zero.h"

#include <assert.h>

static int runs_add(struct vd_window *w, size_t off, size_t len, enum vd_run_kind kind, bool loaded, uint32_t extent, vd_error *err)
{
	struct vd_run_list *l = &w->runs;
	struct vd_run *last = l->n ? &l->v[l->n - 1] : NULL;

	if (!len)
		return 0;
	if (last && last->kind == kind && last->extent == extent && last->loaded == loaded) {
		last->len += (uint32_t)len;
		return 0;
	}
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		struct vd_run *v = vd_realloc(l->v, cap, sizeof(*v));

		if (!v)
			return vd_fail_nomem(err, cap * sizeof(*v));
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = (struct vd_run){ (uint32_t)off, (uint32_t)len, kind, loaded, extent };
	return 0;
}

void vd_run_fill(struct vd_window *w, struct vd_run *run)
{
	if (run->loaded || run->kind == VD_RUN_DATA)
		return;
	memset(w->buf + run->off, 0, run->len);
	run->loaded = true;
}

void vd_runs_fill(struct vd_window *w, size_t from, size_t to)
{
	for (size_t i = 0; i < w->runs.n; i++) {
		struct vd_run *r = &w->runs.v[i];
		size_t a = vd_max(r->off, from), b = vd_min((uint64_t)r->off + r->len, to);

		if (a < b && !r->loaded && r->kind != VD_RUN_DATA)
			memset(w->buf + a, 0, b - a);
	}
}

static int window_load(struct vd_conv *c, struct vd_window *w, const struct vd_extent *x, vd_error *err)
{
	if (vd_image_read_extent(c->src, x, x->off, w->buf + (x->off - w->off), x->len, err))
		return -1;
	if (vd_image_is_forward(c->src))
		vd_file_release(vd_extent_file(c->src, x), x->host, x->host_len);
	return 0;
}

/* What was loaded, by blocks of c->fine that are all zeros or not. */
static int runs_scan(struct vd_conv *c, struct vd_window *w, size_t from, size_t to, vd_error *err)
{
	enum vd_run_kind none = c->new_zero ? VD_RUN_NONE : VD_RUN_ZERO;

	while (from < to) {
		bool zero;
		size_t n = vd_zero_run(w->buf + from, to - from, c->fine, &zero);

		if (runs_add(w, from, n, zero ? none : VD_RUN_DATA, true, VD_RUN_READ, err))
			return -1;
		from += n;
	}
	return 0;
}

/* The stretch [from, to) comes of extents loaded, or of zeros that are no whole block. */
static int runs_known_zero(struct vd_conv *c, struct vd_window *w, size_t from, size_t to, vd_error *err)
{
	return runs_add(w, from, to - from, c->new_zero ? VD_RUN_NONE : VD_RUN_ZERO, false, VD_RUN_READ, err);
}

/*
 * Cuts the window into runs.  `loaded` is where the stretch of loaded bytes that is not yet looked at begins; a zero extent ends it
 * at the first whole block inside, so that blocks are judged whole.
 */
static int window_runs(struct vd_conv *c, struct vd_window *w, vd_error *err)
{
	size_t loaded = 0;

	for (size_t i = 0; i < w->src.n; i++) {
		const struct vd_extent *x = &w->src.v[i];
		size_t from = x->off - w->off, to = from + x->len;
		bool share = c->offload && vd_offload_takes(c->offload, x);
		size_t a = vd_up(from, c->fine), b = i + 1 == w->src.n ? to : vd_down(to, c->fine);

		if (x->kind == VD_DATA && !share) {
			if (window_load(c, w, x, err))
				return -1;
			continue;
		}
		if (share) {
			if (c->tree && window_load(c, w, x, err))
				return -1;
			if (runs_scan(c, w, loaded, from, err) ||
			    runs_add(w, from, x->len, VD_RUN_DATA, c->tree != NULL, (uint32_t)i, err))
				return -1;
			loaded = to;
			continue;
		}
		if (a >= b) {
			memset(w->buf + from, 0, to - from);
			continue;
		}
		memset(w->buf + from, 0, a - from);
		memset(w->buf + b, 0, to - b);
		if (runs_scan(c, w, loaded, a, err) || runs_known_zero(c, w, a, b, err))
			return -1;
		loaded = b;
	}
	if (runs_scan(c, w, loaded, w->len, err))
		return -1;
	/* What sticks out over the disk's end. */
	return runs_add(w, w->len, w->span - w->len, VD_RUN_NONE, false, VD_RUN_READ, err);
}

/* ---- with a backing image */

static int back_load(struct vd_conv *c, struct vd_window *w, vd_error *err)
{
	for (size_t i = 0; i < w->back.n; i++) {
		const struct vd_extent *x = &w->back.v[i];

		if (vd_image_read_extent(c->dst, x, x->off, w->back_buf + (x->off - w->off), x->len, err))
			return vd_fail_in(err, "backing image");
	}
	return 0;
}

static enum vd_run_kind back_judge(const uint8_t *src, const uint8_t *back, size_t len, bool zero)
{
	if (zero)
		return vd_is_zero(back, len) ? VD_RUN_NONE : VD_RUN_ZERO;
	return memcmp(src, back, len) ? VD_RUN_DATA : VD_RUN_SAME;
}

/* The runs again, block by block against what the backing image holds. */
static int window_compare(struct vd_conv *c, struct vd_window *w, vd_error *err)
{
	struct vd_run_list old = w->runs;
	int rc = back_load(c, w, err);

	w->runs = (struct vd_run_list){ 0 };
	for (size_t i = 0; i < old.n && !rc; i++) {
		const struct vd_run *r = &old.v[i];
		size_t end = r->off + r->len;

		for (size_t at = r->off; at < end && !rc;) {
			size_t n = vd_min(end, vd_down(at, c->fine) + c->fine) - at;
			enum vd_run_kind kind = VD_RUN_NONE;

			if (at < w->len)
				kind = back_judge(w->buf + at, w->back_buf + at, n, r->kind != VD_RUN_DATA);
			rc = runs_add(w, at, n, kind, r->loaded, r->extent, err);
			at += n;
		}
	}
	vd_free(old.v);
	return rc;
}

/* ---- digest */

static bool runs_all_zero(const struct vd_window *w, size_t from, size_t to)
{
	for (size_t i = 0; i < w->runs.n; i++) {
		const struct vd_run *r = &w->runs.v[i];

		if (r->off < to && (size_t)r->off + r->len > from && (r->kind == VD_RUN_DATA || r->kind == VD_RUN_SAME))
			return false;
	}
	return true;
}

static int window_leaves(struct vd_conv *c, struct vd_window *w, vd_error *err)
{
	for (size_t at = 0, i = 0; at < w->len; i++) {
		size_t n = vd_leaf_len(c->size, w->off + at);

		w->leaf_zero[i] = n == VDISK_DIGEST_LEAF && runs_all_zero(w, at, at + n);
		if (!w->leaf_zero[i]) {
			vd_runs_fill(w, at, at + n);
			if (vd_sha256_of(w->buf + at, n, w->leaves[i], err))
				return -1;
		}
		at += n;
	}
	return 0;
}

static void window_count(struct vd_window *w)
{
	for (size_t i = 0; i < w->runs.n; i++) {
		const struct vd_run *r = &w->runs.v[i];
		uint64_t n = r->off < w->len ? vd_min(r->len, w->len - r->off) : 0;

		if (r->kind == VD_RUN_DATA)
			w->data += n;
		else if (r->kind == VD_RUN_SAME)
			w->same += n;
	}
}

int vd_conv_read(struct vd_conv *c, struct vd_window *w, vd_error *err)
{
	if (window_runs(c, w, err) || (c->backed && window_compare(c, w, err)))
		return -1;
	if (c->tree && window_leaves(c, w, err))
		return -1;
	window_count(w);
	return 0;
}

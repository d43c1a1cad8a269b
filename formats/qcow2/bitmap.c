/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The driver's calls for bitmaps: listed, read, made, removed, cleared, merged, switched on and off.
 *
 * A change happens at one stroke: tables, bits and directory lie in new space, durable, before the header's first sector names them
 * (qcow2_bitmaps_store()); what is let go is freed after that.  What the writes before it touched is stored first.
 */
#include "bitmap.h"

/* What may be read of it, or changed in it. */
static int bitmap_judge(const struct qcow2 *q, const struct qcow2_bitmap *b, vd_error *err)
{
	const char *fault = qcow2_bitmap_fault(q, b);
	char name[QCOW2_BITMAP_SHOWN_MAX];

	qcow2_bitmap_name(b, name, sizeof(name));
	if (fault)
		return vd_fail(err, VDISK_UNSUPPORTED, b->at, "the bitmap \"%.200s\" %s: it can only be deleted", name, fault);
	if (b->flags & QCOW2_BITMAP_IN_USE)
		return vd_fail(err, VDISK_UNSUPPORTED, b->at,
		               "the bitmap \"%.200s\" is marked as in use, since a program did not close the image properly: what "
		               "it says is not to be believed, and it can only be deleted", name);
	return 0;
}

/* ---------------------------------------------------------------- reading */

static int bitmaps_list(struct vd_layer *l, vdisk_bitmap_fn fn, void *ctx, vd_error *err)
{
	struct qcow2 *q = qcow2_of(l);
	struct qcow2_bitmaps d;
	char name[QCOW2_BITMAP_SHOWN_MAX];
	int rc = qcow2_bitmaps_load(q, &d, err);

	for (uint32_t i = 0; !rc && i < d.n; i++) {
		const struct qcow2_bitmap *b = &d.v[i];
		struct vdisk_bitmap_info info = {
			.name = qcow2_bitmap_name(b, name, sizeof(name)),
			.granularity = b->granularity_bits < 64 ? 1ull << b->granularity_bits : 0,
			.enabled = b->flags & QCOW2_BITMAP_AUTO,
			.in_use = b->flags & QCOW2_BITMAP_IN_USE,
			.problem = qcow2_bitmap_fault(q, b),
		};

		fn(ctx, &info);
	}
	qcow2_bitmaps_free(&d);
	return rc;
}

static int bitmap_ranges(struct vd_layer *l, const char *name, vdisk_diff_fn fn, void *ctx, vd_error *err)
{
	struct qcow2 *q = qcow2_of(l);
	struct qcow2_bitmaps d;
	uint32_t i;
	int rc = qcow2_bitmaps_load(q, &d, err);

	if (!rc)
		rc = qcow2_bitmap_find(&d, name, &i, err);
	if (!rc)
		rc = bitmap_judge(q, &d.v[i], err);
	if (!rc)
		rc = qcow2_bitmap_ranges(q, &d.v[i], vd_min(l->size, q->h.size), fn, ctx, err);
	qcow2_bitmaps_free(&d);
	return rc < 0 ? -1 : 0;
}

/* ---------------------------------------------------------------- changing */

struct bitmap_edit {
	struct qcow2 *q;
	const struct vd_bitmap_change *c;
	struct qcow2_bitmaps d;
	struct qcow2_runs gone, fresh; /* clusters to be freed if it succeeds; if not */
};

/* Bits into new space; the bitmap at b had what `old` says. */
static int bitmap_bits_swap(struct bitmap_edit *e, struct qcow2_bits *w, struct qcow2_bitmap *b, vd_error *err)
{
	int rc = qcow2_bits_finish(w, b, err);

	for (size_t i = 0; !rc && i < w->gone.n; i++)
		rc = qcow2_runs_add(&e->gone, w->gone.v[i].first, w->gone.v[i].n, err);
	for (size_t i = 0; i < w->fresh.n; i++) {
		if (qcow2_runs_add(&e->fresh, w->fresh.v[i].first, w->fresh.v[i].n, rc ? NULL : err) < 0)
			rc = -1; /* a leak */
	}
	return rc;
}

static int bitmap_create(struct bitmap_edit *e, vd_error *err)
{
	struct qcow2 *q = e->q;
	const struct vd_bitmap_change *c = e->c;
	uint64_t granularity = c->granularity ? c->granularity : vd_max(4096, vd_min(q->cluster, 65536));
	struct qcow2_bitmap *v, b = {.type = 1, .flags = c->disabled ? 0 : QCOW2_BITMAP_AUTO,
	                             .name_len = (uint16_t)strlen(c->name)};
	struct qcow2_bits w;
	int rc;

	if (q->h.version < 3)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "version 2 (compat=0.10) has no place for bitmaps: amend it to compat=1.1");
	if (e->d.n >= QCOW2_BITMAPS_MAX)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "there are %u bitmaps already, and there cannot be more",
		               QCOW2_BITMAPS_MAX);
	if (!vd_is_pow2(granularity) || granularity < 1u << QCOW2_BITMAP_GRAN_MIN || granularity > 1u << QCOW2_BITMAP_GRAN_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "a granularity of %" PRIu64 " is no power of two from 512 to 2G", granularity);
	b.granularity_bits = (uint8_t)vd_log2(granularity);
	v = vd_realloc(e->d.v, e->d.n + 1u, sizeof(*v));
	if (!v)
		return vd_fail_nomem(err, (e->d.n + 1u) * sizeof(*v));
	e->d.v = v;
	b.tail = (uint8_t *)vd_strdup(c->name);
	if (!b.tail)
		return vd_fail_nomem(err, b.name_len);
	rc = qcow2_bits_new(&w, q, b.granularity_bits, err);
	if (!rc)
		rc = bitmap_bits_swap(e, &w, &b, err);
	qcow2_bits_end(&w);
	e->d.v[e->d.n++] = b;
	return rc;
}

static int bitmap_delete(struct bitmap_edit *e, uint32_t i, vd_error *err)
{
	struct qcow2_bitmaps *d = &e->d;

	if (qcow2_bitmap_clusters(e->q, &d->v[i], &e->gone, err) < 0)
		return -1;
	vd_free(d->v[i].tail);
	memmove(&d->v[i], &d->v[i + 1], (d->n - i - 1) * sizeof(*d->v));
	d->n--;
	return 0;
}

static int bitmap_clear(struct bitmap_edit *e, struct qcow2_bitmap *b, vd_error *err)
{
	struct qcow2_bits w;
	int rc = qcow2_bitmap_clusters(e->q, b, &e->gone, err);

	if (rc)
		return -1;
	rc = qcow2_bits_new(&w, e->q, b->granularity_bits, err);
	if (!rc)
		rc = bitmap_bits_swap(e, &w, b, err);
	qcow2_bits_end(&w);
	return rc;
}

struct merge_source {
	struct qcow2_bits *w;
	vd_error *err;
	int rc;
};

static bool merge_take(void *ctx, uint64_t off, uint64_t len)
{
	struct merge_source *s = ctx;

	s->rc = qcow2_bits_add(s->w, off, len, s->err);
	return !s->rc;
}

static int bitmap_merge(struct bitmap_edit *e, struct qcow2_bitmap *b, vd_error *err)
{
	struct qcow2 *q = e->q;
	struct vd_layer *from = e->c->from;
	struct qcow2_bits w;
	struct merge_source s = {.w = &w, .err = err};
	uint64_t table = qcow2_cluster_of(q, b->table_off), clusters = vd_div_up(b->table_size * 8ull, q->cluster);
	int rc;

	if (from->size != q->layer->size)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "%s: its disk of %" PRIu64 " bytes is not of the same size, %" PRIu64, from->path,
		               from->size, q->layer->size);
	rc = qcow2_bits_load(&w, q, b, false, err);
	if (!rc)
		rc = bitmap_ranges(from, e->c->from_name, merge_take, &s, err);
	if (!rc)
		rc = s.rc;
	if (!rc)
		rc = bitmap_bits_swap(e, &w, b, err);
	else
		qcow2_runs_release(q, &w.fresh);
	qcow2_bits_end(&w);
	return rc ? -1 : qcow2_runs_add(&e->gone, table, clusters, err);
}

static int bitmap_edit_one(struct bitmap_edit *e, vd_error *err)
{
	struct qcow2_bitmap *b;
	vd_error inner = {0};
	uint32_t i = 0;

	if (e->c->what == VD_BITMAP_CREATE) {
		if (!qcow2_bitmap_find(&e->d, e->c->name, &i, &inner) || inner.kind != VDISK_INVALID)
			return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "there is a bitmap called \"%.200s\" already",
			               e->c->name);
		return bitmap_create(e, err);
	}
	if (qcow2_bitmap_find(&e->d, e->c->name, &i, err) < 0)
		return -1;
	if (e->c->what == VD_BITMAP_DELETE)
		return bitmap_delete(e, i, err);
	b = &e->d.v[i];
	if (bitmap_judge(e->q, b, err) < 0)
		return -1;
	if (e->c->what == VD_BITMAP_CLEAR)
		return bitmap_clear(e, b, err);
	if (e->c->what == VD_BITMAP_MERGE)
		return bitmap_merge(e, b, err);
	b->flags = e->c->what == VD_BITMAP_ENABLE ? b->flags | QCOW2_BITMAP_AUTO : b->flags & ~QCOW2_BITMAP_AUTO;
	return 0;
}

static int bitmap_change(struct vd_layer *l, const struct vd_bitmap_change *c, vd_error *err)
{
	struct bitmap_edit e = {.q = qcow2_of(l), .c = c};
	int rc;

	if (qcow2_bitmaps_settle(l, err) < 0)
		return -1;
	rc = qcow2_bitmaps_load(e.q, &e.d, err);
	if (!rc)
		rc = bitmap_edit_one(&e, err);
	if (!rc)
		rc = qcow2_bitmaps_store(e.q, &e.d, err);
	if (!l->broken)
		qcow2_runs_release(e.q, rc ? &e.fresh : &e.gone);
	vd_free(e.gone.v);
	vd_free(e.fresh.v);
	qcow2_bitmaps_free(&e.d);
	/* Which of them follow writes, and how finely, may be another now. */
	if (rc)
		return -1;
	if (!qcow2_tracking_init(e.q, err))
		return 0;
	l->broken = true; /* writes would go by them */
	return -1;
}

const struct vd_bitmap_ops qcow2_bitmap_ops = {
	.list = bitmaps_list,
	.ranges = bitmap_ranges,
	.change = bitmap_change,
	.settle = qcow2_bitmaps_settle,
	.touch = qcow2_bitmaps_touch,
	.begin = qcow2_bitmaps_begin,
};

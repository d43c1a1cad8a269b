/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The walk over everything that refers to host clusters: header, refcount structures, the active L1 tree, the snapshots' trees,
 * bitmaps, the encryption header.  It reads tables through the cache, one slice at a time, so memory does not follow the image's
 * size.
 */
#include "bitmap.h"

#include <stdarg.h>
#include <stdio.h>

static void __attribute__((format(printf, 3, 4))) qcow2_walk_fault(struct qcow2_walk *w, uint64_t where, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	w->fault(w, where, text);
}

/* Tells a table that cannot be read as a fault; other errors stay errors. */
static int qcow2_walk_soften(struct qcow2_walk *w, uint64_t where, vd_error *inner, vd_error *err)
{
	if (inner->kind == VDISK_CORRUPT) {
		qcow2_walk_fault(w, where, "%.200s", inner->message);
		return 0;
	}
	if (err)
		*err = *inner;
	return -1;
}

/* Whether [off, off + len), a table, or part of it was walked before; 0: not, but now it is noted. */
static int qcow2_walked(struct qcow2_walk *w, uint64_t off, uint64_t len, vd_error *err)
{
	uint64_t first = qcow2_cluster_of(w->q, off), end = vd_div_up(off + len, w->q->cluster);

	for (uint64_t c = first; w->walked && c < end; c++)
		if (qcow2_meta_has(w->walked, c))
			return 1;
	for (uint64_t c = first; w->walked && c < end; c++)
		if (qcow2_meta_add(w->walked, c, err) < 0)
			return -1;
	return 0;
}

/* ---------------------------------------------------------------- trees */

struct qcow2_tree {
	uint64_t l1_off;
	uint32_t l1_size;
	uint64_t size;  /* of the disk */
	bool active;
};

static void qcow2_walk_stats(struct qcow2_walk *w, struct qcow2_entry e)
{
	if (!w->stats)
		return;
	if (e.desc & QCOW2_COMPRESSED)
		w->stats->compressed_units++;
	if ((e.desc & (QCOW2_COMPRESSED | QCOW2_OFF_MASK)) || (w->q->external && (e.desc & QCOW2_COPIED)))
		w->stats->allocated_units++;
}

/* Entry `at` of the slice, e, which is not all zeros. */
static int qcow2_walk_entry(struct qcow2_walk *w, const struct qcow2_tree *tree, struct vd_table *t, uint32_t at,
                            struct qcow2_entry e, uint64_t where, uint64_t off, vd_error *err)
{
	struct qcow2 *q = w->q;
	uint64_t valid = off < tree->size ? vd_min(q->cluster, tree->size - off) : q->cluster, host = e.desc & QCOW2_OFF_MASK;
	struct qcow2_run run;
	const char *fault;
	bool dirty = false;

	fault = qcow2_entry_fault(q, e, off, valid);
	if (!fault && w->to_sector && (e.desc & QCOW2_COMPRESSED)) {
		struct qcow2_packed p = qcow2_packed_decode(q->bits, e.desc);

		if (p.host + p.len - 512 >= vd_file_size(q->file))
			fault = "is compressed, and its end is not in the file";
	}
	if (fault) {
		qcow2_walk_fault(w, where, "L2 entry %#" PRIx64 " (guest offset %" PRIu64 ") %s", e.desc, off, fault);
		if (host >= vd_file_size(q->file) || (host & (q->cluster - 1)))
			return 0;
	}
	if (tree->active)
		qcow2_walk_stats(w, e);
	run = qcow2_entry_run(q, e);
	if (w->ref && run.n && w->ref(w, QCOW2_REF_DATA, run.first << q->bits, run.n << q->bits, "guest data", err) < 0)
		return -1;
	if (!w->active || !tree->active || (e.desc & QCOW2_COMPRESSED) || !run.n)
		return 0;
	if (w->active(w, host, where, &e.desc, &dirty, err) < 0)
		return -1;
	if (dirty)
		qcow2_entry_put(q, t, at, e);
	return 0;
}

static int qcow2_walk_l2(struct qcow2_walk *w, const struct qcow2_tree *tree, uint64_t l2_off, uint64_t off, vd_error *err)
{
	struct qcow2 *q = w->q;
	uint32_t idx = 0, first, n;
	struct vd_table *t;
	int rc = 0;

	while (!rc && idx < q->l2_entries) {
		vd_error inner = {0};

		if (qcow2_l2_slice(q, l2_off, idx, &t, &first, &n, &inner) < 0)
			return qcow2_walk_soften(w, l2_off, &inner, err);
		while (!rc && idx < first + n) {
			struct qcow2_entry e = qcow2_entry_get(q, t, idx - first);

			if (!e.desc && !e.bitmap) {
				idx = first + qcow2_l2_first(q, t, idx - first, n);
				continue;
			}
			rc = qcow2_walk_entry(w, tree, t, idx - first, e, l2_off + (uint64_t)idx * q->entry_bytes,
			                      off + ((uint64_t)idx << q->bits), err);
			idx++;
		}
		vd_cache_put(q->cache, t);
	}
	return rc;
}

static int qcow2_walk_l1_entry(struct qcow2_walk *w, const struct qcow2_tree *tree, uint32_t i, vd_error *err)
{
	struct qcow2 *q = w->q;
	uint64_t where = tree->l1_off + i * 8ull, off = i * qcow2_l2_span(q), entry;
	vd_error inner = {0};
	bool dirty = false;
	int rc = 0;

	if (qcow2_l1_get(q, tree->l1_off, i, &entry, err) < 0)
		return -1;
	if (qcow2_l2_off_judge(q, entry, where, &inner) < 0)
		return qcow2_walk_soften(w, where, &inner, err);
	if (!(entry & QCOW2_OFF_MASK))
		return 0;
	if (w->ref)
		rc = w->ref(w, QCOW2_REF_L2, entry & QCOW2_OFF_MASK, q->cluster, "an L2 table", err);
	else if (w->active && tree->active)
		rc = w->active(w, entry & QCOW2_OFF_MASK, where, &entry, &dirty, err);
	if (rc < 0 || (dirty && qcow2_l1_put(q, i, entry, err) < 0))
		return -1;
	/* How much of a cluster must be there is the disk's end's to say: the table that it is in is walked for each. */
	if (!rc && (tree->size <= off || tree->size - off >= qcow2_l2_span(q)))
		rc = qcow2_walked(w, entry & QCOW2_OFF_MASK, q->cluster, err);
	if (rc)
		return rc < 0 ? -1 : 0;
	return qcow2_walk_l2(w, tree, entry & QCOW2_OFF_MASK, off, err);
}

static int qcow2_walk_tree(struct qcow2_walk *w, const struct qcow2_tree *tree, vd_error *err)
{
	struct qcow2 *q = w->q;
	int rc = 0;

	if (!tree->l1_size)
		return 0;
	if (tree->l1_size > QCOW2_L1_BYTES_MAX / 8 || tree->l1_off % q->cluster || tree->l1_off < q->cluster ||
	    !vd_within(tree->l1_off, tree->l1_size * 8ull, vd_file_size(q->file))) {
		qcow2_walk_fault(w, tree->l1_off, "L1 table at %#" PRIx64 " with %" PRIu32 " entries cannot be", tree->l1_off,
		                 tree->l1_size);
		return 0;
	}
	if (w->ref)
		rc = w->ref(w, QCOW2_REF_META, tree->l1_off, tree->l1_size * 8ull, "an L1 table", err);
	if (!rc)
		rc = qcow2_walked(w, tree->l1_off, tree->l1_size * 8ull, err);
	if (rc)
		return rc < 0 ? -1 : 0;
	for (uint64_t i = 0; i < tree->l1_size; i++) {
		uint64_t entry;

		if (qcow2_l1_next(q, tree->l1_off, tree->l1_size, &i, &entry, err) < 0)
			return -1;
		if (entry && qcow2_walk_l1_entry(w, tree, (uint32_t)i, err) < 0)
			return -1;
	}
	return 0;
}

int qcow2_walk_active(struct qcow2_walk *w, vd_error *err)
{
	struct qcow2 *q = w->q;
	struct qcow2_tree tree = {.l1_off = q->h.l1_off, .l1_size = q->h.l1_size, .size = q->h.size, .active = true};

	return qcow2_walk_tree(w, &tree, err);
}

/* ---------------------------------------------------------------- everything else */

static int qcow2_walk_snapshots(struct qcow2_walk *w, vd_error *err)
{
	struct qcow2 *q = w->q;
	struct qcow2_snapshots s;
	vd_error inner = {0};
	int rc;

	qcow2_snapshots_begin(&s, q);
	while ((rc = qcow2_snapshots_next(&s, &inner)) > 0) {
		struct qcow2_tree tree = {.l1_off = s.s.l1_off, .l1_size = s.s.l1_size, .size = s.s.size};

		if (!tree.l1_size && q->h.size)
			qcow2_walk_fault(w, s.at, "snapshot %" PRIu32 " has no L1 table", s.i);
		if (qcow2_walk_tree(w, &tree, err) < 0) {
			qcow2_snapshots_end(&s);
			return -1;
		}
	}
	qcow2_snapshots_end(&s);
	if (rc < 0 && qcow2_walk_soften(w, s.at, &inner, err) < 0)
		return -1;
	if (!q->h.n_snap || s.at == q->h.snap_off || !w->ref)
		return 0;
	return w->ref(w, QCOW2_REF_META, q->h.snap_off, s.at - q->h.snap_off, "the snapshot table", err) < 0 ? -1 : 0;
}

static int qcow2_walk_refcounts(struct qcow2_walk *w, vd_error *err)
{
	struct qcow2 *q = w->q;
	uint64_t off;

	if (!w->ref)
		return 0;
	if (w->ref(w, QCOW2_REF_META, q->h.rt_off, (uint64_t)q->h.rt_clusters << q->bits, "the refcount table", err) < 0)
		return -1;
	for (uint64_t i = 0; i < qcow2_reftable_entries(q); i++) {
		if (qcow2_block_next(q, &i, &off, err) < 0)
			return -1; /* qcow2_reftable_check() saw to those that cannot be */
		if (off && w->ref(w, QCOW2_REF_META, off, q->cluster, "a refcount block", err) < 0)
			return -1;
	}
	return 0;
}

/* n entries of a bitmap's table, which are at `at` of the file. */
static int qcow2_walk_bits(struct qcow2_walk *w, uint64_t at, const uint8_t *p, uint64_t n, vd_error *err)
{
	for (uint64_t i = qcow2_entry_first(p, 0, n); i < n; i = qcow2_entry_first(p, i + 1, n)) {
		uint64_t entry = be64_get(p + i * 8), off = entry & QCOW2_OFF_MASK;

		if (!off)
			continue;
		if ((entry & ~QCOW2_OFF_MASK) || (off & (w->q->cluster - 1)) || off >= vd_file_size(w->q->file))
			qcow2_walk_fault(w, at + i * 8, "bitmap table entry %#" PRIx64 " at %#" PRIx64 " cannot be", entry,
			                 at + i * 8);
		else if (w->ref(w, QCOW2_REF_META, off, w->q->cluster, "a bitmap", err) < 0)
			return -1;
	}
	return 0;
}

static int qcow2_walk_bitmap(struct qcow2 *q, struct qcow2_bitmap *b, void *ctx, vd_error *err)
{
	struct qcow2_walk *w = ctx;
	uint64_t len = b->table_size * 8ull;
	uint8_t p[4096];
	int rc;

	if (b->table_off % q->cluster || !vd_within(b->table_off, len, vd_file_size(q->file)) || !b->table_off || len > 64u << 20) {
		qcow2_walk_fault(w, b->at, "bitmap table at %#" PRIx64 " with %" PRIu32 " entries cannot be", b->table_off,
		                 b->table_size);
		return 0;
	}
	rc = w->ref(w, QCOW2_REF_META, b->table_off, len, "a bitmap table", err);
	if (!rc)
		rc = qcow2_walked(w, b->table_off, len, err);
	for (uint64_t at = 0, n; !rc && at < len; at += n) {
		n = vd_min(sizeof(p), len - at);
		if (vd_file_pread(q->file, p, n, b->table_off + at, err) < 0)
			return -1;
		rc = qcow2_walk_bits(w, b->table_off + at, p, n / 8, err);
	}
	return rc < 0 ? -1 : 0;
}

static int qcow2_walk_bitmaps(struct qcow2_walk *w, vd_error *err)
{
	struct qcow2 *q = w->q;
	vd_error inner = {0};

	if (!w->ref || !q->x.has_bitmaps || !(q->h.autoclear & QCOW2_AUTOCLEAR_BITMAPS))
		return 0;
	if (!vd_within(q->x.bitmap_dir_off, q->x.bitmap_dir_len, vd_file_size(q->file))) {
		qcow2_walk_fault(w, q->x.bitmap_dir_off, "bitmap directory at %#" PRIx64 " is outside the file",
		                 q->x.bitmap_dir_off);
		return 0;
	}
	if (w->ref(w, QCOW2_REF_META, q->x.bitmap_dir_off, q->x.bitmap_dir_len, "the bitmap directory", err) < 0)
		return -1;
	if (qcow2_bitmaps_each(q, qcow2_walk_bitmap, w, &inner) < 0)
		return qcow2_walk_soften(w, q->x.bitmap_dir_off, &inner, err);
	return 0;
}

int qcow2_walk_all(struct qcow2_walk *w, vd_error *err)
{
	struct qcow2 *q = w->q;

	if (w->ref && w->ref(w, QCOW2_REF_META, 0, q->cluster, "the header", err) < 0)
		return -1;
	if (qcow2_walk_refcounts(w, err) < 0 || qcow2_walk_active(w, err) < 0 || qcow2_walk_snapshots(w, err) < 0 ||
	    qcow2_walk_bitmaps(w, err) < 0)
		return -1;
	if (!w->ref || !q->x.has_crypto)
		return 0;
	if (!vd_within(q->x.crypto_off, q->x.crypto_len, vd_up(vd_file_size(q->file), q->cluster))) {
		qcow2_walk_fault(w, q->x.crypto_off, "encryption header at %#" PRIx64 " is outside the file", q->x.crypto_off);
		return 0;
	}
	return w->ref(w, QCOW2_REF_META, q->x.crypto_off, q->x.crypto_len, "the encryption header", err) < 0 ? -1 : 0;
}

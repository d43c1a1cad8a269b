/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A bitmap's table and its bits (spec: "Bitmap table", "Bitmap data"): a table entry stands for as many bits as a cluster holds,
 * all clear, all set, or in a cluster of their own.  Bits are set in one cluster at a time, in memory.
 *
 *  - in_place: the bitmap is marked as in use, so that clusters and table are written over where they are, in any order; but an
 *    entry is written only when the counts of what it names are durable (C2), and what it no longer names is given back after that.
 *  - Otherwise everything changed goes to new space, and nothing in the file leads there yet: the directory will.
 */
#include "bitmap.h"

#define QCOW2_BITMAP_RESERVED 0xff000000000001feull

/* ---------------------------------------------------------------- lists of clusters */

int qcow2_runs_add(struct qcow2_runs *r, uint64_t first, uint64_t n, vd_error *err)
{
	struct qcow2_run *last = r->n ? &r->v[r->n - 1] : NULL;

	if (last && last->first + last->n == first) {
		last->n += n;
		return 0;
	}
	if (r->n == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 16;
		struct qcow2_run *v = vd_realloc(r->v, cap, sizeof(*v));

		if (!v)
			return vd_fail_nomem(err, cap * sizeof(*v));
		r->v = v;
		r->cap = cap;
	}
	r->v[r->n++] = (struct qcow2_run){first, n};
	return 0;
}

void qcow2_runs_release(struct qcow2 *q, struct qcow2_runs *r)
{
	for (size_t i = 0; i < r->n; i++)
		qcow2_free_now(q, r->v[i].first, r->v[i].n, NULL);
	vd_free(r->v);
	memset(r, 0, sizeof(*r));
}

/* ---------------------------------------------------------------- tables */

static bool qcow2_bitmap_entry_valid(const struct qcow2 *q, uint64_t entry)
{
	uint64_t off = entry & QCOW2_OFF_MASK;

	if (entry & QCOW2_BITMAP_RESERVED)
		return false;
	if (!off)
		return true;
	return !(entry & QCOW2_ALL_ONES) && !(off & (q->cluster - 1)) && off < vd_file_size(q->file) &&
	       !qcow2_is_core_meta(q, off, q->cluster) && !qcow2_meta_has(&q->meta, qcow2_cluster_of(q, off));
}

/* In the host's order; returns owned. */
static uint64_t *qcow2_bitmap_table_read(struct qcow2 *q, const struct qcow2_bitmap *b, vd_error *err)
{
	uint64_t *t = vd_calloc(vd_max(b->table_size, 1u), 8);

	if (!t) {
		vd_fail_nomem(err, b->table_size * 8ull);
		return NULL;
	}
	if (vd_file_pread(q->file, t, b->table_size * 8ull, b->table_off, err) < 0) {
		vd_free(t);
		return NULL;
	}
	for (uint32_t i = 0; i < b->table_size; i++)
		t[i] = be64_get(&t[i]);
	return t;
}

/* `seen` has the clusters of the entries before it: bits are those of one place, or a small file has as many as it likes. */
static int qcow2_bitmap_entry_judge(struct qcow2 *q, const struct qcow2_bitmap *b, uint32_t i, uint64_t entry,
                                    struct qcow2_meta *seen, vd_error *err)
{
	uint64_t at = b->table_off + (uint64_t)i * 8, cluster = qcow2_cluster_of(q, entry & QCOW2_OFF_MASK);

	if (!qcow2_bitmap_entry_valid(q, entry))
		return vd_fail(err, VDISK_CORRUPT, at, "bitmap table entry %#" PRIx64 " at %#" PRIx64 " cannot be", entry, at);
	if (cluster && qcow2_meta_has(seen, cluster))
		return vd_fail(err, VDISK_CORRUPT, at,
		               "bitmap table entry %#" PRIx64 " at %#" PRIx64 " names a cluster that one before it names", entry, at);
	return qcow2_meta_add(seen, cluster, err);
}

int qcow2_bitmap_clusters(struct qcow2 *q, const struct qcow2_bitmap *b, struct qcow2_runs *r, vd_error *err)
{
	VD_AUTO_FREE uint64_t *t = NULL;
	struct qcow2_bitmap judged = *b;

	judged.flags |= QCOW2_BITMAP_IN_USE; /* whether it is of the disk's size does not matter */
	if (qcow2_bitmap_fault(q, &judged) || !b->table_size)
		return 0;
	t = qcow2_bitmap_table_read(q, b, err);
	if (!t)
		return -1;
	for (uint32_t i = 0; i < b->table_size; i++) {
		if ((t[i] & QCOW2_OFF_MASK) && qcow2_bitmap_entry_valid(q, t[i]) &&
		    qcow2_runs_add(r, qcow2_cluster_of(q, t[i] & QCOW2_OFF_MASK), 1, err) < 0)
			return -1;
	}
	return qcow2_runs_add(r, qcow2_cluster_of(q, b->table_off), vd_div_up(b->table_size * 8ull, q->cluster), err);
}

/* ---------------------------------------------------------------- setting bits */

static void qcow2_bits_begin(struct qcow2_bits *w, struct qcow2 *q, unsigned granularity_bits)
{
	memset(w, 0, sizeof(*w));
	w->q = q;
	w->granularity_bits = granularity_bits;
	w->n_bits = vd_div_up(q->layer->size, 1ull << granularity_bits);
	w->n = (uint32_t)qcow2_bitmap_entries(q, granularity_bits);
	w->at = UINT32_MAX;
}

static int qcow2_bits_buffer(struct qcow2_bits *w, vd_error *err)
{
	w->buf = vd_malloc(w->q->cluster);
	return w->buf ? 0 : vd_fail_nomem(err, w->q->cluster);
}

int qcow2_bits_load(struct qcow2_bits *w, struct qcow2 *q, const struct qcow2_bitmap *b, bool in_place, vd_error *err)
{
	struct qcow2_meta seen = {0};
	int rc = 0;

	qcow2_bits_begin(w, q, b->granularity_bits);
	w->in_place = in_place;
	if (b->table_size != w->n)
		return vd_fail(err, VDISK_CORRUPT, b->at, "bitmap table of %" PRIu32 " entries, not the %" PRIu32 " of the disk",
		               b->table_size, w->n);
	w->table = qcow2_bitmap_table_read(q, b, err);
	if (!w->table)
		return -1;
	for (uint32_t i = 0; !rc && i < w->n; i++)
		rc = qcow2_bitmap_entry_judge(q, b, i, w->table[i], &seen, err);
	vd_free(seen.slot);
	return rc ? -1 : qcow2_bits_buffer(w, err);
}

int qcow2_bits_new(struct qcow2_bits *w, struct qcow2 *q, unsigned granularity_bits, vd_error *err)
{
	uint64_t n = qcow2_bitmap_entries(q, granularity_bits);

	qcow2_bits_begin(w, q, granularity_bits);
	if (!n || n << q->bits > vd_max(QCOW2_BITMAP_BYTES_MAX, q->cluster))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "a bitmap of a disk of %" PRIu64 " bytes with a granularity of %" PRIu64 " has not 1 to %u bytes",
		               q->layer->size, (uint64_t)1 << granularity_bits, QCOW2_BITMAP_BYTES_MAX);
	w->table = vd_calloc(w->n, 8);
	if (!w->table)
		return vd_fail_nomem(err, w->n * 8ull);
	return qcow2_bits_buffer(w, err);
}

void qcow2_bits_end(struct qcow2_bits *w)
{
	vd_free(w->table);
	vd_free(w->buf);
	vd_free(w->gone.v);
	vd_free(w->fresh.v);
	memset(w, 0, sizeof(*w));
}

/* The entry has no cluster any more. */
static int qcow2_bits_drop(struct qcow2_bits *w, uint32_t i, uint64_t entry, vd_error *err)
{
	uint64_t off = w->table[i] & QCOW2_OFF_MASK;

	w->changed |= w->table[i] != entry;
	w->table[i] = entry;
	return off ? qcow2_runs_add(&w->gone, qcow2_cluster_of(w->q, off), 1, err) : 0;
}

/* The buffer goes to its cluster. */
static int qcow2_bits_put(struct qcow2_bits *w, vd_error *err)
{
	struct qcow2 *q = w->q;
	uint64_t first, got, off;
	bool zeroed;

	if (!w->dirty)
		return 0;
	off = w->table[w->at] & QCOW2_OFF_MASK;
	if (!off || !w->in_place) {
		if (qcow2_alloc(q, 1, &first, &got, &zeroed, err) < 0)
			return -1;
		if (qcow2_runs_add(&w->fresh, first, 1, err) < 0 || qcow2_bits_drop(w, w->at, first << q->bits, err) < 0)
			return -1;
		off = first << q->bits;
	}
	w->dirty = false;
	return vd_file_pwrite(q->file, w->buf, q->cluster, off, err);
}

static int qcow2_bits_get(struct qcow2_bits *w, uint32_t i, vd_error *err)
{
	struct qcow2 *q = w->q;
	uint64_t off = w->table[i] & QCOW2_OFF_MASK;
	size_t got;

	if (w->at == i)
		return 0;
	if (qcow2_bits_put(w, err) < 0)
		return -1;
	w->at = UINT32_MAX;
	memset(w->buf, 0, q->cluster);
	if (off && vd_file_pread_some(q->file, w->buf, q->cluster, off, &got, err) < 0)
		return -1;
	w->at = i;
	return 0;
}

/* Sets bits [lo, hi); true where one was clear. */
static bool qcow2_buffer_set(uint8_t *p, uint64_t lo, uint64_t hi)
{
	bool changed = false;

	while (lo < hi) {
		unsigned from = (unsigned)(lo & 7), n = (unsigned)vd_min(8 - from, hi - lo);
		uint8_t mask = (uint8_t)(((1u << n) - 1) << from);

		changed |= (p[lo / 8] & mask) != mask;
		p[lo / 8] |= mask;
		lo += n;
	}
	return changed;
}

int qcow2_bits_add(struct qcow2_bits *w, uint64_t off, uint64_t len, vd_error *err)
{
	uint64_t per = (uint64_t)w->q->cluster * 8, bit = off >> w->granularity_bits, end;

	if (!len)
		return 0;
	end = vd_min(((off + len - 1) >> w->granularity_bits) + 1, w->n_bits);
	while (bit < end) {
		uint32_t i = (uint32_t)(bit / per);
		uint64_t lo = bit - i * per, hi = vd_min(end - i * per, per);

		bit += hi - lo;
		if (w->table[i] == QCOW2_ALL_ONES)
			continue;
		if (!lo && hi == vd_min(per, w->n_bits - i * per)) {
			if (w->at == i) {
				w->at = UINT32_MAX;
				w->dirty = false;
			}
			if (qcow2_bits_drop(w, i, QCOW2_ALL_ONES, err) < 0)
				return -1;
			continue;
		}
		if (qcow2_bits_get(w, i, err) < 0)
			return -1;
		w->dirty |= qcow2_buffer_set(w->buf, lo, hi);
	}
	return 0;
}

/* The table as the file has it, with zeros to the end of its last cluster. */
static int qcow2_bits_table_write(struct qcow2_bits *w, uint64_t off, uint64_t len, vd_error *err)
{
	VD_AUTO_FREE uint8_t *out = vd_calloc(1, len);

	if (!out)
		return vd_fail_nomem(err, len);
	for (uint32_t i = 0; i < w->n; i++)
		be64_put(out + i * 8ull, w->table[i]);
	return vd_file_pwrite(w->q->file, out, len, off, err);
}

static int qcow2_bits_over(struct qcow2_bits *w, const struct qcow2_bitmap *b, vd_error *err)
{
	struct qcow2 *q = w->q;

	if (!w->changed)
		return vd_file_flush(q->file, err);
	if (qcow2_flush_layer(q, err) < 0)
		return -1;
	w->fresh.n = 0; /* the table's, whatever becomes of it */
	if (qcow2_bits_table_write(w, b->table_off, w->n * 8ull, err) < 0 || vd_file_flush(q->file, err) < 0)
		return -1;
	qcow2_runs_release(q, &w->gone);
	return 0;
}

int qcow2_bits_finish(struct qcow2_bits *w, struct qcow2_bitmap *b, vd_error *err)
{
	struct qcow2 *q = w->q;
	uint64_t clusters = vd_div_up(w->n * 8ull, q->cluster), first;
	bool zeroed;

	if (qcow2_bits_put(w, err) < 0)
		return -1;
	if (w->in_place)
		return qcow2_bits_over(w, b, err);
	if (qcow2_alloc_row(q, clusters, &first, &zeroed, err) < 0 || qcow2_runs_add(&w->fresh, first, clusters, err) < 0)
		return -1;
	b->table_off = first << q->bits;
	b->table_size = w->n;
	return qcow2_bits_table_write(w, b->table_off, clusters << q->bits, err);
}

/* ---------------------------------------------------------------- reading */

struct qcow2_joiner {
	vdisk_diff_fn fn;
	void *ctx;
	unsigned granularity_bits;
	uint64_t size;
	uint64_t from, to; /* bits; empty: none are held */
};

/* What is held goes out; 1: no more is wanted. */
static int qcow2_join_end(struct qcow2_joiner *j)
{
	uint64_t off = j->from << j->granularity_bits, end = j->to << j->granularity_bits;

	if (j->from == j->to)
		return 0;
	j->from = j->to;
	return j->fn(j->ctx, off, vd_min(end, j->size) - off) ? 0 : 1;
}

static int qcow2_join(struct qcow2_joiner *j, uint64_t from, uint64_t to)
{
	int rc = 0;

	if (from != j->to || j->from == j->to) {
		rc = qcow2_join_end(j);
		j->from = from;
	}
	j->to = to;
	return rc;
}

/* Runs of set bits in p, the first of which has number `base`. */
static int qcow2_buffer_join(struct qcow2_joiner *j, const uint8_t *p, uint64_t n, uint64_t base)
{
	int rc = 0;

	for (uint64_t i = 0; !rc && i < n;) {
		uint8_t byte = p[i / 8];

		if (!(i & 7) && (byte == 0 || byte == 0xff)) {
			uint64_t from = i;

			while (i < n && !(i & 7) && p[i / 8] == byte)
				i = vd_min(i + 8, n);
			rc = byte ? qcow2_join(j, base + from, base + i) : 0;
			continue;
		}
		if (byte >> (i & 7) & 1)
			rc = qcow2_join(j, base + i, base + i + 1);
		i++;
	}
	return rc;
}

static int qcow2_cluster_join(struct qcow2 *q, struct qcow2_joiner *j, uint64_t off, uint64_t n, uint64_t base, vd_error *err)
{
	uint8_t piece[4096];
	int rc = 0;

	for (uint64_t done = 0; !rc && done < n; done += sizeof(piece) * 8) {
		uint64_t bits = vd_min(sizeof(piece) * 8, n - done);
		size_t bytes = (size_t)vd_div_up(bits, 8), got;

		memset(piece, 0, bytes);
		if (vd_file_pread_some(q->file, piece, bytes, off + done / 8, &got, err) < 0)
			return -1;
		rc = qcow2_buffer_join(j, piece, bits, base + done);
	}
	return rc;
}

int qcow2_bitmap_ranges(struct qcow2 *q, const struct qcow2_bitmap *b, uint64_t size, vdisk_diff_fn fn, void *ctx, vd_error *err)
{
	uint64_t per = (uint64_t)q->cluster * 8, n_bits = vd_div_up(size, 1ull << b->granularity_bits);
	struct qcow2_joiner j = {.fn = fn, .ctx = ctx, .granularity_bits = b->granularity_bits, .size = size};
	VD_AUTO_FREE uint64_t *t = qcow2_bitmap_table_read(q, b, err);
	struct qcow2_meta seen = {0};
	int rc = 0;

	if (!t)
		return -1;
	for (uint32_t i = 0; !rc && i < b->table_size && i * per < n_bits; i++) {
		uint64_t n = vd_min(per, n_bits - i * per), off = t[i] & QCOW2_OFF_MASK;

		rc = qcow2_bitmap_entry_judge(q, b, i, t[i], &seen, err);
		if (rc)
			break;
		if (off)
			rc = qcow2_cluster_join(q, &j, off, n, i * per, err);
		else if (t[i] & QCOW2_ALL_ONES)
			rc = qcow2_join(&j, i * per, i * per + n);
	}
	vd_free(seen.slot);
	return rc ? rc : qcow2_join_end(&j);
}

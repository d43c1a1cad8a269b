/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Repairs: counts are made what the references say; refcount table entries that cannot be are dropped, and the table itself made
 * anew where it is not in the file, so that the counts are rebuilt from the L1 and L2 tables.  Guest data and what maps it are not
 * touched.
 */
#include "qcow2.h"

int qcow2_counts_repair(struct qcow2_checker *k, uint64_t cluster, uint64_t have, uint64_t want, vd_error *err)
{
	struct qcow2 *q = k->w.q;
	bool leak = have > want;

	/* What a table that could not be read refers to looks like a leak. */
	if (leak ? !(k->rep->repair & (VDISK_CHECK_REPAIR_LEAKS | VDISK_CHECK_REPAIR_ALL)) || k->skipped :
	           !(k->rep->repair & VDISK_CHECK_REPAIR_ALL))
		return 0;
	if (want > q->count_max)
		return 0;
	if (qcow2_block_need(q, cluster, err) < 0 || qcow2_refcount_put(q, cluster, want, err) < 0)
		return -1;
	if (!want)
		q->hint = vd_min(q->hint, cluster);
	if (leak)
		k->rep->result->leaks_fixed++;
	else
		k->rep->result->corruptions_fixed++;
	return 0;
}

/* A refcount table without entries, at the end of the file. */
static int qcow2_reftable_renew(struct qcow2_checker *k, vd_error *err)
{
	struct qcow2 *q = k->w.q;
	uint64_t clusters, first = q->cursor, done;
	struct vd_table *t;

	qcow2_clusters_total(&q->h, 0, 0, q->cursor + q->cursor / 4 + 1024, 0, &clusters);
	if (clusters << q->bits > vd_max(QCOW2_REFTABLE_BYTES_MAX, q->cluster))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "the refcount table for a file of %" PRIu64 " bytes would be too large", vd_file_size(q->file));
	for (uint64_t at = 0; at < clusters << q->bits; at += q->table) {
		if (vd_cache_new_table(q->cache, (first << q->bits) + at, QCOW2_RANK_REFTABLE, &t, err) < 0)
			return -1;
		vd_cache_put(q->cache, t);
	}
	q->h.rt_off = first << q->bits;
	q->h.rt_clusters = (uint32_t)clusters;
	q->cursor = first + clusters;
	q->virgin = vd_max(q->virgin, q->cursor);
	if (qcow2_grow_file(q, err) < 0)
		return -1;
	for (uint64_t c = first; c < first + clusters; c += done) {
		if (qcow2_block_need(q, c, err) < 0 || qcow2_refcount_claim(q, c, first + clusters - c, &done, err) < 0)
			return -1;
	}
	k->rep->result->corruptions_fixed++;
	/* The header follows once the counts are there: qcow2_marks_clear() or the next growth writes it. */
	return 0;
}

static int qcow2_entry_drop(struct qcow2_checker *k, uint64_t block, const char *message, vd_error *err)
{
	k->rep->problem(k->rep, false, k->w.q->h.rt_off + block * 8, "%s", message);
	if (!(k->rep->repair & VDISK_CHECK_REPAIR_ALL))
		return 0;
	k->rep->result->corruptions_fixed++;
	return qcow2_reftable_put(k->w.q, block, 0, err);
}

/* Counts of clusters past the file's end: leaks. */
static int qcow2_tail_block(struct qcow2_checker *k, uint64_t block, vd_error *err)
{
	struct qcow2 *q = k->w.q;
	uint64_t at = vd_max(k->end, block << q->block_bits), end = (block + 1) << q->block_bits, run;
	bool zero;

	for (; at < end; at += run) {
		if (qcow2_refcount_scan(q, at, end - at, &zero, &run, err) < 0)
			return -1;
		for (uint64_t c = at; !zero && c < at + run; c++) {
			k->rep->problem(k->rep, true, c << q->bits,
			                "the cluster at %#" PRIx64 ", past the end of the file, is counted as used", c << q->bits);
			if (qcow2_counts_repair(k, c, 1, 0, err) < 0)
				return -1;
		}
	}
	return 0;
}

/* A block that has several entries, which the walk tells, says the same to each. */
static int qcow2_tail_check(struct qcow2_checker *k, uint64_t block, uint64_t off, struct qcow2_meta *seen, vd_error *err)
{
	uint64_t cluster = qcow2_cluster_of(k->w.q, off);

	if ((block + 1) << k->w.q->block_bits <= k->end || qcow2_meta_has(seen, cluster))
		return 0;
	return qcow2_meta_add(seen, cluster, err) < 0 ? -1 : qcow2_tail_block(k, block, err);
}

static int qcow2_blocks_check(struct qcow2_checker *k, struct qcow2_meta *seen, vd_error *err)
{
	struct qcow2 *q = k->w.q;
	vd_error inner;
	uint64_t off;

	for (uint64_t i = 0; i < qcow2_reftable_entries(q); i++) {
		vd_error_clear(&inner);
		if (qcow2_block_next(q, &i, &off, &inner) < 0) {
			if (inner.kind != VDISK_CORRUPT) {
				if (err)
					*err = inner;
				return -1;
			}
			if (qcow2_entry_drop(k, i, inner.message, err) < 0)
				return -1;
		} else if (off && qcow2_tail_check(k, i, off, seen, err) < 0) {
			return -1;
		}
	}
	return 0;
}

int qcow2_reftable_check(struct qcow2_checker *k, vd_error *err)
{
	struct qcow2 *q = k->w.q;
	uint64_t bytes = (uint64_t)q->h.rt_clusters << q->bits;
	struct qcow2_meta seen = {0};
	int rc;

	if (q->h.rt_off < q->cluster || !bytes || !vd_within(q->h.rt_off, bytes, vd_up(vd_file_size(q->file), q->cluster)) ||
	    (q->h.l1_size && q->h.rt_off < q->h.l1_off + q->h.l1_size * 8ull && q->h.l1_off < q->h.rt_off + bytes)) {
		k->rep->problem(k->rep, false, 48, "refcount table at %#" PRIx64 " (%" PRIu32 " clusters) lies where it cannot",
		                q->h.rt_off, q->h.rt_clusters);
		return k->rep->repair & VDISK_CHECK_REPAIR_ALL ? qcow2_reftable_renew(k, err) : 1;
	}
	rc = qcow2_blocks_check(k, &seen, err);
	vd_free(seen.slot);
	return rc;
}

int qcow2_marks_clear(struct qcow2 *q, vd_error *err)
{
	q->h.incompat &= ~(QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT);
	if (qcow2_header_write(q, err) < 0)
		return -1;
	return vd_file_flush(q->file, err);
}

/* ---------------------------------------------------------------- dirty images */

static void __attribute__((format(printf, 4, 5))) qcow2_mend_problem(struct vd_report *rep, bool is_leak, uint64_t host_off,
                                                                     const char *fmt, ...)
{
	(void)host_off, (void)fmt;
	if (is_leak)
		rep->result->leaks++;
	else
		rep->result->corruptions++;
}

int qcow2_refcounts_mend(struct qcow2 *q, vd_error *err)
{
	struct vdisk_check_result result = {0};
	struct vd_report rep = {.problem = qcow2_mend_problem, .result = &result, .repair = VDISK_CHECK_REPAIR_ALL};

	if (qcow2_check(q->layer, &rep, err) < 0)
		return -1;
	if (result.corruptions != result.corruptions_fixed)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET,
		               "the image was not closed properly, and %" PRIu64 " of %" PRIu64 " faults cannot be mended",
		               result.corruptions - result.corruptions_fixed, result.corruptions);
	return 0;
}

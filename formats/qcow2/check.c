/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * check(): counts what refers to each host cluster and compares that with the refcounts, in windows of a bounded number of clusters
 * (the walk is repeated for each), then looks at the "copied" bits of the active tables.
 *
 * An entry of `uses` holds a count and, in its upper bits, what the cluster is used as: a cluster that is metadata and something
 * else too has no refcount that would be right.
 */
#include "qcow2.h"

#include <inttypes.h>

#define QCOW2_WINDOW (8u << 20) /* clusters: 32 MiB of counts */
#define QCOW2_USES 0x3fffffffu
#define QCOW2_USED_AS(kind) ((uint32_t)((kind) + 1) << 30)

/* More references to one table than there are trees: no need to walk it again, which a made-up image could make us do for hours. */
static bool qcow2_check_enough(const struct qcow2_checker *k, uint32_t use)
{
	return (use & QCOW2_USES) > k->w.q->h.n_snap + 1u;
}

static int qcow2_check_ref(struct qcow2_walk *w, enum qcow2_ref kind, uint64_t off, uint64_t len, const char *what, vd_error *err)
{
	struct qcow2_checker *k = (struct qcow2_checker *)w;
	struct qcow2 *q = w->q;
	bool enough = false;

	(void)err;
	for (uint64_t c = off >> q->bits; c <= (off + len - 1) >> q->bits && len; c++) {
		uint32_t *u;

		k->image_end = vd_max(k->image_end, c + 1);
		if (c < k->lo || c >= k->hi)
			continue;
		u = &k->uses[c - k->lo];
		if (*u && (*u >> 30 != (uint32_t)kind + 1 || kind == QCOW2_REF_META)) {
			k->rep->problem(k->rep, false, c << q->bits,
			                "the cluster at %#" PRIx64 " is used as %s and as something else", c << q->bits, what);
			enough |= kind == QCOW2_REF_META;
		}
		if ((*u & QCOW2_USES) < QCOW2_USES)
			(*u)++;
		if (!(*u >> 30))
			*u |= QCOW2_USED_AS(kind);
		enough |= kind == QCOW2_REF_L2 && qcow2_check_enough(k, *u);
	}
	k->skipped |= enough;
	return enough;
}

static void qcow2_check_fault(struct qcow2_walk *w, uint64_t where, const char *text)
{
	struct qcow2_checker *k = (struct qcow2_checker *)w;

	if (!k->quiet)
		k->rep->problem(k->rep, false, where, "%s", text);
	k->skipped = true;
}

/* The "copied" bit says that the count is exactly one. */
static int qcow2_check_copied(struct qcow2_walk *w, uint64_t host, uint64_t where, uint64_t *desc, bool *dirty, vd_error *err)
{
	struct qcow2_checker *k = (struct qcow2_checker *)w;
	uint64_t c = qcow2_cluster_of(w->q, host);
	uint32_t uses;

	(void)err;
	if (c < k->lo || c >= k->hi)
		return 0;
	uses = k->uses[c - k->lo] & QCOW2_USES;
	if ((uses == 1) == !!(*desc & QCOW2_COPIED))
		return qcow2_check_enough(k, uses);
	k->rep->problem(k->rep, false, where,
	                "the entry at %#" PRIx64 " for the cluster at %#" PRIx64 " is %smarked as copied, with %" PRIu32
	                " reference%s",
	                where, host, *desc & QCOW2_COPIED ? "" : "not ", uses, uses == 1 ? "" : "s");
	if (k->rep->repair & VDISK_CHECK_REPAIR_ALL) {
		*desc ^= QCOW2_COPIED;
		*dirty = true;
		k->rep->result->corruptions_fixed++;
	}
	return qcow2_check_enough(k, uses);
}

static int qcow2_check_counts(struct qcow2_checker *k, vd_error *err)
{
	enum { BATCH = 1024 };
	uint64_t have[BATCH];

	for (uint64_t c = k->lo; c < k->hi; c += BATCH) {
		uint64_t n = vd_min(BATCH, k->hi - c);

		if (qcow2_refcount_read(k->w.q, c, n, have, err) < 0)
			return -1;
		for (uint64_t i = 0; i < n; i++) {
			uint64_t want = k->uses[c + i - k->lo] & QCOW2_USES;

			if (have[i] == want)
				continue;
			k->rep->problem(k->rep, have[i] > want, (c + i) << k->w.q->bits,
			                "the cluster at %#" PRIx64 " has refcount %" PRIu64 " and %" PRIu64 " reference%s",
			                (c + i) << k->w.q->bits, have[i], want, want == 1 ? "" : "s");
			if (qcow2_counts_repair(k, c + i, have[i], want, err) < 0)
				return -1;
		}
	}
	return 0;
}

static int qcow2_check_windows(struct qcow2_checker *k, vd_error *err)
{
	struct qcow2 *q = k->w.q;

	for (k->lo = 0; k->lo < k->end; k->lo = k->hi) {
		k->hi = vd_min(k->lo + QCOW2_WINDOW, k->end);
		memset(k->uses, 0, (k->hi - k->lo) * sizeof(*k->uses));
		k->w.stats = k->lo ? NULL : k->rep->result;
		k->w.ref = qcow2_check_ref;
		k->w.active = NULL;
		if (qcow2_walk_all(&k->w, err) < 0 || qcow2_check_counts(k, err) < 0)
			return -1;
		k->quiet = true;
		k->w.stats = NULL;
		k->w.ref = NULL;
		k->w.active = qcow2_check_copied;
		if (!q->external && qcow2_walk_active(&k->w, err) < 0)
			return -1;
	}
	return 0;
}

int qcow2_check(struct vd_layer *l, struct vd_report *rep, vd_error *err)
{
	struct qcow2 *q = qcow2_of(l);
	struct qcow2_checker k = {.w = {.q = q, .fault = qcow2_check_fault}, .rep = rep};
	struct vdisk_check_result *r = rep->result;
	int rc;

	if (q->l1_off != q->h.l1_off)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "a snapshot cannot be checked alone: open the image itself");
	k.end = vd_div_up(vd_file_size(q->file), q->cluster);
	k.uses = vd_calloc(vd_min(QCOW2_WINDOW, k.end), sizeof(*k.uses));
	if (!k.uses)
		return vd_fail_nomem(err, vd_min(QCOW2_WINDOW, k.end) * sizeof(*k.uses));
	r->total_units = vd_div_up(l->size, q->cluster);
	rc = qcow2_reftable_check(&k, err);
	q->lenient = true;
	if (!rc)
		rc = qcow2_check_windows(&k, err);
	q->lenient = false;
	vd_free(k.uses);
	r->image_end = k.image_end << q->bits;
	if (rc < 0 || !rep->repair)
		return rc < 0 ? -1 : 0;
	if (qcow2_flush_layer(q, err) < 0)
		return -1;
	return r->corruptions == r->corruptions_fixed && (rep->repair & VDISK_CHECK_REPAIR_ALL) ? qcow2_marks_clear(q, err) : 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Snapshots made, applied and removed, each at one stroke (shadow.c).
 *
 *  - A tree (an L1 table, its L2 tables and what they name) adds one to the count of all that it reaches, however many trees share
 *    it.
 *  - "Copied" flags count in the active tree only, and tell exactly the counts of 1.  Tables are never changed in place here: the
 *    active L1 table is written anew, and so is each L2 table in which flags have to change; a snapshot that is being made shares
 *    the new ones.
 */
#include "bitmap.h"

#include <stdio.h>
#include <stdlib.h>

/* ---------------------------------------------------------------- a tree's references */

struct qcow2_tree {
	uint64_t l1_off;
	uint32_t l1_size;
	uint64_t size; /* of its disk */
};

static int qcow2_tree_entry(struct qcow2 *q, const struct qcow2_tree *t, uint32_t i, uint64_t *l2_off, uint64_t *entry,
                            vd_error *err)
{
	if (qcow2_l1_get(q, t->l1_off, i, entry, err) < 0 || qcow2_l2_off_judge(q, *entry, t->l1_off + i * 8ull, err) < 0)
		return -1;
	*l2_off = *entry & QCOW2_OFF_MASK;
	return 0;
}

/* How many L2 tables it has. */
static int qcow2_tree_tables(struct qcow2 *q, const struct qcow2_tree *t, uint64_t *n, vd_error *err)
{
	uint64_t l2_off, entry;

	*n = 0;
	for (uint32_t i = 0; i < t->l1_size; i++) {
		if (qcow2_tree_entry(q, t, i, &l2_off, &entry, err) < 0)
			return -1;
		*n += l2_off != 0;
	}
	return 0;
}

static int qcow2_slice_judge(struct qcow2 *q, const struct qcow2_tree *t, struct qcow2_entry e, uint64_t off, uint64_t where,
                             vd_error *err)
{
	uint64_t valid = off < t->size ? vd_min(q->cluster, t->size - off) : q->cluster;
	const char *fault = qcow2_entry_fault(q, e, off, valid);

	return fault ? vd_fail(err, VDISK_CORRUPT, where, "L2 entry %#" PRIx64 " at %#" PRIx64 " (guest offset %" PRIu64 ") %s",
			       e.desc, where, off, fault)
		     : 0;
}

/* What one L2 table names, joined to runs. */
static int qcow2_table_add(struct qcow2 *q, const struct qcow2_tree *t, uint64_t l2_off, uint64_t off, int delta, vd_error *err)
{
	struct qcow2_run all = {0, 0};
	uint32_t first, n;
	struct vd_table *s;
	int rc = 0;

	for (uint32_t idx = 0; !rc && idx < q->l2_entries;) {
		if (qcow2_l2_slice(q, l2_off, idx, &s, &first, &n, err) < 0)
			return -1;
		for (; !rc && idx < first + n; idx++, off += q->cluster) {
			struct qcow2_entry e = qcow2_entry_get(q, s, idx - first);
			struct qcow2_run run = qcow2_entry_run(q, e);

			if (!e.desc && !e.bitmap)
				continue;
			rc = qcow2_slice_judge(q, t, e, off, l2_off + (uint64_t)idx * q->entry_bytes, err);
			if (rc || !run.n)
				continue;
			if (all.n && run.first == all.first + all.n) {
				all.n += run.n;
				continue;
			}
			rc = qcow2_refcount_add(q, all.first, all.n, delta, err);
			all = run;
		}
		vd_cache_put(q->cache, s);
	}
	return rc ? rc : qcow2_refcount_add(q, all.first, all.n, delta, err);
}

static int qcow2_tree_add(struct qcow2 *q, const struct qcow2_tree *t, int delta, vd_error *err)
{
	uint64_t l2_off, entry;

	for (uint32_t i = 0; i < t->l1_size; i++) {
		if (qcow2_tree_entry(q, t, i, &l2_off, &entry, err) < 0)
			return -1;
		if (l2_off && (qcow2_refcount_add(q, qcow2_cluster_of(q, l2_off), 1, delta, err) < 0 ||
		               qcow2_table_add(q, t, l2_off, i * qcow2_l2_span(q), delta, err) < 0))
			return -1;
	}
	return 0;
}

static int qcow2_l1_release(struct qcow2 *q, const struct qcow2_tree *t, vd_error *err)
{
	return qcow2_refcount_add(q, qcow2_cluster_of(q, t->l1_off), vd_div_up(t->l1_size * 8ull, q->cluster), -1, err);
}

/* ---------------------------------------------------------------- flags */

/* The entry with the flag that its count asks for. */
static int qcow2_entry_flag(struct qcow2 *q, struct qcow2_entry *e, bool *changed, vd_error *err)
{
	struct qcow2_run run = qcow2_entry_run(q, *e);
	uint64_t count = 0, desc = e->desc & ~QCOW2_COPIED;

	if (e->desc & QCOW2_COMPRESSED)
		return 0;
	if (run.n && qcow2_refcount_get(q, run.first, &count, err) < 0)
		return -1;
	if (count == 1)
		desc |= QCOW2_COPIED;
	*changed |= desc != e->desc;
	e->desc = desc;
	return 0;
}

/* Whether a flag of the table would have to change; with `to`, the table with flags as they are to be is put there. */
static int qcow2_table_flags(struct qcow2 *q, uint64_t l2_off, uint64_t to, bool *changed, vd_error *err)
{
	uint32_t first, n;
	int rc = 0;

	*changed = false;
	for (uint32_t idx = 0; !rc && idx < q->l2_entries && (to || !*changed);) {
		struct vd_table *from, *copy = NULL;

		if (qcow2_l2_slice(q, l2_off, idx, &from, &first, &n, err) < 0)
			return -1;
		if (to)
			rc = vd_cache_new_table(q->cache, to + (uint64_t)first * q->entry_bytes, QCOW2_RANK_L2, &copy, err);
		for (; !rc && idx < first + n; idx++) {
			struct qcow2_entry e = qcow2_entry_get(q, from, idx - first);

			rc = qcow2_entry_flag(q, &e, changed, err);
			if (copy)
				qcow2_entry_put(q, copy, idx - first, e);
		}
		if (copy)
			vd_cache_put(q->cache, copy);
		vd_cache_put(q->cache, from);
	}
	return rc;
}

/* The L1 entry for the L2 table at l2_off, in as many new L1 tables as `shares`; where its flags have to change, for a new
   table. */
static int qcow2_l1_entry_make(struct qcow2 *q, uint64_t l2_off, unsigned shares, uint64_t *entry, vd_error *err)
{
	uint64_t count, cluster;
	bool changed, zeroed;

	if (qcow2_table_flags(q, l2_off, 0, &changed, err) < 0 ||
	    qcow2_refcount_get(q, qcow2_cluster_of(q, l2_off), &count, err) < 0)
		return -1;
	*entry = l2_off | (count == 1 ? QCOW2_COPIED : 0);
	if (!changed)
		return 0;
	if (qcow2_alloc_row(q, 1, &cluster, &zeroed, err) < 0 ||
	    qcow2_table_flags(q, l2_off, cluster << q->bits, &changed, err) < 0)
		return -1;
	*entry = cluster << q->bits | (shares == 1 ? QCOW2_COPIED : 0);
	for (unsigned i = 0; i < shares; i++) {
		if ((i && qcow2_refcount_add(q, cluster, 1, 1, err) < 0) ||
		    qcow2_refcount_add(q, qcow2_cluster_of(q, l2_off), 1, -1, err) < 0)
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- the active L1 table, anew */

static int qcow2_l1_new(struct qcow2 *q, uint32_t entries, uint64_t *off, vd_error *err)
{
	uint64_t clusters = vd_div_up(entries * 8ull, q->cluster), first;
	struct vd_table *t;
	bool zeroed;

	if (qcow2_alloc_row(q, clusters, &first, &zeroed, err) < 0)
		return -1;
	*off = first << q->bits;
	for (uint64_t at = 0; at < clusters << q->bits; at += q->table) {
		if (vd_cache_new_table(q->cache, *off + at, QCOW2_RANK_L1, &t, err) < 0)
			return -1;
		vd_cache_put(q->cache, t);
	}
	return 0;
}

/* The active L1 table from `from`, and where `twin` is given a snapshot's just like it.  Counts are what they are to be. */
static int qcow2_active_make(struct qcow2 *q, const struct qcow2_tree *from, uint64_t *twin, vd_error *err)
{
	uint32_t entries = vd_max(from->l1_size, 1u);
	uint64_t off, l2_off, entry;

	if (qcow2_l1_new(q, entries, &off, err) < 0 || (twin && qcow2_l1_new(q, entries, twin, err) < 0))
		return -1;
	for (uint32_t i = 0; i < from->l1_size; i++) {
		if (qcow2_tree_entry(q, from, i, &l2_off, &entry, err) < 0)
			return -1;
		if (!l2_off)
			continue;
		if (qcow2_l1_entry_make(q, l2_off, twin ? 2 : 1, &entry, err) < 0 || qcow2_l1_put_at(q, off, i, entry, err) < 0 ||
		    (twin && qcow2_l1_put_at(q, *twin, i, entry, err) < 0))
			return -1;
	}
	q->h.l1_off = off;
	q->h.l1_size = entries;
	return 0;
}

static struct qcow2_tree qcow2_tree_active(const struct qcow2 *q)
{
	return (struct qcow2_tree){.l1_off = q->h.l1_off, .l1_size = q->h.l1_size, .size = q->h.size};
}

/* ---------------------------------------------------------------- which snapshot */

static int qcow2_external_refuse(const struct qcow2 *q, vd_error *err)
{
	if (!q->external)
		return 0;
	return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "an image with an external data file has no internal snapshots");
}

static int qcow2_snapshot_find(struct qcow2 *q, uint32_t i, struct qcow2_snapshot *s, vd_error *err)
{
	struct qcow2_snapshots w;
	int rc;

	qcow2_snapshots_begin(&w, q);
	while ((rc = qcow2_snapshots_next(&w, err)) > 0 && w.i <= i)
		;
	if (rc > 0 && qcow2_snapshot_judge(q, &w.s, err) < 0)
		rc = -1;
	else if (!rc)
		rc = vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "there are %" PRIu32 " snapshots, none numbered %" PRIu32,
			     q->h.n_snap, i);
	*s = w.s;
	s->id = s->name = NULL;
	qcow2_snapshots_end(&w);
	return rc < 0 ? -1 : 0;
}

/* One more than the largest number that is an ID. */
static int qcow2_snapshot_id(struct qcow2 *q, char *id, vd_error *err)
{
	struct qcow2_snapshots w;
	unsigned long most = 0;
	int rc;

	qcow2_snapshots_begin(&w, q);
	while ((rc = qcow2_snapshots_next(&w, err)) > 0) {
		unsigned long n = strtoul(w.s.id, NULL, 10);

		if (n < UINT32_MAX)
			most = vd_max(most, n);
	}
	qcow2_snapshots_end(&w);
	snprintf(id, VDISK_SNAPSHOT_ID_MAX, "%lu", most + 1);
	return rc;
}

/* ---------------------------------------------------------------- create */

#define QCOW2_ENTRY_FIXED 40u
#define QCOW2_ENTRY_EXTRA 24u
#define QCOW2_ENTRY_MAX (QCOW2_ENTRY_FIXED + QCOW2_ENTRY_EXTRA + VDISK_SNAPSHOT_ID_MAX + VDISK_SNAPSHOT_NAME_MAX + 8)

static size_t qcow2_snapshot_encode(const struct qcow2 *q, const struct vd_new_snapshot *n, const char *id, uint64_t l1_off,
                                    uint8_t p[QCOW2_ENTRY_MAX])
{
	size_t id_len = strlen(id), name_len = strlen(n->name), at = QCOW2_ENTRY_FIXED + QCOW2_ENTRY_EXTRA;

	memset(p, 0, QCOW2_ENTRY_MAX);
	be64_put(p, l1_off);
	be32_put(p + 8, q->h.l1_size);
	be16_put(p + 12, (uint16_t)id_len);
	be16_put(p + 14, (uint16_t)name_len);
	be32_put(p + 16, (uint32_t)n->date_sec);
	be32_put(p + 20, n->date_nsec);
	be64_put(p + 24, n->vm_clock_nsec);
	be32_put(p + 36, QCOW2_ENTRY_EXTRA);
	be64_put(p + 48, q->h.size);
	be64_put(p + 56, UINT64_MAX); /* instructions were not counted */
	memcpy(p + at, id, id_len);
	memcpy(p + at + id_len, n->name, name_len);
	return vd_up(at + id_len + name_len, 8);
}

static int qcow2_create_run(struct qcow2 *q, const struct vd_new_snapshot *n, const char *id, vd_error *err)
{
	struct qcow2_tree old = qcow2_tree_active(q);
	struct qcow2_snapshot_edit edit = {.drop = UINT32_MAX};
	uint8_t entry[QCOW2_ENTRY_MAX];
	uint64_t twin;

	if (qcow2_tree_add(q, &old, 1, err) < 0 || qcow2_active_make(q, &old, &twin, err) < 0 || qcow2_l1_release(q, &old, err) < 0)
		return -1;
	edit.entry_bytes = qcow2_snapshot_encode(q, n, id, twin, entry);
	edit.entry = entry;
	return qcow2_snapshot_table_write(q, &edit, err);
}

/* Clusters that a change takes which writes `l1` L1 tables like t's, and the snapshot table if `table`. */
static int qcow2_change_begin(struct qcow2_shadow *s, struct qcow2 *q, const struct qcow2_tree *t, unsigned l1, bool table,
                              vd_error *err)
{
	uint64_t tables, bytes = 0;

	if (qcow2_tree_tables(q, t, &tables, err) < 0 || (table && qcow2_snapshot_table_size(q, &bytes, err) < 0))
		return -1;
	return qcow2_shadow_begin(s, q, tables + l1 * (vd_div_up(t->l1_size * 8ull, q->cluster) + 1) +
	                          vd_div_up(bytes + QCOW2_ENTRY_MAX, q->cluster), err);
}

static int qcow2_change_end(struct qcow2_shadow *s, int rc, vd_error *err)
{
	if (!rc)
		return qcow2_shadow_commit(s, err);
	qcow2_shadow_abort(s);
	return -1;
}

int qcow2_snapshot_create(struct vd_layer *l, const struct vd_new_snapshot *n, char *id, vd_error *err)
{
	struct qcow2 *q = qcow2_of(l);
	struct qcow2_tree t = qcow2_tree_active(q);
	struct qcow2_shadow s;

	if (qcow2_external_refuse(q, err) < 0)
		return -1;
	if (q->h.n_snap >= QCOW2_SNAPSHOTS_MAX)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "there are %u snapshots already, and there cannot be more",
			       QCOW2_SNAPSHOTS_MAX);
	if (n->date_sec > UINT32_MAX)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "qcow2 cannot say the date %" PRIu64 " (seconds since 1970, 32 bits)", n->date_sec);
	if (qcow2_snapshot_id(q, id, err) < 0 || qcow2_change_begin(&s, q, &t, 2, true, err) < 0)
		return -1;
	return qcow2_change_end(&s, qcow2_create_run(q, n, id, err), err);
}

/* ---------------------------------------------------------------- apply */

static int qcow2_apply_run(struct qcow2 *q, const struct qcow2_tree *t, vd_error *err)
{
	struct qcow2_tree old = qcow2_tree_active(q);

	if (qcow2_tree_add(q, &old, -1, err) < 0 || qcow2_l1_release(q, &old, err) < 0 || qcow2_tree_add(q, t, 1, err) < 0)
		return -1;
	q->h.size = t->size;
	return qcow2_active_make(q, t, NULL, err);
}

int qcow2_snapshot_apply(struct vd_layer *l, uint32_t i, vd_error *err)
{
	struct qcow2 *q = qcow2_of(l);
	struct qcow2_snapshot snap;
	struct qcow2_shadow s;
	struct qcow2_tree t;
	uint64_t old = l->size;

	if (qcow2_external_refuse(q, err) < 0 || qcow2_snapshot_find(q, i, &snap, err) < 0)
		return -1;
	/* The disk; not the state of a machine, which lies past it from the next L2 table on. */
	t = (struct qcow2_tree){
		.l1_off = snap.l1_off, .l1_size = (uint32_t)vd_div_up(snap.size, qcow2_l2_span(q)), .size = snap.size};
	/* Where the two contents differ is not looked at: bitmaps that follow changes get all of the disk. */
	if (qcow2_bitmaps_settle(l, err) < 0 || qcow2_bitmaps_hold(q, old != snap.size, err) < 0)
		return -1;
	if (qcow2_change_begin(&s, q, &t, 1, false, err) < 0 || qcow2_change_end(&s, qcow2_apply_run(q, &t, err), err) < 0) {
		if (!l->broken)
			qcow2_bitmaps_settle(l, NULL); /* nothing has changed */
		return -1;
	}
	return qcow2_bitmaps_remake(q, old, 0, err);
}

/* ---------------------------------------------------------------- remove */

static int qcow2_remove_run(struct qcow2 *q, const struct qcow2_tree *t, uint32_t i, vd_error *err)
{
	struct qcow2_snapshot_edit edit = {.drop = i};
	struct qcow2_tree old = qcow2_tree_active(q);

	if (qcow2_tree_add(q, t, -1, err) < 0 || qcow2_l1_release(q, t, err) < 0 || qcow2_active_make(q, &old, NULL, err) < 0 ||
	    qcow2_l1_release(q, &old, err) < 0)
		return -1;
	return qcow2_snapshot_table_write(q, &edit, err);
}

int qcow2_snapshot_remove(struct vd_layer *l, uint32_t i, vd_error *err)
{
	struct qcow2 *q = qcow2_of(l);
	struct qcow2_tree active = qcow2_tree_active(q), t;
	struct qcow2_snapshot snap;
	struct qcow2_shadow s;

	if (qcow2_external_refuse(q, err) < 0 || qcow2_snapshot_find(q, i, &snap, err) < 0)
		return -1;
	t = (struct qcow2_tree){.l1_off = snap.l1_off, .l1_size = snap.l1_size, .size = snap.size};
	if (qcow2_change_begin(&s, q, &active, 1, true, err) < 0)
		return -1;
	return qcow2_change_end(&s, qcow2_remove_run(q, &t, i, err), err);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A change of metadata that happens at one stroke, however much of it there is: snapshots move the counts of all clusters.
 *
 *  - The refcount table and all its blocks are copied to space past the end of what is used, and from then on all counting is done
 *    in the copy; new tables go to new space as well.  Nothing that the header in the file leads to is touched.
 *  - One write of the header's fixed fields, a sector, makes everything count: refcounts, L1 table, size and snapshots together
 *    (C1, C2).  A crash before it leaves some bytes past the end that nothing counts, one after it nothing at all (C3).
 *  - What the change lets go is not used again before that: space is only taken at the end meanwhile.
 */
#include "qcow2.h"

#include <assert.h>

/* ---------------------------------------------------------------- the cache and the set of tables, anew */

int qcow2_tables_forget(struct qcow2 *q, vd_error *err)
{
	struct qcow2_meta old = q->meta;
	struct vd_cache *fresh;

	if (vd_cache_new(q->file, q->external ? q->data : NULL, q->table, q->cache_bytes, &fresh, err) < 0)
		return -1;
	vd_cache_set_relaxed(fresh, q->unfinished);
	vd_cache_free(q->cache);
	q->cache = fresh;
	memset(&q->meta, 0, sizeof(q->meta));
	vd_free(old.slot);
	return qcow2_meta_load(q, err);
}

/* ---------------------------------------------------------------- the copy of the counts */

static int qcow2_blocks_count(struct qcow2 *q, uint64_t *n, vd_error *err)
{
	uint64_t off;

	*n = 0;
	for (uint64_t i = 0; i < qcow2_reftable_entries(q); i++) {
		if (qcow2_block_at(q, i, &off, err) < 0)
			return -1;
		*n += off != 0;
	}
	return 0;
}

/* Clusters for a table that reaches everything that will be taken: `blocks` to be copied, `more` besides. */
static int qcow2_shadow_size(const struct qcow2 *q, uint64_t blocks, uint64_t more, uint64_t *clusters, vd_error *err)
{
	uint64_t need = qcow2_reftable_entries(q), per = q->cluster / 8, end;

	for (;;) { /* new space is counted by new blocks, which are counted by … */
		*clusters = vd_div_up(need, per);
		end = q->cursor + *clusters + blocks + more;
		end += 2 * ((*clusters + blocks + more) >> q->block_bits) + 4;
		if ((end >> q->block_bits) + 2 <= *clusters * per)
			break;
		need = (end >> q->block_bits) + 2;
	}
	if (*clusters << q->bits > vd_max(QCOW2_REFTABLE_BYTES_MAX, q->cluster))
		return vd_fail(
			err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			"the file has outgrown a refcount table of %u bytes: larger clusters or narrower refcounts are needed",
			QCOW2_REFTABLE_BYTES_MAX);
	return 0;
}

/* All blocks, copied to where `at` (a cluster) and the following are; the table at q->h.rt_off names the copies. */
static int qcow2_blocks_copy(struct qcow2_shadow *s, uint64_t at, vd_error *err)
{
	struct qcow2 *q = s->q;
	struct qcow2_header now = q->h;
	uint64_t off;

	for (uint64_t i = 0; i < (uint64_t)s->old.rt_clusters << (q->bits - 3); i++) {
		q->h.rt_off = s->old.rt_off;
		q->h.rt_clusters = s->old.rt_clusters;
		if (qcow2_block_at(q, i, &off, err) < 0)
			return -1;
		q->h = now;
		if (!off)
			continue;
		if (qcow2_tables_fill(q, at << q->bits, off, QCOW2_RANK_BLOCK, true, err) < 0 ||
		    qcow2_meta_add(&s->blocks, off >> q->bits, err) < 0 || qcow2_reftable_put(q, i, at << q->bits, err) < 0)
			return -1;
		at++;
	}
	return 0;
}

/* The copy counts itself, and no longer what it was copied from. */
static int qcow2_shadow_counts(struct qcow2_shadow *s, uint64_t start, uint64_t end, vd_error *err)
{
	struct qcow2 *q = s->q;

	for (uint64_t c = start; c < end; c++) {
		if (qcow2_block_need(q, c, err) < 0 || qcow2_refcount_put(q, c, 1, err) < 0)
			return -1;
	}
	if (qcow2_refcount_add(q, s->old.rt_off >> q->bits, s->old.rt_clusters, -1, err) < 0)
		return -1;
	for (size_t i = 0; i < s->blocks.cap; i++) {
		if (s->blocks.slot[i] && qcow2_refcount_add(q, s->blocks.slot[i], 1, -1, err) < 0)
			return -1;
	}
	return 0;
}

static int qcow2_shadow_make(struct qcow2_shadow *s, uint64_t more, vd_error *err)
{
	struct qcow2 *q = s->q;
	uint64_t blocks, clusters, start = q->cursor;

	if (qcow2_blocks_count(q, &blocks, err) < 0 || qcow2_shadow_size(q, blocks, more, &clusters, err) < 0)
		return -1;
	q->shadowed = true;
	q->cursor = start + clusters + blocks;
	q->virgin = vd_max(q->virgin, q->cursor);
	if (qcow2_grow_file(q, err) < 0)
		return -1;
	for (uint64_t i = 0; i < clusters; i++) {
		if (qcow2_tables_fill(q, (start + i) << q->bits, 0, QCOW2_RANK_REFTABLE, true, err) < 0)
			return -1;
	}
	q->h.rt_off = start << q->bits;
	q->h.rt_clusters = (uint32_t)clusters;
	if (qcow2_blocks_copy(s, start + clusters, err) < 0)
		return -1;
	return qcow2_shadow_counts(s, start, start + clusters + blocks, err);
}

int qcow2_shadow_begin(struct qcow2_shadow *s, struct qcow2 *q, uint64_t more, vd_error *err)
{
	memset(s, 0, sizeof(*s));
	s->q = q;
	/* The second time for the counts of what the first one freed. */
	if (qcow2_flush_layer(q, err) < 0 || qcow2_flush_layer(q, err) < 0)
		return -1;
	s->old = q->h;
	s->cursor = q->cursor;
	s->file_size = vd_file_size(q->file);
	vd_cache_set_relaxed(q->cache, true); /* nothing leads there before the header: one flush, at the end */
	if (!qcow2_shadow_make(s, more, err))
		return 0;
	qcow2_shadow_abort(s);
	return -1;
}

void qcow2_shadow_abort(struct qcow2_shadow *s)
{
	struct qcow2 *q = s->q;

	q->shadowed = false;
	q->h = s->old;
	q->cursor = s->cursor;
	vd_free(s->blocks.slot);
	s->blocks.slot = NULL;
	if (qcow2_tables_forget(q, NULL) < 0)
		q->layer->broken = true; /* what the cache holds is not the image */
	else if (!(q->file->flags & VD_FILE_BLOCKDEV))
		vd_file_truncate(q->file, s->file_size, NULL); /* at worst it stays longer */
}

/* ---------------------------------------------------------------- the switch */

/* Clusters to be punched, in a row. */
struct qcow2_gone {
	struct qcow2 *q;
	uint64_t first, n;
};

static void qcow2_gone_punch(struct qcow2_gone *g)
{
	uint64_t off = g->first << g->q->bits, size = vd_file_size(g->q->file);

	if (g->n && off < size)
		vd_file_punch(g->q->file, off, vd_min(g->n << g->q->bits, size - off), NULL);
	g->n = 0;
}

static void qcow2_gone_add(struct qcow2_gone *g, uint64_t cluster)
{
	if (g->n && g->first + g->n != cluster)
		qcow2_gone_punch(g);
	if (!g->n)
		g->first = cluster;
	g->n++;
}

/* The old block at `from` and its copy at `to`, which count from cluster `at` on. */
static void qcow2_block_compare(struct qcow2_shadow *s, struct qcow2_gone *g, uint64_t from, uint64_t to, uint64_t at)
{
	struct qcow2 *q = s->q;
	uint64_t per = (uint64_t)q->table * 8 >> q->h.refcount_order, rt = s->old.rt_off >> q->bits;
	VD_AUTO_FREE uint8_t *old = vd_malloc(q->table), *new = vd_malloc(q->table);

	for (uint64_t end = from + q->cluster; old && new && from < end; from += q->table, to += q->table, at += per) {
		if (vd_file_pread(q->file, old, q->table, from, NULL) < 0 || vd_file_pread(q->file, new, q->table, to, NULL) < 0 ||
		    !memcmp(old, new, q->table))
			continue;
		for (uint64_t c = at; c < at + per; c++) {
			if (qcow2_count_get(old, q->h.refcount_order, c - at) &&
			    !qcow2_count_get(new, q->h.refcount_order, c - at) && c - rt >= s->old.rt_clusters &&
			    !qcow2_meta_has(&s->blocks, c))
				qcow2_gone_add(g, c);
		}
	}
}

/* Space that was counted before and is not any more goes back to the host, as far as it takes it; last the blocks and the table
   that counted it, since they are read for this. */
static void qcow2_shadow_release(struct qcow2_shadow *s)
{
	struct qcow2 *q = s->q;
	struct qcow2_gone g = {.q = q};
	struct qcow2_header now = q->h;
	uint64_t from, to;

	for (uint64_t b = 0; b < (uint64_t)s->old.rt_clusters << (q->bits - 3); b++) {
		q->h.rt_off = s->old.rt_off;
		q->h.rt_clusters = s->old.rt_clusters;
		if (qcow2_block_at(q, b, &from, NULL) < 0)
			from = 0;
		q->h = now;
		if (from && !qcow2_block_at(q, b, &to, NULL) && to)
			qcow2_block_compare(s, &g, from, to, b << q->block_bits);
	}
	for (size_t i = 0; i < s->blocks.cap; i++) {
		if (s->blocks.slot[i])
			qcow2_gone_add(&g, s->blocks.slot[i]);
	}
	for (uint64_t c = 0; c < s->old.rt_clusters; c++)
		qcow2_gone_add(&g, (s->old.rt_off >> q->bits) + c);
	qcow2_gone_punch(&g);
}

int qcow2_shadow_commit(struct qcow2_shadow *s, vd_error *err)
{
	struct qcow2 *q = s->q;

	if (qcow2_grow_file(q, err) < 0 || vd_cache_write_back(q->cache, err) < 0 ||
	    (!q->unfinished && vd_file_flush(q->file, err) < 0)) {
		qcow2_shadow_abort(s);
		return -1;
	}
	assert(!q->n_pending);
	q->shadowed = false;
	if (qcow2_header_write(q, err) < 0 || (!q->unfinished && vd_file_flush(q->file, err) < 0)) {
		q->layer->broken = true; /* which state the header names is not known */
		vd_free(s->blocks.slot);
		return -1;
	}
	q->l1_off = q->h.l1_off;
	q->l1_size = q->h.l1_size;
	q->layer->size = q->h.size;
	q->hint = 1;
	q->pack_off = 0;
	qcow2_shadow_release(s);
	vd_free(s->blocks.slot);
	if (!qcow2_tables_forget(q, err))
		return 0;
	q->layer->broken = true;
	return -1;
}

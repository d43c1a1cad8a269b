/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reference counts of host clusters (spec: "Host cluster management"): a table of blocks of counts, 1 to 64 bits wide.
 *
 * Tables are cached by slices of q->table bytes, so that a count in a 2 MiB block costs 64 KiB of reading.  Blocks have rank 0 and
 * the refcount table rank 1: a block is durable before the table points at it, and both before any reference that they account for.
 */
#include "qcow2.h"

#include "base/zero.h"

#include <assert.h>

#define QCOW2_COUNTS_BYTES 512u /* of counts, looked at at once */

uint64_t qcow2_count_get(const uint8_t *p, unsigned order, uint64_t i)
{
	switch (order) {
	case 0:
		return p[i / 8] >> (i % 8) & 1;
	case 1:
		return p[i / 4] >> (i % 4 * 2) & 3;
	case 2:
		return p[i / 2] >> (i % 2 * 4) & 15;
	case 3:
		return p[i];
	case 4:
		return be16_get(p + i * 2);
	case 5:
		return be32_get(p + i * 4);
	default:
		return be64_get(p + i * 8);
	}
}

void qcow2_count_put(uint8_t *p, unsigned order, uint64_t i, uint64_t count)
{
	unsigned width = 1u << order;

	switch (order) {
	case 0:
	case 1:
	case 2: {
		unsigned per = 8 / width, shift = (unsigned)(i % per) * width, mask = ((1u << width) - 1) << shift;
		p[i / per] = (uint8_t)((p[i / per] & ~mask) | (count << shift & mask));
		break;
	}
	case 3:
		p[i] = (uint8_t)count;
		break;
	case 4:
		be16_put(p + i * 2, (uint16_t)count);
		break;
	case 5:
		be32_put(p + i * 4, (uint32_t)count);
		break;
	default:
		be64_put(p + i * 8, count);
	}
}

uint64_t qcow2_reftable_entries(const struct qcow2 *q)
{
	return (uint64_t)q->h.rt_clusters << (q->bits - 3);
}

static int qcow2_reftable_pin(struct qcow2 *q, uint64_t block, struct vd_table **t, uint8_t **entry, vd_error *err)
{
	uint64_t at = q->h.rt_off + block * 8;

	if (vd_cache_get(q->cache, vd_down(at, q->table), QCOW2_RANK_REFTABLE, true, t, err) < 0)
		return -1;
	*entry = (*t)->data + (at & (q->table - 1));
	return 0;
}

static int qcow2_block_fault(struct qcow2 *q, uint64_t block, uint64_t *off, const char *what, vd_error *err)
{
	uint64_t bad = *off;

	*off = 0;
	if (q->lenient)
		return 0;
	return vd_fail(err, VDISK_CORRUPT, q->h.rt_off + block * 8, "refcount table entry %" PRIu64 " (%#" PRIx64 ") %s", block,
	               bad, what);
}

int qcow2_block_at(struct qcow2 *q, uint64_t block, uint64_t *off, vd_error *err)
{
	struct vd_table *t;
	uint8_t *entry;

	*off = 0;
	if (block >= qcow2_reftable_entries(q))
		return 0;
	if (qcow2_reftable_pin(q, block, &t, &entry, err) < 0)
		return -1;
	*off = be64_get(entry);
	vd_cache_put(q->cache, t);
	if (*off & (q->cluster - 1))
		return qcow2_block_fault(q, block, off, "is not on a cluster", err);
	if (*off && (*off >= vd_max(vd_file_size(q->file), q->cursor << q->bits) || qcow2_is_core_meta(q, *off, q->cluster)))
		return qcow2_block_fault(q, block, off, "is outside the file or on other metadata", err);
	return 0;
}

int qcow2_reftable_put(struct qcow2 *q, uint64_t block, uint64_t off, vd_error *err)
{
	struct vd_table *t;
	uint8_t *entry;

	if (qcow2_reftable_pin(q, block, &t, &entry, err) < 0)
		return -1;
	be64_put(entry, off);
	vd_cache_dirty(q->cache, t);
	vd_cache_put(q->cache, t);
	return 0;
}

/* A slice of counts, pinned. */
struct qcow2_counts {
	struct vd_table *t; /* NULL: no block, all zero */
	uint64_t first, n;  /* clusters that it counts */
};

static int qcow2_counts_pin(struct qcow2 *q, uint64_t cluster, struct qcow2_counts *c, vd_error *err)
{
	uint64_t block = cluster >> q->block_bits, per_slice = (uint64_t)q->table * 8 >> q->h.refcount_order, off;
	uint64_t in_block = cluster & ((1ull << q->block_bits) - 1);

	c->t = NULL;
	if (qcow2_block_at(q, block, &off, err) < 0)
		return -1;
	if (!off) {
		c->first = block << q->block_bits;
		c->n = 1ull << q->block_bits;
		return 0;
	}
	c->first = cluster - in_block % per_slice;
	c->n = per_slice;
	return vd_cache_get(q->cache, off + in_block / per_slice * q->table, QCOW2_RANK_BLOCK, true, &c->t, err);
}

static void qcow2_counts_put(struct qcow2 *q, struct qcow2_counts *c)
{
	if (c->t)
		vd_cache_put(q->cache, c->t);
}

int qcow2_refcount_get(struct qcow2 *q, uint64_t cluster, uint64_t *count, vd_error *err)
{
	struct qcow2_counts c;

	if (qcow2_counts_pin(q, cluster, &c, err) < 0)
		return -1;
	*count = c.t ? qcow2_count_get(c.t->data, q->h.refcount_order, cluster - c.first) : 0;
	qcow2_counts_put(q, &c);
	return 0;
}

int qcow2_refcount_put(struct qcow2 *q, uint64_t cluster, uint64_t count, vd_error *err)
{
	struct qcow2_counts c;

	if (qcow2_counts_pin(q, cluster, &c, err) < 0)
		return -1;
	if (!c.t)
		return vd_fail(err, VDISK_CORRUPT, cluster << q->bits, "no refcount block for the cluster at %#" PRIx64,
		               cluster << q->bits);
	qcow2_count_put(c.t->data, q->h.refcount_order, cluster - c.first, count);
	vd_cache_dirty(q->cache, c.t);
	qcow2_counts_put(q, &c);
	return 0;
}

int qcow2_refcount_claim(struct qcow2 *q, uint64_t first, uint64_t n, uint64_t *done, vd_error *err)
{
	struct qcow2_counts c;

	for (*done = 0; *done < n;) {
		uint64_t at = first + *done, stop;

		if (qcow2_counts_pin(q, at, &c, err) < 0)
			return -1;
		if (!c.t)
			return 0;
		stop = vd_min(first + n, c.first + c.n);
		for (; at < stop && !qcow2_count_get(c.t->data, q->h.refcount_order, at - c.first); at++)
			qcow2_count_put(c.t->data, q->h.refcount_order, at - c.first, 1);
		if (at > first + *done)
			vd_cache_dirty(q->cache, c.t);
		qcow2_counts_put(q, &c);
		*done = at - first;
		if (at < stop)
			return 0;
	}
	return 0;
}

/* Where the run of counts that are zero (or not) ends, of [i, end) at p.  Blocks are mostly zeros behind what is in use. */
static uint64_t qcow2_counts_run(const uint8_t *p, unsigned order, bool zero, uint64_t i, uint64_t end)
{
	uint64_t per = (QCOW2_COUNTS_BYTES * 8) >> order;

	while (i < end) {
		if (zero && i % per == 0 && end - i >= per && vd_is_zero(p + (i << order) / 8, QCOW2_COUNTS_BYTES))
			i += per;
		else if (!qcow2_count_get(p, order, i) == zero)
			i++;
		else
			break;
	}
	return i;
}

int qcow2_refcount_scan(struct qcow2 *q, uint64_t first, uint64_t n, bool *zero, uint64_t *run, vd_error *err)
{
	struct qcow2_counts c;

	for (*run = 0; *run < n;) {
		uint64_t at = first + *run, stop;

		if (qcow2_counts_pin(q, at, &c, err) < 0)
			return -1;
		stop = vd_min(first + n, c.first + c.n);
		if (at == first)
			*zero = !c.t || !qcow2_count_get(c.t->data, q->h.refcount_order, at - c.first);
		if (!c.t)
			at = *zero ? stop : at;
		else
			at = c.first +
			     qcow2_counts_run(c.t->data, q->h.refcount_order, *zero, at - c.first, stop - c.first);
		qcow2_counts_put(q, &c);
		*run = at - first;
		if (at < stop)
			break;
	}
	return 0;
}

int qcow2_refcount_read(struct qcow2 *q, uint64_t first, uint64_t n, uint64_t *out, vd_error *err)
{
	struct qcow2_counts c;

	for (uint64_t at = first; at < first + n;) {
		uint64_t stop;

		if (qcow2_counts_pin(q, at, &c, err) < 0)
			return -1;
		for (stop = vd_min(first + n, c.first + c.n); at < stop; at++)
			out[at - first] = c.t ? qcow2_count_get(c.t->data, q->h.refcount_order, at - c.first) : 0;
		qcow2_counts_put(q, &c);
	}
	return 0;
}

int qcow2_refcount_add(struct qcow2 *q, uint64_t first, uint64_t n, int delta, vd_error *err)
{
	struct qcow2_counts c;

	for (uint64_t at = first; at < first + n;) {
		uint64_t stop, count = 0;

		if (qcow2_counts_pin(q, at, &c, err) < 0)
			return -1;
		for (stop = vd_min(first + n, c.first + c.n); c.t && at < stop; at++) {
			count = qcow2_count_get(c.t->data, q->h.refcount_order, at - c.first);
			if (!count || (delta > 0 && count == q->count_max))
				break;
			qcow2_count_put(c.t->data, q->h.refcount_order, at - c.first, delta > 0 ? count + 1 : count - 1);
		}
		if (c.t)
			vd_cache_dirty(q->cache, c.t);
		qcow2_counts_put(q, &c);
		if (at < stop && !count)
			return vd_fail(err, VDISK_CORRUPT, at << q->bits, "refcount of the cluster in use at %#" PRIx64 " is 0",
			               at << q->bits);
		if (at < stop)
			return vd_fail(err, VDISK_UNSUPPORTED, at << q->bits,
			               "the cluster at %#" PRIx64 " has %" PRIu64
			               " references, and refcount_bits=%u cannot count one more",
			               at << q->bits, count, 1u << q->h.refcount_order);
	}
	return 0;
}

/* ---------------------------------------------------------------- new blocks */

/* All slices of the cluster at `off`, zeroed, in the cache. */
static int qcow2_tables_new(struct qcow2 *q, uint64_t off, unsigned rank, vd_error *err)
{
	struct vd_table *t;

	for (uint64_t at = 0; at < q->cluster; at += q->table) {
		if (vd_cache_new_table(q->cache, off + at, rank, &t, err) < 0)
			return -1;
		vd_cache_put(q->cache, t);
	}
	return 0;
}

/* Copies the present table's entries to the new one's place and adds the new blocks', which follow the table. */
static int qcow2_reftable_copy(struct qcow2 *q, uint64_t to, uint32_t to_clusters, uint64_t lo, uint64_t hi, uint64_t blocks_at,
                               vd_error *err)
{
	uint64_t old_bytes = (uint64_t)q->h.rt_clusters << q->bits, per = q->table / 8;

	for (uint64_t at = 0; at < (uint64_t)to_clusters << q->bits; at += q->table) {
		struct vd_table *n, *o;

		if (vd_cache_new_table(q->cache, to + at, QCOW2_RANK_REFTABLE, &n, err) < 0)
			return -1;
		if (at < old_bytes) {
			if (vd_cache_get(q->cache, q->h.rt_off + at, QCOW2_RANK_REFTABLE, true, &o, err) < 0) {
				vd_cache_put(q->cache, n);
				return -1;
			}
			memcpy(n->data, o->data, q->table);
			vd_cache_put(q->cache, o);
		}
		for (uint64_t b = vd_max(lo, at / 8); b < hi && b < at / 8 + per; b++) {
			if (be64_get(n->data + (b * 8 - at)))
				continue;
			be64_put(n->data + (b * 8 - at), blocks_at);
			blocks_at += q->cluster;
		}
		vd_cache_dirty(q->cache, n); /* getting the old one may have written the new one back */
		vd_cache_put(q->cache, n);
	}
	return 0;
}

/* Counts 1 for [first, end) in blocks that are all there. */
static int qcow2_counts_fill(struct qcow2 *q, uint64_t first, uint64_t end, vd_error *err)
{
	uint64_t done;

	if (qcow2_refcount_claim(q, first, end - first, &done, err) < 0)
		return -1;
	if (done != end - first)
		return vd_fail(err, VDISK_CORRUPT, (first + done) << q->bits,
		               "refcount of the unused cluster at %#" PRIx64 " is not 0", (first + done) << q->bits);
	return 0;
}

/*
 * A larger refcount table at the end of the file, for at least `need` entries, with the blocks that count its own space right after
 * it.  The header points at it only when it is durable; the old table's space is free after that.
 */
static int qcow2_reftable_grow(struct qcow2 *q, uint64_t need, vd_error *err)
{
	uint64_t start = q->cursor, lo = start >> q->block_bits, old_entries = qcow2_reftable_entries(q), clusters, hi, blocks = 1,
		 off = 0;
	uint64_t old_first = qcow2_cluster_of(q, q->h.rt_off), old_n = q->h.rt_clusters, per = q->cluster / 8;

	assert(!q->shadowed); /* qcow2_shadow_begin() made it large enough */
	if (lo < old_entries && qcow2_block_at(q, lo, &off, err) < 0)
		return -1;
	need = vd_max(need, old_entries + old_entries / 2);
	for (;;) { /* the table must reach the blocks that count it, and itself */
		clusters = vd_div_up(need, per);
		hi = ((start + clusters + blocks - 1) >> q->block_bits) + 1;
		if (hi - lo > blocks) {
			blocks = hi - lo;
			continue;
		}
		if (hi <= clusters * per)
			break;
		need = hi;
	}
	if (clusters << q->bits > vd_max(QCOW2_REFTABLE_BYTES_MAX, q->cluster))
		return vd_fail(
			err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			"the file has outgrown a refcount table of %u bytes: larger clusters or narrower refcounts are needed",
			QCOW2_REFTABLE_BYTES_MAX);
	if (lo < old_entries && off) /* the first one is there already */
		blocks--;
	q->cursor = start + clusters + blocks;
	q->virgin = vd_max(q->virgin, q->cursor);
	for (uint64_t b = 0; b < blocks; b++) {
		if (qcow2_meta_add(&q->meta, start + clusters + b, err) < 0 ||
		    qcow2_tables_new(q, (start + clusters + b) << q->bits, QCOW2_RANK_BLOCK, err) < 0)
			goto fail;
	}
	if (qcow2_reftable_copy(q, start << q->bits, (uint32_t)clusters, lo, hi, (start + clusters) << q->bits, err) < 0)
		goto fail;
	q->h.rt_off = start << q->bits;
	q->h.rt_clusters = (uint32_t)clusters;
	if (qcow2_counts_fill(q, start, q->cursor, err) < 0 || qcow2_grow_file(q, err) < 0 ||
	    vd_cache_write_back(q->cache, err) < 0)
		goto fail;
	if (qcow2_header_write(q, err) < 0 || (!q->unfinished && vd_file_flush(q->file, err) < 0)) {
		q->layer->broken = true; /* which table the header names is not known */
		return -1;
	}
	return qcow2_free_now(q, old_first, old_n, err);
fail:
	for (uint64_t at = start << q->bits; at < q->cursor << q->bits; at += q->table)
		vd_cache_forget(q->cache, at);
	for (uint64_t c = start; c < q->cursor; c++)
		qcow2_meta_remove(&q->meta, c);
	q->h.rt_off = old_first << q->bits;
	q->h.rt_clusters = (uint32_t)old_n;
	return -1;
}

/* One block, at the end of the file: it counts itself, or is counted by one that is there. */
static int qcow2_block_new(struct qcow2 *q, uint64_t block, vd_error *err)
{
	uint64_t at = q->cursor, own = at >> q->block_bits, off, done = 1;

	if (vd_max(block, own) >= qcow2_reftable_entries(q))
		return qcow2_reftable_grow(q, vd_max(block, own) + 1, err);
	if (qcow2_block_at(q, own, &off, err) < 0)
		return -1;
	if (!off && own != block)
		return qcow2_block_new(q, own, err);
	q->cursor = at + 1;
	if (off && qcow2_refcount_claim(q, at, 1, &done, err) < 0)
		return -1;
	if (!done)
		return 0; /* in use, whoever says so: the caller tries again behind it */
	if (qcow2_meta_add(&q->meta, at, err) < 0 || qcow2_tables_new(q, at << q->bits, QCOW2_RANK_BLOCK, err) < 0 ||
	    qcow2_reftable_put(q, block, at << q->bits, err) < 0)
		return -1;
	q->virgin = vd_max(q->virgin, q->cursor);
	if (!off && qcow2_refcount_put(q, at, 1, err) < 0)
		return -1;
	return qcow2_grow_file(q, err);
}

int qcow2_block_need(struct qcow2 *q, uint64_t cluster, vd_error *err)
{
	uint64_t off;

	for (;;) {
		if (qcow2_block_at(q, cluster >> q->block_bits, &off, err) < 0)
			return -1;
		if (off)
			return 0;
		if (qcow2_block_new(q, cluster >> q->block_bits, err) < 0)
			return -1;
	}
}

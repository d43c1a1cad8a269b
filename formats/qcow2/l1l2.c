/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The mapping tables (spec: "Cluster mapping", "Extended L2 Entries"): entries judged and taken apart, L2 tables found and made.
 * L2 tables have rank 2 and the L1 table rank 3 in the cache, so an L2 table is durable before anything points at it.
 */
#include "qcow2.h"

static bool qcow2_overlaps(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
	return a < b + b_len && b < a + a_len;
}

bool qcow2_is_core_meta(const struct qcow2 *q, uint64_t off, uint64_t len)
{
	return off < q->cluster ||
	       (q->h.l1_size && qcow2_overlaps(off, len, q->h.l1_off, vd_up(q->h.l1_size * 8ull, q->cluster))) ||
	       qcow2_overlaps(off, len, q->h.rt_off, (uint64_t)q->h.rt_clusters << q->bits);
}

int qcow2_l1_get(struct qcow2 *q, uint64_t l1_off, uint64_t idx, uint64_t *entry, vd_error *err)
{
	uint64_t at = l1_off + idx * 8;
	struct vd_table *t;

	if (vd_cache_get(q->cache, vd_down(at, q->table), QCOW2_RANK_L1, true, &t, err) < 0)
		return -1;
	*entry = be64_get(t->data + (at & (q->table - 1)));
	vd_cache_put(q->cache, t);
	return 0;
}

int qcow2_l1_put_at(struct qcow2 *q, uint64_t l1_off, uint64_t idx, uint64_t entry, vd_error *err)
{
	uint64_t at = l1_off + idx * 8;
	struct vd_table *t;

	if (vd_cache_get(q->cache, vd_down(at, q->table), QCOW2_RANK_L1, true, &t, err) < 0)
		return -1;
	be64_put(t->data + (at & (q->table - 1)), entry);
	vd_cache_dirty(q->cache, t);
	vd_cache_put(q->cache, t);
	return 0;
}

int qcow2_l1_put(struct qcow2 *q, uint64_t idx, uint64_t entry, vd_error *err)
{
	return qcow2_l1_put_at(q, q->l1_off, idx, entry, err);
}

int qcow2_l2_off_judge(const struct qcow2 *q, uint64_t entry, uint64_t where, vd_error *err)
{
	uint64_t off = entry & QCOW2_OFF_MASK, size = vd_file_size(q->file);

	if (entry & ~(QCOW2_OFF_MASK | QCOW2_COPIED))
		return vd_fail(err, VDISK_CORRUPT, where, "L1 entry %#" PRIx64 " at %#" PRIx64 " has reserved bits set", entry,
		               where);
	if (off & (q->cluster - 1))
		return vd_fail(err, VDISK_CORRUPT, where,
		               "L2 table offset %#" PRIx64 " in the L1 entry at %#" PRIx64 " is not on a cluster", off, where);
	if (off >= size)
		return vd_fail(err, VDISK_CORRUPT, where,
		               "L2 table at %#" PRIx64 " (L1 entry at %#" PRIx64 ") is outside the file (%" PRIu64 " bytes)", off,
		               where, size);
	if (off && qcow2_is_core_meta(q, off, q->cluster))
		return vd_fail(err, VDISK_CORRUPT, where,
		               "L2 table at %#" PRIx64 " (L1 entry at %#" PRIx64
		               ") lies on the header, the L1 table or the refcount table",
		               off, where);
	return 0;
}

int qcow2_l2_find(struct qcow2 *q, uint64_t off, struct qcow2_l2_pos *pos, vd_error *err)
{
	uint64_t idx = off / qcow2_l2_span(q), entry = 0;

	pos->idx = (uint32_t)(off % qcow2_l2_span(q) >> q->bits);
	if (idx < q->l1_size && qcow2_l1_get(q, q->l1_off, idx, &entry, err) < 0)
		return -1;
	pos->l2_off = entry & QCOW2_OFF_MASK;
	pos->shared = !(entry & QCOW2_COPIED);
	return qcow2_l2_off_judge(q, entry, q->l1_off + idx * 8, err);
}

int qcow2_l2_slice(struct qcow2 *q, uint64_t l2_off, uint32_t idx, struct vd_table **t, uint32_t *first, uint32_t *n, vd_error *err)
{
	uint32_t per = q->table / q->entry_bytes;

	*first = idx - idx % per;
	*n = per;
	return vd_cache_get(q->cache, l2_off + (uint64_t)*first * q->entry_bytes, QCOW2_RANK_L2, false, t, err);
}

struct qcow2_entry qcow2_entry_get(const struct qcow2 *q, const struct vd_table *t, uint32_t at)
{
	const uint8_t *p = t->data + (size_t)at * q->entry_bytes;
	struct qcow2_entry e = {be64_get(p), q->ext_l2 ? be64_get(p + 8) : 0};

	return e;
}

void qcow2_entry_put(const struct qcow2 *q, struct vd_table *t, uint32_t at, struct qcow2_entry e)
{
	uint8_t *p = t->data + (size_t)at * q->entry_bytes;

	be64_put(p, e.desc);
	if (q->ext_l2)
		be64_put(p + 8, e.bitmap);
	vd_cache_dirty(q->cache, t);
}

int qcow2_tables_fill(struct qcow2 *q, uint64_t to, uint64_t from, unsigned rank, bool tail_ok, vd_error *err)
{
	for (uint64_t at = 0; at < q->cluster; at += q->table) {
		struct vd_table *n, *o;

		if (vd_cache_new_table(q->cache, to + at, rank, &n, err) < 0)
			return -1;
		if (from) {
			if (vd_cache_get(q->cache, from + at, rank, tail_ok, &o, err) < 0) {
				vd_cache_put(q->cache, n);
				return -1;
			}
			memcpy(n->data, o->data, q->table);
			vd_cache_dirty(q->cache, n); /* getting the old one may have written the new one back */
			vd_cache_put(q->cache, o);
		}
		vd_cache_put(q->cache, n);
	}
	return 0;
}

int qcow2_l2_own(struct qcow2 *q, uint64_t off, struct qcow2_l2_pos *pos, vd_error *err)
{
	uint64_t cluster, got;
	bool zeroed;

	if (qcow2_l2_find(q, off, pos, err) < 0)
		return -1;
	if (pos->l2_off && !pos->shared)
		return 0;
	if (qcow2_alloc(q, 1, &cluster, &got, &zeroed, err) < 0)
		return -1;
	/* A fresh table in space that reads as zeros needs nothing written; slices that stay empty stay holes. */
	if (qcow2_meta_add(&q->meta, cluster, err) < 0 ||
	    ((pos->l2_off || !zeroed) && qcow2_tables_fill(q, cluster << q->bits, pos->l2_off, QCOW2_RANK_L2, false, err) < 0) ||
	    qcow2_l1_put(q, off / qcow2_l2_span(q), cluster << q->bits | QCOW2_COPIED, err) < 0) {
		qcow2_free_now(q, cluster, 1, NULL);
		return -1;
	}
	if (pos->l2_off && qcow2_free_later(q, qcow2_cluster_of(q, pos->l2_off), 1, err) < 0)
		return -1;
	pos->l2_off = cluster << q->bits;
	pos->shared = false;
	return 0;
}

/* ---------------------------------------------------------------- entries */

uint64_t qcow2_packed_host_end(unsigned cluster_bits)
{
	return vd_min(1ull << (62 - (cluster_bits - 8)), 1ull << 56);
}

struct qcow2_packed qcow2_packed_decode(unsigned cluster_bits, uint64_t desc)
{
	unsigned x = 62 - (cluster_bits - 8);
	struct qcow2_packed p = {.host = desc & ((1ull << x) - 1)};
	uint64_t sectors = (desc & (QCOW2_COMPRESSED - 1)) >> x;

	p.len = (sectors + 1) * 512 - (p.host & 511);
	return p;
}

uint64_t qcow2_packed_encode(unsigned cluster_bits, uint64_t host, uint32_t len)
{
	uint64_t sectors = ((host + len - 1) >> 9) - (host >> 9);

	return QCOW2_COMPRESSED | sectors << (62 - (cluster_bits - 8)) | host;
}

struct qcow2_run qcow2_entry_run(const struct qcow2 *q, struct qcow2_entry e)
{
	struct qcow2_run r = {0, 0};

	if (e.desc & QCOW2_COMPRESSED) {
		struct qcow2_packed p = qcow2_packed_decode(q->bits, e.desc);
		r.first = qcow2_cluster_of(q, p.host);
		r.n = qcow2_cluster_of(q, p.host + p.len - 1) - r.first + 1;
	} else if (!q->external && (e.desc & QCOW2_OFF_MASK)) {
		r.first = qcow2_cluster_of(q, e.desc & QCOW2_OFF_MASK);
		r.n = 1;
	}
	return r;
}

static const char *qcow2_packed_fault(const struct qcow2 *q, struct qcow2_entry e)
{
	struct qcow2_packed p = qcow2_packed_decode(q->bits, e.desc);

	if (q->external)
		return "is compressed, which an external data file forbids";
	if (e.desc & QCOW2_COPIED)
		return "is compressed and marked as copied";
	if (p.host >= qcow2_packed_host_end(q->bits))
		return "has reserved bits set";
	if (p.host >= vd_file_size(q->file))
		return "points outside the file";
	if (qcow2_is_core_meta(q, p.host, p.len))
		return "points at the header, the L1 table or the refcount table";
	if (qcow2_meta_has(&q->meta, qcow2_cluster_of(q, p.host)) ||
	    qcow2_meta_has(&q->meta, qcow2_cluster_of(q, p.host + p.len - 1)))
		return "points at an L2 table or a refcount block";
	return NULL;
}

const char *qcow2_entry_fault(const struct qcow2 *q, struct qcow2_entry e, uint64_t off, uint64_t valid)
{
	uint64_t host = e.desc & QCOW2_OFF_MASK, reserved = ~(QCOW2_OFF_MASK | QCOW2_COPIED | QCOW2_ZERO);
	bool data = !(e.desc & QCOW2_ZERO);

	if (e.desc & QCOW2_COMPRESSED)
		return qcow2_packed_fault(q, e);
	if (q->h.version < 3 || q->ext_l2)
		reserved |= QCOW2_ZERO;
	if (e.desc & reserved)
		return "has reserved bits set";
	if (q->ext_l2) {
		data = (uint32_t)e.bitmap != 0;
		if ((uint32_t)e.bitmap & (uint32_t)(e.bitmap >> 32))
			return "has subclusters both allocated and zero";
		if (data && !host && !(q->external && (e.desc & QCOW2_COPIED)))
			return "has allocated subclusters but no host cluster";
		if (data) /* what follows the last allocated subcluster need not be there */
			valid = vd_min(valid,
			               (32u - (unsigned)__builtin_clz((uint32_t)e.bitmap)) * (q->cluster / QCOW2_SUBCLUSTERS));
	}
	if (!host && !(e.desc & QCOW2_COPIED))
		return NULL;
	if (host & (q->cluster - 1))
		return "has an offset that is not on a cluster";
	if (q->external && host != off)
		return "does not match its place in the external data file";
	if (q->external)
		return data && q->data && !vd_within(host, valid, vd_file_size(q->data)) ? "points past the end of the data file"
		                                                                         : NULL;
	if (!host)
		return NULL; /* a stray copied bit: check's business */
	if (qcow2_is_core_meta(q, host, q->cluster))
		return "points at the header, the L1 table or the refcount table";
	if (host >= vd_file_size(q->file))
		return "points outside the file";
	if (qcow2_meta_has(&q->meta, qcow2_cluster_of(q, host)))
		return "points at an L2 table or a refcount block";
	if (data && !vd_within(host, valid, vd_file_size(q->file)))
		return "points at data that the file's end cuts short";
	return NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tables from one entry in use to the next.  They are mostly zeros and may be large (2 million entries of a refcount table of
 * 16 MiB): a slice at a time is looked at, not an entry.
 */
#include "qcow2.h"

#include "base/zero.h"

uint64_t qcow2_entry_first(const uint8_t *p, uint64_t from, uint64_t n)
{
	if (from < n && be64_get(p + from * 8))
		return from; /* tables in use are full of them */
	while (from < n) {
		uint64_t step = vd_min(n - from, 64);

		if (!vd_is_zero(p + from * 8, step * 8))
			break;
		from += step;
	}
	while (from < n && !be64_get(p + from * 8))
		from++;
	return from;
}

uint32_t qcow2_l2_first(const struct qcow2 *q, const struct vd_table *t, uint32_t at, uint32_t n)
{
	unsigned words = q->entry_bytes / 8;

	return (uint32_t)(qcow2_entry_first(t->data, (uint64_t)at * words, (uint64_t)n * words) / words);
}

int qcow2_entry_next(struct qcow2 *q, uint64_t table_off, uint64_t n, unsigned rank, uint64_t *i, uint64_t *entry, vd_error *err)
{
	*entry = 0;
	while (*i < n && !*entry) {
		uint64_t at = table_off + *i * 8, first = vd_down(at, q->table);
		uint64_t in = (at - first) / 8, end = vd_min(q->table / 8, in + n - *i);
		struct vd_table *t;
		uint64_t k;

		if (vd_cache_get(q->cache, first, rank, true, &t, err) < 0)
			return -1;
		k = qcow2_entry_first(t->data, in, end);
		*i += k - in;
		if (k < end)
			*entry = be64_get(t->data + k * 8);
		vd_cache_put(q->cache, t);
	}
	return 0;
}

int qcow2_l1_next(struct qcow2 *q, uint64_t l1_off, uint64_t l1_size, uint64_t *i, uint64_t *entry, vd_error *err)
{
	return qcow2_entry_next(q, l1_off, l1_size, QCOW2_RANK_L1, i, entry, err);
}

int qcow2_block_next(struct qcow2 *q, uint64_t *i, uint64_t *off, vd_error *err)
{
	uint64_t n = qcow2_reftable_entries(q), entry;

	*off = 0;
	for (; *i < n; ++*i) {
		if (qcow2_entry_next(q, q->h.rt_off, n, QCOW2_RANK_REFTABLE, i, &entry, err) < 0)
			return -1;
		if (*i == n)
			return 0;
		if (qcow2_block_at(q, *i, off, err) < 0)
			return -1;
		if (*off) /* else it cannot be, and nobody minds */
			return 0;
	}
	return 0;
}

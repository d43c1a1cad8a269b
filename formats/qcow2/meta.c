/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The clusters that hold the active L2 tables and the refcount blocks: a set, so that an entry that calls one of them guest data is
 * refused where it is read, not only by check.  Open addressing, linear probing; cluster 0 (the header) marks an empty place.
 * Past QCOW2_META_MAX members it takes no more: it is a guard, and memory has a bound.
 */
#include "qcow2.h"

#define QCOW2_META_MAX (1u << 20)

static size_t qcow2_meta_home(const struct qcow2_meta *m, uint64_t cluster)
{
	return (size_t)(cluster * 0x9e3779b97f4a7c15u >> 20) & (m->cap - 1);
}

static size_t qcow2_meta_find(const struct qcow2_meta *m, uint64_t cluster)
{
	size_t i = qcow2_meta_home(m, cluster);

	while (m->slot[i] && m->slot[i] != cluster)
		i = (i + 1) & (m->cap - 1);
	return i;
}

bool qcow2_meta_has(const struct qcow2_meta *m, uint64_t cluster)
{
	return m->n && m->slot[qcow2_meta_find(m, cluster)];
}

static int qcow2_meta_grow(struct qcow2_meta *m, vd_error *err)
{
	struct qcow2_meta bigger = {.cap = m->cap ? m->cap * 2 : 256, .n = m->n};

	bigger.slot = vd_calloc(bigger.cap, sizeof(*bigger.slot));
	if (!bigger.slot)
		return vd_fail_nomem(err, bigger.cap * sizeof(*bigger.slot));
	for (size_t i = 0; i < m->cap; i++) {
		if (m->slot[i])
			bigger.slot[qcow2_meta_find(&bigger, m->slot[i])] = m->slot[i];
	}
	vd_free(m->slot);
	*m = bigger;
	return 0;
}

int qcow2_meta_add(struct qcow2_meta *m, uint64_t cluster, vd_error *err)
{
	size_t i;

	if (!cluster || m->n >= QCOW2_META_MAX)
		return 0;
	if (m->n * 2 >= m->cap && qcow2_meta_grow(m, err) < 0)
		return -1;
	i = qcow2_meta_find(m, cluster);
	m->n += !m->slot[i];
	m->slot[i] = cluster;
	return 0;
}

void qcow2_meta_remove(struct qcow2_meta *m, uint64_t cluster)
{
	size_t i, j;

	if (!qcow2_meta_has(m, cluster))
		return;
	i = qcow2_meta_find(m, cluster);
	m->slot[i] = 0;
	m->n--;
	for (j = (i + 1) & (m->cap - 1); m->slot[j]; j = (j + 1) & (m->cap - 1)) { /* what was pushed past i moves up */
		size_t home = qcow2_meta_home(m, m->slot[j]);

		if (((j - home) & (m->cap - 1)) < ((j - i) & (m->cap - 1)))
			continue;
		m->slot[i] = m->slot[j];
		m->slot[j] = 0;
		i = j;
	}
}

/* Of what the active L1 table and the refcount table name; entries that cannot be are left to those who use them. */
int qcow2_meta_load(struct qcow2 *q, vd_error *err)
{
	uint64_t end = vd_file_size(q->file), entry;

	for (uint64_t i = 0; i < q->h.l1_size; i++) {
		if (qcow2_l1_next(q, q->h.l1_off, q->h.l1_size, &i, &entry, err) < 0)
			return -1;
		entry &= QCOW2_OFF_MASK;
		if (entry < end && qcow2_meta_add(&q->meta, qcow2_cluster_of(q, entry), err) < 0)
			return -1;
	}
	for (uint64_t i = 0; q->h.rt_off < end && i < vd_min(qcow2_reftable_entries(q), (end - q->h.rt_off) / 8); i++) {
		vd_error inner = {0};

		if (qcow2_block_next(q, &i, &entry, &inner) < 0) {
			if (inner.kind == VDISK_CORRUPT)
				continue;
			if (err)
				*err = inner;
			return -1;
		}
		if (qcow2_meta_add(&q->meta, qcow2_cluster_of(q, entry), err) < 0)
			return -1;
	}
	return 0;
}

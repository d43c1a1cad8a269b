/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Another virtual size.  Growing may move the L1 table: the new one is durable before the header points at it, and the old one's
 * space is free after that.  Shrinking lets go of the clusters first, so that what the header promises is never less than what is
 * there.
 */
#include "bitmap.h"

/* A longer L1 table at the end of the file; nothing points at it yet. */
static int qcow2_l1_copy(struct qcow2 *q, uint64_t to, uint64_t clusters, vd_error *err)
{
	uint64_t old_bytes = vd_up(q->l1_size * 8ull, 8);

	for (uint64_t at = 0; at < clusters << q->bits; at += q->table) {
		struct vd_table *n, *o;

		if (vd_cache_new_table(q->cache, to + at, QCOW2_RANK_L1, &n, err) < 0)
			return -1;
		if (at < old_bytes) {
			if (vd_cache_get(q->cache, q->l1_off + at, QCOW2_RANK_L1, true, &o, err) < 0) {
				vd_cache_put(q->cache, n);
				return -1;
			}
			memcpy(n->data, o->data, vd_min(q->table, old_bytes - at));
			vd_cache_dirty(q->cache, n); /* getting the old one may have written the new one back */
			vd_cache_put(q->cache, o);
		}
		vd_cache_put(q->cache, n);
	}
	return 0;
}

static int qcow2_l1_grow(struct qcow2 *q, uint64_t entries, vd_error *err)
{
	uint64_t old_first = qcow2_cluster_of(q, q->l1_off), old_n = vd_div_up(q->l1_size * 8ull, q->cluster), first;
	uint64_t clusters = vd_div_up(entries * 8, q->cluster);
	bool zeroed;

	if (entries > QCOW2_L1_BYTES_MAX / 8)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "the disk would need an L1 table of %" PRIu64 " entries, more than %u", entries,
		               QCOW2_L1_BYTES_MAX / 8);
	if (qcow2_alloc_row(q, clusters, &first, &zeroed, err) < 0)
		return -1;
	if (qcow2_l1_copy(q, first << q->bits, clusters, err) < 0 || qcow2_flush_layer(q, err) < 0) {
		qcow2_free_now(q, first, clusters, NULL);
		return -1;
	}
	q->h.l1_off = q->l1_off = first << q->bits;
	q->h.l1_size = q->l1_size = (uint32_t)entries;
	if (qcow2_header_write(q, err) < 0 || vd_file_flush(q->file, err) < 0) {
		q->layer->broken = true; /* which table the header names is not known */
		return -1;
	}
	return old_n ? qcow2_free_now(q, old_first, old_n, err) : 0;
}

/* Entries for guest offsets from `from` on (a VM's state, or what a shorter disk left) are let go. */
static int qcow2_l1_clear(struct qcow2 *q, uint64_t from, vd_error *err)
{
	uint64_t span = qcow2_l2_span(q), end = q->l1_size * span;

	from = vd_up(from, q->cluster);
	return from < end ? qcow2_unmap(q->layer, from, end - from, VD_ABSENT, err) : 0;
}

static int qcow2_resize_judge(const struct qcow2 *q, uint64_t size, vd_error *err)
{
	if (size % 512)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "a size of %" PRIu64 " bytes is no multiple of 512", size);
	if (q->h.version < 3 && q->h.n_snap)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "a version 2 image with internal snapshots cannot be resized: they do not keep their own size");
	if (size > INT64_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "a disk of %" PRIu64 " bytes is too large", size);
	return 0;
}

int qcow2_resize(struct vd_layer *l, uint64_t size, vd_error *err)
{
	struct qcow2 *q = qcow2_of(l);
	uint64_t entries = vd_div_up(size, qcow2_l2_span(q)), old = l->size;

	if (size == old)
		return 0;
	if (qcow2_resize_judge(q, size, err) < 0 || qcow2_bitmaps_settle(l, err) < 0 || qcow2_bitmaps_hold(q, true, err) < 0)
		return -1;
	if (l->tracked && size < old && qcow2_bitmaps_touch(l, size, old - size, err) < 0)
		return -1;
	if (qcow2_l1_clear(q, vd_min(size, old), err) < 0 || qcow2_flush_layer(q, err) < 0)
		return -1;
	if (entries > q->l1_size && qcow2_l1_grow(q, entries, err) < 0)
		return -1;
	if (q->external && !(q->data->flags & VD_FILE_BLOCKDEV) && (q->external_raw || size > old) &&
	    vd_file_truncate(q->data, size, err) < 0)
		return -1;
	q->h.size = l->size = size;
	if (qcow2_header_write(q, err) < 0)
		return -1;
	if (qcow2_flush_layer(q, err) < 0 || qcow2_bitmaps_remake(q, old, old, err) < 0)
		return -1;
	if (size < old && qcow2_trim_file(q, err) < 0)
		return -1;
	return qcow2_flush_layer(q, err);
}

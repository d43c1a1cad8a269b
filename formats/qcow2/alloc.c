/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Host space: found, given out, given back.
 *
 *  - Between q->hint and q->cursor there may be free clusters; a call looks at a bounded number of counts there and moves the hint
 *    on, so that all calls together read each refcount block once.  Past q->cursor nothing is in use.
 *  - A cluster loses its reference first in the tables (free_later), and in the counts when that is durable (free_pending, by
 *    flush): only then may it be used again (C2).  Until then a crash leaks it (C3).
 *  - What lies at or after q->virgin was never given out and was past the end of the file: it reads as zeros where the file says so
 *    (VD_FILE_ZERO_TAIL).
 *  - The file is grown over what is given out at once, under the layer's lock, so that its length never has to be changed while
 *    data is being written.
 */
#include "qcow2.h"

#include <errno.h>

#define QCOW2_SCAN_BUDGET 65536u

int qcow2_grow_file(struct qcow2 *q, vd_error *err)
{
	uint64_t end = q->cursor << q->bits;

	if (end <= vd_file_size(q->file))
		return 0;
	if (q->file->flags & VD_FILE_BLOCKDEV)
		return vd_fail_errno(err, ENOSPC, end, "the device of %" PRIu64 " bytes is full", vd_file_size(q->file));
	return vd_file_grow(q->file, end, err);
}

/* Up to `want` free clusters in a row below the cursor; *got 0: none found this time. */
static int qcow2_free_find(struct qcow2 *q, uint64_t want, uint64_t *first, uint64_t *got, vd_error *err)
{
	uint64_t budget = QCOW2_SCAN_BUDGET, run;
	bool zero;

	*got = 0;
	while (budget && q->hint < q->cursor) {
		uint64_t n = vd_min(budget, q->cursor - q->hint);

		if (qcow2_refcount_scan(q, q->hint, n, &zero, &run, err) < 0)
			return -1;
		if (zero) {
			*first = q->hint;
			*got = vd_min(run, want);
			return 0;
		}
		q->hint += run;
		budget -= run;
	}
	return 0;
}

static int qcow2_alloc_hole(struct qcow2 *q, uint64_t want, uint64_t *first, uint64_t *got, vd_error *err)
{
	uint64_t cursor;

	*got = 0;
	do { /* a block that had to be made may have taken what was found */
		cursor = q->cursor;
		if (qcow2_free_find(q, want, first, got, err) < 0)
			return -1;
		if (!*got)
			return 0;
		if (qcow2_block_need(q, *first, err) < 0)
			return -1;
	} while (q->cursor != cursor);
	if (qcow2_refcount_claim(q, *first, *got, got, err) < 0)
		return -1;
	q->hint = *first + *got;
	return 0;
}

static int qcow2_alloc_end(struct qcow2 *q, uint64_t want, uint64_t *first, uint64_t *got, bool *zeroed, vd_error *err)
{
	do {
		uint64_t cursor = q->cursor;

		if (qcow2_block_need(q, cursor, err) < 0)
			return -1;
		if (q->cursor != cursor) {
			*got = 0;
			continue;
		}
		*first = cursor;
		want = vd_min(want, (((cursor >> q->block_bits) + 1) << q->block_bits) - cursor);
		if (qcow2_refcount_claim(q, cursor, want, got, err) < 0)
			return -1;
		q->cursor += *got ? *got : 1;
	} while (!*got);
	if (q->cursor << q->bits > QCOW2_OFF_MASK)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "the file would be larger than 64 PiB");
	*zeroed = *first >= q->virgin && (q->file->flags & VD_FILE_ZERO_TAIL);
	q->virgin = vd_max(q->virgin, q->cursor);
	return qcow2_grow_file(q, err);
}

int qcow2_alloc(struct qcow2 *q, uint64_t want, uint64_t *first, uint64_t *got, bool *zeroed, vd_error *err)
{
	*zeroed = false;
	if (qcow2_alloc_hole(q, want, first, got, err) < 0)
		return -1;
	return *got ? 0 : qcow2_alloc_end(q, want, first, got, zeroed, err);
}

int qcow2_alloc_row(struct qcow2 *q, uint64_t n, uint64_t *first, bool *zeroed, vd_error *err)
{
	uint64_t got, done = 0;

	while (done < n) { /* until no block had to be made in between, and nothing was in the way */
		uint64_t at = q->cursor;

		for (uint64_t c = at; c < at + n; c = ((c >> q->block_bits) + 1) << q->block_bits) {
			if (qcow2_block_need(q, c, err) < 0)
				return -1;
		}
		if (q->cursor != at)
			continue;
		*first = at;
		if (qcow2_refcount_claim(q, at, n, &got, err) < 0)
			return -1;
		q->cursor = at + (got ? got : 1);
		if (got < n && got && qcow2_free_now(q, at, got, err) < 0)
			return -1;
		done = got;
	}
	*zeroed = *first >= q->virgin && (q->file->flags & VD_FILE_ZERO_TAIL);
	q->virgin = vd_max(q->virgin, q->cursor);
	return qcow2_grow_file(q, err);
}

/* Bytes for a packed cluster, right behind the last one where that is possible; one reference for each host cluster it touches. */
int qcow2_alloc_packed(struct qcow2 *q, uint32_t len, uint64_t *host, vd_error *err)
{
	uint64_t room = q->pack_off ? vd_up(q->pack_off, q->cluster) - q->pack_off : 0, last = qcow2_cluster_of(q, q->pack_off),
		 first, got;
	uint64_t count = 0;
	bool zeroed;

	if (room && qcow2_refcount_get(q, last, &count, err) < 0)
		return -1;
	if (!count || count >= q->count_max)
		room = 0;
	if (room < len) {
		if (qcow2_alloc(q, 1, &first, &got, &zeroed, err) < 0)
			return -1;
		if (room && first != last + 1)
			room = 0;
		if (!room)
			q->pack_off = first << q->bits;
	}
	if (room && qcow2_refcount_put(q, last, count + 1, err) < 0)
		return -1;
	*host = q->pack_off;
	if (*host + len > qcow2_packed_host_end(q->bits))
		return vd_fail(err, VDISK_UNSUPPORTED, *host, "compressed clusters cannot lie past %#" PRIx64,
		               qcow2_packed_host_end(q->bits));
	q->pack_off += len;
	if (!(q->pack_off & (q->cluster - 1)))
		q->pack_off = 0;
	return 0;
}

/* [first, first+n) is not used by anything any more. */
static int qcow2_run_release(struct qcow2 *q, uint64_t first, uint64_t n, vd_error *err)
{
	if (!n)
		return 0;
	q->hint = vd_min(q->hint, first);
	if (q->pack_off && qcow2_cluster_of(q, q->pack_off) - first < n)
		q->pack_off = 0;
	for (uint64_t at = first << q->bits; at < (first + n) << q->bits; at += q->table)
		vd_cache_forget(q->cache, at);
	for (uint64_t c = first; c < first + n; c++)
		qcow2_meta_remove(&q->meta, c);
	if (first << q->bits >= vd_file_size(q->file))
		return 0;
	return vd_file_punch(q->file, first << q->bits, vd_min(n << q->bits, vd_file_size(q->file) - (first << q->bits)), err);
}

int qcow2_free_now(struct qcow2 *q, uint64_t first, uint64_t n, vd_error *err)
{
	uint64_t start = first, count;

	for (uint64_t c = first; c < first + n; c++) {
		if (qcow2_refcount_get(q, c, &count, err) < 0)
			return -1;
		if (!count)
			return vd_fail(err, VDISK_CORRUPT, c << q->bits, "refcount of the cluster in use at %#" PRIx64 " is 0",
			               c << q->bits);
		if (qcow2_refcount_put(q, c, count - 1, err) < 0)
			return -1;
		if (count > 1) {
			if (qcow2_run_release(q, start, c - start, err) < 0)
				return -1;
			start = c + 1;
		}
	}
	return qcow2_run_release(q, start, first + n - start, err);
}

int qcow2_free_later(struct qcow2 *q, uint64_t first, uint64_t n, vd_error *err)
{
	struct qcow2_run *last = q->n_pending ? &q->pending[q->n_pending - 1] : NULL;

	if (!n)
		return 0;
	if (last && last->first + last->n == first) {
		last->n += n;
		return 0;
	}
	if (q->n_pending == q->cap_pending) {
		size_t cap = q->cap_pending ? q->cap_pending * 2 : 64;
		struct qcow2_run *p = vd_realloc(q->pending, cap, sizeof(*p));

		if (!p)
			return vd_fail_nomem(err, cap * sizeof(*p));
		q->pending = p;
		q->cap_pending = cap;
	}
	q->pending[q->n_pending++] = (struct qcow2_run){first, n};
	return 0;
}

int qcow2_free_pending(struct qcow2 *q, vd_error *err)
{
	size_t n = q->n_pending;

	q->n_pending = 0;
	for (size_t i = 0; i < n; i++) {
		if (qcow2_free_now(q, q->pending[i].first, q->pending[i].n, err) < 0)
			return -1;
	}
	return 0;
}

int qcow2_flush_layer(struct qcow2 *q, vd_error *err)
{
	if (q->external && vd_file_flush(q->data, err) < 0)
		return -1;
	if (vd_cache_write_back(q->cache, err) < 0)
		return -1;
	return qcow2_free_pending(q, err);
}

/* Cuts unused clusters off the file's end. */
int qcow2_trim_file(struct qcow2 *q, vd_error *err)
{
	uint64_t count = 0;

	while (q->cursor > 1) {
		if (qcow2_refcount_get(q, q->cursor - 1, &count, err) < 0)
			return -1;
		if (count)
			break;
		q->cursor--;
	}
	q->hint = vd_min(q->hint, q->cursor);
	if ((q->file->flags & VD_FILE_BLOCKDEV) || q->cursor << q->bits == vd_file_size(q->file))
		return 0;
	q->virgin = q->cursor;
	if (q->pack_off && qcow2_cluster_of(q, q->pack_off) >= q->cursor)
		q->pack_off = 0;
	return vd_file_truncate(q->file, q->cursor << q->bits, err);
}

int qcow2_cursor_init(struct qcow2 *q, vd_error *err)
{
	uint64_t off, block = qcow2_reftable_entries(q), count;

	q->hint = 1;
	q->virgin = q->cursor = vd_div_up(vd_file_size(q->file), q->cluster);
	if (!(q->file->flags & VD_FILE_BLOCKDEV))
		return 0;
	/* A device is as long as it is: the end is where the counts end. */
	q->cursor = vd_file_size(q->file) >> q->bits;
	do {
		if (!block--)
			return 0;
		if (qcow2_block_at(q, block, &off, err) < 0)
			return -1;
	} while (!off);
	for (q->cursor = vd_min(q->cursor, (block + 1) << q->block_bits); q->cursor > 1; q->cursor--) {
		if (qcow2_refcount_get(q, q->cursor - 1, &count, err) < 0)
			return -1;
		if (count)
			break;
	}
	return 0;
}

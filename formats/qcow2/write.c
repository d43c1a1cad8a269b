/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing: space is found by reserve, pointed at by publish, given up by abandon, and let go by unmap.
 *
 *  - reserve() makes the L2 table that publish() will need, so that publish allocates nothing.  A new table is empty or a copy, so
 *    that an abandoned reservation leaves only space, never a change of content.
 *  - A reservation lies within one L2 table.
 *  - What publish replaces is freed by qcow2_free_later(): counted until the new entry is durable (C2).
 *  - A data cluster is durable before the entry that points at it where the old entry's content was durable already (C1, C5): the
 *    cache is told of a barrier.
 */
#include "bitmap.h"

#define QCOW2_RESV_FRESH 1u /* priv: abandon() gives the space back */
#define QCOW2_RESV_NOTHING 2u /* publish() has nothing to do */

uint32_t qcow2_layer_caps(const struct vd_layer *l)
{
	const struct qcow2 *q = qcow2_of(l);

	return q->h.version >= 3 && !q->external_raw ? VD_CAP_ZERO : 0;
}

/* ---------------------------------------------------------------- before the first change */

int qcow2_begin_write(struct vd_layer *l, vd_error *err)
{
	struct qcow2 *q = qcow2_of(l);
	uint64_t known = QCOW2_AUTOCLEAR_RAW_DATA | (q->x.has_bitmaps ? QCOW2_AUTOCLEAR_BITMAPS : 0);
	bool dirty = (q->h.incompat & QCOW2_INCOMPAT_DIRTY) && !q->for_check;

	if (q->unfinished)
		return 0;
	if (!q->for_check && qcow2_whole_judge(q, err) < 0)
		return -1;
	if (dirty && qcow2_refcounts_mend(q, err) < 0)
		return -1;
	if (q->external && vd_file_size(q->data) < l->size && !(q->data->flags & VD_FILE_BLOCKDEV) &&
	    vd_file_truncate(q->data, l->size, err) < 0)
		return -1;
	if (!(q->h.autoclear & ~known) && !dirty)
		return 0;
	q->h.autoclear &= known;
	if (dirty)
		q->h.incompat &= ~QCOW2_INCOMPAT_DIRTY;
	if (qcow2_header_write(q, err) < 0)
		return -1;
	return vd_file_flush(q->file, err);
}

/* ---------------------------------------------------------------- reserve */

/* How many entries from `idx` on, at most n, can share one reservation with the first: all with a host cluster of their own, in a
   row (*host set), or none with one (*host 0). */
static int qcow2_resv_probe(struct qcow2 *q, const struct qcow2_l2_pos *pos, uint64_t off, uint32_t n, uint64_t *host, bool *data,
                            uint32_t *run, vd_error *err)
{
	uint32_t first, count;
	struct vd_table *t;

	if (qcow2_l2_slice(q, pos->l2_off, pos->idx, &t, &first, &count, err) < 0)
		return -1;
	*run = 0;
	*host = 0;
	*data = false;
	for (uint32_t i = pos->idx; *run < n && i < first + count; i++, (*run)++) {
		struct qcow2_entry e = qcow2_entry_get(q, t, i - first);
		uint64_t at = vd_down(off, q->cluster) + ((uint64_t)*run << q->bits);
		const char *fault = qcow2_entry_fault(q, e, at, vd_min(q->cluster, q->layer->size - at));
		bool own =
			(e.desc & (QCOW2_COPIED | QCOW2_COMPRESSED)) == QCOW2_COPIED && (q->external || (e.desc & QCOW2_OFF_MASK));

		if (fault) {
			vd_cache_put(q->cache, t);
			return vd_fail(err, VDISK_CORRUPT, pos->l2_off + (uint64_t)i * q->entry_bytes,
			               "L2 entry %#" PRIx64 " (guest offset %" PRIu64 ") %s", e.desc, at, fault);
		}
		if (!*run) {
			*host = own && !q->external ? e.desc & QCOW2_OFF_MASK : 0;
			*data = own && !q->ext_l2 && !(e.desc & QCOW2_ZERO);
		} else if (own && !q->external ? (e.desc & QCOW2_OFF_MASK) != *host + ((uint64_t)*run << q->bits) || !*host
		                               : *host != 0) {
			break;
		} else if (*data != (own && !q->ext_l2 && !(e.desc & QCOW2_ZERO))) {
			break;
		}
	}
	vd_cache_put(q->cache, t);
	return 0;
}

/* Clusters left in the L2 table from guest offset `off` on, at most those of len. */
static uint32_t qcow2_resv_limit(const struct qcow2 *q, uint64_t off, uint64_t len)
{
	uint64_t idx = off % qcow2_l2_span(q) >> q->bits;

	return (uint32_t)vd_min(((off & (q->cluster - 1)) + len + q->cluster - 1) >> q->bits, q->l2_entries - idx);
}

/* Ends the reservation after `n` clusters, counting the one that `off` is in. */
static void qcow2_resv_cut(const struct qcow2 *q, struct vd_resv *r, uint64_t n)
{
	r->len = vd_min(r->len, (n << q->bits) - (r->off & (q->cluster - 1)));
}

static int qcow2_reserve_packed(struct qcow2 *q, struct vd_resv *r, vd_error *err)
{
	struct qcow2_l2_pos pos;

	if (q->external || q->crypt_method)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "compressed clusters do not go together with %s",
		               q->external ? "an external data file" : "encryption");
	if (qcow2_l2_own(q, r->off, &pos, err) < 0 || qcow2_alloc_packed(q, r->packed_len, &r->host, err) < 0)
		return -1;
	r->file = q->data_idx;
	r->priv = QCOW2_RESV_FRESH;
	return 0;
}

static int qcow2_reserve_data(struct qcow2 *q, struct vd_resv *r, vd_error *err)
{
	uint32_t n = qcow2_resv_limit(q, r->off, r->len), run;
	uint64_t within = r->off & (q->cluster - 1), host, first, got;
	struct qcow2_l2_pos pos;
	bool data, zeroed;

	if (qcow2_l2_own(q, r->off, &pos, err) < 0 || qcow2_resv_probe(q, &pos, r->off, n, &host, &data, &run, err) < 0)
		return -1;
	r->file = q->data_idx;
	if (q->crypt_method)
		r->flags |= VD_RESV_CIPHERED;
	if (data)
		r->flags |= VD_RESV_INPLACE;
	if (q->external || host) {
		r->host = q->external ? r->off : host + within;
		if (q->data_fresh && !data && q->external)
			r->flags |= VD_RESV_ZEROED;
		qcow2_resv_cut(q, r, run);
		return 0;
	}
	if (qcow2_alloc(q, run, &first, &got, &zeroed, err) < 0)
		return -1;
	r->host = (first << q->bits) + within;
	r->priv = QCOW2_RESV_FRESH;
	if (zeroed)
		r->flags |= VD_RESV_ZEROED;
	qcow2_resv_cut(q, r, got);
	return 0;
}

int qcow2_reserve(struct vd_layer *l, struct vd_resv *r, vd_error *err)
{
	struct qcow2 *q = qcow2_of(l);
	struct qcow2_l2_pos pos;

	r->priv = 0;
	r->flags &= ~(VD_RESV_ZEROED | VD_RESV_CIPHERED | VD_RESV_INPLACE);
	if (r->flags & VD_RESV_PACKED)
		return qcow2_reserve_packed(q, r, err);
	if (r->kind == VD_DATA)
		return qcow2_reserve_data(q, r, err);
	qcow2_resv_cut(q, r, qcow2_resv_limit(q, r->off, r->len));
	if (!l->parent_ref.n_names && !l->parent) { /* what no table says reads as zeros already */
		if (qcow2_l2_find(q, r->off, &pos, err) < 0)
			return -1;
		if (!pos.l2_off) {
			r->priv = QCOW2_RESV_NOTHING;
			return 0;
		}
	}
	return qcow2_l2_own(q, r->off, &pos, err);
}

static struct qcow2_run qcow2_resv_run(const struct qcow2 *q, const struct vd_resv *r)
{
	uint64_t first = qcow2_cluster_of(q, r->host), len = r->flags & VD_RESV_PACKED ? r->packed_len : r->len;
	struct qcow2_run run = {first, qcow2_cluster_of(q, r->host + len - 1) - first + 1};

	return run;
}

void qcow2_abandon(struct vd_layer *l, struct vd_resv *r)
{
	struct qcow2 *q = qcow2_of(l);
	struct qcow2_run run = qcow2_resv_run(q, r);

	q->data_fresh = false;
	if (r->priv & QCOW2_RESV_FRESH)
		qcow2_free_now(q, run.first, run.n, NULL); /* at worst a leak */
	r->priv = 0;
}

/* ---------------------------------------------------------------- publish */

static uint32_t qcow2_sub_mask(const struct qcow2 *q, uint64_t from, uint64_t to)
{
	uint32_t sub = q->cluster / QCOW2_SUBCLUSTERS;
	unsigned a = (unsigned)(from / sub), b = (unsigned)((to + sub - 1) / sub);

	return (uint32_t)(((1ull << b) - 1) & ~((1ull << a) - 1));
}

/* The entry after bytes [from, to) of the cluster were set to `kind`; for DATA at host cluster `host`. */
static struct qcow2_entry qcow2_entry_after(const struct qcow2 *q, struct qcow2_entry old, enum vd_kind kind, uint64_t host,
                                            uint64_t from, uint64_t to)
{
	struct qcow2_entry e = {0, 0};
	uint64_t mask;

	if (!q->ext_l2) {
		e.desc = kind == VD_DATA ? host | QCOW2_COPIED : QCOW2_ZERO;
		if (kind == VD_ZERO && q->external && (old.desc & QCOW2_COPIED))
			e.desc |= old.desc & (QCOW2_OFF_MASK | QCOW2_COPIED);
		return e;
	}
	mask = qcow2_sub_mask(q, from, to);
	e.bitmap = old.desc & QCOW2_COMPRESSED ? 0 : old.bitmap & ~(mask | mask << 32);
	e.bitmap |= kind == VD_DATA ? mask : mask << 32;
	if (kind == VD_DATA)
		e.desc = host | QCOW2_COPIED;
	else if ((uint32_t)e.bitmap || q->external)
		e.desc = old.desc;
	return e;
}

/* Sets the entries of the clusters that [off, off+len) touches, all of one L2 table, and lets go of what they held. */
static int qcow2_entries_set(struct qcow2 *q, const struct qcow2_l2_pos *pos, uint64_t off, uint64_t len, enum vd_kind kind,
                             uint64_t host, vd_error *err)
{
	uint32_t idx = pos->idx, first = 0, n = 0;
	uint64_t end = off + len;
	struct vd_table *t = NULL;
	int rc = 0;

	while (!rc && off < end) {
		uint64_t from = off & (q->cluster - 1), to = vd_min(q->cluster, from + (end - off));
		struct qcow2_entry old, e;
		struct qcow2_run run;

		if (!t || idx >= first + n) {
			if (t)
				vd_cache_put(q->cache, t);
			t = NULL;
			if (qcow2_l2_slice(q, pos->l2_off, idx, &t, &first, &n, err) < 0)
				return -1;
		}
		old = qcow2_entry_get(q, t, idx - first);
		run = qcow2_entry_run(q, old);
		e = qcow2_entry_after(q, old, kind, host - from, from, to);
		if (e.desc != old.desc || e.bitmap != old.bitmap) {
			qcow2_entry_put(q, t, idx - first, e);
			if ((e.desc & QCOW2_OFF_MASK) != (old.desc & QCOW2_OFF_MASK) || (old.desc & QCOW2_COMPRESSED))
				rc = qcow2_free_later(q, run.first, run.n, err);
		}
		host += to - from;
		off += to - from;
		idx++;
	}
	if (t)
		vd_cache_put(q->cache, t);
	return rc;
}

static int qcow2_publish_packed(struct qcow2 *q, const struct qcow2_l2_pos *pos, const struct vd_resv *r, vd_error *err)
{
	struct qcow2_entry e = {qcow2_packed_encode(q->bits, r->host, r->packed_len), 0};
	uint32_t first, n;
	struct qcow2_run old;
	struct vd_table *t;

	if (qcow2_l2_slice(q, pos->l2_off, pos->idx, &t, &first, &n, err) < 0)
		return -1;
	old = qcow2_entry_run(q, qcow2_entry_get(q, t, pos->idx - first));
	qcow2_entry_put(q, t, pos->idx - first, e);
	vd_cache_put(q->cache, t);
	return qcow2_free_later(q, old.first, old.n, err);
}

static int qcow2_publish_one(struct qcow2 *q, const struct vd_resv *r, vd_error *err)
{
	struct qcow2_l2_pos pos;

	if ((r->priv & QCOW2_RESV_NOTHING) || (r->flags & VD_RESV_INPLACE))
		return 0;
	if (qcow2_l2_find(q, r->off, &pos, err) < 0)
		return -1;
	if (!pos.l2_off || pos.shared)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "publish without a reservation at guest offset %" PRIu64,
		               r->off);
	if (r->kind == VD_DATA)
		vd_cache_need_barrier(q->cache);
	else
		q->data_fresh = false; /* what is called zero now keeps its bytes in the data file */
	if (r->flags & VD_RESV_PACKED)
		return qcow2_publish_packed(q, &pos, r, err);
	return qcow2_entries_set(q, &pos, r->off, r->len, r->kind, r->host, err);
}

int qcow2_publish(struct vd_layer *l, const struct vd_resv *r, size_t n, vd_error *err)
{
	struct qcow2 *q = qcow2_of(l);

	for (size_t i = 0; i < n; i++) {
		if (qcow2_publish_one(q, &r[i], err) < 0)
			return -1;
	}
	return q->n_pending > QCOW2_PENDING_MAX ? qcow2_flush_layer(q, err) : 0;
}

/* ---------------------------------------------------------------- unmap */

/* Entries of one table to ABSENT or ZERO. */
static int qcow2_unmap_table(struct qcow2 *q, const struct qcow2_l2_pos *pos, uint64_t off, uint64_t end, enum vd_kind to,
                             vd_error *err)
{
	struct qcow2_entry e = {to == VD_ZERO && !q->ext_l2 ? QCOW2_ZERO : 0, to == VD_ZERO && q->ext_l2 ? 0xffffffffull << 32 : 0};
	uint32_t idx = pos->idx, first, n;
	struct vd_table *t;
	int rc = 0;

	while (!rc && off < end) {
		if (qcow2_l2_slice(q, pos->l2_off, idx, &t, &first, &n, err) < 0)
			return -1;
		for (; !rc && off < end && idx < first + n; idx++, off += q->cluster) {
			struct qcow2_entry old = qcow2_entry_get(q, t, idx - first);
			struct qcow2_run run = qcow2_entry_run(q, old);

			if (old.desc == e.desc && old.bitmap == e.bitmap)
				continue;
			qcow2_entry_put(q, t, idx - first, e);
			rc = qcow2_free_later(q, run.first, run.n, err);
		}
		vd_cache_put(q->cache, t);
	}
	return rc;
}

/* A raw external data file keeps its mapping: the bytes themselves become zeros.  Of another one the space is given back. */
static int qcow2_unmap_external(struct qcow2 *q, uint64_t off, uint64_t len, vd_error *err)
{
	q->data_fresh = false;
	if (off >= q->layer->size)
		return 0;
	len = vd_min(len, q->layer->size - off);
	return q->external_raw ? vd_file_zero(q->data, off, len, true, err) : vd_file_punch(q->data, off, len, err);
}

int qcow2_unmap(struct vd_layer *l, uint64_t off, uint64_t len, enum vd_kind to, vd_error *err)
{
	struct qcow2 *q = qcow2_of(l);
	uint64_t end = vd_up(off + len, q->cluster);

	if (to == VD_ZERO && q->h.version < 3) /* it cannot say so */
		return 0;
	/* Over a parent the entries go first, and the bytes stay: they are shown until that is durable. */
	if (q->external && !(to == VD_ABSENT && q->backing) && qcow2_unmap_external(q, off, len, err) < 0)
		return -1;
	while (off < end) {
		uint64_t stop = vd_min(end, (off / qcow2_l2_span(q) + 1) * qcow2_l2_span(q));
		struct qcow2_l2_pos pos;

		if (qcow2_l2_find(q, off, &pos, err) < 0)
			return -1;
		if (pos.l2_off && !q->external_raw) {
			if (qcow2_l2_own(q, off, &pos, err) < 0 || qcow2_unmap_table(q, &pos, off, stop, to, err) < 0)
				return -1;
		}
		off = stop;
	}
	return q->n_pending > QCOW2_PENDING_MAX ? qcow2_flush_layer(q, err) : 0;
}

/* ---------------------------------------------------------------- flush, finish */

int qcow2_flush(struct vd_layer *l, vd_error *err)
{
	return qcow2_flush_layer(qcow2_of(l), err);
}

int qcow2_finish(struct vd_layer *l, vd_error *err)
{
	struct qcow2 *q = qcow2_of(l);
	vd_error lost = {0};
	bool stored = !qcow2_bitmaps_settle(l, &lost), again = q->n_pending || !q->unfinished;

	if (qcow2_flush_layer(q, err) < 0) /* all at once: who sees the unfinished mark reads none of it */
		return -1;
	vd_cache_set_relaxed(q->cache, false);
	if (q->unfinished && qcow2_trim_file(q, err) < 0)
		return -1;
	if (again && qcow2_flush_layer(q, err) < 0) /* the counts of what the first one freed */
		return -1;
	if (!stored) { /* the disk is whole all the same */
		if (err)
			*err = lost;
		return vd_fail_in(err, "bitmaps that follow the writes could not be stored, and are marked so");
	}
	if (!q->unfinished)
		return 0;
	q->unfinished = false;
	q->h.incompat &= ~QCOW2_INCOMPAT_UNFINISHED;
	if (qcow2_header_rewrite(q, err) < 0)
		return -1;
	return vd_file_flush(q->file, err);
}

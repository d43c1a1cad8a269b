/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* map(): guest ranges to host ranges.  Runs under the shared lock; changes nothing. */
#include "qcow2.h"

/* Where one call's answer goes, and what it knows of the host file's holes. */
struct qcow2_answer {
	struct vd_extents *out;
	bool more;               /* out has room, and wants more */
	bool holes;              /* the caller wants to know of holes, and there may be some */
	uint64_t from, to;       /* what was asked last: [from, to) of the data file is all data or all hole */
	bool data;
};

/* Whether salvage goes on over this error. */
static bool qcow2_map_gives_up(const struct qcow2 *q, vd_error *err)
{
	if (!q->salvage || (err && (err->kind == VDISK_IO || err->kind == VDISK_NOMEM)))
		return false;
	vd_error_clear(err);
	return true;
}

/* An entry that cannot be what it says: refused, or given up under salvage. */
static int qcow2_map_fault(struct qcow2 *q, const struct vd_extent *x, const char *fault, struct qcow2_entry e, uint64_t where,
                           struct qcow2_answer *a, vd_error *err)
{
	struct vd_extent lost = {.off = x->off, .len = x->len, .kind = VD_ZERO, .flags = VD_EXT_LOST};

	if (!q->salvage)
		return vd_fail(err, VDISK_CORRUPT, where, "L2 entry %#" PRIx64 " at %#" PRIx64 " (guest offset %" PRIu64 ") %s",
		               e.desc, where, x->off, fault);
	a->more = vd_extents_add(a->out, &lost);
	return 0;
}

static uint32_t qcow2_map_flags(const struct qcow2 *q, struct qcow2_entry e, bool shared, bool data)
{
	uint32_t flags = VD_EXT_MAPPED;

	if (data && (e.desc & QCOW2_COPIED) && !shared)
		flags |= VD_EXT_WRITABLE;
	if (data && q->crypt_method)
		flags |= VD_EXT_CIPHERED;
	return flags;
}

static bool qcow2_map_packed(const struct qcow2 *q, struct vd_extent *x, struct qcow2_entry e, struct vd_extents *out)
{
	struct qcow2_packed p = qcow2_packed_decode(q->bits, e.desc);

	x->kind = VD_DATA;
	x->flags = VD_EXT_COMPRESSED;
	x->host = p.host;
	x->host_len = vd_min(p.len, vd_file_size(q->file) - p.host);
	return vd_extents_add(out, x);
}

/* Runs of subclusters of one kind. */
static bool qcow2_map_subclusters(const struct qcow2 *q, const struct vd_extent *whole, struct qcow2_entry e, bool shared,
                                  struct vd_extents *out)
{
	uint32_t alloc = (uint32_t)e.bitmap, zero = (uint32_t)(e.bitmap >> 32), sub = q->cluster / QCOW2_SUBCLUSTERS;
	uint64_t host = e.desc & QCOW2_OFF_MASK;
	bool mapped = host || (q->external && (e.desc & QCOW2_COPIED)), more = true;

	for (unsigned i = 0; i < QCOW2_SUBCLUSTERS && more;) {
		struct vd_extent x = {.off = whole->off + i * sub, .file = q->data_idx};
		unsigned j = i + 1;

		if (x.off >= whole->off + whole->len)
			break;
		while (j < QCOW2_SUBCLUSTERS && (alloc >> j & 1) == (alloc >> i & 1) && (zero >> j & 1) == (zero >> i & 1))
			j++;
		x.len = vd_min(whole->off + whole->len, whole->off + j * sub) - x.off;
		x.kind = alloc >> i & 1 ? VD_DATA : zero >> i & 1 ? VD_ZERO : VD_ABSENT;
		if (mapped) {
			x.flags = qcow2_map_flags(q, e, shared, x.kind == VD_DATA);
			x.host = host + i * sub;
			x.host_len = x.len;
		}
		more = vd_extents_add(out, &x);
		i = j;
	}
	return more;
}

/* Data that may lie in holes of the host file, as zeros where it does. */
static int qcow2_map_holes(const struct qcow2 *q, const struct vd_extent *whole, struct qcow2_answer *a, vd_error *err)
{
	uint64_t end = whole->host + whole->len;

	for (uint64_t at = whole->host; a->more && at < end;) {
		struct vd_extent x = *whole;

		if (at < a->from || at >= a->to) {
			uint64_t len = vd_file_size(q->data) - at;

			if (vd_file_extent(q->data, at, &len, &a->data, err) < 0)
				return -1;
			a->from = at;
			a->to = at + len;
		}
		x.off = whole->off + (at - whole->host);
		x.host = at;
		x.len = x.host_len = vd_min(end, a->to) - at;
		if (!a->data)
			x.kind = VD_ZERO;
		a->more = vd_extents_add(a->out, &x);
		at += x.len;
	}
	return 0;
}

/* One guest cluster; x->off and x->len are its own, cut at the disk's end. */
static int qcow2_map_entry(struct qcow2 *q, struct vd_extent *x, struct qcow2_entry e, bool shared, uint64_t where,
                           struct qcow2_answer *a, vd_error *err)
{
	const char *fault = qcow2_entry_fault(q, e, x->off, x->len);
	uint64_t host = e.desc & QCOW2_OFF_MASK;

	if (fault)
		return qcow2_map_fault(q, x, fault, e, where, a, err);
	if (e.desc & QCOW2_COMPRESSED) {
		a->more = qcow2_map_packed(q, x, e, a->out);
		return 0;
	}
	if (q->ext_l2) {
		a->more = qcow2_map_subclusters(q, x, e, shared, a->out);
		return 0;
	}
	x->kind = VD_ABSENT;
	if (host || (q->external && (e.desc & QCOW2_COPIED))) {
		x->kind = e.desc & QCOW2_ZERO ? VD_ZERO : VD_DATA;
		x->flags = qcow2_map_flags(q, e, shared, x->kind == VD_DATA);
		x->host = host;
		x->host_len = x->len;
	} else if (e.desc & QCOW2_ZERO) {
		x->kind = VD_ZERO;
	}
	if (x->kind == VD_DATA && a->holes)
		return qcow2_map_holes(q, x, a, err);
	a->more = vd_extents_add(a->out, x);
	return 0;
}

/* The entries from pos->idx on, until the table or the answer is full. */
static int qcow2_map_table(struct qcow2 *q, const struct qcow2_l2_pos *pos, uint64_t off, struct qcow2_answer *a, vd_error *err)
{
	uint32_t idx = pos->idx, first, n;
	uint64_t at = vd_down(off, q->cluster);
	struct vd_table *t;

	while (a->more && idx < q->l2_entries) {
		if (qcow2_l2_slice(q, pos->l2_off, idx, &t, &first, &n, err) < 0) {
			struct vd_extent lost = {.off = at, .kind = VD_ZERO, .flags = VD_EXT_LOST};

			if (!qcow2_map_gives_up(q, err))
				return -1;
			lost.len = vd_min((uint64_t)(first + n - idx) << q->bits, q->layer->size - at);
			a->more = vd_extents_add(a->out, &lost);
			idx = first + n;
			at += lost.len;
			continue;
		}
		for (uint32_t run; a->more && idx < first + n; idx += run, at += (uint64_t)run << q->bits) {
			struct qcow2_entry e = qcow2_entry_get(q, t, idx - first);
			struct vd_extent x = {.off = at, .kind = VD_ABSENT, .file = q->data_idx};

			run = e.desc || e.bitmap ? 1 : qcow2_l2_first(q, t, idx - first, n) - (idx - first);
			x.len = vd_min((uint64_t)run << q->bits, q->layer->size - at);
			if (!e.desc && !e.bitmap) {
				a->more = vd_extents_add(a->out, &x);
			} else if (qcow2_map_entry(q, &x, e, pos->shared, pos->l2_off + (uint64_t)idx * q->entry_bytes, a, err) <
			           0) {
				vd_cache_put(q->cache, t);
				return -1;
			}
		}
		vd_cache_put(q->cache, t);
	}
	return 0;
}

int qcow2_map(struct vd_layer *l, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err)
{
	struct qcow2 *q = qcow2_of(l);
	struct qcow2_answer a = {.out = e, .more = true, .holes = (flags & VD_MAP_HOLES) && q->sparse && !q->crypt_method};

	(void)len;
	if (!q->data)
		return vd_fail(err, VDISK_IO, VDISK_NO_OFFSET, "the external data file is not open");
	while (a.more && off < e->end) {
		struct vd_extent x = {.off = vd_down(off, qcow2_l2_span(q)), .kind = VD_ABSENT};
		struct qcow2_l2_pos pos;

		x.len = vd_min(qcow2_l2_span(q), l->size - x.off);
		if (qcow2_l2_find(q, off, &pos, err) < 0) {
			if (!qcow2_map_gives_up(q, err))
				return -1;
			x.kind = VD_ZERO;
			x.flags = VD_EXT_LOST;
			a.more = vd_extents_add(e, &x);
		} else if (!pos.l2_off) {
			a.more = vd_extents_add(e, &x);
		} else if (qcow2_map_table(q, &pos, off, &a, err) < 0) {
			return -1;
		}
		off = e->next;
	}
	return 0;
}

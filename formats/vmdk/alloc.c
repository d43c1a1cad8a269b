/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Giving grains a place and pointing at it: reserve, publish, abandon, unmap.  Keeps V1 to V4 of vmdk.h; under the exclusive lock.
 */
#include "vmdk.h"

#include "base/alloc.h"
#include "base/bytes.h"

#define SECTORS_MAX UINT64_C(0xffffffff) /* what a table entry can name */

/* ---------------------------------------------------------------- space at the file's end */

int vmdk_file_grow(struct vd_file *f, uint64_t end, vd_error *err)
{
	return f->flags & VD_FILE_BLOCKDEV ? 0 : vd_file_grow(f, end, err);
}

int vmdk_space_append(struct vd_layer *l, struct vmdk_extent *x, uint64_t len, uint64_t *host, vd_error *err)
{
	struct vd_file *f = l->files[x->file];
	if (vd_div_up(x->cursor + len, VMDK_SECTOR) > SECTORS_MAX)
		return vd_fail(err, VDISK_UNSUPPORTED, x->cursor, "%s: is full: grains lie below 2 TiB of an extent's file",
			       f->name);
	if ((f->flags & VD_FILE_BLOCKDEV) && x->cursor + len > vd_file_size(f))
		return vd_fail(err, VDISK_IO, x->cursor, "%s: the device is full (%" PRIu64 " bytes)", f->name, vd_file_size(f));
	*host = x->cursor;
	x->cursor += vd_up(len, x->grain);
	return 0;
}

/* ---------------------------------------------------------------- tables */

static void directory_set(struct vmdk_extent *x, uint32_t i, uint64_t host, uint64_t host2)
{
	x->gd[i] = (uint32_t)(host / VMDK_SECTOR);
	if (x->rgd)
		x->rgd[i] = (uint32_t)(host2 / VMDK_SECTOR);
	x->gd_dirty[i * 4ull / VMDK_SECTOR] = 1;
}

static int table_make(struct vd_layer *l, struct vmdk_extent *x, uint64_t host, uint32_t fill, vd_error *err)
{
	struct vd_table *t;
	if (vd_cache_new_table(x->tables, host, 2, &t, err))
		return -1;
	for (uint32_t k = 0; fill && k < x->gtes; k++)
		le32_put(t->data + 4ull * k, fill);
	vd_cache_put(x->tables, t);
	return vmdk_file_grow(l->files[x->file], host + vmdk_table_bytes(x), err);
}

/* Table i exists afterwards, in both copies. */
static int table_ensure(struct vd_layer *l, struct vmdk_extent *x, uint32_t i, vd_error *err)
{
	enum vmdk_table_state state, state2 = VMDK_TABLE_HERE;
	uint64_t host, host2 = 0, bytes = vmdk_table_bytes(x);
	if (vmdk_table_find(l, x, i, false, &state, &host, err))
		return -1;
	if (x->rgd && vmdk_table_find(l, x, i, true, &state2, &host2, err))
		return -1;
	if (state == VMDK_TABLE_HERE && state2 == VMDK_TABLE_HERE)
		return 0;
	if (state == VMDK_TABLE_HERE || (x->rgd && state2 == VMDK_TABLE_HERE))
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET,
			       "grain table %u is in one directory only; check can repair that", i);
	if (vmdk_space_append(l, x, bytes * (x->rgd ? 2 : 1), &host, err))
		return -1;
	host2 = x->rgd ? host + bytes : 0;
	if (table_make(l, x, host, state == VMDK_TABLE_ZERO, err) ||
	    (x->rgd && table_make(l, x, host2, state == VMDK_TABLE_ZERO, err)))
		return -1;
	directory_set(x, i, host, host2);
	return 0;
}

/* Both copies of table i, pinned; *t2 NULL where there is one only.  *t NULL: no table. */
static int table_pair(struct vd_layer *l, struct vmdk_extent *x, uint32_t i, struct vd_table **t, struct vd_table **t2,
		      vd_error *err)
{
	enum vmdk_table_state state;
	*t2 = NULL;
	if (vmdk_table_get(l, x, i, false, &state, t, err))
		return -1;
	if (*t && x->rgd && vmdk_table_get(l, x, i, true, &state, t2, err)) {
		vd_cache_put(x->tables, *t);
		return -1;
	}
	return 0;
}

static void pair_put(struct vmdk_extent *x, struct vd_table *t, struct vd_table *t2, bool dirty)
{
	if (t2) {
		if (dirty)
			vd_cache_dirty(x->tables, t2);
		vd_cache_put(x->tables, t2);
	}
	if (dirty)
		vd_cache_dirty(x->tables, t);
	vd_cache_put(x->tables, t);
}

/* What publish and unmap do to a run of grains. */
struct change {
	uint64_t host;  /* of the first grain; 0: none */
	uint32_t value; /* without host: the entry */
	bool data_only; /* leave entries alone that name no data */
};

/* Grains [g, end), which lie in one table.  The space that they had is free when that is durable (V4). */
static int table_change(struct vd_layer *l, struct vmdk_extent *x, uint64_t g, uint64_t end, const struct change *c, vd_error *err)
{
	struct vd_table *t, *t2;
	bool dirty = false;
	if (table_pair(l, x, (uint32_t)(g / x->gtes), &t, &t2, err))
		return -1;
	if (!t) /* no table: absent, or zeros, as they were */
		return c->host ? vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "grain %" PRIu64 " has no table", g) : 0;
	for (uint64_t k = g; k < end; k++) {
		size_t at = 4 * (size_t)(k % x->gtes);
		uint32_t old = le32_get(t->data + at), old2 = t2 ? le32_get(t2->data + at) : old;
		bool old_data = old > 1 || (old == 1 && !x->zero_gte);
		uint32_t now = c->host ? (uint32_t)((c->host + (k - g) * x->grain) / VMDK_SECTOR) : c->value;
		if ((old == now && old2 == now) || (c->data_only && !old_data))
			continue;
		le32_put(t->data + at, now);
		if (t2)
			le32_put(t2->data + at, now);
		dirty = true;
		if (old_data && old != now)
			vmdk_space_add(&x->space.pending, (uint64_t)old * VMDK_SECTOR, x->grain);
	}
	pair_put(x, t, t2, dirty);
	return 0;
}

static int grains_change(struct vd_layer *l, struct vmdk_extent *x, uint64_t g, uint64_t end, struct change c, vd_error *err)
{
	while (g < end) {
		uint64_t stop = vd_min(end, (g / x->gtes + 1) * x->gtes);
		if (table_change(l, x, g, stop, &c, err))
			return -1;
		if (c.host)
			c.host += (stop - g) * x->grain;
		g = stop;
	}
	return 0;
}

/* ---------------------------------------------------------------- reserve */

/* From grain g on, at most up to `end`: how many are all unallocated, or allocated one behind the other (*host not 0). */
static int grains_look(struct vd_layer *l, struct vmdk_extent *x, uint64_t g, uint64_t end, uint64_t *n, uint64_t *host,
		       vd_error *err)
{
	enum vmdk_table_state state;
	struct vd_table *t;
	int ret = 0;
	if (vmdk_table_get(l, x, (uint32_t)(g / x->gtes), false, &state, &t, err))
		return -1;
	*host = 0;
	for (*n = 0; g + *n < end; ++*n) {
		struct vmdk_grain w;
		uint64_t k = g + *n;
		ret = vmdk_grain_judge(l, x, k, le32_get(t->data + 4 * (k % x->gtes)), &w, err);
		if (ret)
			break;
		if (!*n && w.kind == VD_DATA)
			*host = w.host;
		else if ((w.kind == VD_DATA) != (*host != 0) || (*host && w.host != *host + *n * x->grain))
			break;
	}
	vd_cache_put(x->tables, t);
	return *n ? 0 : ret;
}

static int reserve_grains(struct vd_layer *l, struct vmdk_extent *x, struct vd_resv *r, vd_error *err)
{
	struct vd_file *f = l->files[x->file];
	uint64_t g = (r->off - x->off) / x->grain, end, n, host;
	end = vd_min(g + r->len / x->grain, (g / x->gtes + 1) * x->gtes);
	if (r->kind == VD_ZERO) {
		r->len = (end - g) * x->grain;
		return x->zero_gte ? table_ensure(l, x, (uint32_t)(g / x->gtes), err) : 0;
	}
	if (table_ensure(l, x, (uint32_t)(g / x->gtes), err) || grains_look(l, x, g, end, &n, &host, err))
		return -1;
	r->file = x->file;
	if (host) {
		r->flags |= VD_RESV_INPLACE;
	} else {
		uint64_t got = vmdk_space_take(&x->space.ready, n * x->grain, x->grain, &host);
		if (got) {
			n = got / x->grain;
		} else {
			if (vmdk_space_append(l, x, n * x->grain, &host, err))
				return -1;
			if ((f->flags & VD_FILE_ZERO_TAIL) && host >= vd_file_size(f))
				r->flags |= VD_RESV_ZEROED;
		}
	}
	r->host = host;
	r->len = n * x->grain;
	return 0;
}

int vmdk_reserve(struct vd_layer *l, struct vd_resv *r, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	if (s->out)
		return vmdk_stream_out_reserve(l, r, err);
	if (r->flags & VD_RESV_PACKED)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "of all VMDKs only a streamOptimized one has compressed grains");
	struct vmdk_extent *x = vmdk_extent_at(s, r->off);
	uint64_t end = x->off + vd_up(x->len, l->alloc_grain);
	r->len = vd_min(r->len, end - r->off);
	if (x->kind != VMDK_FLAT)
		return reserve_grains(l, x, r, err);
	r->file = x->file;
	r->host = x->flat_off + (r->off - x->off);
	if (r->kind == VD_DATA)
		r->flags |= VD_RESV_INPLACE;
	return 0;
}

/* ---------------------------------------------------------------- publish, abandon, unmap */

static int publish_one(struct vd_layer *l, const struct vd_resv *r, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	struct vmdk_extent *x = vmdk_extent_at(s, r->off);
	if (x->kind == VMDK_FLAT)
		return r->kind == VD_ZERO ? vd_file_zero(l->files[x->file], x->flat_off + (r->off - x->off), r->len, true, err) : 0;
	uint64_t g = (r->off - x->off) / x->grain, end = g + r->len / x->grain;
	if (r->kind == VD_ZERO)
		return grains_change(l, x, g, end, (struct change){.value = x->zero_gte}, err);
	if (r->flags & VD_RESV_INPLACE)
		return 0;
	/* The core leaves out zeros where the space had them: the file must reach over the last grain all the same. */
	if (vmdk_file_grow(l->files[x->file], r->host + r->len, err))
		return -1;
	vd_cache_need_barrier(x->tables); /* V1 */
	return grains_change(l, x, g, end, (struct change){.host = r->host}, err);
}

int vmdk_publish(struct vd_layer *l, const struct vd_resv *r, size_t n, vd_error *err)
{
	if (vmdk_of(l)->out)
		return vmdk_stream_out_publish(l, r, n, err);
	for (size_t i = 0; i < n; i++)
		if (publish_one(l, &r[i], err))
			return -1;
	return 0;
}

/* Nothing points at the space, so it is free at once; but no longer zeros. */
void vmdk_abandon(struct vd_layer *l, struct vd_resv *r)
{
	struct vmdk *s = vmdk_of(l);
	if (s->out) {
		vmdk_stream_out_abandon(l, r);
		return;
	}
	struct vmdk_extent *x = vmdk_extent_at(s, r->off);
	if (x->kind != VMDK_FLAT && r->kind == VD_DATA && !(r->flags & VD_RESV_INPLACE))
		vmdk_space_add(&x->space.ready, r->host, r->len);
}

int vmdk_unmap(struct vd_layer *l, uint64_t off, uint64_t len, enum vd_kind to, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	uint64_t end = off + len;
	if (s->out)
		return 0;
	while (off < end) {
		struct vmdk_extent *x = vmdk_extent_at(s, off);
		uint64_t stop = vd_min(end, x->off + x->len), from = off - x->off, till = stop - x->off;
		bool can = vmdk_is_sparse(x) && (to == VD_ABSENT || x->zero_gte || !s->has_parent);
		uint32_t value = to == VD_ZERO && x->zero_gte;
		uint64_t g = can ? vd_div_up(from, x->grain) : 0;
		uint64_t g_end = !can ? 0 : till == x->len ? vd_div_up(till, x->grain) : till / x->grain;
		if (g < g_end && grains_change(l, x, g, g_end, (struct change){.value = value, .data_only = true}, err))
			return -1;
		off = stop;
	}
	return 0;
}

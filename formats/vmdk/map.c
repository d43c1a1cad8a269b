/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mapping guest ranges: extents, tables, grains; runs of grains that lie together become one.  Under the layer's shared lock. */
#include "vmdk.h"

#include "base/bytes.h"
#include "base/zero.h"

/* A run of guest bytes of x, collected grain by grain. */
struct run {
	struct vd_layer *l;
	const struct vmdk_extent *x;
	struct vd_extents *e;
	struct vd_extent r; /* len 0: empty */
	bool full, tables; /* tables: nothing else is read */
};

static void run_put(struct run *p)
{
	if (p->r.len && !p->full)
		p->full = !vd_extents_add(p->e, &p->r);
	p->r.len = 0;
}

static void run_add(struct run *p, const struct vd_extent *n)
{
	struct vd_extent *r = &p->r;
	if (r->len && r->kind == n->kind && r->flags == n->flags && !(n->flags & VD_EXT_COMPRESSED) &&
	    (!(n->flags & VD_EXT_MAPPED) || r->host + r->host_len == n->host)) {
		r->len += n->len;
		r->host_len += n->host_len;
	} else {
		run_put(p);
		*r = *n;
	}
	if (vd_extents_spend(p->e, 1))
		return;
	run_put(p);
	p->full = true;
}

static void run_say(struct run *p, uint64_t rel, uint64_t len, enum vd_kind kind, uint32_t flags)
{
	struct vd_extent n = {.off = p->x->off + rel, .len = len, .kind = kind, .flags = flags};
	run_add(p, &n);
}

static uint64_t entry_get(const struct vmdk_extent *x, const uint8_t *table, uint64_t i)
{
	return x->kind == VMDK_SE ? le64_get(table + 8 * i) : le32_get(table + 4 * i);
}

/* How many of the entries [i, end), the first of which is 0, are so in a row. */
static uint64_t zero_entries(const struct vmdk_extent *x, const uint8_t *table, uint64_t i, uint64_t end)
{
	uint64_t each = vmdk_table_bytes(x) / x->gtes, n = end - i;
	if (vd_is_zero(table + i * each, n * each))
		return n;
	for (n = 1; !entry_get(x, table, i + n);)
		n++;
	return n;
}

/* Grains [g, end) of a table that is here. */
static int map_table(struct run *p, const uint8_t *table, uint64_t g, uint64_t end, vd_error *err)
{
	const struct vmdk_extent *x = p->x;
	bool salvage = vmdk_of(p->l)->open_flags & VD_OPEN_SALVAGE;
	for (uint64_t n_grains; g < end && !p->full; g += n_grains) {
		uint32_t i = (uint32_t)(g % x->gtes);
		uint64_t entry = entry_get(x, table, i);
		n_grains = entry ? 1 : zero_entries(x, table, i, i + (end - g));
		uint64_t rel = g * x->grain, len = vd_min(n_grains * x->grain, x->len - rel);
		struct vmdk_grain w;
		vd_error *why = salvage ? NULL : err;
		if (p->tables ? vmdk_grain_place(p->l, x, g, entry, &w, why) : vmdk_grain_judge(p->l, x, g, entry, &w, why)) {
			if (!salvage)
				return -1;
			run_say(p, rel, len, VD_ZERO, VD_EXT_LOST);
			continue;
		}
		struct vd_extent n = {.off = x->off + rel, .len = len, .kind = w.kind, .file = x->file};
		if (w.kind == VD_DATA) {
			n.host = w.host;
			n.host_len = w.host_len;
			n.flags = x->packed ? VD_EXT_COMPRESSED : VD_EXT_MAPPED;
			if (!x->packed && (p->l->flags & VD_LAYER_WRITABLE))
				n.flags |= VD_EXT_WRITABLE;
		}
		run_add(p, &n);
	}
	return 0;
}

/* [off, end) relative to x, a sparse extent. */
static int map_sparse(struct run *p, uint64_t off, uint64_t end, vd_error *err)
{
	const struct vmdk_extent *x = p->x;
	uint64_t span = vmdk_table_span(x);
	bool salvage = vmdk_of(p->l)->open_flags & VD_OPEN_SALVAGE;
	while (off < end && !p->full) {
		uint32_t i = (uint32_t)(off / span);
		uint64_t stop = vd_min(end, (i + 1ull) * span);
		enum vmdk_table_state state;
		struct vd_table *t;
		if (vmdk_table_get(p->l, x, i, false, &state, &t, err)) {
			if (!salvage)
				return -1;
			run_say(p, off, stop - off, VD_ZERO, VD_EXT_LOST);
		} else if (state == VMDK_TABLE_HERE) {
			int ret = map_table(p, t->data, off / x->grain, vd_div_up(stop, x->grain), err);
			vd_cache_put(x->tables, t);
			if (ret)
				return -1;
		} else {
			run_say(p, off, stop - off, state == VMDK_TABLE_ZERO ? VD_ZERO : VD_ABSENT, 0);
		}
		off = stop;
	}
	return 0;
}

static int map_flat(struct run *p, uint64_t off, uint64_t end, uint32_t flags, vd_error *err)
{
	const struct vmdk_extent *x = p->x;
	struct vd_file *f = p->l->files[x->file];
	while (off < end && !p->full) {
		struct vd_extent n = {
		    .off = x->off + off, .len = end - off, .kind = VD_DATA, .file = x->file, .host = x->flat_off + off};
		bool data = true;
		if (n.host >= vd_file_size(f)) { /* opened so under salvage only */
			run_say(p, off, n.len, VD_ZERO, VD_EXT_LOST);
			return 0;
		}
		n.len = vd_min(n.len, vd_file_size(f) - n.host);
		if ((flags & VD_MAP_HOLES) && vd_file_extent(f, n.host, &n.len, &data, err))
			return -1;
		n.host_len = n.len;
		n.kind = data ? VD_DATA : VD_ZERO;
		n.flags = VD_EXT_MAPPED | (p->l->flags & VD_LAYER_WRITABLE ? VD_EXT_WRITABLE : 0);
		run_add(p, &n);
		off += n.len;
	}
	return 0;
}

static int map_extent(struct run *p, uint64_t off, uint64_t end, uint32_t flags, vd_error *err)
{
	const struct vmdk_extent *x = p->x;
	bool salvage = vmdk_of(p->l)->open_flags & VD_OPEN_SALVAGE;
	if (x->kind == VMDK_ZERO) {
		run_say(p, off, end - off, VD_ZERO, 0);
		return 0;
	}
	if (x->access == VMDK_NOACCESS || x->file == VMDK_NO_FILE) {
		const char *why = x->access == VMDK_NOACCESS ? "the descriptor says NOACCESS" : "its file is missing";
		if (!salvage)
			return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "extent %zu cannot be read: %s",
				       (size_t)(x - vmdk_of(p->l)->v) + 1, why);
		run_say(p, off, end - off, VD_ZERO, VD_EXT_LOST);
		return 0;
	}
	return x->kind == VMDK_FLAT ? map_flat(p, off, end, flags, err) : map_sparse(p, off, end, err);
}

int vmdk_map(struct vd_layer *l, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	uint64_t end = off + len;
	struct run p = {.l = l, .e = e, .tables = flags & VD_MAP_TABLES};
	if (s->in)
		return vmdk_stream_in_map(l, off, len, e, err);
	if (s->out)
		return vmdk_stream_out_map(l, off, len, e, err);
	while (off < end && !p.full) {
		p.x = vmdk_extent_at(s, off);
		uint64_t stop = vd_min(end, p.x->off + p.x->len);
		if (map_extent(&p, off - p.x->off, stop - p.x->off, flags, err)) {
			/* What came before the damage is a good answer; the next call will say what is wrong. */
			run_put(&p);
			if (!e->n)
				return -1;
			vd_error_clear(err);
			return 0;
		}
		off = stop;
	}
	run_put(&p);
	return 0;
}

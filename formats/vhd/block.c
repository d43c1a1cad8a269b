/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The BAT and the sector bitmaps, and map().
 *
 * What a bit of a bitmap means:
 *  - Differencing: 1, the sector is here; 0, it is the parent's (ABSENT, though the block has room for it: MAPPED).
 *  - Dynamic: "never modified" where 0, and such a sector must hold zeros on the disk (specification, "Block Allocation Table and
 *    Data Blocks").  So the bytes are right whatever the bit says, and QEMU, which sets all bits but reads past them, agrees; an
 *    allocated block is DATA as a whole.  But there are readers that go by the bits: a block of which some are unset is not
 *    WRITABLE here, so that writing passes through publish(), which sets them.
 *
 * Tables are read and changed under the layer's lock.  An entry is judged each time it is used, so that damage in one place neither
 * keeps the rest from being read nor is met unawares.
 */
#include "vhd.h"

#include "base/alloc.h"
#include "base/bits.h"

#define TABLE_BITS (VHD_TABLE_BYTES * 8u)

/* ---------------------------------------------------------------- the BAT */

int vhd_bat_get(struct vhd *v, struct vd_cursor *c, uint64_t block, uint32_t *entry, vd_error *err)
{
	uint8_t *p;

	/* The file may end inside the last sector of the table, behind its entries. */
	if (vd_cursor_entry(v->cache, c, v->header.table_offset, block * 4, VHD_RANK_BAT, true, &p, err))
		return -1;
	*entry = be32_get(p);
	return 0;
}

int vhd_bat_set(struct vhd *v, uint64_t block, uint32_t entry, vd_error *err)
{
	struct vd_cursor c = { 0 };
	uint8_t *p;

	if (vd_cursor_entry(v->cache, &c, v->header.table_offset, block * 4, VHD_RANK_BAT, true, &p, err))
		return -1;
	be32_put(p, entry);
	vd_cache_dirty(v->cache, c.table);
	vd_cursor_end(v->cache, &c);
	return 0;
}

bool vhd_block_judge(const struct vd_layer *l, const struct vhd *v, uint64_t block, uint32_t entry, uint64_t *data, uint64_t *len,
                     vd_error *err)
{
	uint64_t at = (uint64_t)entry * VHD_SECTOR, file_size = vd_file_size(l->files[0]);
	uint64_t entry_off = v->header.table_offset + block * 4;
	/* Of the disk's last block some writers store only what the disk has. */
	uint64_t need = block < v->n_blocks ? vd_min(v->block_bytes, l->size - block * v->block_bytes) : v->block_bytes;

	*data = at + v->bitmap_bytes;
	*len = 0;
	if (vd_overlap(at, vhd_stride(v), 0, VHD_FOOTER_BYTES) ||
	    vd_overlap(at, vhd_stride(v), v->footer.data_offset, VHD_HEADER_BYTES) ||
	    vd_overlap(at, vhd_stride(v), v->header.table_offset, vhd_bat_bytes(&v->header))) {
		vd_fail(err, VDISK_CORRUPT, entry_off,
			"VHD block %" PRIu64 " at sector %" PRIu32 " lies over the file's own tables", block, entry);
		return false;
	}
	if (vd_within(*data, need, file_size)) {
		*len = need;
		return true;
	}
	*len = *data < file_size ? file_size - *data : 0;
	vd_fail(err, VDISK_CORRUPT, entry_off,
		"VHD block %" PRIu64 " at sector %" PRIu32 " reaches past the end of the file (%" PRIu64
		" bytes): it is cut short or damaged",
		block, entry, file_size);
	return false;
}

/* ---------------------------------------------------------------- bitmaps */

static int bits_get(struct vhd *v, uint64_t host, uint64_t sector, struct vd_table **t, vd_error *err)
{
	return vd_cache_get(v->cache, host + sector / TABLE_BITS * VHD_TABLE_BYTES, VHD_RANK_BITMAP, false, t, err);
}

int vhd_bits_all(struct vhd *v, uint64_t host, bool *all, vd_error *err)
{
	uint64_t n = v->block_bytes / VHD_SECTOR;

	*all = true;
	for (uint64_t at = 0; *all && at < n; at += TABLE_BITS) {
		uint64_t in_table = vd_min(TABLE_BITS, n - at);
		struct vd_table *t;
		bool set;

		if (bits_get(v, host, at, &t, err))
			return -1;
		*all = vd_bits_run(t->data, VD_BITS_HIGH_FIRST, 0, in_table, &set) == in_table && set;
		vd_cache_put(v->cache, t);
	}
	return 0;
}

/* Sets bits [from, end). */
static void bits_fill(uint8_t *b, uint64_t from, uint64_t end)
{
	while (from < end) {
		if (from % 8 == 0 && end - from >= 8) {
			b[from / 8] = 0xff;
			from += 8;
		} else {
			b[from / 8] |= (uint8_t)(0x80u >> from % 8);
			from++;
		}
	}
}

int vhd_bits_set(struct vhd *v, uint64_t host, uint64_t in, uint64_t len, vd_error *err)
{
	uint64_t at = in / VHD_SECTOR, end = vd_div_up(in + len, VHD_SECTOR);

	while (at < end) {
		uint64_t first = vd_down(at, TABLE_BITS), stop = vd_min(end, first + TABLE_BITS);
		struct vd_table *t;
		bool set;

		if (bits_get(v, host, at, &t, err))
			return -1;
		if (vd_bits_run(t->data, VD_BITS_HIGH_FIRST, at - first, stop - first, &set) != stop - at || !set) {
			bits_fill(t->data, at - first, stop - first);
			vd_cache_dirty(v->cache, t);
		}
		vd_cache_put(v->cache, t);
		at = stop;
	}
	return 0;
}

int vhd_bits_new(struct vhd *v, uint64_t host, bool ones, vd_error *err)
{
	uint64_t n = v->block_bytes / VHD_SECTOR;

	for (uint64_t at = 0; at < n; at += TABLE_BITS) {
		struct vd_table *t;

		if (vd_cache_new_table(v->cache, host + at / TABLE_BITS * VHD_TABLE_BYTES, VHD_RANK_BITMAP, &t, err))
			return -1;
		if (ones)
			bits_fill(t->data, 0, vd_min(TABLE_BITS, n - at));
		vd_cache_put(v->cache, t);
	}
	return 0;
}

void vhd_bits_forget(struct vhd *v, uint64_t host)
{
	for (uint32_t at = 0; at < v->bitmap_bytes; at += VHD_TABLE_BYTES)
		vd_cache_forget(v->cache, host + at);
}

/* ---------------------------------------------------------------- map */

struct mapping {
	struct vd_layer *l;
	struct vhd *v;
	struct vd_extents *e;
	uint32_t flags;
	bool more;
};

static void map_plain(struct mapping *m, uint64_t off, uint64_t len, enum vd_kind kind, uint32_t flags)
{
	struct vd_extent x = { .off = off, .len = len, .kind = kind, .flags = flags };

	m->more = vd_extents_add(m->e, &x);
}

static int map_bits(struct mapping *m, struct vd_extent x, uint64_t bitmap, uint64_t in, vd_error *err)
{
	struct vhd *v = m->v;
	uint64_t end = in + x.len;

	while (m->more && in < end) {
		uint64_t sector = in / VHD_SECTOR, first = vd_down(sector, TABLE_BITS), run;
		uint64_t stop = vd_min(vd_div_up(end, VHD_SECTOR), first + TABLE_BITS);
		struct vd_table *t;
		bool set;

		if (bits_get(v, bitmap, sector, &t, err))
			return -1;
		run = vd_bits_run(t->data, VD_BITS_HIGH_FIRST, sector - first, stop - first, &set);
		vd_cache_put(v->cache, t);
		x.len = x.host_len = vd_min((sector + run) * VHD_SECTOR, end) - in;
		x.kind = VD_ABSENT;
		x.flags = VD_EXT_MAPPED;
		if (set) {
			x.flags |= m->l->flags & VD_LAYER_WRITABLE ? VD_EXT_WRITABLE : 0;
			if (vd_extents_add_plain(m->e, m->l->files[0], x, m->flags, &m->more, err))
				return -1;
		} else {
			m->more = vd_extents_add(m->e, &x);
		}
		in += x.len;
		x.off += x.len;
		x.host += x.len;
	}
	return 0;
}

/* [off, off + len) lies in one block, which has an entry. */
static int map_block(struct mapping *m, uint64_t block, uint32_t entry, uint64_t off, uint64_t len, vd_error *err)
{
	struct vhd *v = m->v;
	uint64_t in = off % v->block_bytes, bitmap = (uint64_t)entry * VHD_SECTOR, data, held;
	struct vd_extent x = { .off = off, .len = len, .kind = VD_DATA, .flags = VD_EXT_MAPPED };
	bool all = false;

	if (!vhd_block_judge(m->l, v, block, entry, &data, &held, err)) {
		if (!v->salvage)
			return -1;
		vd_error_clear(err);
		x.len = in < held ? vd_min(len, held - in) : 0;
	}
	x.host = data + in;
	if (!x.len) {
		map_plain(m, off, len, VD_ZERO, VD_EXT_LOST);
		return 0;
	}
	if (v->type == VHD_DIFFERENCING) {
		if (map_bits(m, x, bitmap, in, err))
			return -1;
	} else {
		if (m->l->flags & VD_LAYER_WRITABLE && vhd_bits_all(v, bitmap, &all, err))
			return -1;
		x.flags |= all ? VD_EXT_WRITABLE : 0;
		if (vd_extents_add_plain(m->e, m->l->files[0], x, m->flags, &m->more, err))
			return -1;
	}
	if (m->more && x.len < len)
		map_plain(m, off + x.len, len - x.len, VD_ZERO, VD_EXT_LOST);
	return 0;
}

int vhd_map(struct vd_layer *l, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err)
{
	struct mapping m = { .l = l, .v = l->priv, .e = e, .flags = flags, .more = true };
	struct vd_cursor c = { 0 };
	uint64_t end = off + len;
	int r = 0;

	while (!r && m.more && off < end) {
		uint64_t block = off / m.v->block_bytes, stop = vd_min(end, (block + 1) * m.v->block_bytes);
		uint32_t entry;

		r = vhd_bat_get(m.v, &c, block, &entry, err);
		if (r)
			break;
		if (entry == VHD_ABSENT)
			map_plain(&m, off, stop - off, VD_ABSENT, 0);
		else
			r = map_block(&m, block, entry, off, stop - off, err);
		off = stop;
	}
	vd_cursor_end(m.v->cache, &c);
	/* What was found before the trouble is an answer; the trouble is met again by whoever asks from there on. */
	if (r && e->n) {
		vd_error_clear(err);
		r = 0;
	}
	return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The BAT and the bitmaps, and map().
 *
 *  - NOT_PRESENT is the parent's, or zeros where there is none.  UNDEFINED, ZERO and UNMAPPED read as zeros, over a parent too.
 *  - PARTIAL, in differencing disks alone: a bit that is set says that the sector is here (bit 0 of a byte is the first one), one
 *    that is not that it is the parent's (ABSENT, though the block has room for it: MAPPED).
 *  - The bitmap entries of a disk without a parent mean nothing, and programs leave anything in them: they are not looked at.
 *
 * Tables are read and changed under the layer's lock.  An entry is judged each time it is used, so that damage in one place neither
 * keeps the rest from being read nor is met unawares.
 */
#include "vhdx.h"

#include "base/alloc.h"
#include "base/bits.h"

#define TABLE_BITS (VHDX_SECTOR * 8u)

uint64_t vhdx_bat_needed(uint64_t blocks, uint32_t chunk_blocks, bool differencing)
{
	uint64_t chunks = vhdx_chunks(blocks, chunk_blocks);

	if (!blocks)
		return 0;
	return differencing ? chunks * (chunk_blocks + UINT64_C(1)) : blocks + (blocks - 1) / chunk_blocks;
}

/* ---------------------------------------------------------------- the BAT */

int vhdx_bat_get(struct vhdx *v, struct vd_cursor *c, uint64_t index, uint64_t *entry, vd_error *err)
{
	uint8_t *p;

	if (vd_cursor_entry(v->cache, c, v->bat.off, index * 8, VHDX_RANK_BAT, false, &p, err))
		return -1;
	*entry = le64_get(p);
	return 0;
}

int vhdx_bat_set(struct vhdx *v, uint64_t index, uint64_t entry, vd_error *err)
{
	struct vd_cursor c = { 0 };
	uint8_t *p;

	if (vd_cursor_entry(v->cache, &c, v->bat.off, index * 8, VHDX_RANK_BAT, false, &p, err))
		return -1;
	le64_put(p, entry);
	vd_cache_dirty(v->cache, c.table);
	vd_cursor_end(v->cache, &c);
	return 0;
}

/* ---------------------------------------------------------------- judging entries */

static bool place_ok(const struct vhdx *v, uint64_t off, uint64_t len)
{
	if (off < VHDX_MIB || vd_overlap(off, len, v->header.log_off, v->header.log_len))
		return false;
	for (uint32_t i = 0; i < v->regions.n; i++)
		if (vd_overlap(off, len, v->regions.v[i].off, v->regions.v[i].len))
			return false;
	return true;
}

bool vhdx_block_judge(const struct vd_layer *l, const struct vhdx *v, uint64_t block, uint64_t entry, uint64_t *held, vd_error *err)
{
	uint64_t off = vhdx_entry_off(entry), at = v->bat.off + vhdx_index(v, block) * 8, file_size = vd_file_size(l->files[0]);
	/* Of the disk's last block a file may hold only what the disk has. */
	uint64_t need = block < v->n_blocks ? vd_min(v->block_bytes, l->size - block * v->block_bytes) : v->block_bytes;
	unsigned state = vhdx_entry_state(entry);

	*held = 0;
	if (state == 4 || state == 5 || (state == VHDX_PARTIAL && !vhdx_is_diff(v))) {
		vd_fail(err, VDISK_CORRUPT, at, "VHDX block %" PRIu64 " has the state %u, which a %s disk has not", block, state,
		        l->variant);
		return false;
	}
	if (entry & 0xffff8) {
		vd_fail(err, VDISK_CORRUPT, at, "VHDX block %" PRIu64 " has an entry with reserved bits, %#" PRIx64, block, entry);
		return false;
	}
	if (off > (uint64_t)INT64_MAX - v->block_bytes || !place_ok(v, off, v->block_bytes)) {
		vd_fail(err, VDISK_CORRUPT, at, "VHDX block %" PRIu64 " at %#" PRIx64 " lies over the file's own tables", block,
		        off);
		return false;
	}
	if (vd_within(off, need, file_size)) {
		*held = need;
		return true;
	}
	*held = off < file_size ? file_size - off : 0;
	vd_fail(err, VDISK_CORRUPT, at,
	        "VHDX block %" PRIu64 " at %#" PRIx64 " reaches past the end of the file (%" PRIu64
	        " bytes): it is cut short or damaged",
	        block, off, file_size);
	return false;
}

static int bitmap_judge(const struct vd_layer *l, const struct vhdx *v, uint64_t chunk, uint64_t entry, vd_error *err)
{
	uint64_t off = vhdx_entry_off(entry), at = v->bat.off + vhdx_bitmap_index(v, chunk) * 8;

	if (vhdx_entry_state(entry) != VHDX_FULL || entry & 0xffff8)
		return vd_fail(err, VDISK_CORRUPT, at, "VHDX bitmap %" PRIu64 " has the entry %#" PRIx64 ", which means nothing",
		               chunk, entry);
	if (off > (uint64_t)INT64_MAX - VHDX_MIB || !place_ok(v, off, VHDX_MIB) ||
	    !vd_within(off, VHDX_MIB, vd_file_size(l->files[0])))
		return vd_fail(err, VDISK_CORRUPT, at,
		               "VHDX bitmap %" PRIu64 " at %#" PRIx64 " lies over the file's own tables or past its end", chunk,
		               off);
	return 0;
}

int vhdx_bitmap_find(const struct vd_layer *l, struct vhdx *v, uint64_t chunk, uint64_t *host, vd_error *err)
{
	struct vd_cursor c = { 0 };
	uint64_t entry;

	*host = 0;
	if (vhdx_bat_get(v, &c, vhdx_bitmap_index(v, chunk), &entry, err))
		return -1;
	vd_cursor_end(v->cache, &c);
	if (vhdx_entry_state(entry) == VHDX_NOT_PRESENT)
		return 0;
	if (bitmap_judge(l, v, chunk, entry, err))
		return -1;
	*host = vhdx_entry_off(entry);
	return 0;
}

/* ---------------------------------------------------------------- bitmaps */

int vhdx_bitmaps_remove(struct vd_layer *l, struct vhdx *v, uint64_t from, uint64_t to, vd_error *err)
{
	for (uint64_t k = from; k < to; k++) {
		uint64_t host;

		if (vhdx_bitmap_find(l, v, k, &host, err))
			return -1;
		if (!host)
			continue;
		for (uint64_t at = 0; at < VHDX_MIB; at += VHDX_SECTOR)
			vd_cache_forget(v->cache, host + at);
		if (vhdx_bat_set(v, vhdx_bitmap_index(v, k), VHDX_NOT_PRESENT, err))
			return -1;
		vhdx_space_give(v, host, VHDX_MIB);
	}
	return 0;
}

static void bits_fill(uint8_t *b, uint64_t from, uint64_t end, bool set)
{
	while (from < end) {
		if (from % 8 == 0 && end - from >= 8) {
			b[from / 8] = set ? 0xff : 0;
			from += 8;
		} else {
			uint8_t bit = (uint8_t)(1u << from % 8);

			b[from / 8] = set ? b[from / 8] | bit : b[from / 8] & (uint8_t)~bit;
			from++;
		}
	}
}

/* The block's bits within its chunk's bitmap. */
struct slice {
	uint64_t host;       /* of the bitmap */
	uint64_t first, n;   /* bits */
};

static int slice_find(const struct vd_layer *l, struct vhdx *v, uint64_t block, struct slice *s, vd_error *err)
{
	s->n = v->block_bytes / v->meta.logical;
	s->first = block % v->chunk_blocks * s->n;
	if (vhdx_bitmap_find(l, v, block / v->chunk_blocks, &s->host, err))
		return -1;
	if (!s->host)
		return vd_fail(err, VDISK_CORRUPT, v->bat.off + vhdx_index(v, block) * 8,
		               "VHDX block %" PRIu64 " is partly present, but has no bitmap", block);
	return 0;
}

static int bits_get(struct vhdx *v, const struct slice *s, uint64_t bit, struct vd_table **t, vd_error *err)
{
	return vd_cache_get(v->cache, s->host + bit / TABLE_BITS * VHDX_SECTOR, VHDX_RANK_BITMAP, false, t, err);
}

static int bits_change(struct vhdx *v, const struct slice *s, uint64_t from, uint64_t end, bool set, vd_error *err)
{
	for (uint64_t at = from, stop; at < end; at = stop) {
		uint64_t first = vd_down(at, TABLE_BITS);
		struct vd_table *t;
		bool now;

		stop = vd_min(end, first + TABLE_BITS);
		if (bits_get(v, s, at, &t, err))
			return -1;
		if (vd_bits_run(t->data, VD_BITS_LOW_FIRST, at - first, stop - first, &now) < stop - at || now != set) {
			bits_fill(t->data, at - first, stop - first, set);
			vd_cache_dirty(v->cache, t);
		}
		vd_cache_put(v->cache, t);
	}
	return 0;
}

int vhdx_bits_set(struct vd_layer *l, struct vhdx *v, uint64_t block, uint64_t in, uint64_t len, bool fresh, vd_error *err)
{
	uint64_t from, end;
	struct slice s;

	if (slice_find(l, v, block, &s, err))
		return -1;
	from = s.first + in / v->meta.logical;
	end = s.first + vd_min(vd_div_up(in + len, v->meta.logical), s.n);
	if (fresh && (bits_change(v, &s, s.first, from, false, err) || bits_change(v, &s, end, s.first + s.n, false, err)))
		return -1;
	return bits_change(v, &s, from, end, true, err);
}

int vhdx_bits_all(struct vd_layer *l, struct vhdx *v, uint64_t block, bool *all, vd_error *err)
{
	uint64_t disk = vd_min(v->block_bytes, l->size - block * v->block_bytes), end;
	struct slice s;

	*all = true;
	if (slice_find(l, v, block, &s, err))
		return -1;
	end = s.first + disk / v->meta.logical;
	for (uint64_t at = s.first, stop; *all && at < end; at = stop) {
		uint64_t first = vd_down(at, TABLE_BITS);
		struct vd_table *t;
		bool set;

		stop = vd_min(end, first + TABLE_BITS);
		if (bits_get(v, &s, at, &t, err))
			return -1;
		*all = vd_bits_run(t->data, VD_BITS_LOW_FIRST, at - first, stop - first, &set) == stop - at && set;
		vd_cache_put(v->cache, t);
	}
	return 0;
}

int vhdx_gaps_zero(struct vd_layer *l, struct vhdx *v, uint64_t block, uint64_t host, vd_error *err)
{
	struct slice s;

	if (slice_find(l, v, block, &s, err))
		return -1;
	for (uint64_t at = 0, run; at < s.n; at += run) {
		uint64_t bit = s.first + at, first = vd_down(bit, TABLE_BITS);
		struct vd_table *t;
		bool set;

		if (bits_get(v, &s, bit, &t, err))
			return -1;
		run = vd_bits_run(t->data, VD_BITS_LOW_FIRST, bit - first, vd_min(s.first + s.n - first, TABLE_BITS), &set);
		vd_cache_put(v->cache, t);
		if (!set && vd_file_zero(l->files[0], host + at * v->meta.logical, run * v->meta.logical, true, err))
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- map */

struct mapping {
	struct vd_layer *l;
	struct vhdx *v;
	struct vd_extents *e;
	uint32_t flags;
	bool more;
};

static void map_plain(struct mapping *m, uint64_t off, uint64_t len, enum vd_kind kind, uint32_t flags)
{
	struct vd_extent x = { .off = off, .len = len, .kind = kind, .flags = flags };

	m->more = vd_extents_add(m->e, &x);
}

/* x is DATA and MAPPED: as holes and data where the caller wants to know. */
static int map_data(struct mapping *m, struct vd_extent x, vd_error *err)
{
	x.flags |= m->l->flags & VD_LAYER_WRITABLE ? VD_EXT_WRITABLE : 0;
	return vd_extents_add_plain(m->e, m->l->files[0], x, m->flags, &m->more, err);
}

static int map_bits(struct mapping *m, struct vd_extent x, uint64_t block, uint64_t in, vd_error *err)
{
	uint64_t end = in + x.len, sector = m->v->meta.logical;
	struct slice s;

	if (slice_find(m->l, m->v, block, &s, err))
		return -1;
	while (m->more && in < end) {
		uint64_t bit = s.first + in / sector, first = vd_down(bit, TABLE_BITS), run;
		uint64_t stop = vd_min(s.first + vd_div_up(end, sector), first + TABLE_BITS);
		struct vd_table *t;
		bool set;

		if (bits_get(m->v, &s, bit, &t, err))
			return -1;
		run = vd_bits_run(t->data, VD_BITS_LOW_FIRST, bit - first, stop - first, &set);
		vd_cache_put(m->v->cache, t);
		x.len = x.host_len = vd_min((bit + run - s.first) * sector, end) - in;
		x.kind = set ? VD_DATA : VD_ABSENT;
		x.flags = VD_EXT_MAPPED;
		if (set && map_data(m, x, err))
			return -1;
		if (!set)
			m->more = vd_extents_add(m->e, &x);
		in += x.len;
		x.off += x.len;
		x.host += x.len;
	}
	return 0;
}

/* [off, off + len) lies in one block, which has an entry with a place. */
static int map_block(struct mapping *m, uint64_t block, uint64_t entry, uint64_t off, uint64_t len, vd_error *err)
{
	struct vhdx *v = m->v;
	uint64_t in = off % v->block_bytes, held;
	struct vd_extent x = {
		.off = off, .len = len, .kind = VD_DATA, .flags = VD_EXT_MAPPED, .host = vhdx_entry_off(entry) + in
	};
	vd_error why = { 0 };

	if (!vhdx_block_judge(m->l, v, block, entry, &held, err)) {
		if (!v->salvage)
			return -1;
		vd_error_clear(err);
		x.len = in < held ? vd_min(len, held - in) : 0;
	}
	if (x.len && (vhdx_entry_state(entry) == VHDX_PARTIAL ? map_bits(m, x, block, in, &why) : map_data(m, x, &why))) {
		if (!v->salvage || why.kind != VDISK_CORRUPT) {
			if (err)
				*err = why;
			return -1;
		}
		x.len = 0;
	}
	if (m->more && x.len < len)
		map_plain(m, vd_max(off + x.len, m->e->next), off + len - vd_max(off + x.len, m->e->next), VD_ZERO, VD_EXT_LOST);
	return 0;
}

static int map_entry(struct mapping *m, uint64_t block, uint64_t entry, uint64_t off, uint64_t len, vd_error *err)
{
	switch (vhdx_entry_state(entry)) {
	case VHDX_NOT_PRESENT:
		map_plain(m, off, len, VD_ABSENT, 0);
		return 0;
	case VHDX_UNDEFINED:
	case VHDX_ZERO:
	case VHDX_UNMAPPED:
		map_plain(m, off, len, VD_ZERO, 0);
		return 0;
	default:
		return map_block(m, block, entry, off, len, err);
	}
}

int vhdx_map(struct vd_layer *l, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err)
{
	struct mapping m = { .l = l, .v = l->priv, .e = e, .flags = flags, .more = true };
	struct vd_cursor c = { 0 };
	uint64_t end = off + len;
	int r = 0;

	while (!r && m.more && off < end) {
		uint64_t block = off / m.v->block_bytes, stop = vd_min(end, (block + 1) * m.v->block_bytes), entry;

		r = vhdx_bat_get(m.v, &c, vhdx_index(m.v, block), &entry, err);
		if (!r)
			r = map_entry(&m, block, entry, off, stop - off, err);
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

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Another size of an image that is in use.
 *
 * The map lies between header and data.  Where it has no room for more entries, the data's beginning moves up by whole places: what
 * is in the first ones goes behind the others, one by one and each as any block that gets a place (its count, its bytes, its
 * entry), the new map is written where they were, and one write of the header's sector turns to it, with all places counted from
 * the new beginning.  The old map's space stays unused.
 *
 * Crash order: the map says "free" for what is new before the header has the larger size; the header has the smaller one before
 * blocks past it lose their entries.
 *
 * Under the layer's exclusive lock, with no write under way: there are no promises.
 */
#include "vdi.h"

#include "base/alloc.h"

#define COPY_BYTES (1u << 20)

int vdi_header_change(struct vd_layer *l, struct vdi *v, const struct vdi_header *h, vd_error *err)
{
	struct vd_file *f = l->files[0];
	uint8_t b[VDI_HEADER_BYTES], own[VDI_HEADER_BYTES];

	vdi_header_encode(h, own);
	/* What others keep in their headers stays. */
	if (vd_cache_write_back(v->cache, err) || vd_file_flush(f, err) || vd_file_pread(f, b, sizeof(b), 0, err))
		return -1;
	memcpy(b + 76, own + 76, 4);
	memcpy(b + 84, own + 84, VDI_COMMENT);
	memcpy(b + 340, own + 340, 8);
	memcpy(b + 368, own + 368, 8);
	memcpy(b + 384, own + 384, 8);
	memcpy(b + 424, own + 424, 32);
	vd_cache_forget(v->cache, 0);
	if (vd_file_pwrite(f, b, sizeof(b), 0, err) || vd_file_flush(f, err))
		return -1;
	v->h = *h;
	return 0;
}

/* ---------------------------------------------------------------- where things go */

struct move {
	uint32_t first;   /* places that make way for the map; 0: it has room where it is */
	uint64_t map_len; /* of the new map, whole sectors */
};

static uint64_t map_room(const struct vdi_header *h) { return (h->data_off - h->map_off) / 4; }

static void move_plan(const struct vdi *v, uint64_t blocks, struct move *m)
{
	m->map_len = vd_up(blocks * 4, VDI_TABLE_BYTES);
	m->first = blocks <= map_room(&v->h) ? 0 : (uint32_t)vd_div_up(m->map_len, vdi_stride(v));
}

/* A place is a number below that of the blocks; those below `first` are taken all the same.  Is there one for each of n, `spare` of
   them known? */
static bool way_fits(const struct vdi *v, uint32_t first, uint64_t n, uint64_t spare)
{
	uint64_t room = vd_max(v->h.blocks, vd_min(map_room(&v->h), VDI_BLOCKS_MAX)), used = vd_max(v->h.allocated, first);

	return used <= room && n <= spare + (room - used);
}

static int no_way(vd_error *err)
{
	return vd_fail(
		err, VDISK_UNSUPPORTED, 340,
		"the VDI's map has no room for so many blocks, and the disk none for what would make way: convert it to a new image of that size");
}

int vdi_resize_judge(const struct vd_layer *l, uint64_t size, vd_error *err)
{
	const struct vdi *v = l->priv;
	uint64_t blocks = vd_div_up(size, v->h.block_bytes);
	struct move m;

	if (size % 512)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "a VDI cannot have %" PRIu64 " bytes: a size is a multiple of 512", size);
	if (blocks > VDI_BLOCKS_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "a VDI with blocks of %" PRIu32 " bytes has no room for %" PRIu64 " of them", v->h.block_bytes,
		               blocks);
	move_plan(v, blocks, &m);
	if (!m.first)
		return 0;
	if (v->h.data_off + m.first * vdi_stride(v) > UINT32_MAX)
		return vd_fail(err, VDISK_UNSUPPORTED, 344, "the VDI's data would begin past 4 GiB");
	/* Of a fixed disk that is known without the map: every place that is not spare holds a block. */
	return v->h.type != VDI_FIXED || way_fits(v, m.first, m.first, v->n_spare) ? 0 : no_way(err);
}

/* ---------------------------------------------------------------- making way */

static int bytes_copy(struct vd_file *f, uint64_t from, uint64_t to, uint64_t len, vd_error *err)
{
	VD_AUTO_FREE uint8_t *b = vd_malloc(COPY_BYTES);

	if (!b)
		return vd_fail_nomem(err, COPY_BYTES);
	for (uint64_t at = 0; at < len; at += COPY_BYTES) {
		size_t n = vd_min(COPY_BYTES, len - at);

		if (vd_file_pread(f, b, n, from + at, err) || vd_file_pwrite(f, b, n, to + at, err))
			return -1;
	}
	return 0;
}

/* A place at `first` or behind it, which is counted then. */
static int place_take(struct vd_layer *l, struct vdi *v, uint32_t *place, vd_error *err)
{
	struct vdi_header h = v->h;

	if (v->n_spare) {
		*place = v->spare[--v->n_spare];
		return 0;
	}
	*place = h.allocated++;
	return vd_file_grow(l->files[0], vdi_host(v, *place) + h.block_bytes, err) || vdi_header_change(l, v, &h, err) ? -1 : 0;
}

static int block_move(struct vd_layer *l, struct vdi *v, uint64_t block, uint32_t entry, vd_error *err)
{
	uint32_t extra = v->h.extra_bytes, to;
	uint64_t held;

	if (!vdi_block_judge(l, v, block, entry, &held, err) || place_take(l, v, &to, err) ||
	    bytes_copy(l->files[0], vdi_host(v, entry) - extra, vdi_host(v, to) - extra, extra + held, err) ||
	    vd_file_flush(l->files[0], err))
		return -1;
	return vdi_entry_set(v, block, to, err) || vd_cache_write_back(v->cache, err) ? -1 : 0;
}

/* Calls `fn`, if any, for each block at a place below `first`; *n: how many there are. */
static int below_each(struct vd_layer *l, struct vdi *v, uint32_t first,
                      int (*fn)(struct vd_layer *, struct vdi *, uint64_t, uint32_t, vd_error *), uint64_t *n, vd_error *err)
{
	uint64_t blocks = vd_div_up(l->size, v->h.block_bytes);
	struct vd_cursor c = { 0 };
	int rc = 0;

	*n = 0;
	for (uint64_t b = 0; !rc && b < blocks; b++) {
		uint32_t entry;

		rc = vdi_entry_get(v, &c, b, &entry, err);
		vd_cursor_end(v->cache, &c);
		if (rc || entry >= first)
			continue;
		++*n;
		rc = fn ? fn(l, v, b, entry, err) : 0;
	}
	return rc;
}

/* Of the spare places those from `first` on, counted from `from`. */
static void spare_keep(struct vdi *v, uint32_t first, uint32_t from)
{
	size_t n = 0;

	for (size_t i = 0; i < v->n_spare; i++)
		if (v->spare[i] >= first)
			v->spare[n++] = v->spare[i] - from;
	v->n_spare = n;
}

/* Those that make way need as many places behind them. */
static int way_judge(struct vd_layer *l, struct vdi *v, uint32_t first, vd_error *err)
{
	uint64_t n, spare = 0;

	if (below_each(l, v, first, NULL, &n, err))
		return -1;
	for (size_t i = 0; i < v->n_spare; i++)
		spare += v->spare[i] >= first;
	return way_fits(v, first, n, spare) ? 0 : no_way(err);
}

static int way_make(struct vd_layer *l, struct vdi *v, uint32_t first, vd_error *err)
{
	struct vdi_header h = v->h;
	uint64_t n;

	if (way_judge(l, v, first, err))
		return -1;
	/* Places below the new map's end count as taken, whether or not they are; and there may be more places than the disk has
	   blocks. */
	h.allocated = vd_max(h.allocated, first);
	if (h.blocks < map_room(&h)) {
		for (uint64_t b = h.blocks; b < map_room(&h); b++)
			if (vdi_entry_set(v, b, VDI_FREE, err))
				return -1;
		h.blocks = (uint32_t)vd_min(map_room(&h), VDI_BLOCKS_MAX);
	}
	if (vdi_header_change(l, v, &h, err))
		return -1;
	spare_keep(v, first, 0);
	return below_each(l, v, first, block_move, &n, err);
}

/* The map for `blocks` of them, its places counted from `first`, where those were. */
static int map_write(struct vd_layer *l, struct vdi *v, uint64_t blocks, const struct move *m, vd_error *err)
{
	uint64_t n = vd_div_up(l->size, v->h.block_bytes);
	struct vd_cursor c = { 0 };
	uint8_t b[VDI_TABLE_BYTES];
	int rc = 0;

	for (uint64_t at = 0; !rc && at < m->map_len; at += sizeof(b)) {
		for (unsigned i = 0; !rc && i < sizeof(b) / 4; i++) {
			uint64_t block = at / 4 + i;
			uint32_t entry = VDI_FREE;

			if (block < n && block < blocks)
				rc = vdi_entry_get(v, &c, block, &entry, err);
			le32_put(b + 4 * i, entry < VDI_ZERO ? entry - m->first : entry);
		}
		if (!rc)
			rc = vd_file_pwrite(l->files[0], b, sizeof(b), v->h.data_off + at, err);
	}
	vd_cursor_end(v->cache, &c);
	return rc || vd_file_flush(l->files[0], err) ? -1 : 0;
}

static int map_move(struct vd_layer *l, struct vdi *v, uint64_t blocks, const struct move *m, vd_error *err)
{
	uint64_t old = v->h.map_off, old_end = v->h.data_off;
	struct vdi_header h;

	if (way_make(l, v, m->first, err) || vd_file_grow(l->files[0], v->h.data_off + m->first * vdi_stride(v), err) ||
	    map_write(l, v, blocks, m, err))
		return -1;
	h = v->h;
	h.map_off = h.data_off;
	h.data_off += (uint32_t)(m->first * vdi_stride(v));
	h.allocated -= m->first;
	h.blocks = (uint32_t)vd_max(blocks, h.allocated);
	for (uint64_t at = old; at < old_end; at += VDI_TABLE_BYTES)
		vd_cache_forget(v->cache, at);
	if (vdi_header_change(l, v, &h, err))
		return -1;
	spare_keep(v, m->first, m->first);
	return 0;
}

/* ---------------------------------------------------------------- both ways */

/* The rest of the last block becomes part of the disk: zeros, whatever stood there. */
static int last_block_zero(struct vd_layer *l, struct vdi *v, vd_error *err)
{
	uint64_t in = l->size % v->h.block_bytes, block = l->size / v->h.block_bytes, held;
	struct vd_cursor c = { 0 };
	uint32_t entry;

	if (!in)
		return 0;
	if (vdi_entry_get(v, &c, block, &entry, err))
		return -1;
	vd_cursor_end(v->cache, &c);
	if (entry >= VDI_ZERO)
		return 0;
	if (!vdi_block_judge(l, v, block, entry, &held, err) ||
	    vd_file_grow(l->files[0], vdi_host(v, entry) + v->h.block_bytes, err))
		return -1;
	return vd_file_zero(l->files[0], vdi_host(v, entry) + in, v->h.block_bytes - in, true, err);
}

/* Places for the new blocks of a fixed disk: spare ones, which may hold anything, then new ones. */
static int fixed_fill(struct vd_layer *l, struct vdi *v, uint64_t from, uint64_t to, vd_error *err)
{
	size_t spare = vd_min(v->n_spare, to - from);
	struct vdi_header h = v->h;
	uint32_t next = h.allocated;

	if (v->h.type != VDI_FIXED)
		return 0;
	h.allocated += (uint32_t)(to - from - spare);
	if (vd_file_grow(l->files[0], vdi_host(v, h.allocated), err))
		return -1;
	for (size_t i = 0; i < spare; i++)
		if (vd_file_zero(l->files[0], vdi_host(v, v->spare[v->n_spare - 1 - i]), h.block_bytes, true, err))
			return -1;
	if (vdi_header_change(l, v, &h, err))
		return -1;
	for (uint64_t b = from; b < to; b++)
		if (vdi_entry_set(v, b, b - from < spare ? v->spare[--v->n_spare] : next++, err))
			return -1;
	return vd_cache_write_back(v->cache, err);
}

static int grow(struct vd_layer *l, struct vdi *v, uint64_t size, vd_error *err)
{
	uint64_t old = vd_div_up(l->size, v->h.block_bytes), blocks = vd_div_up(size, v->h.block_bytes);
	struct vdi_header h;
	struct move m;

	move_plan(v, blocks, &m);
	if (m.first) {
		if (map_move(l, v, blocks, &m, err))
			return -1;
	} else {
		/* What stood there, behind the disk's end, was never valid. */
		for (uint64_t b = old; b < blocks; b++)
			if (vdi_entry_set(v, b, VDI_FREE, err))
				return -1;
		h = v->h;
		h.blocks = (uint32_t)vd_max(blocks, h.blocks);
		if (vdi_header_change(l, v, &h, err))
			return -1;
	}
	if (fixed_fill(l, v, old, blocks, err) || last_block_zero(l, v, err))
		return -1;
	h = v->h;
	h.size = size;
	return vdi_header_change(l, v, &h, err);
}

/* The header says at least as many blocks as there are places. */
static int shrink(struct vd_layer *l, struct vdi *v, uint64_t size, vd_error *err)
{
	uint64_t old = vd_div_up(l->size, v->h.block_bytes), blocks = vd_div_up(size, v->h.block_bytes);
	struct vdi_header h = v->h;
	uint32_t *spare = vd_realloc(v->spare, v->n_spare + (old - blocks) + 1, sizeof(*spare));
	struct vd_cursor c = { 0 };
	int rc = 0;

	if (!spare)
		return vd_fail_nomem(err, (old - blocks) * sizeof(*spare));
	v->spare = spare;
	h.size = size;
	if (vdi_header_change(l, v, &h, err))
		return -1;
	for (uint64_t b = blocks; !rc && b < old; b++) {
		uint32_t entry;

		rc = vdi_entry_get(v, &c, b, &entry, err);
		vd_cursor_end(v->cache, &c);
		if (rc || entry == VDI_FREE)
			continue;
		rc = vdi_entry_set(v, b, VDI_FREE, err);
		if (!rc && entry < v->h.allocated)
			v->spare[v->n_spare++] = entry;
	}
	if (rc || vdi_flush(l, err))
		return -1;
	h = v->h;
	h.blocks = (uint32_t)vd_max(blocks, h.allocated);
	return vdi_header_change(l, v, &h, err);
}

int vdi_resize(struct vd_layer *l, uint64_t size, vd_error *err)
{
	struct vdi *v = l->priv;

	if (vdi_resize_judge(l, size, err))
		return -1;
	if (size == l->size)
		return 0;
	if (size > l->size ? grow(l, v, size, err) : shrink(l, v, size, err))
		return -1;
	l->size = size;
	return 0;
}

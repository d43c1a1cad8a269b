/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Another size, another identity of an image that is in use.
 *
 * Crash order: the BAT has room, and says "not present" for what is new, before the metadata have the larger size; they have the
 * smaller one before blocks past it lose their entries.  A BAT that moves is copied behind all blocks and durable there before one
 * entry of the log turns both region tables to it.
 */
#include "vhdx.h"

#include "base/alloc.h"
#include "base/uuid.h"

static int size_set(struct vd_layer *l, struct vhdx *v, uint64_t size, vd_error *err)
{
	VD_AUTO_FREE struct vhdx_meta *m = vd_malloc(sizeof(*m));

	if (!m)
		return vd_fail_nomem(err, sizeof(*m));
	*m = v->meta;
	m->size = size;
	if (vhdx_meta_change(l, v, m, NULL, 0, err))
		return -1;
	vhdx_geometry_set(l, v);
	return 0;
}

/* ---------------------------------------------------------------- a longer BAT */

static int bat_copy(struct vd_file *f, const struct vhdx *v, uint64_t to, vd_error *err)
{
	enum { CHUNK = 1 << 20 };
	VD_AUTO_FREE uint8_t *b = vd_malloc(CHUNK);

	if (!b)
		return vd_fail_nomem(err, CHUNK);
	/* What stands behind the disk's entries was never valid; the new place is zeros. */
	for (uint64_t off = 0, end = v->bat_entries * 8; off < end; off += CHUNK)
		if (vd_file_pread(f, b, vd_min(CHUNK, end - off), v->bat.off + off, err) ||
		    vd_file_pwrite(f, b, vd_min(CHUNK, end - off), to + off, err))
			return -1;
	return vd_file_flush(f, err);
}

static int regions_change(struct vd_layer *l, struct vhdx *v, vd_error *err)
{
	VD_AUTO_FREE uint8_t *b = vd_malloc(VHDX_TABLE_BYTES);
	struct vhdx_change c[2 * VHDX_TABLE_BYTES / VHDX_SECTOR];
	size_t n = 0;

	if (!b)
		return vd_fail_nomem(err, VHDX_TABLE_BYTES);
	vhdx_regions_encode(&v->regions, b);
	for (unsigned i = 0; i < 2; i++)
		for (uint32_t at = 0; at < VHDX_TABLE_BYTES; at += VHDX_SECTOR)
			c[n++] = (struct vhdx_change){ VHDX_REGION_OFF(i) + at, b + at };
	return vhdx_change_all(l, v, c, n, err);
}

static int bat_move(struct vd_layer *l, struct vhdx *v, uint64_t bytes, vd_error *err)
{
	struct vhdx_region old = v->bat;
	uint64_t to;

	if (vd_cache_write_back(v->cache, err) || vhdx_space_take(l, v, bytes, &to, err) || bat_copy(l->files[0], v, to, err))
		return -1;
	for (uint32_t i = 0; i < v->regions.n; i++) {
		if (v->regions.v[i].off != old.off)
			continue;
		v->regions.v[i].off = to;
		v->regions.v[i].len = (uint32_t)bytes;
		v->bat = v->regions.v[i];
	}
	if (regions_change(l, v, err))
		return -1;
	for (uint64_t at = 0; at < old.len; at += VHDX_SECTOR)
		vd_cache_forget(v->cache, old.off + at);
	vhdx_space_give(v, old.off, old.len);
	return 0;
}

static int entry_clear(struct vhdx *v, uint64_t index, vd_error *err)
{
	struct vd_cursor c = { 0 };
	uint64_t entry;

	if (index >= v->bat.len / 8)
		return 0;
	if (vhdx_bat_get(v, &c, index, &entry, err))
		return -1;
	vd_cursor_end(v->cache, &c);
	return entry ? vhdx_bat_set(v, index, VHDX_NOT_PRESENT, err) : 0;
}

static int bat_extend(struct vd_layer *l, struct vhdx *v, uint64_t blocks, vd_error *err)
{
	uint64_t needed = vhdx_bat_needed(blocks, v->chunk_blocks, vhdx_is_diff(v)), room = v->bat.len / 8;

	/* What stood there, behind the disk's end, was never valid. */
	for (uint64_t b = v->n_blocks; b < blocks && vhdx_index(v, b) < room; b++)
		if (entry_clear(v, vhdx_index(v, b), err))
			return -1;
	for (uint64_t k = vhdx_chunks(v->n_blocks, v->chunk_blocks); vhdx_is_diff(v) && k < vhdx_chunks(blocks, v->chunk_blocks);
	     k++)
		if (entry_clear(v, vhdx_bitmap_index(v, k), err))
			return -1;
	if (needed > room)
		return bat_move(l, v, vd_up(needed * 8, VHDX_MIB), err);
	return vd_cache_write_back(v->cache, err);
}

/* ---------------------------------------------------------------- both ways */

/* The rest of the last block becomes part of the disk: zeros, whatever stood there; a bitmap leaves it to the parent, which ends
   before it, or the core hides what it has there. */
static int last_block_zero(struct vd_layer *l, struct vhdx *v, vd_error *err)
{
	uint64_t in = l->size % v->block_bytes, held, entry;
	struct vd_cursor c = { 0 };

	if (!in)
		return 0;
	if (vhdx_bat_get(v, &c, vhdx_index(v, v->n_blocks - 1), &entry, err))
		return -1;
	vd_cursor_end(v->cache, &c);
	if (!vhdx_entry_here(entry))
		return 0;
	if (!vhdx_block_judge(l, v, v->n_blocks - 1, entry, &held, err))
		return -1;
	return vd_file_zero(l->files[0], vhdx_entry_off(entry) + in, v->block_bytes - in, true, err);
}

/* New blocks of a fixed disk. */
static int fixed_fill(struct vd_layer *l, struct vhdx *v, uint64_t from, uint64_t to, vd_error *err)
{
	for (uint64_t b = from; b < to; b++) {
		uint64_t host;

		if (vhdx_space_take(l, v, v->block_bytes, &host, err) || vhdx_bat_set(v, vhdx_index(v, b), host | VHDX_FULL, err))
			return -1;
	}
	return vd_cache_write_back(v->cache, err);
}

static int grow(struct vd_layer *l, struct vhdx *v, uint64_t size, vd_error *err)
{
	uint64_t old = v->n_blocks, blocks = vd_div_up(size, v->block_bytes);

	if (last_block_zero(l, v, err) || bat_extend(l, v, blocks, err) ||
	    (v->meta.fixed && fixed_fill(l, v, old, blocks, err)))
		return -1;
	return size_set(l, v, size, err) || vhdx_flush(l, err) ? -1 : 0;
}

static int shrink(struct vd_layer *l, struct vhdx *v, uint64_t size, vd_error *err)
{
	uint64_t old = v->n_blocks, blocks = vd_div_up(size, v->block_bytes);

	if (vd_cache_write_back(v->cache, err) || size_set(l, v, size, err))
		return -1;
	if (vhdx_is_diff(v) &&
	    vhdx_bitmaps_remove(l, v, vhdx_chunks(blocks, v->chunk_blocks), vhdx_chunks(old, v->chunk_blocks), err))
		return -1;
	if (vhdx_blocks_remove(v, blocks, old, VHDX_NOT_PRESENT, err) || vhdx_flush(l, err))
		return -1;
	return vhdx_space_trim(l, v, err);
}

int vhdx_resize_judge(const struct vd_layer *l, uint64_t size, vd_error *err)
{
	const struct vhdx *v = l->priv;

	if (size % v->meta.logical || size > VHDX_SIZE_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "this VHDX cannot have %" PRIu64 " bytes: a size is a multiple of its logical sectors, %" PRIu32
		               " bytes, at most 64 TiB",
		               size, v->meta.logical);
	return 0;
}

int vhdx_resize(struct vd_layer *l, uint64_t size, vd_error *err)
{
	struct vhdx *v = l->priv;

	if (vhdx_resize_judge(l, size, err))
		return -1;
	if (size == l->size)
		return 0;
	return size > l->size ? grow(l, v, size, err) : shrink(l, v, size, err);
}

int vhdx_amend(struct vd_layer *l, const struct vd_options *o, vd_error *err)
{
	struct vhdx *v = l->priv;
	const char *text = vd_options_str(o, "uuid");
	VD_AUTO_FREE struct vhdx_meta *m = NULL;

	if (!text)
		return 0;
	m = vd_malloc(sizeof(*m));
	if (!m)
		return vd_fail_nomem(err, sizeof(*m));
	*m = v->meta;
	if (!vd_uuid_parse(m->uuid, text))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "option uuid=%s is no UUID", text);
	return vhdx_meta_change(l, v, m, NULL, 0, err);
}

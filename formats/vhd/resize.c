/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Another size, another UUID: what rewrites footer and header of an image that is in use.
 *
 * Crash order: the BAT is large enough, and says "absent" for what is new, before a footer has the larger size; a footer has the
 * smaller size before blocks past it lose their entries.  The footer's copy is written before the footer; where a crash leaves them
 * different, the footer counts.  Of the dynamic header only the first sector changes, with its checksum, so it is never half
 * written.
 */
#include "vhd.h"

#include "base/alloc.h"
#include "base/uuid.h"

/* The original size is information only, says the specification, but libvhdi takes it for the size: both say the new one. */
void vhd_footer_resize(struct vhd *v, uint64_t size)
{
	v->footer.original_size = v->footer.current_size = size;
	v->footer.geometry = vhd_geometry_for(size);
}

static int both_write(struct vd_layer *l, struct vhd *v, vd_error *err)
{
	struct vd_file *f = l->files[0];

	if (v->type != VHD_FIXED && (vhd_write_copy(l, v, err) || vd_file_flush(f, err)))
		return -1;
	return vhd_write_tail(l, v, v->footer_off, err) || vd_file_flush(f, err) ? -1 : 0;
}

/* On failure both are what they were, if the file can still be written to: two that differ are damage to whoever looks. */
int vhd_footers_write(struct vd_layer *l, struct vhd *v, vd_error *err)
{
	uint8_t before[VHD_FOOTER_BYTES];

	memcpy(before, v->footer_raw, sizeof(before));
	vhd_footer_encode(&v->footer, v->footer_raw);
	if (!both_write(l, v, err))
		return 0;
	memcpy(v->footer_raw, before, sizeof(before));
	vhd_footer_decode(&v->footer, before);
	both_write(l, v, NULL);
	return -1;
}

static int header_change(struct vd_layer *l, struct vhd *v, uint64_t table_offset, uint64_t entries, vd_error *err)
{
	v->header.table_offset = table_offset;
	v->header.max_entries = (uint32_t)entries;
	vhd_header_encode(&v->header, v->header_raw);
	return vd_file_pwrite(l->files[0], v->header_raw, VHD_SECTOR, v->footer.data_offset, err) || vd_file_flush(l->files[0], err)
		   ? -1
		   : 0;
}

/* Copies the table's entries to `to`, and absent ones behind them. */
static int bat_copy(struct vd_file *f, const struct vhd *v, uint64_t to, uint64_t bytes, vd_error *err)
{
	enum { CHUNK = 1 << 20 };
	uint64_t old = v->n_blocks * 4;
	VD_AUTO_FREE uint8_t *b = vd_malloc(CHUNK);

	if (!b)
		return vd_fail_nomem(err, CHUNK);
	for (uint64_t off = 0; off < bytes; off += CHUNK) {
		size_t n = vd_min(CHUNK, bytes - off), kept = off < old ? vd_min(n, old - off) : 0;

		if (kept && vd_file_pread(f, b, kept, v->header.table_offset + off, err))
			return -1;
		memset(b + kept, 0xff, n - kept);
		if (vd_file_pwrite(f, b, n, to + off, err))
			return -1;
	}
	return 0;
}

/* The old table's space stays unused: it lies between the header and the blocks, and is small. */
static int bat_move(struct vd_layer *l, struct vhd *v, uint64_t entries, vd_error *err)
{
	struct vd_file *f = l->files[0];
	uint64_t to = vd_up(v->end, 4096), bytes = vd_up(entries * 4, VHD_SECTOR), old = v->header.table_offset;
	uint64_t old_end = vhd_bat_end_off(v);

	if (vhd_write_tail(l, v, to + bytes, err) || bat_copy(f, v, to, bytes, err) || vd_file_flush(f, err))
		return -1;
	v->end = to + bytes;
	if (header_change(l, v, to, entries, err))
		return -1;
	for (uint64_t at = old; at < old_end; at += VHD_TABLE_BYTES)
		vd_cache_forget(v->cache, at);
	return 0;
}

static int bat_extend(struct vd_layer *l, struct vhd *v, uint64_t blocks, vd_error *err)
{
	uint64_t room = vhd_bat_bytes(&v->header) / 4;

	if (blocks > VHD_BAT_MAX)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "a VHD with blocks of %" PRIu32 " bytes has no room for %" PRIu64 " of them", v->block_bytes,
			       blocks);
	/* What stood there, behind the disk's end, was never valid. */
	for (uint64_t b = v->n_blocks; b < vd_min(blocks, room); b++) {
		if (vhd_bat_set(v, b, VHD_ABSENT, err))
			return -1;
	}
	if (vd_cache_write_back(v->cache, err))
		return -1;
	if (blocks > room)
		return bat_move(l, v, blocks, err);
	return blocks > v->header.max_entries ? header_change(l, v, v->header.table_offset, blocks, err) : 0;
}

/* The rest of the last block becomes part of the disk: zeros, whatever stood there.  (Where a differencing disk's bitmap leaves
   sectors to the parent, it ends before them, or the core hides what it has there.) */
static int last_block_zero(struct vd_layer *l, struct vhd *v, vd_error *err)
{
	uint64_t in = l->size % v->block_bytes, data, held;
	struct vd_cursor c = { 0 };
	uint32_t entry;

	if (!in)
		return 0;
	if (vhd_bat_get(v, &c, v->n_blocks - 1, &entry, err))
		return -1;
	vd_cursor_end(v->cache, &c);
	if (entry == VHD_ABSENT)
		return 0;
	if (!vhd_block_judge(l, v, v->n_blocks - 1, entry, &data, &held, err))
		return -1;
	return vd_file_zero(l->files[0], data + in, v->block_bytes - in, true, err);
}

static int grow(struct vd_layer *l, struct vhd *v, uint64_t size, vd_error *err)
{
	uint64_t blocks = vd_div_up(size, v->block_bytes);

	if (last_block_zero(l, v, err) || bat_extend(l, v, blocks, err))
		return -1;
	vhd_footer_resize(v, size);
	if (vhd_footers_write(l, v, err))
		return -1;
	l->size = size;
	v->n_blocks = blocks;
	return 0;
}

static int shrink(struct vd_layer *l, struct vhd *v, uint64_t size, vd_error *err)
{
	uint64_t blocks = vd_div_up(size, v->block_bytes), old = v->n_blocks;

	if (vd_cache_write_back(v->cache, err))
		return -1;
	vhd_footer_resize(v, size);
	if (vhd_footers_write(l, v, err) || vhd_blocks_remove(v, blocks, old, err) || vhd_flush(l, err))
		return -1;
	l->size = size;
	v->n_blocks = blocks;
	return header_change(l, v, v->header.table_offset, blocks, err) || vhd_space_trim(l, v, err) ? -1 : 0;
}

int vhd_resize(struct vd_layer *l, uint64_t size, vd_error *err)
{
	struct vhd *v = l->priv;

	if (v->by_chs)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "a VHD opened with the option vhd-size=chs cannot be resized");
	if (v->footer.saved_state)
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
			       "the VHD belongs to the saved state of a virtual machine and cannot be resized");
	if (size % VHD_SECTOR || size > VHD_SIZE_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "a VHD cannot have %" PRIu64 " bytes: a size is a multiple of 512, at most 2040 GiB", size);
	if (v->type == VHD_FIXED)
		return vhd_fixed_resize(l, size, err);
	if (size == l->size)
		return 0;
	return size > l->size ? grow(l, v, size, err) : shrink(l, v, size, err);
}

int vhd_amend(struct vd_layer *l, const struct vd_options *o, vd_error *err)
{
	struct vhd *v = l->priv;
	const char *text = vd_options_str(o, "uuid");
	uint8_t uuid[16];

	if (!text)
		return 0;
	if (!vd_uuid_parse(uuid, text))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "option uuid=%s is no UUID", text);
	memcpy(v->footer.uuid, uuid, 16);
	if (vhd_footers_write(l, v, err))
		return -1;
	memcpy(l->id.uuid, uuid, 16);
	return 0;
}

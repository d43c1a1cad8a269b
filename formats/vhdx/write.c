/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing blocks: reserve finds space, for the chunk's bitmap too, publish sets bits and BAT entries in the cache, and the cache
 * passes them through the log, whose rule L1 (log_write.c) keeps C1, C2 and C5: guest data and zeros are durable before any entry
 * of the log that points at them, or that lets bits hide the parent.
 *
 * What a crash may keep of one block's changes, where they do not fit into one entry of the log, is their beginning: the entry of
 * the chunk's bitmap (written through at once), the bits, the block's entry.  Bits of a block that is not PARTIAL mean nothing; so
 * a block that becomes PARTIAL gets all of its bits anew.
 *
 * A promise is a block with space but without BAT entry yet: the second reservation of a range of it, before the first is
 * published, finds it there.
 *
 * Under the layer's exclusive lock.
 */
#include "vhdx.h"

#include "base/alloc.h"
#include "base/uuid.h"

/* ---------------------------------------------------------------- before the first change */

/* The specification wants a new file GUID with the first change of the file, and a new data GUID with the first of the disk's
   content. */
static int guids_renew(struct vd_layer *l, struct vhdx *v, vd_error *err)
{
	struct vhdx_header *h = &v->header;

	if (vd_uuid_random(h->file_guid, err))
		return -1;
	if (v->keep_id || v->checking)
		return 0;
	if (vd_uuid_random(h->data_guid, err))
		return -1;
	memcpy(l->id.uuid, h->data_guid, 16);
	return 0;
}

int vhdx_begin_write(struct vd_layer *l, vd_error *err)
{
	struct vhdx *v = l->priv;

	if (v->begun)
		return 0;
	if (v->header.log_len < VHDX_MIB)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "a VHDX without a log cannot be written to");
	/* check() says what is wrong before it mends. */
	if (!v->checking && vhdx_space_scan(l, v, err))
		return -1;
	if (vhdx_log_replay(l, v, err) || vhdx_log_open(l, v, err) || guids_renew(l, v, err) || vhdx_headers_write(l, v, err))
		return -1;
	v->begun = true;
	return 0;
}

/* ---------------------------------------------------------------- reserve */

static int entry_get(struct vhdx *v, uint64_t block, uint64_t *entry, vd_error *err)
{
	struct vd_cursor c = { 0 };
	int rc = vhdx_bat_get(v, &c, vhdx_index(v, block), entry, err);

	vd_cursor_end(v->cache, &c);
	return rc;
}

/* The chunk has a bitmap, durable: no entry that needs it is so before. */
static int bitmap_ensure(struct vd_layer *l, struct vhdx *v, uint64_t chunk, vd_error *err)
{
	uint64_t host;

	if (vhdx_bitmap_find(l, v, chunk, &host, err))
		return -1;
	if (host)
		return 0;
	if (vhdx_space_take(l, v, VHDX_MIB, &host, err))
		return -1;
	if (vhdx_bat_set(v, vhdx_bitmap_index(v, chunk), host | VHDX_FULL, err)) {
		vhdx_space_give(v, host, VHDX_MIB);
		return -1;
	}
	if (v->unfinished || !vd_cache_write_back(v->cache, err))
		return 0;
	/* The log may have it all the same: the space is free once a later entry says otherwise (S1), and stays taken if none
	   can. */
	if (!vhdx_bat_set(v, vhdx_bitmap_index(v, chunk), VHDX_NOT_PRESENT, NULL))
		vhdx_space_give(v, host, VHDX_MIB);
	return -1;
}

static int block_new(struct vd_layer *l, struct vhdx *v, uint64_t block, uint64_t *host, vd_error *err)
{
	if (vhdx_space_take(l, v, v->block_bytes, host, err))
		return -1;
	if (!vd_promise_add(&v->promises, block, *host, err))
		return 0;
	vhdx_space_give(v, *host, v->block_bytes);
	return -1;
}

static bool is_whole(const struct vd_layer *l, const struct vhdx *v, const struct vd_resv *r)
{
	return r->off % v->block_bytes == 0 && (r->len == v->block_bytes || r->off + r->len >= l->size);
}

static int reserve_here(struct vd_layer *l, struct vhdx *v, struct vd_resv *r, uint64_t block, uint64_t entry, vd_error *err)
{
	uint64_t held;

	if (!vhdx_block_judge(l, v, block, entry, &held, err))
		return -1;
	r->host = vhdx_entry_off(entry) + r->off % v->block_bytes;
	if (vhdx_entry_state(entry) == VHDX_FULL && r->kind == VD_DATA)
		r->flags |= VD_RESV_INPLACE;
	return 0;
}

int vhdx_reserve(struct vd_layer *l, struct vd_resv *r, vd_error *err)
{
	struct vhdx *v = l->priv;
	struct vd_promise *p;
	uint64_t block = r->off / v->block_bytes, in = r->off % v->block_bytes, entry, host;
	bool parents;

	if (r->flags & VD_RESV_PACKED)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "a VHDX has no compressed blocks");
	r->len = vd_min(r->len, v->block_bytes - in);
	r->file = 0;
	r->priv = 0;
	if (entry_get(v, block, &entry, err))
		return -1;
	if (vhdx_entry_state(entry) > VHDX_UNMAPPED)
		return reserve_here(l, v, r, block, entry, err);
	/* A part of it in place of the parent's: that needs bits. */
	parents = vhdx_is_diff(v) && vhdx_entry_state(entry) == VHDX_NOT_PRESENT && !is_whole(l, v, r);
	if (r->kind == VD_ZERO && !parents)
		return 0;
	if (parents && bitmap_ensure(l, v, block / v->chunk_blocks, err))
		return -1;
	p = vd_promise_find(&v->promises, block);
	if (p) {
		p->refs++;
		host = p->host;
	} else if (block_new(l, v, block, &host, err)) {
		return -1;
	}
	r->priv = 1;
	r->host = host + in;
	r->flags |= VD_RESV_ZEROED;
	return 0;
}

void vhdx_abandon(struct vd_layer *l, struct vd_resv *r)
{
	struct vhdx *v = l->priv;
	struct vd_promise *p = r->priv ? vd_promise_find(&v->promises, r->off / v->block_bytes) : NULL;

	if (!p || --p->refs)
		return;
	vhdx_space_give(v, p->host, v->block_bytes);
	vd_promise_remove(&v->promises, p);
}

/* ---------------------------------------------------------------- publish, unmap */

int vhdx_blocks_remove(struct vhdx *v, uint64_t first, uint64_t end, enum vhdx_state to, vd_error *err)
{
	struct vd_cursor c = { 0 };

	for (uint64_t b = first; b < end; b++) {
		uint64_t entry;

		if (vhdx_bat_get(v, &c, vhdx_index(v, b), &entry, err))
			return -1;
		if (entry == (uint64_t)to)
			continue;
		if (vhdx_bat_set(v, vhdx_index(v, b), to, err)) {
			vd_cursor_end(v->cache, &c);
			return -1;
		}
		if (vhdx_entry_here(entry))
			vhdx_space_give(v, vhdx_entry_off(entry), v->block_bytes);
	}
	vd_cursor_end(v->cache, &c);
	return 0;
}

/* The range of a block that has its entry. */
static int publish_here(struct vd_layer *l, struct vhdx *v, const struct vd_resv *r, uint64_t block, uint64_t entry, vd_error *err)
{
	bool all;

	if (r->kind == VD_ZERO && vd_file_zero(l->files[0], r->host, vd_min(r->len, l->size - r->off), true, err))
		return -1;
	if (vhdx_entry_state(entry) == VHDX_FULL)
		return 0;
	if (vhdx_bits_set(l, v, block, r->off % v->block_bytes, r->len, false, err) || vhdx_bits_all(l, v, block, &all, err))
		return -1;
	return all ? vhdx_bat_set(v, vhdx_index(v, block), vhdx_entry_off(entry) | VHDX_FULL, err) : 0;
}

static int publish_new(struct vd_layer *l, struct vhdx *v, const struct vd_resv *r, uint64_t block, uint64_t entry, vd_error *err)
{
	uint64_t in = r->off % v->block_bytes, host = r->host - in;
	bool partial = vhdx_is_diff(v) && vhdx_entry_state(entry) == VHDX_NOT_PRESENT && !is_whole(l, v, r);
	struct vd_promise *p = vd_promise_find(&v->promises, block);

	if (partial && vhdx_bits_set(l, v, block, in, r->len, true, err))
		return -1;
	if (vhdx_bat_set(v, vhdx_index(v, block), host | (partial ? VHDX_PARTIAL : VHDX_FULL), err))
		return -1;
	/* All that others were promised of the block stays promised: they find its entry. */
	if (p)
		vd_promise_remove(&v->promises, p);
	return 0;
}

static int publish_zero(struct vd_layer *l, struct vhdx *v, const struct vd_resv *r, uint64_t block, uint64_t entry, vd_error *err)
{
	if (!vhdx_entry_here(entry) && !r->priv && !is_whole(l, v, r))
		return 0; /* zeros already */
	if (v->meta.fixed)
		return vhdx_entry_here(entry) ? publish_here(l, v, r, block, entry, err) : 0;
	if (is_whole(l, v, r))
		return vhdx_blocks_remove(v, block, block + 1, VHDX_ZERO, err);
	return vhdx_entry_here(entry) ? publish_here(l, v, r, block, entry, err) : publish_new(l, v, r, block, entry, err);
}

int vhdx_publish(struct vd_layer *l, const struct vd_resv *r, size_t n, vd_error *err)
{
	struct vhdx *v = l->priv;

	for (size_t i = 0; i < n; i++) {
		uint64_t block = r[i].off / v->block_bytes, entry;
		int rc;

		if (entry_get(v, block, &entry, err))
			return -1;
		if (r[i].kind == VD_ZERO)
			rc = publish_zero(l, v, &r[i], block, entry, err);
		else if (vhdx_entry_here(entry))
			rc = publish_here(l, v, &r[i], block, entry, err);
		else
			rc = publish_new(l, v, &r[i], block, entry, err);
		if (rc)
			return -1;
	}
	return 0;
}

/* A fixed disk keeps its blocks. */
static int unmap_fixed(struct vd_layer *l, struct vhdx *v, uint64_t first, uint64_t end, vd_error *err)
{
	for (uint64_t b = first; b < end; b++) {
		uint64_t entry, held;

		if (entry_get(v, b, &entry, err))
			return -1;
		if (!vhdx_entry_here(entry))
			continue;
		if (!vhdx_block_judge(l, v, b, entry, &held, err) ||
		    vd_file_zero(l->files[0], vhdx_entry_off(entry), held, true, err))
			return -1;
	}
	return 0;
}

int vhdx_unmap(struct vd_layer *l, uint64_t off, uint64_t len, enum vd_kind to, vd_error *err)
{
	struct vhdx *v = l->priv;
	uint64_t first = vd_div_up(off, v->block_bytes), end = off + len;

	end = end >= l->size ? v->n_blocks : end / v->block_bytes;
	if (first >= end)
		return 0;
	if (v->meta.fixed)
		return unmap_fixed(l, v, first, end, err);
	return vhdx_blocks_remove(v, first, end, to == VD_ZERO ? VHDX_ZERO : VHDX_NOT_PRESENT, err);
}

int vhdx_flush(struct vd_layer *l, vd_error *err)
{
	struct vhdx *v = l->priv;

	if (vd_cache_write_back(v->cache, err))
		return -1;
	vhdx_space_release(l, v);
	return 0;
}

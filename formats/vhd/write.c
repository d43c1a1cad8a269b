/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing blocks: reserve finds space and gives a new block its bitmap, publish sets bits and then the BAT entry.
 *
 * Crash order of one block: the footer behind it and its zeros, its data where they matter, its bits, its BAT entry.  The ranks in
 * the cache keep the last two apart (C2), the cache's data barrier what comes before:
 *  - Differencing: a bit hides the parent's sector, so whatever was written there is durable before the bit (C1, C5).
 *  - Dynamic, a new block: it has all its bits from the start, and reads as zeros until its data are durable, as it did when it was
 *    absent; but bytes copied from elsewhere are durable before its entry (C5).
 *  - Dynamic, an older block that lacks bits, as others leave them: readers that go by the bits took its sectors for zeros, which
 *    were perhaps flushed; so there, too, the data come before the bits.
 * Bits are never taken back while the block has its entry, so any of these may be torn: each prefix of the order is true.
 *
 * A promise is a block with space but without BAT entry yet: the second reservation of a range of it, before the first is
 * published, finds it there.
 *
 * Under the layer's exclusive lock.
 */
#include "vhd.h"

#include "base/alloc.h"

/* ---------------------------------------------------------------- before the first change */

/* What opening found wrong with the footers is mended first: from now on one of them may be lost in a crash. */
int vhd_footers_mend(struct vd_layer *l, struct vhd *v, vd_error *err)
{
	struct vd_file *f = l->files[0];
	uint64_t size = vd_file_size(f);
	bool moved = v->end != v->footer_off || size != v->end + VHD_FOOTER_BYTES;

	if (!v->tail_bad && !moved && !v->copy_bad && !v->copy_differs)
		return 0;
	if (v->tail_bad || moved) {
		/* The last block may stick out over the footer: what it has there is past the disk's end, and zeros. */
		uint64_t stale = v->footer_off;

		if ((v->copy_bad || v->copy_differs) && (vhd_write_copy(l, v, err) || vd_file_flush(f, err)))
			return -1;
		if (vhd_write_tail(l, v, v->end, err) || vd_file_flush(f, err))
			return -1;
		if (!v->tail_bad && stale < v->end && vd_file_zero(f, stale, vd_min(v->end, size) - stale, true, err))
			return -1;
	} else if (vhd_write_copy(l, v, err)) {
		return -1;
	}
	v->tail_bad = v->copy_bad = v->copy_differs = false;
	return vd_file_flush(f, err);
}

int vhd_begin_write(struct vd_layer *l, vd_error *err)
{
	struct vhd *v = l->priv;

	/* check() says what is wrong before it mends. */
	if (v->type == VHD_FIXED || v->checking)
		return 0;
	if (l->files[0]->flags & VD_FILE_BLOCKDEV)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "a %s VHD on a block device cannot be written to: its file has to grow", l->variant);
	if (vhd_space_scan(l, v, err) || vhd_footers_mend(l, v, err))
		return -1;
	l->flags &= ~VD_LAYER_UNSETTLED;
	return 0;
}

/* ---------------------------------------------------------------- reserve */

static int block_new(struct vd_layer *l, struct vhd *v, uint64_t block, uint64_t *host, vd_error *err)
{
	if (vhd_space_take(l, v, host, err))
		return -1;
	if (!vhd_bits_new(v, *host, v->type == VHD_DYNAMIC, err) && !vd_promise_add(&v->promises, block, *host, err))
		return 0;
	vhd_bits_forget(v, *host);
	vhd_space_give(v, &v->freed, *host);
	return -1;
}

int vhd_reserve(struct vd_layer *l, struct vd_resv *r, vd_error *err)
{
	struct vhd *v = l->priv;
	struct vd_cursor c = { 0 };
	struct vd_promise *p;
	uint64_t block, in, host, data, held;
	uint32_t entry;

	if (r->flags & VD_RESV_PACKED)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "a VHD has no compressed blocks");
	if (v->type == VHD_FIXED)
		return vhd_fixed_reserve(l, r, err);
	if (r->kind == VD_ZERO) {
		if (v->type == VHD_DIFFERENCING)
			return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
				       "a differencing VHD cannot say that a block is zeros");
		return 0;
	}
	block = r->off / v->block_bytes;
	in = r->off % v->block_bytes;
	r->len = vd_min(r->len, v->block_bytes - in);
	r->file = 0;
	r->priv = 0;
	if (vhd_bat_get(v, &c, block, &entry, err))
		return -1;
	vd_cursor_end(v->cache, &c);
	if (entry != VHD_ABSENT) {
		if (!vhd_block_judge(l, v, block, entry, &data, &held, err))
			return -1;
		r->host = data + in;
		return 0;
	}
	p = vd_promise_find(&v->promises, block);
	if (p) {
		p->refs++;
		host = p->host;
	} else if (block_new(l, v, block, &host, err)) {
		return -1;
	}
	r->priv = 1;
	r->host = host + v->bitmap_bytes + in;
	r->flags |= VD_RESV_ZEROED;
	return 0;
}

void vhd_abandon(struct vd_layer *l, struct vd_resv *r)
{
	struct vhd *v = l->priv;
	struct vd_promise *p = r->priv ? vd_promise_find(&v->promises, r->off / v->block_bytes) : NULL;

	if (!p || --p->refs)
		return;
	vhd_bits_forget(v, p->host);
	vhd_space_give(v, &v->freed, p->host);
	vd_promise_remove(&v->promises, p);
}

/* ---------------------------------------------------------------- publish, unmap */

int vhd_blocks_remove(struct vhd *v, uint64_t first, uint64_t end, vd_error *err)
{
	struct vd_cursor c = { 0 };

	for (uint64_t b = first; b < end; b++) {
		uint32_t entry;

		if (vhd_bat_get(v, &c, b, &entry, err))
			return -1;
		if (entry == VHD_ABSENT)
			continue;
		if (vhd_bat_set(v, b, VHD_ABSENT, err)) {
			vd_cursor_end(v->cache, &c);
			return -1;
		}
		vhd_bits_forget(v, (uint64_t)entry * VHD_SECTOR);
		vhd_space_give(v, &v->freed, (uint64_t)entry * VHD_SECTOR);
	}
	vd_cursor_end(v->cache, &c);
	return 0;
}

static int publish_data(struct vhd *v, const struct vd_resv *r, vd_error *err)
{
	uint64_t block = r->off / v->block_bytes, in = r->off % v->block_bytes;
	uint64_t host = r->host - in - v->bitmap_bytes;
	struct vd_promise *p = r->priv ? vd_promise_find(&v->promises, block) : NULL;

	/* A dynamic disk's new block has all its bits; an older one gets those that it lacks.  A bit hides what the parent (or
	   zeros) had there, so the bytes are durable before it. */
	if (v->type == VHD_DIFFERENCING || !r->priv || (r->flags & VD_RESV_COPIED))
		vd_cache_need_barrier(v->cache);
	if ((v->type == VHD_DIFFERENCING || !r->priv) && vhd_bits_set(v, host, in, r->len, err))
		return -1;
	if (!p)
		return 0;
	/* All that others were promised of the block stays promised: their bits are not set yet. */
	if (vhd_bat_set(v, block, (uint32_t)(host / VHD_SECTOR), err))
		return -1;
	vd_promise_remove(&v->promises, p);
	return 0;
}

int vhd_publish(struct vd_layer *l, const struct vd_resv *r, size_t n, vd_error *err)
{
	struct vhd *v = l->priv;

	if (v->type == VHD_FIXED)
		return vhd_fixed_publish(l, r, n, err);
	for (size_t i = 0; i < n; i++) {
		uint64_t first = r[i].off / v->block_bytes, end = vd_div_up(r[i].off + r[i].len, v->block_bytes);

		if (r[i].kind == VD_DATA ? publish_data(v, &r[i], err) : vhd_blocks_remove(v, first, end, err))
			return -1;
	}
	return 0;
}

int vhd_unmap(struct vd_layer *l, uint64_t off, uint64_t len, enum vd_kind to, vd_error *err)
{
	struct vhd *v = l->priv;
	uint64_t first = vd_div_up(off, v->block_bytes ? v->block_bytes : 1);
	uint64_t end = off + len;

	if (v->type == VHD_FIXED)
		return vhd_fixed_unmap(l, off, len, err);
	/* Without its bits a block shows the parent. */
	if (v->type == VHD_DIFFERENCING && to != VD_ABSENT)
		return 0;
	end = end >= l->size ? v->n_blocks : end / v->block_bytes;
	return first < end ? vhd_blocks_remove(v, first, end, err) : 0;
}

int vhd_flush(struct vd_layer *l, vd_error *err)
{
	struct vhd *v = l->priv;

	if (v->type == VHD_FIXED)
		return vd_file_flush(l->files[0], err);
	if (vd_cache_write_back(v->cache, err))
		return -1;
	vhd_space_release(l, v);
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Host space for blocks.  A VHD keeps no account of it: used is what the BAT points at.  Before the first change the BAT is read
 * once and the gaps between its blocks become the free list; the end of the last block is where new ones are appended.
 *
 *  S1. (C2) Space whose BAT entry was removed is on `freed`, and moves to `free` when the table without it is durable.
 *  S2. A block that is taken reads as zeros and nothing else: space that lay inside the file before is zeroed, and a data barrier
 * is asked for, so that the zeros are durable before the BAT entry is.  Past the end of a regular file there are zeros already.
 *      Free space is zeroed when it becomes so, too, and no old footer stays behind: QEMU takes space past the last block for
 * zeros. S3. Appending moves the footer first: it is written behind the new block, and the block may then lie over its old place.
 * In between and until the BAT entry is durable, the copy at 0 serves (C1). S4. What is lost when memory runs out, or by a crash,
 * is space (C3), until the BAT is scanned again.
 *
 * Under the layer's exclusive lock.
 */
#include "vhd.h"

#include "base/alloc.h"

#include <stdlib.h>

uint64_t vhd_space_place(const struct vhd *v, uint64_t off)
{
	return vd_up(off + v->bitmap_bytes, 4096) - v->bitmap_bytes;
}

static void ranges_add(struct vhd_ranges *r, uint64_t off, uint64_t len)
{
	if (r->n == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 16;
		struct vd_range *more = vd_realloc(r->v, cap, sizeof(*more));

		if (!more)
			return; /* S4 */
		r->v = more;
		r->cap = cap;
	}
	r->v[r->n++] = (struct vd_range){ off, len };
}

/* ---------------------------------------------------------------- the scan */

static int entry_order(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int entries_read(const struct vd_layer *l, struct vhd *v, bool strict, struct vd_cursor *c, uint32_t *list, size_t *n,
			vd_error *err)
{
	/* Blocks past the disk's end keep their space, as the end may be the geometry's; nonsense there is none's affair. */
	for (uint64_t b = 0; b < v->header.max_entries; b++) {
		uint64_t data, held;
		uint32_t entry;
		bool sane;

		if (vhd_bat_get(v, c, b, &entry, err))
			return -1;
		if (entry == VHD_ABSENT)
			continue;
		sane = vhd_block_judge(l, v, b, entry, &data, &held, b < v->n_blocks ? err : NULL);
		if (!sane && strict && b < v->n_blocks)
			return -1;
		if (sane)
			list[(*n)++] = entry;
	}
	return 0;
}

static bool entries_ascend(const uint32_t *list, size_t n)
{
	for (size_t i = 0; i + 1 < n; i++) {
		if (list[i] >= list[i + 1])
			return false;
	}
	return true;
}

int vhd_space_entries(const struct vd_layer *l, struct vhd *v, bool strict, uint32_t **entries, size_t *n, vd_error *err)
{
	struct vd_cursor c = { 0 };
	uint32_t *list = vd_malloc(v->header.max_entries * sizeof(*list));
	int r;

	if (!list)
		return vd_fail_nomem(err, v->header.max_entries * sizeof(*list));
	*n = 0;
	r = entries_read(l, v, strict, &c, list, n, err);
	vd_cursor_end(v->cache, &c);
	if (r) {
		vd_free(list);
		return -1;
	}
	if (!entries_ascend(list, *n))
		qsort(list, *n, sizeof(*list), entry_order);
	*entries = list;
	return 0;
}

size_t vhd_space_overlap(const struct vhd *v, const uint32_t *entries, size_t n)
{
	uint64_t sectors = vhd_stride(v) / VHD_SECTOR;

	for (size_t i = 0; i + 1 < n; i++) {
		if (entries[i + 1] - entries[i] < sectors)
			return i;
	}
	return n;
}

/* Xen keeps a bitmap of fully written blocks: a header right behind the BAT ("tdbatmap", offset, sectors) says where.  What it says
   stays true, as no block here loses bits. */
static int batmap_end(const struct vd_layer *l, const struct vhd *v, uint64_t *end, vd_error *err)
{
	uint8_t b[VHD_SECTOR];
	uint64_t at = vhd_bat_end_off(v), off, len;
	size_t got;

	*end = at;
	if (vd_file_pread_some(l->files[0], b, sizeof(b), at, &got, err))
		return -1;
	if (got < sizeof(b) || memcmp(b, "tdbatmap", 8))
		return 0;
	off = be64_get(b + 8);
	len = (uint64_t)be32_get(b + 16) * VHD_SECTOR;
	*end = at + VHD_SECTOR;
	if (vd_within(off, len, vd_file_size(l->files[0])))
		*end = vd_max(*end, off + len);
	return 0;
}

/* Where blocks may lie: behind all tables and locators. */
static int space_start(const struct vd_layer *l, const struct vhd *v, uint64_t *start, vd_error *err)
{
	uint64_t end;

	if (batmap_end(l, v, &end, err))
		return -1;
	end = vd_max(end, v->footer.data_offset + VHD_HEADER_BYTES);
	for (unsigned i = 0; i < VHD_LOCATORS; i++) {
		const struct vhd_locator *k = &v->header.locators[i];

		/* The space of a locator is in sectors or, as Windows writes it, in bytes; its own text is what must stay. */
		if (k->code && vd_within(k->off, k->length, vd_file_size(l->files[0])))
			end = vd_max(end, k->off + k->length);
	}
	*start = vd_up(end, VHD_SECTOR);
	return 0;
}

int vhd_space_scan(struct vd_layer *l, struct vhd *v, vd_error *err)
{
	uint64_t stride = vhd_stride(v), at;
	VD_AUTO_FREE uint32_t *entries = NULL;
	size_t n, bad;

	if (v->scanned)
		return 0;
	if (space_start(l, v, &at, err) || vhd_space_entries(l, v, true, &entries, &n, err))
		return -1;
	bad = vhd_space_overlap(v, entries, n);
	if (bad < n)
		return vd_fail(err, VDISK_CORRUPT, (uint64_t)entries[bad] * VHD_SECTOR,
			       "VHD blocks at sectors %" PRIu32 " and %" PRIu32 " overlap: not written to", entries[bad],
			       entries[bad + 1]);
	v->end = vd_up(v->footer_off, VHD_SECTOR);
	for (size_t i = 0; i < n; i++) {
		uint64_t host = (uint64_t)entries[i] * VHD_SECTOR;

		if (host > at && host - at >= stride)
			ranges_add(&v->free, at, host - at);
		at = vd_max(at, host + stride);
	}
	if (v->end > at && v->end - at >= stride)
		ranges_add(&v->free, at, v->end - at);
	v->end = vd_max(v->end, at);
	v->scanned = true;
	return 0;
}

/* ---------------------------------------------------------------- taking and giving */

/* The lowest free place that fits, aligned if it can be. */
static bool free_take(struct vhd *v, uint64_t *host)
{
	uint64_t stride = vhd_stride(v);

	for (size_t i = 0; i < v->free.n; i++) {
		struct vd_range *r = &v->free.v[i];
		uint64_t at = vhd_space_place(v, r->off), end = r->off + r->len;

		if (end < stride || at > end - stride)
			at = vd_up(r->off, VHD_SECTOR);
		if (end < stride || at > end - stride)
			continue;
		*host = at;
		r->len = end - (at + stride);
		r->off = at + stride;
		if (r->len < stride)
			v->free.v[i] = v->free.v[--v->free.n];
		return true;
	}
	return false;
}

static int space_append(struct vd_layer *l, struct vhd *v, uint64_t *host, vd_error *err)
{
	struct vd_file *f = l->files[0];
	uint64_t at = vhd_space_place(v, v->end), end = at + vhd_stride(v), file_size = vd_file_size(f);

	if (at / VHD_SECTOR >= VHD_ABSENT)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "VHD file of %" PRIu64 " bytes cannot grow: block numbers end at 2 TiB", file_size);
	if (!v->unfinished && vhd_write_tail(l, v, end, err))
		return -1;
	if (!(f->flags & VD_FILE_ZERO_TAIL))
		file_size = end;
	if (file_size > v->end) {
		if (vd_file_zero(f, v->end, vd_min(file_size, end) - v->end, true, err))
			return -1;
		vd_cache_need_barrier(v->cache);
	}
	v->end = end;
	*host = at;
	return 0;
}

int vhd_space_take(struct vd_layer *l, struct vhd *v, uint64_t *host, vd_error *err)
{
	if (!free_take(v, host))
		return space_append(l, v, host, err);
	if (vd_file_zero(l->files[0], *host, vhd_stride(v), true, err))
		return -1;
	vd_cache_need_barrier(v->cache);
	return 0;
}

void vhd_space_give(struct vhd *v, struct vhd_ranges *to, uint64_t host)
{
	ranges_add(to, host, vhd_stride(v));
}

/* The host gets the space back, too, where it can. */
void vhd_space_release(struct vd_layer *l, struct vhd *v)
{
	for (size_t i = 0; i < v->freed.n; i++) {
		if (!vd_file_zero(l->files[0], v->freed.v[i].off, v->freed.v[i].len, true, NULL))
			ranges_add(&v->free, v->freed.v[i].off, v->freed.v[i].len);
	}
	v->freed.n = 0;
}

int vhd_space_trim(struct vd_layer *l, struct vhd *v, vd_error *err)
{
	uint64_t end;

	v->scanned = false;
	v->free.n = 0;
	if (vhd_space_scan(l, v, err))
		return -1;
	if (!v->free.n || v->free.v[v->free.n - 1].off + v->free.v[v->free.n - 1].len < v->end)
		return 0;
	end = v->free.v[--v->free.n].off;
	if (vhd_write_tail(l, v, end, err) || vd_file_flush(l->files[0], err))
		return -1;
	v->end = end;
	return vd_file_truncate(l->files[0], end + VHD_FOOTER_BYTES, err);
}

void vhd_space_clear(struct vhd *v)
{
	vd_free(v->free.v);
	vd_free(v->freed.v);
	vd_promises_clear(&v->promises);
	v->free = v->freed = (struct vhd_ranges){ 0 };
	v->scanned = false;
}

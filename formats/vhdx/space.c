/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Host space.  A VHDX keeps no account of it: used is what header, region tables and BAT point at, in whole MiB.  Before the first
 * change all of that is read once into a map with a bit for each MiB of the file.
 *
 *  S1. (C2) Space whose entry was removed is on `freed`, and becomes free when the entry's removal is durable.
 *  S2. A block that is taken reads as zeros and nothing else: what lies inside the file is zeroed first, and the log sees to it
 *      that those zeros are durable before an entry that points there (log_write.c, L1).  Past the end of a regular file there are
 *      zeros already.
 *  S3. The file is as long as all that was taken, before anything points there.
 *  S4. What is lost when memory runs out, or by a crash, is space (C3), until the BAT is read again.
 *
 * Under the layer's exclusive lock.
 */
#include "vhdx.h"

#include "base/alloc.h"

/* ---------------------------------------------------------------- the map */

static bool space_reach(struct vhdx_space *s, uint64_t end)
{
	uint64_t cap = s->cap ? s->cap : 1024;
	uint8_t *more;

	if (end <= s->cap)
		return true;
	while (cap < end)
		cap *= 2;
	more = vd_realloc(s->used, cap / 8, 1);
	if (!more)
		return false;
	memset(more + s->cap / 8, 0, (cap - s->cap) / 8);
	s->used = more;
	s->cap = cap;
	return true;
}

static bool is_used(const struct vhdx_space *s, uint64_t i)
{
	return s->used[i / 8] >> i % 8 & 1;
}

/* Whether any of it was used before; *ok false: out of memory. */
static bool space_put(struct vhdx_space *s, uint64_t off, uint64_t len, bool *ok)
{
	uint64_t from = off / VHDX_MIB, end = vd_div_up(off + len, VHDX_MIB);
	bool before = false;

	*ok = space_reach(s, end);
	for (uint64_t i = from; *ok && i < end; i++) {
		before |= is_used(s, i);
		s->used[i / 8] |= (uint8_t)(1u << i % 8);
	}
	if (*ok)
		s->end = vd_max(s->end, end);
	return before;
}

bool vhdx_space_mark(struct vhdx_space *s, uint64_t off, uint64_t len)
{
	bool ok;

	space_put(s, off, len, &ok);
	return ok;
}

static void space_count(struct vhdx_space *s)
{
	s->n_free = 0;
	s->hint = s->end;
	for (uint64_t i = 0; i < s->end; i++) {
		if (is_used(s, i))
			continue;
		s->hint = vd_min(s->hint, i);
		s->n_free++;
	}
}

/* ---------------------------------------------------------------- reading it together */

struct scan {
	const struct vd_layer *l;
	struct vhdx *v;
	struct vhdx_space space;
	struct vd_report *r; /* NULL: the first trouble ends it */
};

/* 0: go on.  What is wrong is told, or an error. */
static int scan_trouble(struct scan *s, vd_error *why, vd_error *err)
{
	if (s->r) {
		s->r->problem(s->r, false, why->offset, "%s", why->message);
		return 0;
	}
	if (err)
		*err = *why;
	return -1;
}

static int scan_put(struct scan *s, uint64_t off, uint64_t len, const char *what, uint64_t number, uint64_t at, vd_error *err)
{
	vd_error why = { 0 };
	bool ok, before;

	if (off + len > VHDX_FILE_MAX) {
		vd_fail(&why, VDISK_UNSUPPORTED, at, "VHDX %s %" PRIu64 " lies past 128 TiB of the file", what, number);
		return scan_trouble(s, &why, err);
	}
	before = space_put(&s->space, off, len, &ok);
	if (!ok)
		return vd_fail_nomem(err, (off + len) / VHDX_MIB / 8);
	if (!before)
		return 0;
	vd_fail(&why, VDISK_CORRUPT, at, "VHDX %s %" PRIu64 " at %#" PRIx64 " lies over something else", what, number, off);
	return scan_trouble(s, &why, err);
}

static int scan_regions(struct scan *s, vd_error *err)
{
	const struct vhdx *v = s->v;

	if (!vhdx_space_mark(&s->space, 0, VHDX_MIB))
		return vd_fail_nomem(err, 128);
	if (v->header.log_len && scan_put(s, v->header.log_off, v->header.log_len, "log", 0, VHDX_HEADER_OFF(v->current) + 68, err))
		return -1;
	for (uint32_t i = 0; i < v->regions.n; i++)
		if (scan_put(s, v->regions.v[i].off, v->regions.v[i].len, "region", i, VHDX_REGION_OFF(0) + 16 + 32 * i, err))
			return -1;
	return 0;
}

static int scan_block(struct scan *s, uint64_t block, uint64_t entry, vd_error *err)
{
	const struct vhdx *v = s->v;
	vd_error why = { 0 };
	uint64_t held;

	if (vhdx_entry_state(entry) < 4)
		return 0;
	if (!vhdx_block_judge(s->l, v, block, entry, &held, &why))
		return scan_trouble(s, &why, err);
	if (s->r) {
		s->r->result->allocated_units++;
		s->r->result->image_end = vd_max(s->r->result->image_end, vhdx_entry_off(entry) + held);
	}
	return scan_put(s, vhdx_entry_off(entry), v->block_bytes, "block", block, v->bat.off + vhdx_index(v, block) * 8, err);
}

static int scan_blocks(struct scan *s, vd_error *err)
{
	struct vd_cursor c = { 0 };
	uint64_t entry;

	for (uint64_t b = 0; b < s->v->n_blocks; b++) {
		if (vhdx_bat_get(s->v, &c, vhdx_index(s->v, b), &entry, err))
			return -1;
		if (scan_block(s, b, entry, err)) {
			vd_cursor_end(s->v->cache, &c);
			return -1;
		}
	}
	vd_cursor_end(s->v->cache, &c);
	return 0;
}

/* A partly present block needs its bitmap; one that is found wrong was told already. */
static int scan_bitmaps(struct scan *s, vd_error *err)
{
	struct vhdx *v = s->v;

	for (uint64_t k = 0; vhdx_is_diff(v) && k < vhdx_chunks(v->n_blocks, v->chunk_blocks); k++) {
		vd_error why = { 0 };
		uint64_t host;

		if (vhdx_bitmap_find(s->l, v, k, &host, &why)) {
			if (why.kind != VDISK_CORRUPT || scan_trouble(s, &why, err)) {
				if (err)
					*err = why;
				return -1;
			}
			continue;
		}
		if (host && scan_put(s, host, VHDX_MIB, "bitmap", k, v->bat.off + vhdx_bitmap_index(v, k) * 8, err))
			return -1;
	}
	return 0;
}

/* Blocks whose content was given up may keep their places, which other programs take for theirs still (specification, 2.5.1.1). */
static int scan_kept(struct scan *s, vd_error *err)
{
	uint64_t entry, off, size = vd_min(vd_file_size(s->l->files[0]), VHDX_FILE_MAX);
	struct vd_cursor c = { 0 };
	bool ok = true;

	for (uint64_t b = 0; ok && b < s->v->n_blocks; b++) {
		if (vhdx_bat_get(s->v, &c, vhdx_index(s->v, b), &entry, err))
			return -1;
		off = vhdx_entry_off(entry);
		if ((vhdx_entry_state(entry) == VHDX_UNDEFINED || vhdx_entry_state(entry) == VHDX_UNMAPPED) && off && off < size)
			ok = vhdx_space_mark(&s->space, off, s->v->block_bytes);
	}
	vd_cursor_end(s->v->cache, &c);
	return ok ? 0 : vd_fail_nomem(err, size / VHDX_MIB / 8);
}

static int scan_all(struct scan *s, vd_error *err)
{
	return scan_regions(s, err) || scan_blocks(s, err) || scan_bitmaps(s, err) || scan_kept(s, err) ? -1 : 0;
}

int vhdx_space_scan(struct vd_layer *l, struct vhdx *v, vd_error *err)
{
	struct scan s = { .l = l, .v = v };

	if (v->scanned)
		return 0;
	if (scan_all(&s, err)) {
		vd_free(s.space.used);
		return -1;
	}
	space_count(&s.space);
	vd_free(v->space.used);
	v->space = s.space;
	v->scanned = true;
	return 0;
}

int vhdx_space_judge(struct vd_layer *l, struct vhdx *v, struct vd_report *r, vd_error *err)
{
	struct scan s = { .l = l, .v = v, .r = r };
	int rc = scan_all(&s, err);

	vd_free(s.space.used);
	return rc;
}

/* ---------------------------------------------------------------- taking and giving */

/* The lowest run of n free ones below the end. */
static bool run_find(const struct vhdx_space *s, uint64_t n, uint64_t *at)
{
	uint64_t run = 0;

	for (uint64_t i = s->hint; s->n_free >= n && i < s->end; i++) {
		run = is_used(s, i) ? 0 : run + 1;
		if (run == n) {
			*at = i + 1 - n;
			return true;
		}
	}
	return false;
}

static void run_take(struct vhdx_space *s, uint64_t at, uint64_t n)
{
	for (uint64_t i = at; i < at + n; i++)
		s->used[i / 8] |= (uint8_t)(1u << i % 8);
	s->n_free -= n;
	while (s->hint < s->end && is_used(s, s->hint))
		s->hint++;
}

int vhdx_space_take(struct vd_layer *l, struct vhdx *v, uint64_t len, uint64_t *host, vd_error *err)
{
	struct vd_file *f = l->files[0];
	struct vhdx_space *s = &v->space;
	uint64_t at, n = len / VHDX_MIB, size = vd_file_size(f);
	bool inside = run_find(s, n, &at);

	if (!inside)
		at = s->end;
	*host = at * VHDX_MIB;
	if (*host + len > VHDX_FILE_MAX)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "VHDX file of %" PRIu64 " bytes cannot grow past 128 TiB",
		               size);
	if (!(f->flags & VD_FILE_ZERO_TAIL))
		size = *host + len;
	if (*host < size && vd_file_zero(f, *host, vd_min(len, size - *host), true, err))
		return -1;
	if (vd_file_grow(f, *host + len, err))
		return -1;
	if (inside) {
		run_take(s, at, n);
		return 0;
	}
	if (!vhdx_space_mark(s, *host, len))
		return vd_fail_nomem(err, s->cap / 4);
	s->hint = s->n_free ? s->hint : s->end;
	return 0;
}

void vhdx_space_give(struct vhdx *v, uint64_t host, uint64_t len)
{
	if (v->n_freed == v->cap_freed) {
		size_t cap = v->cap_freed ? v->cap_freed * 2 : 16;
		struct vd_range *more = vd_realloc(v->freed, cap, sizeof(*more));

		if (!more)
			return; /* S4 */
		v->freed = more;
		v->cap_freed = cap;
	}
	v->freed[v->n_freed++] = (struct vd_range){ host, len };
}

/* The host gets the space back, too, where it can. */
void vhdx_space_release(struct vd_layer *l, struct vhdx *v)
{
	struct vhdx_space *s = &v->space;

	for (size_t i = 0; i < v->n_freed; i++) {
		const struct vd_range *r = &v->freed[i];

		if (vd_file_punch(l->files[0], r->off, r->len, NULL))
			continue;
		for (uint64_t k = r->off / VHDX_MIB; k < (r->off + r->len) / VHDX_MIB && k < s->end; k++) {
			s->n_free += is_used(s, k);
			s->used[k / 8] &= (uint8_t)~(1u << k % 8);
			s->hint = vd_min(s->hint, k);
		}
	}
	v->n_freed = 0;
}

int vhdx_space_trim(struct vd_layer *l, struct vhdx *v, vd_error *err)
{
	struct vd_file *f = l->files[0];
	uint64_t end;

	v->scanned = false;
	if (vhdx_space_scan(l, v, err))
		return -1;
	end = v->space.end * VHDX_MIB;
	if (f->flags & VD_FILE_BLOCKDEV || vd_file_size(f) <= end)
		return 0;
	/* The log knows before: a file that is shorter than its last entry says is taken for damaged. */
	return vhdx_log_mark(l, v, end, err) || vd_file_truncate(f, end, err) ? -1 : 0;
}

void vhdx_space_clear(struct vhdx *v)
{
	vd_free(v->space.used);
	vd_free(v->freed);
	vd_promises_clear(&v->promises);
	v->space = (struct vhdx_space){ 0 };
	v->freed = NULL;
	v->n_freed = v->cap_freed = 0;
	v->scanned = false;
}

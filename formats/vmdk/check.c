/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checking sparse extents: that each entry of each table points into the file, that the redundant tables say the same, that nothing
 * has two owners, and that no space is lost.  Memory is bounded: owners are marked in a bitmap of sectors, one window of the file
 * at a time.
 *
 * Repair: the redundant tables follow the primary ones, and the other way where only the redundant entry is good; lost space is
 * given back to the host as holes.  What has no good copy is reported and left as it is.
 */
#include "vmdk.h"

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/zero.h"

#include <stdarg.h>
#include <stdio.h>

#define LEAK_BLOCK 4096u
#define LEAK_PIECE (64u << 10)
#define WINDOW (UINT64_C(1) << 27) /* sectors: 64 GiB of file, 16 MiB of bitmap */

struct check {
	struct vd_layer *l;
	struct vmdk_extent *x;
	struct vd_report *r; /* NULL: quick, the first damage fails */
	vd_error *err;
	bool repair, mirror; /* all; the redundant tables only */
	uint64_t *bits;
	uint64_t from, to; /* the window, in sectors */
	uint64_t end;      /* of what is used, in bytes */
	uint64_t unmended; /* damage of this extent: who owns what is not certain then */
	uint8_t *again[2]; /* tables, and redundant ones, that were looked at by another entry: vmdk_table_repeats() */
};

static int damage(struct check *c, uint64_t at, bool fixed, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static int damage(struct check *c, uint64_t at, bool fixed, const char *fmt, ...)
{
	char text[256];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	const char *name = c->l->files[c->x->file]->name;
	bool named = !strncmp(text, name, strlen(name)); /* by whoever found it */
	c->unmended += !fixed;
	if (!c->r)
		return fixed ? 0 : vd_fail(c->err, VDISK_CORRUPT, at, "%s%s%s", named ? "" : name, named ? "" : ": ", text);
	c->r->problem(c->r, false, at, "%s%s%s", named ? "" : name, named ? "" : ": ", text);
	c->r->result->corruptions_fixed += fixed;
	return 0;
}

/* ---------------------------------------------------------------- entries */

static uint64_t entry_get(const struct vmdk_extent *x, const struct vd_table *t, uint32_t k)
{
	return x->kind == VMDK_SE ? le64_get(t->data + 8ull * k) : le32_get(t->data + 4ull * k);
}

static void entry_put(struct check *c, struct vd_table *t, uint32_t k, uint64_t entry)
{
	le32_put(t->data + 4ull * k, (uint32_t)entry);
	vd_cache_dirty(c->x->tables, t);
}

static void count(struct check *c, const struct vmdk_grain *w)
{
	if (w->kind != VD_DATA)
		return;
	c->end = vd_max(c->end, w->host + w->host_len);
	if (!c->r)
		return;
	c->r->result->allocated_units++;
	c->r->result->compressed_units += c->x->packed;
}

static bool is_trouble(struct check *c, const vd_error *why)
{
	if (why->kind != VDISK_IO && why->kind != VDISK_NOMEM)
		return false;
	if (c->err)
		*c->err = *why;
	return true;
}

static int check_entry(struct check *c, uint32_t i, uint32_t k, struct vd_table *t, struct vd_table *t2)
{
	struct vmdk_extent *x = c->x;
	uint64_t g = (uint64_t)i * x->gtes + k, entry = entry_get(x, t, k), entry2 = t2 ? entry_get(x, t2, k) : entry;
	struct vmdk_grain w, w2;
	vd_error why;
	vd_error_clear(&why);
	if (!vmdk_grain_judge(c->l, x, g, entry, &w, &why)) {
		count(c, &w);
		if (entry == entry2)
			return 0;
		bool fix = c->repair || c->mirror;
		if (fix)
			entry_put(c, t2, k, entry);
		return damage(c, t2->off + 4ull * k, fix,
			      "grain %" PRIu64 " is at sector %" PRIu64 " in its table and at %" PRIu64 " in the redundant one", g,
			      entry, entry2);
	}
	if (is_trouble(c, &why))
		return -1;
	bool fix = t2 && c->repair && entry != entry2 && !vmdk_grain_judge(c->l, x, g, entry2, &w2, NULL);
	if (fix) {
		entry_put(c, t, k, entry2);
		count(c, &w2);
	}
	return damage(c, t->off, fix, "%s", why.message);
}

/* One copy of table i: *t NULL where there is none, *why says so where that is damage.  -1: it cannot even be read. */
static int open_table(struct check *c, uint32_t i, bool redundant, struct vd_table **t, vd_error *why)
{
	enum vmdk_table_state state;
	vd_error_clear(why);
	*t = NULL;
	if (!vmdk_table_get(c->l, c->x, i, redundant, &state, t, why))
		return 0;
	*t = NULL;
	return is_trouble(c, why) ? -1 : 0;
}

/* Both copies of table i; a lost one is made again from the other where that is asked for. */
static int open_pair(struct check *c, uint32_t i, struct vd_table *t[2])
{
	vd_error why[2];
	t[1] = NULL;
	vd_error_clear(&why[1]);
	if (open_table(c, i, false, &t[0], &why[0]) || (c->x->rgd && open_table(c, i, true, &t[1], &why[1])))
		return -1;
	for (unsigned k = 0; k < 2; k++) {
		bool bad = why[k].kind != VDISK_OK, lacks = c->x->rgd && !t[k] && t[!k];
		if (!bad && !lacks)
			continue;
		/* What others name, too, is no good copy. */
		bool good = t[!k] ? !vmdk_table_repeated(c->again[!k], i) : !bad && why[!k].kind == VDISK_OK;
		bool fix = c->repair && c->x->rgd && good;
		if (fix && vmdk_table_restore(c->l, c->x, i, k, c->err))
			return -1;
		if (fix)
			c->again[k][i / 8] &= (uint8_t) ~(1u << i % 8); /* now it is one of its own */
		if (bad ? damage(c, why[k].offset, fix, "%s", why[k].message)
			: damage(c, why[k].offset, fix, "%s grain table %u is missing", k ? "redundant" : "primary", i))
			return -1;
		if (fix && open_table(c, i, k, &t[k], &why[k]))
			return -1;
	}
	return 0;
}

static int check_table(struct check *c, uint32_t i)
{
	struct vmdk_extent *x = c->x;
	struct vd_table *t[2] = {NULL, NULL};
	uint64_t grains = vd_div_up(x->len, x->grain), first = (uint64_t)i * x->gtes;
	if (first >= grains)
		return 0;
	int ret = open_pair(c, i, t);
	bool again = vmdk_table_repeated(c->again[0], i) && (!t[1] || vmdk_table_repeated(c->again[1], i));
	for (uint32_t k = 0; !ret && t[0] && !again && k < vd_min(x->gtes, grains - first); k++)
		ret = check_entry(c, i, k, t[0], t[1]);
	for (unsigned k = 0; k < 2; k++)
		if (t[k])
			vd_cache_put(x->tables, t[k]);
	return ret;
}

/* ---------------------------------------------------------------- owners */

static bool mark(struct check *c, uint64_t off, uint64_t len)
{
	uint64_t a = vd_max(off / VMDK_SECTOR, c->from), b = vd_min(vd_div_up(off + len, VMDK_SECTOR), c->to);
	bool taken = false;
	for (uint64_t k = a; k < b;) {
		uint64_t at = k - c->from, n = vd_min(64 - at % 64, b - k);
		uint64_t mask = (n == 64 ? UINT64_MAX : (UINT64_C(1) << n) - 1) << at % 64;
		taken |= (c->bits[at / 64] & mask) != 0;
		c->bits[at / 64] |= mask;
		k += n;
	}
	return taken;
}

static int mark_grains(struct check *c, uint32_t i)
{
	struct vmdk_extent *x = c->x;
	uint64_t grains = vd_div_up(x->len, x->grain), first = (uint64_t)i * x->gtes;
	enum vmdk_table_state state;
	struct vd_table *t;
	int ret = 0;
	if (first >= grains || vmdk_table_get(c->l, x, i, false, &state, &t, NULL) || !t)
		return 0;
	if (mark(c, t->off, vmdk_table_bytes(x)))
		ret = damage(c, t->off, false, "grain table %u at %#" PRIx64 " shares its place with another owner", i, t->off);
	for (uint32_t k = 0; !ret && !vmdk_table_repeated(c->again[0], i) && k < vd_min(x->gtes, grains - first); k++) {
		struct vmdk_grain w;
		/* Whole grains, though only the part up to the disk's end is used; and no markers read again. */
		if (vmdk_grain_judge(c->l, x, first + k, entry_get(x, t, k), &w, NULL) || w.kind != VD_DATA ||
		    w.host / VMDK_SECTOR >= c->to || w.host + x->grain + vmdk_packed_max(x->grain) < c->from * VMDK_SECTOR)
			continue;
		if (mark(c, w.host, x->packed ? w.host_len : x->grain))
			ret = damage(c, w.host, false, "grain %" PRIu64 " at %#" PRIx64 " shares its place with another owner",
				     first + k, w.host);
	}
	vd_cache_put(x->tables, t);
	return ret;
}

static int mark_window(struct check *c)
{
	struct vmdk_extent *x = c->x;
	uint64_t entry = x->kind == VMDK_SE ? 8 : 4;
	memset(c->bits, 0, (c->to - c->from + 63) / 64 * 8);
	mark(c, 0, x->kind == VMDK_COWD ? VMDK_COWD_BYTES : VMDK_SECTOR);
	if (mark(c, x->gd_off, x->n_gts * entry) || (x->rgd && mark(c, x->rgd_off, x->n_gts * 4ull)))
		if (damage(c, x->gd_off, false, "a grain directory shares its place with another owner"))
			return -1;
	for (uint32_t i = 0; i < x->n_gts; i++)
		if (mark_grains(c, i))
			return -1;
	for (uint32_t i = 0; x->rgd && i < x->n_gts; i++) {
		enum vmdk_table_state state;
		uint64_t off;
		if (!vmdk_table_find(c->l, x, i, true, &state, &off, NULL) && state == VMDK_TABLE_HERE &&
		    mark(c, off, vmdk_table_bytes(x)) &&
		    damage(c, off, false, "redundant grain table %u at %#" PRIx64 " shares its place with another owner", i, off))
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- leaks */

/* Of [off, end), the bytes in blocks that the host keeps and that are not zeros: what was punched may stay with the host, but is
 * clean. */
static int leaked(struct check *c, uint64_t off, uint64_t end, uint64_t *kept)
{
	struct vd_file *f = c->l->files[c->x->file];
	VD_AUTO_FREE uint8_t *buf = vd_malloc(LEAK_PIECE);
	if (!buf)
		return vd_fail_nomem(c->err, LEAK_PIECE);
	*kept = 0;
	for (uint64_t len; off < end; off += len) {
		bool data = true;
		len = end - off;
		if (vd_file_extent(f, off, &len, &data, c->err))
			return -1;
		if (!data)
			continue;
		len = vd_min(len, LEAK_PIECE);
		if (vd_file_pread(f, buf, len, off, c->err))
			return -1;
		for (uint64_t k = 0; k < len; k += LEAK_BLOCK)
			*kept += vd_is_zero(buf + k, vd_min(LEAK_BLOCK, len - k)) ? 0 : vd_min(LEAK_BLOCK, len - k);
	}
	return 0;
}

/* Bytes without an owner.  Less than a block the host could not give back; the gap before the first grain is such. */
static int leak(struct check *c, uint64_t off, uint64_t end)
{
	struct vd_file *f = c->l->files[c->x->file];
	uint64_t kept = 0;
	off = vd_up(off, LEAK_BLOCK);
	if (end < vd_down(vd_file_size(f), VMDK_SECTOR))
		end = vd_down(end, LEAK_BLOCK);
	if (off >= end || end - off < c->x->grain)
		return 0;
	if (leaked(c, off, end, &kept))
		return -1;
	if (!kept)
		return 0;
	uint64_t units = vd_div_up(kept, c->x->grain);
	for (uint64_t i = 0; i < units; i++)
		c->r->problem(c->r, true, off, "%s: %" PRIu64 " bytes at %#" PRIx64 " belong to no grain", f->name, kept, off);
	if (!(c->r->repair & (VDISK_CHECK_REPAIR_LEAKS | VDISK_CHECK_REPAIR_ALL)))
		return 0;
	if (vd_file_punch(f, off, end - off, c->err))
		return -1;
	c->r->result->leaks_fixed += units;
	return 0;
}

static int find_leaks(struct check *c)
{
	uint64_t start = vd_max(c->from, c->x->data_min / VMDK_SECTOR), run = 0, k = start;
	for (; k < c->to; k++) {
		uint64_t at = k - c->from;
		if (!(c->bits[at / 64] >> at % 64 & 1)) {
			run++;
		} else if (run) {
			if (leak(c, (k - run) * VMDK_SECTOR, k * VMDK_SECTOR))
				return -1;
			run = 0;
		}
	}
	return run ? leak(c, (k - run) * VMDK_SECTOR, k * VMDK_SECTOR) : 0;
}

/* ---------------------------------------------------------------- the whole */

/* Leaks are looked for when the whole file is known to be sound: where damage is left, what seems lost may be what the damaged
   entry meant. A stream's markers have no owner, and seSparse space is managed by lists that only ESXi knows. */
static int check_owners(struct check *c)
{
	uint64_t sectors = vd_file_size(c->l->files[c->x->file]) / VMDK_SECTOR;
	bool leaks = c->r && !c->x->packed && c->x->kind != VMDK_SE;
	uint64_t bytes = (vd_min(WINDOW, sectors) + 63) / 64 * 8;
	c->bits = vd_malloc(bytes);
	if (!c->bits)
		return vd_fail_nomem(c->err, bytes);
	int ret = 0;
	for (unsigned pass = 0; !ret && pass < (leaks && !c->unmended ? 2 : 1); pass++) {
		for (c->from = 0; !ret && c->from < sectors; c->from = c->to) {
			c->to = vd_min(c->from + WINDOW, sectors);
			if (!pass || sectors > WINDOW) /* else the bitmap still stands */
				ret = mark_window(c);
			if (!ret && pass)
				ret = find_leaks(c);
		}
	}
	vd_free(c->bits);
	c->bits = NULL;
	return ret;
}

static int check_tables(struct check *c)
{
	struct vmdk_extent *x = c->x;
	if (x->gd_lost) {
		uint64_t at = x->gd_off;
		if ((c->repair && vmdk_directory_restore(c->l, x, c->err)) ||
		    damage(c, at, c->repair, "the grain directory is not in the file; the redundant one serves"))
			return -1;
	}
	if (vmdk_table_repeats(x, false, &c->again[0], c->err) ||
	    (x->rgd && vmdk_table_repeats(x, true, &c->again[1], c->err)))
		return -1;
	for (uint32_t i = 0; i < x->n_gts; i++)
		if (check_table(c, i))
			return -1;
	c->end = vd_max(c->end, x->data_min);
	if (c->r) {
		c->r->result->total_units += vd_div_up(x->len, x->grain);
		c->r->result->image_end = vd_max(c->r->result->image_end, c->end);
	}
	return check_owners(c);
}

static int check_extent(struct check *c)
{
	if (vmdk_extent_load_redundant(c->l, c->x, c->err))
		return -1;
	c->unmended = 0;
	c->again[0] = c->again[1] = NULL;
	int ret = check_tables(c);
	vd_free(c->again[0]);
	vd_free(c->again[1]);
	return ret;
}

static int check_layer(struct check *c)
{
	struct vmdk *s = vmdk_of(c->l);
	for (size_t i = 0; i < s->n; i++) {
		c->x = &s->v[i];
		c->end = 0;
		if (vmdk_is_sparse(c->x) && c->x->file != VMDK_NO_FILE && check_extent(c))
			return -1;
	}
	return 0;
}

int vmdk_check(struct vd_layer *l, struct vd_report *r, vd_error *err)
{
	struct check c = {.l = l, .r = r, .err = err};
	if (vmdk_of(l)->in || vmdk_of(l)->out)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "a stream cannot be checked");
	c.repair = (r->repair & VDISK_CHECK_REPAIR_ALL) && (l->flags & VD_LAYER_WRITABLE);
	if (check_layer(&c))
		return -1;
	return r->repair && (l->flags & VD_LAYER_WRITABLE) ? vmdk_flush(l, err) : 0;
}

int vmdk_check_quick(struct vd_layer *l, vd_error *err)
{
	struct check c = {.l = l, .err = err, .mirror = true};
	return check_layer(&c);
}

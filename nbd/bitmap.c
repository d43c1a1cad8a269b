/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Not changed once it is loaded, so that all connections read it without a lock.  Memory is bounded: 16 bytes for each range, up to
   RANGES_MAX. */
#include "bitmap.h"

#include "common/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "qemu:dirty-bitmap:"
#define RANGES_MAX (4u << 20)

struct load {
	struct export *x;
	size_t cap;
	bool full, nomem;
};

static bool range_take(void *ctx, uint64_t off, uint64_t len)
{
	struct load *l = ctx;
	struct export_bitmap *b = &l->x->bitmap;
	uint64_t from = off > l->x->off ? off - l->x->off : 0, to = off + len > l->x->off ? off + len - l->x->off : 0;

	if (to > l->x->len)
		to = l->x->len;
	if (from >= to)
		return true;
	if (b->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 256;
		struct vdisk_range *v = b->n < RANGES_MAX ? realloc(b->v, cap * sizeof(*v)) : NULL;

		l->full = b->n >= RANGES_MAX;
		l->nomem = !v && !l->full;
		if (!v)
			return false;
		b->v = v;
		l->cap = cap;
	}
	b->v[b->n++] = (struct vdisk_range){ from, to - from };
	return true;
}

int bitmap_load(struct export *x, const char *name, vdisk_error *err)
{
	struct load l = { .x = x };
	size_t cap = sizeof(PREFIX) + strlen(name);

	if (cap > EXPORT_CONTEXT_MAX)
		return fail(err, VDISK_INVALID, "--bitmap: a name of more than %d bytes", VDISK_BITMAP_NAME_MAX);
	x->bitmap.context = malloc(cap);
	if (!x->bitmap.context)
		return fail_nomem(err);
	snprintf(x->bitmap.context, cap, PREFIX "%s", name);
	if (vdisk_bitmap_ranges(x->img, name, range_take, &l, err))
		return -1;
	if (l.full)
		return fail(err, VDISK_UNSUPPORTED, "the bitmap has more than %u separate ranges", RANGES_MAX);
	return l.nomem ? fail_nomem(err) : 0;
}

void bitmap_free(struct export_bitmap *b)
{
	free(b->context);
	free(b->v);
	memset(b, 0, sizeof(*b));
}

/* The first range that ends behind `off`. */
static size_t range_find(const struct export_bitmap *b, uint64_t off)
{
	size_t lo = 0, hi = b->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (b->v[mid].off + b->v[mid].len <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

size_t bitmap_status(const struct export_bitmap *b, uint32_t len, uint64_t off, struct export_run *out, size_t cap)
{
	uint64_t end = off + len;
	size_t n = 0;

	for (size_t i = range_find(b, off); off < end && n < cap; n++) {
		bool changed = i < b->n && b->v[i].off <= off;
		uint64_t stop = i == b->n ? end : changed ? b->v[i].off + b->v[i].len : b->v[i].off;

		if (stop > end)
			stop = end;
		out[n] = (struct export_run){ .len = (uint32_t)(stop - off), .flags = changed };
		off = stop;
		i += changed;
	}
	return n;
}

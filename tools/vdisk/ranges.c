/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ranges.h"
#include "output.h"

#include <stdlib.h>
#include <string.h>

void ranges_add(struct range_list *l, uint64_t from, uint64_t to)
{
	if (from >= to)
		return;
	if (l->n == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 256;
		l->v = tool_realloc(l->v, l->cap * sizeof(*l->v));
	}
	l->v[l->n++] = (struct vdisk_range){ from, to - from };
}

static int by_offset(const void *a, const void *b)
{
	const struct vdisk_range *x = a, *y = b;
	return (x->off > y->off) - (x->off < y->off);
}

void ranges_sort(struct range_list *l)
{
	size_t n = 0;
	if (l->n)
		qsort(l->v, l->n, sizeof(*l->v), by_offset);
	for (size_t i = 0; i < l->n; i++) {
		struct vdisk_range *last = n ? &l->v[n - 1] : NULL;
		uint64_t end = l->v[i].off + l->v[i].len;
		if (!last || last->off + last->len < l->v[i].off)
			l->v[n++] = l->v[i];
		else if (end > last->off + last->len)
			last->len = end - last->off;
	}
	l->n = n;
}

void ranges_cut(struct range_list *l, uint64_t from, uint64_t to)
{
	struct range_list out = { 0 };
	for (size_t i = 0; i < l->n; i++) {
		uint64_t off = l->v[i].off, end = off + l->v[i].len;
		ranges_add(&out, off, end < from ? end : from);
		ranges_add(&out, off > to ? off : to, end);
	}
	ranges_free(l);
	*l = out;
}

void ranges_round(struct range_list *l, uint64_t align, uint64_t smallest)
{
	size_t n = 0;
	for (size_t i = 0; i < l->n; i++) {
		uint64_t from = (l->v[i].off + align - 1) & ~(align - 1), to = (l->v[i].off + l->v[i].len) & ~(align - 1);
		if (from < to && to - from >= smallest)
			l->v[n++] = (struct vdisk_range){ from, to - from };
	}
	l->n = n;
}

uint64_t ranges_total(const struct range_list *l)
{
	uint64_t total = 0;
	for (size_t i = 0; i < l->n; i++)
		total += l->v[i].len;
	return total;
}

void ranges_free(struct range_list *l)
{
	free(l->v);
	*l = (struct range_list){ 0 };
}

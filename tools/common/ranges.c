/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/ranges.h"

#include <stdlib.h>

int ranges_add(struct ranges *l, uint64_t from, uint64_t to)
{
	if (from >= to)
		return 0;
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		struct vdisk_range *v = realloc(l->v, cap * sizeof(*v));

		if (!v)
			return -1;
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = (struct vdisk_range){ from, to - from };
	return 0;
}

static int by_offset(const void *a, const void *b)
{
	const struct vdisk_range *x = a, *y = b;

	return (x->off > y->off) - (x->off < y->off);
}

void ranges_sort(struct ranges *l)
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

size_t ranges_find(const struct ranges *l, uint64_t at)
{
	size_t low = 0, high = l->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (l->v[mid].off + l->v[mid].len > at)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

int ranges_cut(struct ranges *l, uint64_t from, uint64_t to)
{
	struct ranges out = { 0 };
	size_t first = ranges_find(l, from);

	if (first == l->n || l->v[first].off >= to)
		return 0;
	for (size_t i = 0; i < l->n; i++) {
		uint64_t off = l->v[i].off, end = off + l->v[i].len;

		if (ranges_add(&out, off, end < from ? end : off < from ? from : off) ||
		    ranges_add(&out, off > to ? off : end > to ? to : end, end)) {
			ranges_free(&out);
			return -1;
		}
	}
	ranges_free(l);
	*l = out;
	return 0;
}

void ranges_round(struct ranges *l, uint64_t align, uint64_t smallest)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		uint64_t from = (l->v[i].off + align - 1) & ~(align - 1), to = (l->v[i].off + l->v[i].len) & ~(align - 1);

		if (from < to && to - from >= smallest)
			l->v[n++] = (struct vdisk_range){ from, to - from };
	}
	l->n = n;
}

uint64_t ranges_total(const struct ranges *l)
{
	uint64_t total = 0;

	for (size_t i = 0; i < l->n; i++)
		total += l->v[i].len;
	return total;
}

void ranges_free(struct ranges *l)
{
	free(l->v);
	*l = (struct ranges){ 0 };
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists of byte ranges. */
#ifndef COMMON_RANGES_H
#define COMMON_RANGES_H

#include <stddef.h>
#include <stdint.h>
#include <vdisk/vdisk.h>

struct ranges { /* {0} is empty */
	struct vdisk_range *v;
	size_t n, cap;
};

/* Appended; nothing happens where from >= to.  -1: out of memory. */
int ranges_add(struct ranges *l, uint64_t from, uint64_t to);
/* Ascending, and joined where they touch or overlap. */
void ranges_sort(struct ranges *l);
/* Of a sorted list: the first range that ends behind `at`, or l->n. */
size_t ranges_find(const struct ranges *l, uint64_t at);
/* Takes [from, to) out of a sorted list.  -1: out of memory, and the list is as it was. */
int ranges_cut(struct ranges *l, uint64_t from, uint64_t to);
/* Rounds each range of a sorted list inwards to `align`, a power of two, and drops what is shorter than `smallest` then. */
void ranges_round(struct ranges *l, uint64_t align, uint64_t smallest);
uint64_t ranges_total(const struct ranges *l);
void ranges_free(struct ranges *l);

#endif

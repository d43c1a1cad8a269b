/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists of byte ranges. */
#ifndef VDISK_TOOL_RANGES_H
#define VDISK_TOOL_RANGES_H

#include <stddef.h>
#include <stdint.h>
#include <vdisk/vdisk.h>

struct range_list {
	struct vdisk_range *v;
	size_t n, cap;
};

/* Appended; nothing happens if from >= to. */
void ranges_add(struct range_list *l, uint64_t from, uint64_t to);
/* Ascending, and joined where they touch or overlap. */
void ranges_sort(struct range_list *l);
/* Takes [from, to) out of a sorted list. */
void ranges_cut(struct range_list *l, uint64_t from, uint64_t to);
/* Rounds each range of a sorted list inwards to `align`, a power of two, and drops what is shorter than `smallest` then. */
void ranges_round(struct range_list *l, uint64_t align, uint64_t smallest);
uint64_t ranges_total(const struct range_list *l);
void ranges_free(struct range_list *l);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists of ranges that are ascending and apart. */
#ifndef VD_BASE_RANGE_H
#define VD_BASE_RANGE_H

#include "base/bytes.h"

#include <string.h>

struct vd_range {
	uint64_t off, len;
};

/* The first of v[0..n) that ends past `off`; n: none.  Elements may be larger than a range, `stride` bytes, and begin with one. */
static inline size_t vd_range_find(const void *v, size_t n, size_t stride, uint64_t off)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		struct vd_range r;

		memcpy(&r, (const char *)v + mid * stride, sizeof(r));
		if (r.off + r.len <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The first stretch of [*off, end) that no range has: *off moves to it; its length, 0: there is none. */
static inline uint64_t vd_range_gap(const struct vd_range *v, size_t n, uint64_t *off, uint64_t end)
{
	size_t i = vd_range_find(v, n, sizeof(*v), *off);

	for (; i < n && v[i].off <= *off; i++)
		*off = v[i].off + v[i].len;
	if (*off >= end)
		return 0;
	return (i < n ? vd_min(v[i].off, end) : end) - *off;
}

#endif

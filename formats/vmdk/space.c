/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists of free ranges; neighbours that follow each other are joined as they come, which is how discards come. */
#include "space.h"

#include "base/alloc.h"

#include <string.h>

#define RANGES_MAX 65536u

void vmdk_space_add(struct vmdk_ranges *r, uint64_t off, uint64_t len)
{
	if (r->n) {
		struct vmdk_range *last = &r->v[r->n - 1];
		if (last->off + last->len == off) {
			last->len += len;
			return;
		}
		if (off + len == last->off) {
			last->off = off;
			last->len += len;
			return;
		}
	}
	if (r->n == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 64;
		if (cap > RANGES_MAX)
			return;
		struct vmdk_range *v = vd_realloc(r->v, cap, sizeof(*v));
		if (!v)
			return;
		r->v = v;
		r->cap = cap;
	}
	r->v[r->n++] = (struct vmdk_range){off, len};
}

uint64_t vmdk_space_take(struct vmdk_ranges *r, uint64_t len, uint64_t unit, uint64_t *off)
{
	if (!r->n)
		return 0;
	struct vmdk_range *last = &r->v[r->n - 1];
	uint64_t got = last->len < len ? last->len : len;
	got -= got % unit;
	if (!got) {
		r->n--; /* a fragment: nothing fits it */
		return 0;
	}
	*off = last->off;
	last->off += got;
	last->len -= got;
	if (!last->len)
		r->n--;
	return got;
}

void vmdk_space_settle(struct vmdk_space *s)
{
	for (size_t i = 0; i < s->pending.n; i++)
		vmdk_space_add(&s->ready, s->pending.v[i].off, s->pending.v[i].len);
	s->pending.n = 0;
}

void vmdk_space_clear(struct vmdk_space *s)
{
	vd_free(s->pending.v);
	vd_free(s->ready.v);
	memset(s, 0, sizeof(*s));
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/promise.h"
#include "base/alloc.h"

struct vd_promise *vd_promise_find(const struct vd_promises *s, uint64_t block)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].block == block)
			return &s->v[i];
	return NULL;
}

int vd_promise_room(struct vd_promises *s, vd_error *err)
{
	size_t cap = s->cap ? 2 * s->cap : 16;
	struct vd_promise *more;

	if (s->n < s->cap)
		return 0;
	more = vd_realloc(s->v, cap, sizeof(*more));
	if (!more)
		return vd_fail_nomem(err, cap * sizeof(*more));
	s->v = more;
	s->cap = cap;
	return 0;
}

int vd_promise_add(struct vd_promises *s, uint64_t block, uint64_t host, vd_error *err)
{
	if (vd_promise_room(s, err))
		return -1;
	s->v[s->n++] = (struct vd_promise){ block, host, 1 };
	return 0;
}

void vd_promise_remove(struct vd_promises *s, struct vd_promise *p)
{
	*p = s->v[--s->n];
}

void vd_promises_clear(struct vd_promises *s)
{
	vd_free(s->v);
	*s = (struct vd_promises){ 0 };
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Blocks that have space, but no entry in their table yet: a second reservation of a range of one, before the first is published,
 * finds it here.  The owner locks.
 */
#ifndef VD_BASE_PROMISE_H
#define VD_BASE_PROMISE_H

#include "base/error.h"

struct vd_promise {
	uint64_t block, host;
	unsigned refs; /* reservations */
};

struct vd_promises {
	struct vd_promise *v;
	size_t n, cap;
};

/* NULL: none.  Good until the next one is added or removed. */
struct vd_promise *vd_promise_find(const struct vd_promises *s, uint64_t block);
/* The next one that is added needs no memory. */
int vd_promise_room(struct vd_promises *s, vd_error *err);
/* With one reservation. */
int vd_promise_add(struct vd_promises *s, uint64_t block, uint64_t host, vd_error *err);
void vd_promise_remove(struct vd_promises *s, struct vd_promise *p);
void vd_promises_clear(struct vd_promises *s);

#endif

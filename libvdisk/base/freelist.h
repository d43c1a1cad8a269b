/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A stack of idle objects of one kind (compressors), so that each thread takes one that is there already. */
#ifndef VD_BASE_FREELIST_H
#define VD_BASE_FREELIST_H

#include <pthread.h>
#include <stddef.h>

/* An idle object's place in the stack: kept beside it, so that giving one back allocates nothing. */
struct vd_free_slot {
	void *obj;
	struct vd_free_slot *next;
};

struct vd_freelist {
	pthread_mutex_t lock;
	struct vd_free_slot *idle;
};

void vd_freelist_init(struct vd_freelist *l);
/* Frees the slots, each object through `obj_free`. */
void vd_freelist_end(struct vd_freelist *l, void (*obj_free)(void *));
/* An idle slot, or a new one whose obj is NULL for the caller to fill in; NULL: out of memory. */
struct vd_free_slot *vd_freelist_take(struct vd_freelist *l);
/* A slot without obj is freed. */
void vd_freelist_give(struct vd_freelist *l, struct vd_free_slot *s);

#endif

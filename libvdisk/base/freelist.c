/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The stack of idle objects; `lock` guards the links. */
#include "base/freelist.h"
#include "base/alloc.h"

void vd_freelist_init(struct vd_freelist *l)
{
	pthread_mutex_init(&l->lock, NULL);
	l->idle = NULL;
}

void vd_freelist_end(struct vd_freelist *l, void (*obj_free)(void *))
{
	struct vd_free_slot *s, *next;

	for (s = l->idle; s; s = next) {
		next = s->next;
		obj_free(s->obj);
		vd_free(s);
	}
	pthread_mutex_destroy(&l->lock);
}

struct vd_free_slot *vd_freelist_take(struct vd_freelist *l)
{
	struct vd_free_slot *s;

	pthread_mutex_lock(&l->lock);
	s = l->idle;
	if (s)
		l->idle = s->next;
	pthread_mutex_unlock(&l->lock);
	return s ? s : vd_calloc(1, sizeof(*s));
}

void vd_freelist_give(struct vd_freelist *l, struct vd_free_slot *s)
{
	if (!s->obj) {
		vd_free(s);
		return;
	}
	pthread_mutex_lock(&l->lock);
	s->next = l->idle;
	l->idle = s;
	pthread_mutex_unlock(&l->lock);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Claims stand in one list, in order of arrival.  A claim may go ahead when no earlier one in the list conflicts with it; dropping
 * one wakes the waiters.  The list is as long as there are calls under way, so a walk is short.
 *
 * `lock` guards the list and all claims in it.
 */
#include "core/claims.h"
#include "base/alloc.h"

#include <pthread.h>

struct vd_claims {
	pthread_mutex_t lock;
	pthread_cond_t dropped;
	unsigned waiters;
	struct vd_claim *first, *last;
};

struct vd_claims *vd_claims_new(void)
{
	struct vd_claims *c = vd_calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->dropped, NULL);
	return c;
}

void vd_claims_free(struct vd_claims *c)
{
	if (!c)
		return;
	pthread_cond_destroy(&c->dropped);
	pthread_mutex_destroy(&c->lock);
	vd_free(c);
}

static bool claim_blocked(const struct vd_claim *k)
{
	for (const struct vd_claim *p = k->prev; p; p = p->prev)
		if ((p->exclusive || k->exclusive) && p->off < k->end && k->off < p->end)
			return true;
	return false;
}

void vd_claim_take(struct vd_claims *c, struct vd_claim *k, uint64_t off, uint64_t len, bool exclusive)
{
	k->off = off;
	k->end = off + len;
	k->exclusive = exclusive;
	k->next = NULL;
	pthread_mutex_lock(&c->lock);
	k->prev = c->last;
	if (c->last)
		c->last->next = k;
	else
		c->first = k;
	c->last = k;
	c->waiters++;
	while (claim_blocked(k))
		pthread_cond_wait(&c->dropped, &c->lock);
	c->waiters--;
	pthread_mutex_unlock(&c->lock);
}

void vd_claim_drop(struct vd_claims *c, struct vd_claim *k)
{
	pthread_mutex_lock(&c->lock);
	if (k->prev)
		k->prev->next = k->next;
	else
		c->first = k->next;
	if (k->next)
		k->next->prev = k->prev;
	else
		c->last = k->prev;
	if (c->waiters)
		pthread_cond_broadcast(&c->dropped);
	pthread_mutex_unlock(&c->lock);
}

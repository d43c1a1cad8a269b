/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `lock` guards all; buffers that are back are kept. */
#include "buffers.h"

#include "clock.h"

#include <pthread.h>
#include <stdlib.h>

struct buffers {
	pthread_mutex_t lock;
	pthread_cond_t back;
	struct buffer *idle;
	unsigned left; /* may yet be made */
};

struct buffers *buffers_new(unsigned n)
{
	struct buffers *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->left = n;
	pthread_mutex_init(&b->lock, NULL);
	clock_cond_init(&b->back);
	return b;
}

static void one_free(struct buffer *one)
{
	if (!one)
		return;
	free(one->packed);
	free(one->plain);
	transfer_unpacker_free(one->unpacker);
	free(one);
}

void buffers_free(struct buffers *b)
{
	if (!b)
		return;
	while (b->idle) {
		struct buffer *one = b->idle;

		b->idle = one->next;
		one_free(one);
	}
	pthread_cond_destroy(&b->back);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

static struct buffer *one_new(void)
{
	struct buffer *one = calloc(1, sizeof(*one));

	if (!one)
		return NULL;
	one->packed = malloc(TRANSFER_CHUNK);
	one->plain = malloc(TRANSFER_CHUNK);
	one->unpacker = transfer_unpacker_new();
	if (one->packed && one->plain && one->unpacker)
		return one;
	one_free(one);
	return NULL;
}

struct buffer *buffers_take(struct buffers *b, unsigned wait_ms)
{
	struct timespec end = clock_after(wait_ms);
	struct buffer *one;

	pthread_mutex_lock(&b->lock);
	while (!b->idle && !b->left)
		if (pthread_cond_timedwait(&b->back, &b->lock, &end))
			break;
	one = b->idle;
	if (one) {
		b->idle = one->next;
	} else if (b->left) {
		one = one_new();
		b->left -= one != NULL;
	}
	pthread_mutex_unlock(&b->lock);
	return one;
}

void buffers_give(struct buffers *b, struct buffer *one)
{
	pthread_mutex_lock(&b->lock);
	one->next = b->idle;
	b->idle = one;
	pthread_cond_signal(&b->back);
	pthread_mutex_unlock(&b->lock);
}

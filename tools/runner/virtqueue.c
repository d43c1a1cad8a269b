/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors are copied before they are judged, so that the guest cannot change them in between.  Chains longer than the queue are
 * loops.  Guarded by its device's io_lock; the guest reads and writes the rings all the while, hence the ordered accesses.
 */
#include "virtqueue.h"
#include "common/numbers.h"

#define DESC_NEXT     1u
#define DESC_WRITE    2u
#define DESC_INDIRECT 4u
#define DESC_BYTES    16u

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

static uint16_t idx_load(const uint8_t *p)
{
	return le16toh(__atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_ACQUIRE));
}

static void idx_store(uint8_t *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)(void *)p, htole16(v), __ATOMIC_RELEASE);
}

void virtqueue_reset(struct virtqueue *q)
{
	*q = (struct virtqueue){ .size = VIRTQUEUE_MAX };
}

int virtqueue_enable(struct virtqueue *q, const struct vm *vm)
{
	if (q->desc_at & 15 || q->avail_at & 1 || q->used_at & 3)
		return -1;
	q->desc = vm_ptr(vm, q->desc_at, DESC_BYTES * (uint64_t)q->size);
	q->avail = vm_ptr(vm, q->avail_at, 6 + 2 * (uint64_t)q->size);
	q->used = vm_ptr(vm, q->used_at, 6 + 8 * (uint64_t)q->size);
	if (!q->desc || !q->avail || !q->used)
		return -1;
	q->next_avail = q->next_used = 0;
	q->signalled_valid = false;
	q->enabled = true;
	return 0;
}

static struct desc desc_get(const uint8_t *p)
{
	uint8_t copy[DESC_BYTES];

	memcpy(copy, p, sizeof(copy));
	return (struct desc){ le64_get(copy), le32_get(copy + 8), le16_get(copy + 12), le16_get(copy + 14) };
}

/* A buffer joins the chain.  Those that the device reads come first. */
static int chain_add(struct chain *c, const struct vm *vm, const struct desc *d)
{
	bool in = d->flags & DESC_WRITE;
	void *p;

	if (!in && c->n_in)
		return -1;
	if (!d->len)
		return 0;
	p = vm_ptr(vm, d->addr, d->len);
	if (!p || (in ? c->n_in : c->n_out) == VIRTQUEUE_MAX)
		return -1;
	struct iovec *v = in ? &c->in[c->n_in++] : &c->out[c->n_out++];
	v->iov_base = p;
	v->iov_len = d->len;
	return 0;
}

/* Follows a table of `n` descriptors from `at`.  `*left`: how many more the chain may have. */
static int chain_follow(struct chain *c, const struct virtqueue *q, const struct vm *vm, const uint8_t *table, unsigned n,
                        unsigned at, unsigned *left, bool nested)
{
	for (;;) {
		if (at >= n || !*left)
			return -1;
		struct desc d = desc_get(table + DESC_BYTES * at);
		--*left;
		if (d.flags & DESC_INDIRECT) {
			const uint8_t *inner = vm_ptr(vm, d.addr, d.len);

			if (nested || !q->indirect || d.flags & DESC_NEXT || !inner || !d.len || d.len % DESC_BYTES ||
			    d.len / DESC_BYTES > VIRTQUEUE_MAX)
				return -1;
			unsigned inner_left = d.len / DESC_BYTES;
			return chain_follow(c, q, vm, inner, inner_left, 0, &inner_left, true);
		}
		if (chain_add(c, vm, &d))
			return -1;
		if (!(d.flags & DESC_NEXT))
			return 0;
		at = d.next;
	}
}

int virtqueue_pop(struct virtqueue *q, const struct vm *vm, struct chain *chain)
{
	if (!q->enabled || q->broken)
		return 0;
	uint16_t there = (uint16_t)(idx_load(q->avail + 2) - q->next_avail);
	if (!there)
		return 0;
	chain->n_out = chain->n_in = 0;
	chain->head = le16_get(q->avail + 4 + 2 * (q->next_avail % q->size));
	unsigned left = q->size;
	if (there > q->size || chain_follow(chain, q, vm, q->desc, q->size, chain->head, &left, false)) {
		q->broken = true;
		return -1;
	}
	q->next_avail++;
	return 1;
}

void virtqueue_push(struct virtqueue *q, uint16_t head, uint32_t written)
{
	uint8_t *slot = q->used + 4 + 8 * (q->next_used % q->size);

	le32_put(slot, head);
	le32_put(slot + 4, written);
	idx_store(q->used + 2, ++q->next_used); /* releases the entry and the data */
}

bool virtqueue_wants_interrupt(struct virtqueue *q)
{
	/* What was pushed must be seen before the wish is read: the driver writes its wish, then looks at what was pushed. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!q->event_idx)
		return !(idx_load(q->avail) & 1);
	uint16_t event = idx_load(q->avail + 4 + 2 * q->size), old = q->signalled;
	bool valid = q->signalled_valid;
	q->signalled = q->next_used;
	q->signalled_valid = true;
	return !valid || (uint16_t)(q->next_used - event - 1) < (uint16_t)(q->next_used - old);
}

bool virtqueue_rest(struct virtqueue *q)
{
	if (!q->enabled || q->broken)
		return true;
	if (q->event_idx) {
		idx_store(q->used + 4 + 8 * q->size, q->next_avail);
		__atomic_thread_fence(__ATOMIC_SEQ_CST); /* the wish before the look */
	}
	return idx_load(q->avail + 2) == q->next_avail;
}

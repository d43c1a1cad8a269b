/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A split virtqueue, from the device's side: VIRTIO 1.2 section 2.7.  All that stands in it is the guest's and not to be
   trusted. */
#ifndef RUNNER_VIRTQUEUE_H
#define RUNNER_VIRTQUEUE_H

#include "vm.h"

#include <sys/uio.h>

#define VIRTQUEUE_MAX 256 /* descriptors, also of an indirect table */

struct virtqueue {
	uint16_t size;              /* power of two, at most VIRTQUEUE_MAX */
	bool enabled, broken;
	bool event_idx, indirect;   /* as negotiated */
	uint64_t desc_at, avail_at, used_at;
	uint8_t *desc, *avail, *used; /* checked when it was enabled */
	uint16_t next_avail, next_used, signalled; /* free-running */
	bool signalled_valid;
};

struct chain {
	uint16_t head;
	unsigned n_out, n_in;       /* buffers that the device reads, that it writes */
	struct iovec out[VIRTQUEUE_MAX], in[VIRTQUEUE_MAX];
};

void virtqueue_reset(struct virtqueue *q);
/* Takes the addresses; -1 where they are not guest memory or not aligned. */
int virtqueue_enable(struct virtqueue *q, const struct vm *vm);
/* 1: a chain, which the caller owes exactly one virtqueue_push(); 0: none is there; -1: the guest broke the ring, it is of no
   use until a reset. */
int virtqueue_pop(struct virtqueue *q, const struct vm *vm, struct chain *chain);
void virtqueue_push(struct virtqueue *q, uint16_t head, uint32_t written);
/* Does the driver want an interrupt for what was pushed since the last time it wanted one? */
bool virtqueue_wants_interrupt(struct virtqueue *q);
/* Asks for a notification of the next chain; false: one is there already. */
bool virtqueue_rest(struct virtqueue *q);

#endif

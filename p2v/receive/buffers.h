/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Room for chunks on their way: as much as the user allows, whoever and how many send.  Safe from many threads. */
#ifndef RECEIVE_BUFFERS_H
#define RECEIVE_BUFFERS_H

#include "transfer/transfer.h"

#define BUFFER_BYTES (2u * TRANSFER_CHUNK + (256u << 10)) /* of one, with what unpacking takes */

struct buffer {
	uint8_t *packed, *plain; /* TRANSFER_CHUNK bytes each */
	struct transfer_unpacker *unpacker;
	struct buffer *next;
};

struct buffers;

/* For so many at once, made as they are needed.  NULL: out of memory. */
struct buffers *buffers_new(unsigned n);
void buffers_free(struct buffers *b); /* all of them are back */
/* Waits for one, at most so long; NULL: there was none, or no memory. */
struct buffer *buffers_take(struct buffers *b, unsigned wait_ms);
void buffers_give(struct buffers *b, struct buffer *one);

#endif

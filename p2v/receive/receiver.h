/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All that requests are answered from. */
#ifndef RECEIVE_RECEIVER_H
#define RECEIVE_RECEIVER_H

#include "buffers.h"
#include "store.h"

#include <stdatomic.h>

struct receiver {
	struct store store;
	struct token token;        /* for captures to begin with */
	uint8_t view[32];          /* SHA-256 of the viewing key */
	struct buffers *buffers;
	atomic_size_t json_bytes;  /* of bodies that are in memory */
	pthread_mutex_t parsing;   /* one body at a time becomes objects */
};

#endif

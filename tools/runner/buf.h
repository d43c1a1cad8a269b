/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes that grow. */
#ifndef RUNNER_BUF_H
#define RUNNER_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
	uint8_t *bytes;
	size_t len, cap;
	bool failed; /* out of memory: nothing is added any more; asked once, at the end */
};

void buf_destroy(struct buf *b);
void buf_add(struct buf *b, const void *bytes, size_t len);
void buf_zeros(struct buf *b, size_t len);
void buf_u8(struct buf *b, uint8_t v);
void buf_le(struct buf *b, unsigned size, uint64_t v);
void buf_align(struct buf *b, size_t to);

#endif

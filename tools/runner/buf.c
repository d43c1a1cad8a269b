/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Growing by doubling. */
#include "buf.h"
#include "common/numbers.h"

#include <stdlib.h>

void buf_destroy(struct buf *b)
{
	free(b->bytes);
	*b = (struct buf){ 0 };
}

static uint8_t *buf_grow(struct buf *b, size_t len)
{
	if (b->failed)
		return NULL;
	if (len > b->cap - b->len) {
		size_t cap = (b->cap + len) * 2;
		uint8_t *grown = realloc(b->bytes, cap);

		if (!grown) {
			b->failed = true;
			return NULL;
		}
		b->bytes = grown;
		b->cap = cap;
	}
	b->len += len;
	return b->bytes + b->len - len;
}

void buf_add(struct buf *b, const void *bytes, size_t len)
{
	uint8_t *p = buf_grow(b, len);

	if (p)
		memcpy(p, bytes, len);
}

void buf_zeros(struct buf *b, size_t len)
{
	uint8_t *p = buf_grow(b, len);

	if (p)
		memset(p, 0, len);
}

void buf_u8(struct buf *b, uint8_t v)
{
	buf_add(b, &v, 1);
}

void buf_le(struct buf *b, unsigned size, uint64_t v)
{
	uint8_t bytes[8];

	le_put(bytes, size, v);
	buf_add(b, bytes, size);
}

void buf_align(struct buf *b, size_t to)
{
	if (b->len % to)
		buf_zeros(b, to - b->len % to);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* No state, no I/O. */
#include "wire.h"

int wire_option(const uint8_t b[NBD_OPTION_BYTES], struct wire_option *out)
{
	if (be64_get(b) != NBD_OPTION_MAGIC)
		return -1;
	out->id = be32_get(b + 8);
	out->len = be32_get(b + 12);
	return 0;
}

/* A 32-bit length and as many bytes. */
static int text_take(const uint8_t **at, const uint8_t *end, struct wire_text *out)
{
	size_t left = (size_t)(end - *at);

	if (left < 4)
		return -1;
	out->len = be32_get(*at);
	out->s = (const char *)*at + 4;
	if (out->len > NBD_STRING_MAX || out->len > left - 4 || memchr(out->s, 0, out->len))
		return -1;
	*at += 4 + out->len;
	return 0;
}

int wire_go(const uint8_t *b, size_t len, struct wire_go *out)
{
	const uint8_t *end = b + len;
	uint16_t n;

	memset(out, 0, sizeof(*out));
	if (text_take(&b, end, &out->name) || end - b < 2)
		return -1;
	n = be16_get(b);
	b += 2;
	if ((size_t)(end - b) != n * 2u)
		return -1;
	for (; b < end; b += 2) {
		uint16_t info = be16_get(b);

		out->want_name |= info == NBD_INFO_NAME;
		out->want_description |= info == NBD_INFO_DESCRIPTION;
		out->want_block_size |= info == NBD_INFO_BLOCK_SIZE;
	}
	return 0;
}

bool wire_query(struct wire_meta *m, struct wire_text *out) { return m->at < m->end && !text_take(&m->at, m->end, out); }

int wire_meta(const uint8_t *b, size_t len, struct wire_meta *out)
{
	const uint8_t *end = b + len;
	struct wire_text query;

	if (text_take(&b, end, &out->name) || end - b < 4)
		return -1;
	out->n_queries = be32_get(b);
	out->at = b + 4;
	out->end = end;
	b = out->at;
	for (uint32_t i = 0; i < out->n_queries; i++)
		if (text_take(&b, end, &query))
			return -1;
	return b == end ? 0 : -1;
}

int wire_request(const uint8_t b[NBD_REQUEST_BYTES], struct wire_request *out)
{
	if (be32_get(b) != NBD_REQUEST_MAGIC)
		return -1;
	out->flags = be16_get(b + 4);
	out->type = be16_get(b + 6);
	out->cookie = be64_get(b + 8);
	out->off = be64_get(b + 16);
	out->len = be32_get(b + 24);
	return 0;
}

bool wire_text_is(const struct wire_text *t, const char *s) { return t->len == strlen(s) && !memcmp(t->s, s, t->len); }

void wire_simple_put(uint8_t b[NBD_SIMPLE_BYTES], uint64_t cookie, uint32_t error)
{
	be32_put(b, NBD_SIMPLE_MAGIC);
	be32_put(b + 4, error);
	be64_put(b + 8, cookie);
}

void wire_chunk_put(uint8_t b[NBD_CHUNK_BYTES], uint64_t cookie, uint16_t flags, uint16_t type, uint32_t len)
{
	be32_put(b, NBD_STRUCTURED_MAGIC);
	be16_put(b + 4, flags);
	be16_put(b + 6, type);
	be64_put(b + 8, cookie);
	be32_put(b + 16, len);
}

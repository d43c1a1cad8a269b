/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a client sends, decoded from its bytes into native structs by pure functions; and the heads of what it is sent. */
#ifndef VDISK_NBD_WIRE_H
#define VDISK_NBD_WIRE_H

#include "common/numbers.h"
#include "proto.h"

#include <stdbool.h>
#include <stddef.h>

struct wire_option { /* the head of an option */
	uint32_t id, len;
};

struct wire_text { /* part of the message that it was decoded from; no NUL behind it */
	const char *s;
	size_t len;
};

struct wire_go { /* OPT_INFO, OPT_GO */
	struct wire_text name;
	bool want_name, want_description, want_block_size;
};

struct wire_meta { /* OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT; the queries follow one by one */
	struct wire_text name;
	uint32_t n_queries;
	const uint8_t *at, *end;
};

struct wire_request {
	uint16_t flags, type;
	uint64_t cookie, off;
	uint32_t len;
};

/* 0, or -1 where the bytes are no such message: a wrong magic, a length that does not fit, a string over NBD_STRING_MAX or with a
   NUL. */
int wire_option(const uint8_t b[NBD_OPTION_BYTES], struct wire_option *out);
int wire_go(const uint8_t *b, size_t len, struct wire_go *out);
int wire_meta(const uint8_t *b, size_t len, struct wire_meta *out);
int wire_request(const uint8_t b[NBD_REQUEST_BYTES], struct wire_request *out);
/* The next query of *m: true; false past the last.  wire_meta() has looked at all of them. */
bool wire_query(struct wire_meta *m, struct wire_text *out);

bool wire_text_is(const struct wire_text *t, const char *s);

void wire_simple_put(uint8_t b[NBD_SIMPLE_BYTES], uint64_t cookie, uint32_t error);
void wire_chunk_put(uint8_t b[NBD_CHUNK_BYTES], uint64_t cookie, uint16_t flags, uint16_t type, uint32_t len);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fuzzers' input: an image as what is not zero in it.  Images are mostly zeros and unread guest data, and a mutation there is
 * lost; so packed, inputs are small, run fast, and nearly every byte means something.
 *
 *   1 byte: what is done with the image (fuzz.c); 3 bytes: the file's size; then records: 3 bytes offset, 2 bytes length - 1, the
 *   bytes.
 *
 * Little-endian.  Any string of bytes is an input: what a record has no bytes for, or has no room, is left out.
 */
#ifndef T_FUZZ_SPARSE_H
#define T_FUZZ_SPARSE_H

#include "base/bytes.h"

#include <stdlib.h>

#define SPARSE_HEAD   4u
#define SPARSE_RECORD 5u
#ifndef SPARSE_FILE_MAX
#define SPARSE_FILE_MAX (4u << 20) /* 12 MiB where a format's smallest images are larger: tests/CMakeLists.txt, run.sh */
#endif
#define SPARSE_PACKED_MAX (96u << 10) /* of a seed; run.sh gives it to libFuzzer */

static inline uint32_t sparse_u24(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16;
}

static inline void sparse_u24_put(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
	p[2] = (uint8_t)(v >> 16);
}

struct sparse_record {
	uint32_t off, len;
	size_t at; /* of its bytes in the input */
};

/* The record whose head is at *at, which moves behind it; false: there is none. */
static inline bool sparse_next(const uint8_t *in, size_t in_len, size_t *at, struct sparse_record *r)
{
	if (*at > in_len || in_len - *at <= SPARSE_RECORD)
		return false;
	r->off = sparse_u24(in + *at);
	r->len = le16_get(in + *at + 3) + 1u;
	r->at = *at + SPARSE_RECORD;
	r->len = (uint32_t)vd_min(r->len, in_len - r->at);
	*at = r->at + r->len;
	return true;
}

/* The image's file, exactly as long as it says (so that the sanitizer sees what reads past it); NULL: not an input. */
static inline uint8_t *sparse_unpack(const uint8_t *in, size_t in_len, size_t *size)
{
	struct sparse_record r;
	size_t at = SPARSE_HEAD;
	uint8_t *file;

	if (in_len < SPARSE_HEAD)
		return NULL;
	*size = vd_min(sparse_u24(in + 1), SPARSE_FILE_MAX);
	file = calloc(1, *size ? *size : 1);
	while (file && sparse_next(in, in_len, &at, &r))
		if (r.off < *size)
			memcpy(file + r.off, in + r.at, vd_min(r.len, *size - r.off));
	return file;
}

/* The length of the packed file in out, which has room for cap bytes; 0: too little. */
static inline size_t sparse_pack(uint8_t mode, const uint8_t *file, size_t size, uint8_t *out, size_t cap)
{
	size_t n = SPARSE_HEAD;

	if (cap < n || size > SPARSE_FILE_MAX)
		return 0;
	out[0] = mode;
	sparse_u24_put(out + 1, (uint32_t)size);
	for (size_t at = 0; at < size;) {
		size_t end, zeros = 0;

		if (size - at >= 64 && !memcmp(file + at, file + at + 1, 63) && !file[at]) {
			at += 64;
			continue;
		}
		if (!file[at]) {
			at++;
			continue;
		}
		/* Up to where more zeros follow than a record's head takes; not across sectors, so that structures stay apart. */
		for (end = at; end < size && zeros < 8 && (end == at || end % 512); end++)
			zeros = file[end] ? 0 : zeros + 1;
		end -= zeros;
		if (cap - n < SPARSE_RECORD + end - at)
			return 0;
		sparse_u24_put(out + n, (uint32_t)at);
		le16_put(out + n + 3, (uint16_t)(end - at - 1));
		memcpy(out + n + SPARSE_RECORD, file + at, end - at);
		n += SPARSE_RECORD + end - at;
		at = end;
	}
	return n;
}

#endif

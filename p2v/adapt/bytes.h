/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes that grow, and text made of them: the contents of a guest's files on their way through the steps. */
#ifndef ADAPT_BYTES_H
#define ADAPT_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes {
	char *at;   /* a NUL stands behind the last one, not counted; NULL while nothing was ever added */
	size_t len, cap;
	bool failed; /* out of memory: nothing is added any more; asked once, at the end */
};

void bytes_destroy(struct bytes *b);
void bytes_add(struct bytes *b, const void *at, size_t len);
void bytes_text(struct bytes *b, const char *text);
void bytes_format(struct bytes *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Empties it; what was allocated is kept. */
void bytes_clear(struct bytes *b);

#endif

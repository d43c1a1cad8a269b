/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Owns what struct bytes points at.  Invariant: at[len] is NUL whenever `at` is there, and `failed` leaves content as it was. */
#include "bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for `more` bytes and the NUL. */
static bool grow(struct bytes *b, size_t more)
{
	size_t need, cap;
	char *at;

	if (b->failed)
		return false;
	if (more >= SIZE_MAX / 2 - b->len) {
		b->failed = true;
		return false;
	}
	need = b->len + more + 1;
	if (need <= b->cap)
		return true;
	cap = b->cap < 64 ? 64 : b->cap;
	while (cap < need)
		cap += cap / 2;
	at = realloc(b->at, cap);
	if (!at) {
		b->failed = true;
		return false;
	}
	b->at = at;
	b->cap = cap;
	return true;
}

void bytes_destroy(struct bytes *b)
{
	free(b->at);
	*b = (struct bytes){ 0 };
}

void bytes_add(struct bytes *b, const void *at, size_t len)
{
	if (!grow(b, len))
		return;
	if (len)
		memcpy(b->at + b->len, at, len);
	b->len += len;
	b->at[b->len] = '\0';
}

void bytes_text(struct bytes *b, const char *text) { bytes_add(b, text, strlen(text)); }

void bytes_format(struct bytes *b, const char *format, ...)
{
	va_list args, again;
	int n;

	va_start(args, format);
	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (n < 0) {
		b->failed = true;
	} else if (grow(b, (size_t)n)) {
		vsnprintf(b->at + b->len, (size_t)n + 1, format, again);
		b->len += (size_t)n;
	}
	va_end(again);
}

void bytes_clear(struct bytes *b)
{
	b->len = 0;
	if (b->at)
		b->at[0] = '\0';
}

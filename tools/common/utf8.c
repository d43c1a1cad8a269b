/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/utf8.h"

#include <stdbool.h>
#include <string.h>

size_t utf8_len(const void *at, size_t n)
{
	const unsigned char *p = at;
	size_t len = p[0] < 0x80                   ? 1
	             : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
	             : (p[0] & 0xf0) == 0xe0       ? 3
	             : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
	                                           : 0;

	if (!len || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* Longer than need be, surrogates, past the last one */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

size_t utf8_shown(const void *at, size_t n)
{
	const unsigned char *p = at;

	return *p < ' ' || *p == 0x7f || (*p == 0xc2 && n > 1 && p[1] < 0xa0) ? 0 : utf8_len(at, n);
}

size_t utf8_fit(const char *text, size_t room)
{
	size_t len = strlen(text), fit = 0;

	while (fit < len) {
		size_t n = utf8_len(text + fit, len - fit);

		n = n ? n : 1; /* a byte that is no character stays one */
		if (fit + n > room)
			break;
		fit += n;
	}
	return fit;
}

void utf8_clean(char *text)
{
	unsigned char *p = (unsigned char *)text, *end = p + strlen(text);

	while (p < end) {
		size_t left = (size_t)(end - p), n = utf8_len(p, left);

		n = n ? n : 1;
		if (!utf8_shown(p, left))
			memset(p, '?', n);
		p += n;
	}
}

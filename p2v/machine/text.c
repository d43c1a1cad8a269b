/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Texts: UTF-8 without control characters. */
#include "text.h"

#include <string.h>

size_t text_utf8_len(const char *at, size_t n)
{
	const unsigned char *p = (const unsigned char *)at;
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
	if (p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe) /* U+FFFE and U+FFFF */
		return 0;
	return len;
}

size_t text_clean(char *out, size_t max, const char *text, bool lines)
{
	size_t len = strlen(text), done = 0;

	for (size_t i = 0; i < len && done < max;) {
		size_t n = text_utf8_len(text + i, len - i);

		if (lines && text[i] == '\r') {
			i++;
		} else if (!n || (text_is_control(text + i) && !(lines && strchr("\n\t", text[i])))) {
			out[done++] = '?';
			i += n ? n : 1;
		} else if (done + n > max) {
			break;
		} else {
			memcpy(out + done, text + i, n);
			done += n;
			i += n;
		}
	}
	out[done] = '\0';
	return done;
}

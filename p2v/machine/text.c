/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Texts: UTF-8 without control characters. */
#include "text.h"
#include "common/utf8.h"

#include <string.h>

size_t text_utf8_len(const char *at, size_t n)
{
	const unsigned char *p = (const unsigned char *)at;
	size_t len = utf8_len(at, n);

	return len == 3 && p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe ? 0 : len; /* U+FFFE and U+FFFF, which XML has not */
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

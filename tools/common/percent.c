/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/percent.h"

#include <stdlib.h>
#include <string.h>

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

char *percent_decode(const char *text)
{
	char *out = strchr(text, '%') ? malloc(strlen(text) + 1) : NULL, *to = out;

	for (; out && *text; text++) {
		int high = *text == '%' ? digit(text[1]) : 0, low = *text == '%' && high >= 0 ? digit(text[2]) : 0;

		if (*text != '%') {
			*to++ = *text;
			continue;
		}
		if (high < 0 || low < 0 || high + low == 0) {
			free(out);
			return NULL;
		}
		*to++ = (char)(high << 4 | low);
		text += 2;
	}
	if (out)
		*to = '\0';
	return out;
}

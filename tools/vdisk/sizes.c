/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sizes as people write and read them. */
#include "sizes.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char units[] = "KMGTPE";

/* Multiplies the digits behind a decimal point by `unit`; only a whole number of bytes counts. */
static bool fraction_add(const char *digits, size_t n, uint64_t unit, uint64_t *bytes)
{
	uint64_t num = 0, den = 1;
	if (!n || n > 15)
		return false;
	for (size_t i = 0; i < n; i++) {
		num = num * 10 + (uint64_t)(digits[i] - '0');
		den *= 10;
	}
	unsigned __int128 product = (unsigned __int128)num * unit;
	return product % den == 0 && !__builtin_add_overflow(*bytes, (uint64_t)(product / den), bytes);
}

bool size_parse(const char *text, uint64_t *bytes)
{
	bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	if (!isdigit((unsigned char)text[0]) || (hex && !isxdigit((unsigned char)text[2])))
		return false;
	char *end;
	errno = 0;
	uint64_t whole = strtoull(text, &end, hex ? 16 : 10);
	if (errno)
		return false;
	const char *digits = NULL;
	size_t n = 0;
	if (*end == '.' && !hex) {
		digits = end + 1;
		n = strspn(digits, "0123456789");
		end += 1 + n;
	}
	uint64_t unit = 1;
	if (*end) {
		const char *u = strchr(units, toupper((unsigned char)*end));
		if (!u)
			return false;
		unit = UINT64_C(1) << (10 * (u - units + 1));
		end++;
		if (end[0] == 'i' && end[1] == 'B')
			end += 2;
	}
	if (*end || __builtin_mul_overflow(whole, unit, &whole))
		return false;
	if (digits && !fraction_add(digits, n, unit, &whole))
		return false;
	*bytes = whole;
	return true;
}

const char *size_human(char buf[SIZE_TEXT], uint64_t bytes)
{
	int u = -1;
	double v = (double)bytes;
	for (; v >= 1024 && u < 5; u++)
		v /= 1024;
	if (u < 0)
		snprintf(buf, SIZE_TEXT, "%" PRIu64 " byte%s", bytes, bytes == 1 ? "" : "s");
	else if (v == (double)(unsigned)v)
		snprintf(buf, SIZE_TEXT, "%u %ciB", (unsigned)v, units[u]);
	else
		snprintf(buf, SIZE_TEXT, "%.*f %ciB", v < 10 ? 2 : v < 100 ? 1 : 0, v, units[u]);
	return buf;
}

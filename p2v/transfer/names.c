/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names that come from other machines and become files here; digests as text. */
#include "transfer.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* By hand: no locale has a say. */
static bool plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

bool transfer_name_good(const char *name, size_t len)
{
	if (!len || len > TRANSFER_NAME_MAX || *name == '.' || *name == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!plain(name[i]))
			return false;
	return true;
}

void transfer_name_make(const char *text, char out[TRANSFER_NAME_MAX + 1])
{
	size_t n = 0;

	for (; text && *text && n < TRANSFER_NAME_MAX; text++) {
		char c = plain(*text) ? *text : '-';

		if (!n && (c == '.' || c == '-'))
			continue;
		if (c == '-' && n && out[n - 1] == '-')
			continue;
		out[n++] = c;
	}
	while (n && out[n - 1] == '-')
		n--;
	if (!n)
		out[n++] = 'x';
	out[n] = '\0';
}

void transfer_folder_make(const char *host, const char *uuid, time_t when, char out[TRANSFER_FOLDER_MAX])
{
	char name[TRANSFER_NAME_MAX + 1], id[TRANSFER_NAME_MAX + 1];
	struct tm tm = { .tm_year = 70, .tm_mday = 1 };

	transfer_name_make(host, name);
	transfer_name_make(uuid, id);
	gmtime_r(&when, &tm);
	snprintf(out, TRANSFER_FOLDER_MAX, "%s-%04u%02u%02u-%.8s", name, (unsigned)(tm.tm_year + 1900) % 10000,
	         (unsigned)(tm.tm_mon + 1) % 100, (unsigned)tm.tm_mday % 100, id);
}

void transfer_hex(const uint8_t *bytes, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	*out = '\0';
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool transfer_unhex(const char *text, bool colons, uint8_t *out, size_t n)
{
	if (colons && !strncasecmp(text, "sha256:", 7))
		text += 7;
	for (size_t i = 0; i < n; i++) {
		int high, low;

		if (colons && i && *text == ':')
			text++;
		high = digit(text[0]);
		low = high < 0 ? -1 : digit(text[1]);
		if (low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
		text += 2;
	}
	return !*text;
}

void transfer_pin(const uint8_t fingerprint[32], char out[64])
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *p = out + sprintf(out, "sha256//");

	for (size_t i = 0; i < 33; i += 3) { /* 32 bytes: the last three lack one */
		uint32_t v =
			(uint32_t)fingerprint[i] << 16 | (uint32_t)fingerprint[i + 1] << 8 | (i + 2 < 32 ? fingerprint[i + 2] : 0u);

		*p++ = digits[v >> 18];
		*p++ = digits[v >> 12 & 63];
		*p++ = digits[v >> 6 & 63];
		*p++ = i + 2 < 32 ? digits[v & 63] : '=';
	}
	*p = '\0';
}

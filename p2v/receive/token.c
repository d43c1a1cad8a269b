/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "token.h"

#include "common/fail.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <string.h>

#define DIGITS 20u

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; /* none that looks like another */

static int chance(void *out, size_t n, vdisk_error *err)
{
	int rc = gnutls_rnd(GNUTLS_RND_KEY, out, n);

	return rc < 0 ? fail(err, VDISK_IO, "random numbers: %s", gnutls_strerror(rc)) : 0;
}

int token_make(char out[32], vdisk_error *err)
{
	uint8_t bytes[DIGITS];

	if (chance(bytes, sizeof(bytes), err))
		return -1;
	for (unsigned i = 0; i < DIGITS; i++) {
		if (i && i % 5 == 0)
			*out++ = '-';
		*out++ = alphabet[bytes[i] & 31];
	}
	*out = '\0';
	return 0;
}

int secret_make(size_t bytes, char *out, vdisk_error *err)
{
	uint8_t buf[64];

	if (bytes > sizeof(buf) || chance(buf, bytes, err))
		return -1;
	transfer_hex(buf, bytes, out);
	return 0;
}

/* The one form of a token that we made; 0: it is none. */
static size_t plain(const char *text, size_t len, char out[DIGITS])
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c == '-' || c == ' ')
			continue;
		if (c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		c = (char)(c == 'O' ? '0' : c == 'I' || c == 'L' ? '1' : c);
		if (!c || !strchr(alphabet, c) || n == DIGITS)
			return 0;
		out[n++] = c;
	}
	return n == DIGITS ? n : 0;
}

int secret_hash(const char *text, size_t len, uint8_t out[32], vdisk_error *err)
{
	char ours[DIGITS];
	size_t n = plain(text, len, ours);

	return n ? transfer_sha256(ours, n, out, err) : transfer_sha256(text, len, out, err);
}

bool secret_same(const uint8_t a[32], const uint8_t b[32]) { return !gnutls_memcmp(a, b, 32); }

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* UUIDs as bytes and text (RFC 9562), and where random bytes come from. */
#include "base/uuid.h"
#include "base/bytes.h"
#include "base/digest.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

int vd_random_bytes(void *buf, size_t len, vd_error *err)
{
	uint8_t *p = buf;

	while (len) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "no random numbers");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static void version_set(uint8_t uuid[16])
{
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40); /* version 4 */
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80); /* variant 10 */
}

int vd_uuid_random(uint8_t uuid[16], vd_error *err)
{
	if (vd_random_bytes(uuid, 16, err))
		return -1;
	version_set(uuid);
	return 0;
}

int vd_uuid_seeded(uint8_t uuid[16], uint64_t seed, const char *what, vd_error *err)
{
	uint8_t from[24] = { 0 }, sum[32];

	if (!seed)
		return vd_uuid_random(uuid, err);
	be64_put(from, seed);
	memcpy(from + 8, what, strnlen(what, 16));
	if (vd_sha256_of(from, sizeof(from), sum, err))
		return -1;
	memcpy(uuid, sum, 16);
	version_set(uuid);
	return 0;
}

/* A dash stands before these bytes. */
static bool dash_before(int i)
{
	return i == 4 || i == 6 || i == 8 || i == 10;
}

void vd_uuid_format(char text[VD_UUID_TEXT], const uint8_t uuid[16])
{
	static const char hex[] = "0123456789abcdef";
	char *p = text;

	for (int i = 0; i < 16; i++) {
		if (dash_before(i))
			*p++ = '-';
		*p++ = hex[uuid[i] >> 4];
		*p++ = hex[uuid[i] & 15];
	}
	*p = 0;
}

bool vd_uuid_parse(uint8_t uuid[16], const char *text)
{
	uint8_t v[16];

	for (int i = 0; i < 16; i++) {
		int hi, lo;

		if (dash_before(i) && *text++ != '-')
			return false;
		hi = vd_hex_value(text[0]);
		if (hi < 0)
			return false;
		lo = vd_hex_value(text[1]);
		if (lo < 0)
			return false;
		v[i] = (uint8_t)(hi << 4 | lo);
		text += 2;
	}
	if (*text)
		return false;
	for (int i = 0; i < 16; i++)
		uuid[i] = v[i];
	return true;
}

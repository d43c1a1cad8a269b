/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CRC-32C: by the processor's own instruction where it has one, else four bits at a time from a constant table. */
#include "base/crc32c.h"
#include "base/bytes.h"

static uint32_t crc_nibbles(uint32_t c, const uint8_t *p, size_t len)
{
	static const uint32_t t[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
		0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};

	while (len--) {
		c ^= *p++;
		c = c >> 4 ^ t[c & 15];
		c = c >> 4 ^ t[c & 15];
	}
	return c;
}

#ifdef __x86_64__
#include <immintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc_sse42(uint32_t c, const uint8_t *p, size_t len)
{
	uint64_t c64 = c;

	for (; len >= 8; p += 8, len -= 8)
		c64 = _mm_crc32_u64(c64, le64_get(p));
	c = (uint32_t)c64;
	while (len--)
		c = _mm_crc32_u8(c, *p++);
	return c;
}

static uint32_t crc_any(uint32_t c, const uint8_t *p, size_t len)
{
	return __builtin_cpu_supports("sse4.2") ? crc_sse42(c, p, len) : crc_nibbles(c, p, len);
}
#else
static uint32_t crc_any(uint32_t c, const uint8_t *p, size_t len)
{
	return crc_nibbles(c, p, len);
}
#endif

uint32_t vd_crc32c(uint32_t crc, const void *buf, size_t len)
{
	return ~crc_any(~crc, buf, len);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CRC-32C against its published values (RFC 3720, B.4), in one piece and in many. */
#include "base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void published(void **state)
{
	uint8_t b[32];

	(void)state;
	memset(b, 0, sizeof(b));
	assert_int_equal(vd_crc32c(0, b, sizeof(b)), 0x8a9136aa);
	memset(b, 0xff, sizeof(b));
	assert_int_equal(vd_crc32c(0, b, sizeof(b)), 0x62a8ab43);
	for (unsigned i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)i;
	assert_int_equal(vd_crc32c(0, b, sizeof(b)), 0x46dd794e);
	assert_int_equal(vd_crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(vd_crc32c(0, "", 0), 0);
}

static void in_pieces(void **state)
{
	uint8_t b[1000];
	uint32_t whole;

	(void)state;
	for (unsigned i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)(i * 37 + (i >> 3));
	whole = vd_crc32c(0, b, sizeof(b));
	for (size_t step = 1; step < 70; step++) {
		uint32_t c = 0;

		for (size_t at = 0; at < sizeof(b); at += step)
			c = vd_crc32c(c, b + at, at + step < sizeof(b) ? step : sizeof(b) - at);
		assert_int_equal(c, whole);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(published), cmocka_unit_test(in_pieces) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What vd_dense() is sure of, zlib at its best does not make smaller; and it is sure of what is packed or encrypted. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/dense.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define LEN 262144u

static unsigned char data[LEN], packed[LEN * 2];
static uint64_t state_of = 88172645463325252u;

static uint32_t chance(void)
{
	state_of ^= state_of << 13;
	state_of ^= state_of >> 7;
	state_of ^= state_of << 17;
	return (uint32_t)(state_of >> 16);
}

static void random_fill(size_t len)
{
	for (size_t i = 0; i < len; i++)
		data[i] = (unsigned char)chance();
}

/* Thousandths that zlib takes off data[0..len). */
static long gain(size_t len)
{
	uLongf n = sizeof(packed);

	assert_int_equal(compress2(packed, &n, data, len, 9), Z_OK);
	return ((long)len - (long)n) * 1000 / (long)len;
}

static void noise(void **state)
{
	(void)state;
	for (size_t len = 4096; len <= LEN; len += 1 + len / 3) {
		random_fill(len);
		assert_true(vd_dense(data, len));
	}
	assert_false(vd_dense(data, 4095));
	assert_false(vd_dense(data, 0));
}

static void what_is_packed(void **state)
{
	uLongf n = sizeof(packed);

	(void)state;
	for (size_t i = 0; i < LEN; i++)
		data[i] = (unsigned char)((unsigned char)"etaoin shrdlu"[chance() % 13] + chance() % 3);
	assert_false(vd_dense(data, LEN));
	assert_int_equal(compress2(packed, &n, data, LEN, 9), Z_OK);
	assert_true(n > 65536);
	assert_true(vd_dense(packed + 1000, 65536));
}

/* Equally frequent bytes all of them; each can be packed in another way. */
static void what_comes_again(void **state)
{
	static const struct {
		unsigned unit, values;
	} palettes[] = { { 4, 64 }, { 4, 1024 }, { 4, 4096 }, { 8, 500 }, { 16, 2000 }, { 512, 40 }, { 4096, 5 } };

	(void)state;
	for (size_t k = 0; k < sizeof(palettes) / sizeof(*palettes); k++) {
		unsigned unit = palettes[k].unit;

		random_fill(unit * palettes[k].values);
		memcpy(packed, data, unit * palettes[k].values);
		for (size_t i = 0; i < 65536; i += unit)
			memcpy(data + i, packed + (size_t)(chance() % palettes[k].values) * unit, unit);
		assert_true(gain(65536) > 10);
		assert_false(vd_dense(data, 65536));
	}
	/* Too far away for deflate. */
	random_fill(65536);
	memcpy(data + 40000, data, 20000);
	assert_true(gain(65536) < 10);
	assert_true(vd_dense(data, 65536));
}

/* Some of it noise, some of it not: whatever is said to be dense is. */
static void mixtures(void **state)
{
	unsigned dense = 0;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		size_t len = 65536, at = chance() % 60000, n = chance() % (round < 100 ? 5000 : 400);

		random_fill(len);
		switch (round % 4) {
		case 0:
			memset(data + at, (int)chance(), n);
			break;
		case 1:
			memmove(data + at, data + (at > 20000 ? at - 20000 : at), n);
			break;
		case 2:
			for (size_t i = 0; i < n; i++)
				data[at + i] = (unsigned char)("0123456789abcdef"[chance() % 16]);
			break;
		default:
			for (size_t i = 0; i < len; i++)
				if (chance() % 1000 < round)
					data[i] = 0xff;
		}
		if (vd_dense(data, len)) {
			dense++;
			if (gain(len) >= 12)
				fail_msg("round %u: %ld of a thousand would go", round, gain(len));
		}
	}
	assert_in_range(dense, 20, 180);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(noise), cmocka_unit_test(what_is_packed), cmocka_unit_test(what_comes_again),
		cmocka_unit_test(mixtures),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

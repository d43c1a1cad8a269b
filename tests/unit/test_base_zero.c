/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/zero.h"

#include <string.h>

/* One non-zero byte at every place, for every length and alignment around the vectors' widths; bytes outside are never counted. */
static void every_place(void **state)
{
	static unsigned char buf[1400];

	(void)state;
	for (size_t align = 0; align < 40; align += 13) {
		for (size_t len = 0; len < 600; len += len < 70 ? 1 : 37) {
			unsigned char *p = buf + 64 + align;

			memset(buf, 0xff, sizeof(buf));
			memset(p, 0, len);
			if (!vd_is_zero(p, len))
				fail_msg("length %zu at %zu: zeros not found", len, align);
			for (size_t i = 0; i < len; i++) {
				p[i] = i & 1 ? 1 : 0x80;
				if (vd_is_zero(p, len))
					fail_msg("length %zu at %zu: byte %zu not seen", len, align, i);
				p[i] = 0;
			}
		}
	}
}

static size_t run_model(const unsigned char *p, size_t len, size_t block, bool *zero)
{
	size_t n = 0;

	while (n < len) {
		size_t k = len - n < block ? len - n : block;
		bool z = true;

		for (size_t i = 0; i < k; i++)
			z = z && !p[n + i];
		if (!n)
			*zero = z;
		else if (z != *zero)
			break;
		n += k;
	}
	return n;
}

static void runs(void **state)
{
	static unsigned char buf[8192];
	unsigned seed = 7;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		size_t block = (size_t)64 << (round % 5), len;
		bool zero, want_zero;
		size_t got, want;

		memset(buf, 0, sizeof(buf));
		for (int i = 0; i < round % 7; i++) {
			seed = seed * 1103515245 + 12345;
			if (seed >> 16 & 1)
				buf[seed % sizeof(buf)] = 1;
			else
				memset(buf + seed % 4096, 1, seed % 4000);
		}
		len = 1 + (seed >> 8) % sizeof(buf);
		got = vd_zero_run(buf, len, block, &zero);
		want = run_model(buf, len, block, &want_zero);
		if (got != want || zero != want_zero)
			fail_msg("round %d, length %zu, block %zu: expected %zu of %d, got %zu of %d", round, len, block, want,
			         want_zero, got, zero);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_place), cmocka_unit_test(runs)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "alloc_fail.h"
#include "base/alloc.h"

#include <string.h>

static void basics(void **state)
{
	VD_AUTO_FREE char *a = vd_strdup("hello"), *b = vd_strndup("hello", 3), *c = vd_asprintf("%d-%s", 42, "x");
	void *p = vd_malloc(0), *q = vd_calloc(0, 8), *r = vd_aligned(4096, 10);
	unsigned char *z = vd_calloc(3, 5);

	(void)state;
	assert_string_equal(a, "hello");
	assert_string_equal(b, "hel");
	assert_string_equal(c, "42-x");
	assert_non_null(p);
	assert_non_null(q);
	assert_true(p != q);
	assert_int_equal((uintptr_t)r % 4096, 0);
	for (int i = 0; i < 15; i++)
		assert_int_equal(z[i], 0);
	z = vd_realloc(z, 100, 100);
	assert_non_null(z);
	assert_int_equal(z[14], 0);
	vd_free(p);
	vd_free(q);
	vd_free(r);
	vd_free(z);
	vd_free(NULL);
}

static void overflow(void **state)
{
	size_t half = SIZE_MAX / 2 + 2;

	(void)state;
	assert_null(vd_calloc(half, 2));
	assert_null(vd_realloc(NULL, half, 2));
}

/* Each of them goes through the seam, once. */
static void seam(void **state)
{
	(void)state;
#define FAILS(call) \
	do { \
		alloc_fail_at(0); \
		assert_null(call); \
		assert_int_equal(alloc_fail_hits(), 1); \
	} while (0)
	FAILS(vd_malloc(1));
	FAILS(vd_calloc(1, 1));
	FAILS(vd_realloc(NULL, 1, 1));
	FAILS(vd_aligned(64, 1));
	FAILS(vd_strdup("x"));
	FAILS(vd_strndup("x", 1));
	FAILS(vd_asprintf("%d", 1));
	vd_free(vd_malloc(1)); /* once only */
	assert_int_equal(alloc_fail_hits(), 1);
	alloc_fail_at(-1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(basics), cmocka_unit_test(overflow), cmocka_unit_test(seam)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

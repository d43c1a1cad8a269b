/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Patches over a file: against a flat array they read the same, before and after they are written where they belong. */
#include "io/patched.h"
#include "base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SIZE 4096u

static uint8_t file_bytes[SIZE], due[SIZE + 512];
static uint32_t seed;

static uint32_t draw(uint32_t n)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % n;
}

/* The last quarter is where the patches' bytes come from; none lies over it. */
static struct vd_patch *patches_make(size_t n)
{
	struct vd_patch *v = vd_calloc(n, sizeof(*v));

	assert_non_null(v);
	for (size_t i = 0; i < n; i++) {
		uint32_t len = 1 + draw(200), off = draw(3 * SIZE / 4 - len), from = 3 * SIZE / 4 + draw(SIZE / 4 - len);
		bool zero = draw(4) == 0;

		v[i] = (struct vd_patch){ off, len, zero ? VD_PATCH_ZERO : from };
		for (uint32_t k = 0; k < len; k++)
			due[off + k] = zero ? 0 : file_bytes[from + k];
	}
	return v;
}

static void reads_as_due(struct vd_file *f)
{
	uint8_t got[SIZE + 512];
	size_t n;

	assert_int_equal(vd_file_size(f), sizeof(due));
	for (unsigned i = 0; i < 100; i++) {
		uint32_t len = 1 + draw(700), off = draw(sizeof(due));

		assert_int_equal(vd_file_pread_some(f, got, len, off, &n, NULL), 0);
		assert_int_equal(n, len < sizeof(due) - off ? len : sizeof(due) - off);
		assert_memory_equal(got, due + off, n);
	}
}

static void same_as_an_array(void **state)
{
	(void)state;
	for (seed = 1; seed < 200; seed++) {
		size_t n = 1 + draw(60);
		struct vd_file *inner, *f;
		struct vd_patch *v;
		vd_error err;

		for (unsigned i = 0; i < SIZE; i++)
			file_bytes[i] = (uint8_t)(1 + draw(255));
		memset(due, 0, sizeof(due));
		memcpy(due, file_bytes, SIZE);
		v = patches_make(n);
		assert_int_equal(vd_patches_settle(&v, &n, &err), 0);
		for (size_t i = 1; i < n; i++)
			assert_true(v[i - 1].off + v[i - 1].len <= v[i].off);
		assert_int_equal(vd_file_memory("inner", file_bytes, SIZE, &inner, &err), 0);
		assert_int_equal(vd_file_patched(inner, v, n, sizeof(due), &f, &err), 0);
		reads_as_due(f);
		assert_int_equal(vd_file_pwrite(f, "x", 1, 0, &err), -1);
		assert_int_equal(err.kind, VDISK_INVALID);
		assert_int_equal(vd_file_patched_apply(f, &err), 0);
		reads_as_due(f);
		assert_int_equal(vd_file_pwrite(f, "x", 1, 0, &err), 0);
		due[0] = 'x';
		reads_as_due(f);
		vd_file_close(f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(same_as_an_array) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

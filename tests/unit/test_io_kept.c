/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A kept file: empty to look at, fresh where nothing is kept, and what is kept stays, whatever is done to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "io/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIZE 40000u

/* The inner file of bytes 'o', seen with the ranges kept. */
static struct vd_file *kept(const struct vd_range *v, size_t n, size_t size)
{
	char *old = malloc(size);
	struct vd_file *f, *k;
	vd_error err;

	memset(old, 'o', size);
	assert_int_equal(vd_file_memory("inner", old, size, &f, &err), 0);
	free(old);
	assert_int_equal(vd_file_kept(f, v, n, &k, &err), 0);
	return k;
}

static void test_begins_empty(void **state)
{
	const struct vd_range v[] = { { 100, 50 }, { 1000, 24 } };
	struct vd_file *f = kept(v, 2, 5000);
	char b[1100], want[1100] = { 0 };
	size_t got;

	(void)state;
	assert_int_equal(vd_file_size(f), 0);
	assert_int_equal(vd_file_pread_some(f, b, sizeof(b), 0, &got, NULL), 0);
	assert_int_equal(got, 0);
	assert_int_equal(vd_file_grow(f, 1100, NULL), 0);
	assert_int_equal(vd_file_pread(f, b, sizeof(b), 0, NULL), 0);
	memset(want + 100, 'o', 50);
	memset(want + 1000, 'o', 24);
	assert_memory_equal(b, want, sizeof(b));
	/* Past its end. */
	assert_int_not_equal(vd_file_pread(f, b, 1, 1100, NULL), 0);
	vd_file_close(f);
}

/* What was to be zeros there need not have been written. */
static void test_short_file(void **state)
{
	const struct vd_range v = { 2, 20 };
	struct vd_file *f, *k;
	char b[22];

	(void)state;
	assert_int_equal(vd_file_memory("inner", "short", 5, &f, NULL), 0);
	assert_int_equal(vd_file_kept(f, &v, 1, &k, NULL), 0);
	assert_int_equal(vd_file_grow(k, 22, NULL), 0);
	assert_int_equal(vd_file_pread(k, b, 22, 0, NULL), 0);
	assert_memory_equal(b, "\0\0ort\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22);
	vd_file_close(k);
}

/* Against a flat array: writes, zeros, punches and truncations at random; kept bytes are 'o' wherever the file reaches. */
static void one_round(unsigned seed)
{
	struct vd_range v[40];
	static uint8_t model[SIZE], got[SIZE], bytes[SIZE];
	static bool held[SIZE];
	uint64_t size = 0, at = 0;
	struct vd_file *f;
	size_t n = 0;

	srand(seed);
	memset(held, 0, sizeof(held));
	memset(model, 0, sizeof(model));
	while (n < 40) {
		v[n].off = at + 1 + (unsigned)rand() % 1500;
		v[n].len = 1 + (unsigned)rand() % 700;
		at = v[n].off + v[n].len;
		if (at > SIZE - 2000)
			break;
		memset(held + v[n].off, true, v[n].len);
		memset(model + v[n].off, 'o', v[n].len);
		n++;
	}
	f = kept(v, n, SIZE);
	for (unsigned i = 0; i < 400; i++) {
		uint64_t off = (unsigned)rand() % (SIZE - 1), len = 1 + (unsigned)rand() % ((unsigned)rand() % 4 ? 900 : SIZE);
		unsigned what = (unsigned)rand() % 8;
		struct iovec iov[3];

		len = off + len > SIZE ? SIZE - off : len;
		if (what < 4) {
			memset(bytes, 'a' + rand() % 10, len);
			iov[0] = (struct iovec){ bytes, len / 3 };
			iov[1] = (struct iovec){ bytes, len / 2 };
			iov[2] = (struct iovec){ bytes, len - len / 3 - len / 2 };
			assert_int_equal(vd_file_pwritev(f, iov, 3, off, NULL), 0);
		} else if (what < 6) {
			memset(bytes, 0, len);
			assert_int_equal(vd_file_zero(f, off, len, what == 4, NULL), 0);
		} else if (what == 6) {
			memset(bytes, 0, len);
			assert_int_equal(vd_file_punch(f, off, len, NULL), 0);
			len = off < size ? (len < size - off ? len : size - off) : 0;
		} else {
			assert_int_equal(vd_file_truncate(f, off, NULL), 0);
			for (uint64_t k = off; k < SIZE; k++)
				model[k] = held[k] ? 'o' : 0;
			size = off;
			len = 0;
		}
		for (uint64_t k = 0; k < len; k++)
			model[off + k] = held[off + k] ? 'o' : bytes[0];
		size = len && off + len > size ? off + len : size;
		assert_int_equal(vd_file_size(f), size);
		if (size) {
			assert_int_equal(vd_file_pread(f, got, size, 0, NULL), 0);
			if (memcmp(got, model, size))
				fail_msg("seed %u, step %u: kind %u at %u+%u: the contents differ", seed, i, what, (unsigned)off,
					 (unsigned)len);
		}
	}
	vd_file_close(f);
}

static void test_random(void **state)
{
	unsigned seed = getenv("VDISK_SEED") ? (unsigned)atoi(getenv("VDISK_SEED")) : (unsigned)time(NULL);

	(void)state;
	print_message("VDISK_SEED=%u\n", seed);
	for (unsigned i = 0; i < 40; i++)
		one_round(seed + i);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_begins_empty),
		cmocka_unit_test(test_short_file),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

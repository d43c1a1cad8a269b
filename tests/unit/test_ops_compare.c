/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk_compare(): the first byte that differs, exactly, whatever the map says of either side. */
#include "ops_help.h"

#include <errno.h>

static struct vdisk_compare_result compare(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len, bool strict,
                                           unsigned threads)
{
	struct vdisk_job_options o = { .threads = threads };
	struct vdisk_compare_result r;
	vdisk_image *ia = help_raw(a, a_len), *ib = help_raw(b, b_len);

	must(vdisk_compare(ia, ib, strict, &o, &r, err));
	must(vdisk_close(ia, err));
	must(vdisk_close(ib, err));
	return r;
}

static void test_offsets(void **state)
{
	enum { SIZE = 6 * MIB + 700 };
	uint64_t seed = 5;
	uint8_t *a = help_content(SIZE, 3), *b = vd_malloc(SIZE);

	(void)state;
	for (unsigned i = 0; i < 60; i++) {
		size_t first = help_random(&seed) % SIZE, second = help_random(&seed) % SIZE;
		struct vdisk_compare_result r;

		memcpy(b, a, SIZE);
		b[first] ^= 1;
		if (second != first)
			b[second] ^= 0x80;
		r = compare(a, SIZE, b, SIZE, false, 1 + i % 4);
		assert_false(r.equal);
		assert_int_equal(r.offset, vd_min(first, second));
		assert_false(r.size_differs);
	}
	assert_true(compare(a, SIZE, a, SIZE, true, 2).equal);
	vd_free(a);
	vd_free(b);
}

static void test_sizes(void **state)
{
	uint8_t *a = vd_calloc(1, 3 * MIB);
	struct vdisk_compare_result r;

	(void)state;
	memset(a, 7, 5000);
	r = compare(a, 5000, a, 3 * MIB, false, 2);
	assert_true(r.equal);
	assert_true(r.size_differs);
	r = compare(a, 3 * MIB, a, 5000, true, 2);
	assert_false(r.equal);
	assert_int_equal(r.offset, 5000);
	a[2 * MIB + 9] = 1;
	r = compare(a, 5000, a, 3 * MIB, false, 2);
	assert_false(r.equal);
	assert_int_equal(r.offset, 2 * MIB + 9);
	r = compare(a, 0, a, 0, true, 1);
	assert_true(r.equal);
	vd_free(a);
}

/* A difference found is the answer, even where a later window cannot be read. */
static void test_fault_after(void **state)
{
	struct vd_fault fault = { .countdown = 2, .ops = VD_FAULT_READ, .persistent = true, .sys_errno = EIO };
	uint8_t *a = vd_malloc(8 * MIB);
	struct vdisk_compare_result r;
	struct vdisk_job_options o = { .threads = 1 };
	vdisk_image *ia, *ib;
	struct vd_file *f;
	vd_error failed = { 0 };

	(void)state;
	memset(a, 1, 8 * MIB);
	ia = help_raw(a, 8 * MIB);
	must(vd_file_memory("b", a, 8 * MIB, &f, err));
	must(vd_file_fault(f, &fault, &f, err));
	must(vd_image_open_file(f, "raw", 0, NULL, NULL, NULL, &ib, err));
	assert_int_equal(vdisk_compare(ia, ib, false, &o, &r, &failed), -1);
	assert_int_equal(failed.sys_errno, EIO);
	must(vdisk_close(ia, err));
	a[10] = 2;
	ia = help_raw(a, 8 * MIB);
	fault.countdown = 2;
	must(vdisk_compare(ia, ib, false, &o, &r, err));
	assert_false(r.equal);
	assert_int_equal(r.offset, 10);
	must(vdisk_close(ia, err));
	must(vdisk_close(ib, err));
	vd_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offsets),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_fault_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk_digest() and vdisk_sha256() against digests computed the plain way. */
#include "ops_help.h"
#include "ops/digest.h"

#include <errno.h>

static void test_zero_leaf(void **state)
{
	uint8_t *zeros = vd_calloc(1, VDISK_DIGEST_LEAF), digest[32];

	(void)state;
	must(vd_sha256_of(zeros, VDISK_DIGEST_LEAF, digest, err));
	assert_memory_equal(digest, vd_leaf_zero, 32);
	vd_free(zeros);
}

static void check_one(size_t size, uint64_t seed)
{
	uint8_t *bytes = help_content(size, seed), want[32], got[32];
	vdisk_image *img = help_raw(bytes, size);

	for (unsigned threads = 1; threads <= 5; threads += 2) {
		struct vdisk_job_options o = { .threads = threads, .memory_bytes = seed % 2 ? 0 : 2 * MIB };

		help_digest(bytes, size, want);
		must(vdisk_digest(img, &o, got, err));
		assert_memory_equal(got, want, 32);
		must(vd_sha256_of(bytes, size, want, err));
		must(vdisk_sha256(img, &o, got, err));
		assert_memory_equal(got, want, 32);
	}
	must(vdisk_close(img, err));
	vd_free(bytes);
}

static void test_sizes(void **state)
{
	static const size_t sizes[] = { 1, 511, 4096, MIB - 1, MIB, MIB + 1, 3 * MIB + 512, 9 * MIB };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (uint64_t seed = 1; seed <= 3; seed++)
			check_one(sizes[i], seed);
}

static void test_empty(void **state)
{
	uint8_t want[32], got[32], size[8] = { 0 };
	vdisk_image *img = help_raw("", 0);

	(void)state;
	must(vd_sha256_of(size, 8, want, err));
	must(vdisk_digest(img, NULL, got, err));
	assert_memory_equal(got, want, 32);
	must(vd_sha256_of("", 0, want, err));
	must(vdisk_sha256(img, NULL, got, err));
	assert_memory_equal(got, want, 32);
	must(vdisk_close(img, err));
}

/* Holes are not read: a disk of 1 TiB with a few bytes in it, and a short tail. */
static void test_holes(void **state)
{
	const uint64_t size = (UINT64_C(1) << 40) + 4096;
	uint8_t want[32], got[32], leaf[32], *bytes = vd_calloc(1, MIB);
	struct vd_sha256 *h = vd_sha256_new();
	struct vd_file *f;
	vdisk_image *img;

	(void)state;
	bytes[77] = 1;
	must(vd_file_memory("big", NULL, 0, &f, err));
	must(vd_file_truncate(f, size, err));
	must(vd_file_pwrite(f, bytes, MIB, UINT64_C(5) << 30, err));
	must(vd_image_open_file(f, "raw", 0, NULL, NULL, NULL, &img, err));
	must(vdisk_digest(img, NULL, got, err));
	must(vd_sha256_of(bytes, MIB, leaf, err));
	for (uint64_t i = 0; i < size / MIB; i++)
		must(vd_sha256_add(h, i == 5 * 1024 ? leaf : vd_leaf_zero, 32, err));
	bytes[77] = 0;
	must(vd_sha256_of(bytes, 4096, leaf, err));
	must(vd_sha256_add(h, leaf, 32, err));
	be64_put(leaf, size);
	must(vd_sha256_add(h, leaf, 8, err));
	must(vd_sha256_end(h, want, err));
	assert_memory_equal(got, want, 32);
	vd_sha256_free(h);
	vd_free(bytes);
	must(vdisk_close(img, err));
}

static void test_read_error(void **state)
{
	struct vd_fault fault = { .countdown = 4, .ops = VD_FAULT_READ, .persistent = true, .sys_errno = EIO };
	uint8_t *bytes = vd_malloc(9 * MIB), got[32];
	vd_error failed = { 0 };
	struct vd_file *f;
	vdisk_image *img;

	(void)state;
	memset(bytes, 1, 9 * MIB);
	must(vd_file_memory("faulty", bytes, 9 * MIB, &f, err));
	must(vd_file_fault(f, &fault, &f, err));
	must(vd_image_open_file(f, "raw", 0, NULL, NULL, NULL, &img, err));
	assert_int_equal(vdisk_digest(img, NULL, got, &failed), -1);
	assert_int_equal(failed.kind, VDISK_IO);
	assert_int_equal(failed.sys_errno, EIO);
	assert_int_equal(vdisk_sha256(img, NULL, got, &failed), -1);
	must(vdisk_close(img, err));
	vd_free(bytes);
}

/* What would take hours ends when it is told to. */
static void test_cancel(void **state)
{
	volatile int cancel = 1;
	vd_error failed = { 0 };
	struct vd_tree *t;
	uint8_t got[32];

	(void)state;
	must(vd_tree_new(INT64_MAX, &cancel, &t, err));
	assert_int_equal(vd_tree_zeros(t, INT64_MAX / 2, &failed), -1);
	assert_int_equal(failed.kind, VDISK_CANCELLED);
	assert_int_equal(vd_tree_end(t, got, &failed), -1);
	vd_tree_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zero_leaf), cmocka_unit_test(test_sizes),      cmocka_unit_test(test_empty),
		cmocka_unit_test(test_holes),     cmocka_unit_test(test_read_error), cmocka_unit_test(test_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vd_extents_add: order, cutting, merging; how much one call looks at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "core/image.h"

#include <stdlib.h>
#include <string.h>

static struct vd_extent data(uint64_t off, uint64_t len, uint64_t host)
{
	return (struct vd_extent){ .off = off, .len = len, .kind = VD_DATA, .flags = VD_EXT_MAPPED, .host = host, .host_len = len };
}

static void test_cut_head_and_tail(void **state)
{
	struct vd_extent v[4], x = data(0, 100, 1000);
	struct vd_extents e;

	(void)state;
	vd_extents_init(&e, v, 4, 30, 40);
	assert_false(vd_extents_add(&e, &x));
	assert_int_equal(e.n, 1);
	assert_int_equal(v[0].off, 30);
	assert_int_equal(v[0].len, 40);
	assert_int_equal(v[0].host, 1030);
	assert_int_equal(v[0].host_len, 40);
}

static void test_pass_over_what_lies_before(void **state)
{
	struct vd_extent v[4], a = data(0, 30, 1000), b = data(30, 100, 5000);
	struct vd_extents e;

	(void)state;
	vd_extents_init(&e, v, 4, 30, 10);
	assert_true(vd_extents_add(&e, &a));
	assert_int_equal(e.n, 0);
	assert_false(vd_extents_add(&e, &b));
	assert_int_equal(v[0].host, 5000);
}

static void test_merge_only_where_host_joins(void **state)
{
	struct vd_extent v[4], a = data(0, 10, 1000), b = data(10, 10, 1010), c = data(20, 10, 2000);
	struct vd_extents e;

	(void)state;
	vd_extents_init(&e, v, 4, 0, 100);
	assert_true(vd_extents_add(&e, &a));
	assert_true(vd_extents_add(&e, &b));
	assert_int_equal(e.n, 1);
	assert_int_equal(v[0].len, 20);
	assert_int_equal(v[0].host_len, 20);
	assert_true(vd_extents_add(&e, &c));
	assert_int_equal(e.n, 2);
	assert_int_equal(e.next, 30);
}

static void test_files_do_not_merge(void **state)
{
	struct vd_extent v[4], a = data(0, 10, 1000), b = data(10, 10, 1010);
	struct vd_extents e;

	(void)state;
	b.file = 1;
	vd_extents_init(&e, v, 4, 0, 100);
	vd_extents_add(&e, &a);
	vd_extents_add(&e, &b);
	assert_int_equal(e.n, 2);
}

static void test_packed_unit_keeps_its_bounds(void **state)
{
	struct vd_extent v[4], x = { .off = 0, .len = 64, .kind = VD_DATA, .flags = VD_EXT_COMPRESSED, .host = 7, .host_len = 20 };
	struct vd_extents e;

	(void)state;
	vd_extents_init(&e, v, 4, 16, 16);
	assert_false(vd_extents_add(&e, &x));
	assert_int_equal(v[0].off, 16);
	assert_int_equal(v[0].len, 16);
	assert_int_equal(v[0].unit_off, 0);
	assert_int_equal(v[0].unit_len, 64);
	assert_int_equal(v[0].host, 7);
	assert_int_equal(v[0].host_len, 20);
}

static void test_full_list_stops_without_a_gap(void **state)
{
	struct vd_extent v[1], a = data(0, 10, 1000), b = data(10, 10, 3000);
	struct vd_extents e;

	(void)state;
	vd_extents_init(&e, v, 1, 0, 100);
	assert_true(vd_extents_add(&e, &a));
	assert_false(vd_extents_add(&e, &b));
	assert_int_equal(e.n, 1);
	assert_int_equal(e.next, 10);
}

static unsigned n_found;

/* Pieces of 512 bytes, all alike; refused from 1 GiB on. */
static int piece_find(struct vd_layer *l, struct vd_extent *x, vd_error *err)
{
	(void)l;
	n_found++;
	x->len = vd_min(x->len, 512);
	x->kind = VD_ZERO;
	return x->off < 1u << 30 ? 0 : vd_fail(err, VDISK_CORRUPT, x->off, "refused");
}

static void test_many_pieces_take_many_calls(void **state)
{
	uint64_t size = (UINT64_C(1) << 30) + (64u << 20), at = 0;
	unsigned calls = 0;

	(void)state;
	for (n_found = 0; at < size; calls++) {
		struct vd_extent v[4];
		struct vd_extents e;
		vd_error err = { 0 };
		unsigned before = n_found;

		vd_extents_init(&e, v, 4, at, size - at);
		assert_int_equal(0, vd_map_pieces(NULL, at, size - at, true, piece_find, &e, &err));
		assert_int_equal(e.off, at);
		assert_in_range(e.n, 1, 2);
		assert_true(n_found - before <= VD_MAP_WORK);
		for (size_t i = 0; i < e.n; i++)
			assert_int_equal(v[i].flags, v[i].off < 1u << 30 ? 0 : VD_EXT_LOST);
		at = e.next;
	}
	assert_int_equal(at, size);
	assert_int_equal(n_found, size / 512); /* none is looked at twice */
	assert_int_equal(calls, size / 512 / VD_MAP_WORK);
}

/* A growing Bochs disk of n extents of 512 bytes, none of which is there. */
static vdisk_image *bochs_new(uint32_t n)
{
	size_t len = 512 + n * 4u;
	uint8_t *b = calloc(1, len);
	vd_error err = { 0 };
	vdisk_image *img;
	struct vd_file *f;

	assert_non_null(b);
	memcpy(b, "Bochs Virtual HD Image", 23);
	memcpy(b + 32, "Redolog", 8);
	memcpy(b + 48, "Growing", 8);
	le32_put(b + 64, 0x20000);
	le32_put(b + 68, 512);
	le32_put(b + 72, n);
	le32_put(b + 76, 512);
	le32_put(b + 80, 512);
	le64_put(b + 88, n * UINT64_C(512));
	memset(b + 512, 0xff, n * 4u);
	assert_int_equal(0, vd_file_memory("image", b, len, &f, &err));
	free(b);
	if (vd_image_open_file(f, "bochs", 0, NULL, NULL, NULL, &img, &err))
		fail_msg("%s", err.message);
	return img;
}

static void test_the_library_comes_back(void **state)
{
	uint32_t n = VD_MAP_WORK * 3 + 5;
	vdisk_image *img = bochs_new(n);
	uint64_t at = 0, size = vdisk_size(img);
	unsigned calls = 0;
	vd_error err = { 0 };

	(void)state;
	for (; at < size; calls++) {
		struct vdisk_extent x[8];
		size_t got;

		assert_int_equal(0, vdisk_map(img, at, size - at, x, 8, &got, &err));
		assert_int_equal(got, 1);
		assert_int_equal(x[0].off, at);
		assert_int_equal(x[0].kind, VDISK_ZERO);
		at += x[0].len;
	}
	assert_int_equal(at, size);
	assert_int_equal(calls, 4);
	assert_int_equal(0, vdisk_close(img, &err));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_head_and_tail),          cmocka_unit_test(test_pass_over_what_lies_before),
		cmocka_unit_test(test_merge_only_where_host_joins), cmocka_unit_test(test_files_do_not_merge),
		cmocka_unit_test(test_packed_unit_keeps_its_bounds), cmocka_unit_test(test_full_list_stops_without_a_gap),
		cmocka_unit_test(test_many_pieces_take_many_calls), cmocka_unit_test(test_the_library_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

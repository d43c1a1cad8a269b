/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vd_extents_add: order, cutting, merging. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/driver.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cut_head_and_tail),          cmocka_unit_test(test_pass_over_what_lies_before),
		cmocka_unit_test(test_merge_only_where_host_joins), cmocka_unit_test(test_files_do_not_merge),
		cmocka_unit_test(test_packed_unit_keeps_its_bounds), cmocka_unit_test(test_full_list_stops_without_a_gap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

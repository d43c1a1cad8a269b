/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "alloc_fail.h"
#include "base/options.h"

#include <string.h>

static const struct vdisk_option_info table[] = {
	{"cluster_size", VDISK_OPT_SIZE, NULL, "64K", "size of a cluster", VDISK_OPT_FOR_CREATE},
	{"compat", VDISK_OPT_ENUM, "0.10|1.1|v2|v3", "v3", "version", VDISK_OPT_FOR_CREATE | VDISK_OPT_FOR_AMEND},
	{"lazy", VDISK_OPT_BOOL, NULL, "off", "lazy", VDISK_OPT_FOR_CREATE},
	{"bits", VDISK_OPT_UINT, NULL, NULL, "bits", VDISK_OPT_FOR_CREATE},
	{"snapshot", VDISK_OPT_STRING, NULL, NULL, "which", VDISK_OPT_FOR_OPEN},
	{NULL},
};

static void sizes(void **state)
{
	static const struct { const char *text; uint64_t want;
	} good[] = {
		{"0", 0},
		{"512", 512},
		{"64K", 65536},
		{"64k", 65536},
		{"1M", 1 << 20},
		{"1.5G", UINT64_C(3) << 29},
		{"1GiB", 1 << 30},
		{"2T", UINT64_C(2) << 40},
		{"1P", UINT64_C(1) << 50},
		{"15E", UINT64_C(15) << 60},
		{"0x1000", 4096},
		{"0XfF", 255},
		{"0.5K", 512},
		{"1.1K", 1126},
		{"18446744073709551615", UINT64_MAX},
		{"0.000000000000000001E", 1},
		{"15.999E", 18445591152204944769u},
	};
	static const char *const bad[] = {
		"", " 1", "1 ", "-1", "+1", "K", "1.5", "1.", "1.K", ".5K", "1KB", "1KK", "1Ki", "1x", "0x", "0x1K", "16E", "1e3",
		"18446744073709551616", "18014398509481984K", "1.5.5K", "1.1234567890123456789K", "64K\n",
	};
	uint64_t v;
	vd_error err;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		if (vd_parse_size(good[i].text, &v, &err))
			fail_msg("%s: %s", good[i].text, err.message);
		if (v != good[i].want)
			fail_msg("%s: expected %llu, got %llu", good[i].text, (unsigned long long)good[i].want,
			         (unsigned long long)v);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (!vd_parse_size(bad[i], &v, &err))
			fail_msg("'%s' taken as %llu", bad[i], (unsigned long long)v);
		assert_int_equal(err.kind, VDISK_INVALID);
		assert_null(strchr(err.message, '\n'));
	}
}

static void given_and_defaults(void **state)
{
	const char *const kv[] = {"cluster_size=2M", "lazy=on", "compat=0.10", NULL};
	struct vd_options *o;
	vd_error err;

	(void)state;
	assert_int_equal(vd_options_parse(table, VDISK_OPT_FOR_CREATE, "qcow2", kv, &o, &err), 0);
	assert_true(vd_options_given(o, "lazy"));
	assert_false(vd_options_given(o, "bits"));
	assert_int_equal(vd_options_u64(o, "cluster_size"), 2 << 20);
	assert_string_equal(vd_options_str(o, "cluster_size"), "2M");
	assert_true(vd_options_bool(o, "lazy"));
	assert_string_equal(vd_options_str(o, "compat"), "0.10");
	assert_int_equal(vd_options_u64(o, "bits"), 0);
	assert_null(vd_options_str(o, "snapshot"));
	vd_options_free(o);
	assert_int_equal(vd_options_parse(table, VDISK_OPT_FOR_CREATE, "qcow2", NULL, &o, &err), 0);
	assert_int_equal(vd_options_u64(o, "cluster_size"), 65536);
	assert_false(vd_options_bool(o, "lazy"));
	assert_string_equal(vd_options_str(o, "compat"), "v3");
	vd_options_free(o);
	vd_options_free(NULL);
	assert_int_equal(vd_options_parse(NULL, VDISK_OPT_FOR_OPEN, "raw", NULL, &o, &err), 0);
	vd_options_free(o);
	assert_false(vd_options_given(NULL, "x"));
	assert_null(vd_options_str(NULL, "x"));
}

static void refusals(void **state)
{
	static const struct { uint32_t use; const char *kv[3]; const char *say; } bad[] = {
		{VDISK_OPT_FOR_CREATE, {"clustersize=1", NULL}, "qcow2 has no option 'clustersize'"},
		{VDISK_OPT_FOR_CREATE, {"cluster_size", NULL}, "lacks a value"},
		{VDISK_OPT_FOR_CREATE, {"cluster_size=", NULL}, "a size"},
		{VDISK_OPT_FOR_CREATE, {"lazy=yes", NULL}, "on or off"},
		{VDISK_OPT_FOR_CREATE, {"bits=1K", NULL}, "a number"},
		{VDISK_OPT_FOR_CREATE, {"compat=v", NULL}, "0.10|1.1|v2|v3"},
		{VDISK_OPT_FOR_CREATE, {"compat=v2|v3", NULL}, "0.10|1.1|v2|v3"},
		{VDISK_OPT_FOR_CREATE, {"compat=", NULL}, "0.10|1.1|v2|v3"},
		{VDISK_OPT_FOR_CREATE, {"lazy=on", "lazy=off", NULL}, "given twice"},
		{VDISK_OPT_FOR_CREATE, {"snapshot=1", NULL}, "does not apply to creating"},
		{VDISK_OPT_FOR_OPEN, {"lazy=on", NULL}, "does not apply to opening"},
		{VDISK_OPT_FOR_AMEND, {"lazy=on", NULL}, "does not apply to amending"},
		{VDISK_OPT_FOR_CREATE, {"=x", NULL}, "has no option ''"},
		{VDISK_OPT_FOR_CREATE, {"la\nzy=on", NULL}, "la\\x0azy"},
	};
	struct vd_options *o;
	vd_error err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (!vd_options_parse(table, bad[i].use, "qcow2", bad[i].kv, &o, &err))
			fail_msg("%s taken", bad[i].kv[0]);
		assert_int_equal(err.kind, VDISK_INVALID);
		if (!strstr(err.message, bad[i].say))
			fail_msg("%s: '%s' does not say '%s'", bad[i].kv[0], err.message, bad[i].say);
	}
}

static void out_of_memory(void **state)
{
	const char *const kv[] = {"cluster_size=2M", "lazy=on", NULL};
	struct vd_options *o;
	vd_error err;

	(void)state;
	for (long n = 0;; n++) {
		int r;

		alloc_fail_at(n);
		r = vd_options_parse(table, VDISK_OPT_FOR_CREATE, "qcow2", kv, &o, &err);
		if (!r) {
			assert_int_equal(n, 5);
			break;
		}
		assert_int_equal(err.kind, VDISK_NOMEM);
	}
	alloc_fail_at(-1);
	vd_options_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(given_and_defaults),
		cmocka_unit_test(refusals),
		cmocka_unit_test(out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

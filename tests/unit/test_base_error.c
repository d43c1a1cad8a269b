/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/error.h"

#include <errno.h>
#include <string.h>

static void fills_in(void **state)
{
	vd_error err;

	(void)state;
	assert_int_equal(vd_fail(&err, VDISK_CORRUPT, 4096, "L2 table at %#x", 0x10), -1);
	assert_int_equal(err.kind, VDISK_CORRUPT);
	assert_int_equal(err.sys_errno, 0);
	assert_int_equal(err.offset, 4096);
	assert_string_equal(err.message, "L2 table at 0x10");
	assert_int_equal(vd_fail(NULL, VDISK_IO, 0, "x"), -1);
	assert_int_equal(vd_fail_errno(NULL, EIO, 0, "x"), -1);
	assert_int_equal(vd_fail_nomem(NULL, 1), -1);
	assert_int_equal(vd_fail_in(NULL, "x"), -1);
	vd_error_clear(NULL);
	vd_error_clear(&err);
	assert_int_equal(err.kind, VDISK_OK);
	assert_string_equal(err.message, "");
}

static void system_errors(void **state)
{
	vd_error err;

	(void)state;
	vd_fail_errno(&err, ENOSPC, 7, "a.img: cannot write");
	assert_int_equal(err.kind, VDISK_IO);
	assert_int_equal(err.sys_errno, ENOSPC);
	assert_string_equal(err.message, "a.img: cannot write: No space left on device");
	vd_fail_errno(&err, ENOMEM, 7, "a.img");
	assert_int_equal(err.kind, VDISK_NOMEM);
	vd_fail_nomem(&err, 77);
	assert_int_equal(err.kind, VDISK_NOMEM);
	assert_non_null(strstr(err.message, "77"));
}

static void one_bounded_line(void **state)
{
	char big[2000];
	vd_error err;

	(void)state;
	vd_fail(&err, VDISK_INVALID, 0, "%s", "a\nb\tc\x1b[1m\x7f");
	assert_string_equal(err.message, "a?b?c?[1m?");
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	vd_fail(&err, VDISK_INVALID, 0, "%s", big);
	assert_int_equal(strlen(err.message), VDISK_ERROR_MESSAGE_MAX - 1);
	assert_string_equal(err.message + VDISK_ERROR_MESSAGE_MAX - 5, "x...");
	vd_fail_errno(&err, EIO, 0, "%s", big);
	assert_true(strlen(err.message) < VDISK_ERROR_MESSAGE_MAX);
	assert_non_null(strstr(err.message, "...: Input/output error"));
	for (int i = 0; i + 1 < (int)sizeof(big); i++)
		big[i] = i & 1 ? '\xa4' : '\xc3'; /* UTF-8; the cut leaves whole characters */
	vd_fail(&err, VDISK_INVALID, 0, "%s%s", "y", big);
	assert_true((unsigned char)err.message[strlen(err.message) - 4] == 0xa4);
	vd_fail(&err, VDISK_INVALID, 0, "%s%s", "yy", big);
	assert_true((unsigned char)err.message[strlen(err.message) - 4] == 0xa4);
}

static void context(void **state)
{
	char big[VDISK_ERROR_MESSAGE_MAX];
	vd_error err;

	(void)state;
	vd_fail(&err, VDISK_CORRUPT, 9, "bad");
	vd_fail_in(&err, "%s", "a.img");
	assert_string_equal(err.message, "a.img: bad");
	assert_int_equal(err.kind, VDISK_CORRUPT);
	assert_int_equal(err.offset, 9);
	vd_fail_in(&err, "%s", "a.img"); /* stands there already */
	assert_string_equal(err.message, "a.img: bad");
	vd_fail_in(&err, "%s", "a");
	assert_string_equal(err.message, "a: a.img: bad");
	memset(big, 'z', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	vd_fail(&err, VDISK_CORRUPT, 9, "%s", big);
	vd_fail_in(&err, "name");
	assert_int_equal(strlen(err.message), VDISK_ERROR_MESSAGE_MAX - 1);
	assert_memory_equal(err.message, "name: zzz", 9);
	assert_string_equal(err.message + strlen(err.message) - 4, "z...");
	vd_fail(&err, VDISK_CORRUPT, 9, "inner");
	vd_fail(&err, VDISK_CORRUPT, 9, "outer (%s)", err.message); /* its own message as an argument */
	assert_string_equal(err.message, "outer (inner)");
}

static void printable(void **state)
{
	char buf[16];

	(void)state;
	assert_string_equal(vd_printable(buf, sizeof(buf), "plain", 5), "plain");
	assert_string_equal(vd_printable(buf, sizeof(buf), "a\0b\n\xff", 5), "a\\x00b\\x0a\\xff"); /* 14 */
	assert_string_equal(vd_printable(buf, sizeof(buf), "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9),
	                    "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
	assert_string_equal(vd_printable(buf, sizeof(buf), "\xc3", 1), "\\xc3");
	assert_string_equal(vd_printable(buf, sizeof(buf), "\xc0\xaf", 2), "\\xc0\\xaf");
	assert_string_equal(vd_printable(buf, sizeof(buf), "\xc2\x9b" "1", 3), "\\xc2\\x9b" "1");
	assert_string_equal(vd_printable(buf, sizeof(buf), "\xe2\x80\xae", 3), "\\xe2\\x80\\xae");
	assert_string_equal(vd_printable(buf, sizeof(buf), "\xed\xa0\x80", 3), "\\xed\\xa0\\x80");
	assert_string_equal(vd_printable(buf, sizeof(buf), "1234567890123\xc3\xa9" "4", 16), "123456789012...");
	assert_string_equal(vd_printable(buf, sizeof(buf), "123456789012345", 15), "123456789012345");
	assert_string_equal(vd_printable(buf, sizeof(buf), "1234567890123456", 16), "123456789012...");
	assert_string_equal(vd_printable(buf, sizeof(buf), "\n\n\n\n", 4), "\\x0a\\x0a\\x0a...");
	assert_string_equal(vd_printable(buf, 1, "abc", 3), "");
	assert_string_equal(vd_printable(buf, 3, "abc", 3), "..");
	assert_string_equal(vd_printable(buf, sizeof(buf), "", 0), "");
}

static void kind_names(void **state)
{
	(void)state;
	assert_string_equal(vdisk_error_kind_name(VDISK_IO), "io");
	assert_string_equal(vdisk_error_kind_name(VDISK_REFUSED), "refused");
	assert_string_equal(vdisk_error_kind_name((enum vdisk_error_kind)99), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fills_in),         cmocka_unit_test(system_errors), cmocka_unit_test(one_bounded_line),
		cmocka_unit_test(context),          cmocka_unit_test(printable),     cmocka_unit_test(kind_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

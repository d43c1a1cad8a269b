/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is shown of others' text: characters are not cut, and a terminal has nothing to obey. */
#include "common/fail.h"
#include "common/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#undef fail /* cmocka's; ours is asked here */

static void cleaned(const char *text, const char *expected)
{
	char copy[64];

	assert_true(strlen(text) < sizeof(copy));
	strcpy(copy, text);
	utf8_clean(copy);
	assert_string_equal(expected, copy);
}

static void clean(void **state)
{
	(void)state;
	cleaned("", "");
	cleaned("Caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x92\xbe", "Caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x92\xbe");
	cleaned("a\nb\r\tc\x1b[2J\x7f", "a?b??c?[2J?");
	cleaned("\xc2\x9b" "2J\xc2\xa0", "??2J\xc2\xa0"); /* a C1 control, and a character right behind them */
	cleaned("\xc3", "?");
	cleaned("\xff\xe2\x82", "???");
	cleaned("\xc0\x8a\xed\xa0\x80\xf4\x90\x80\x80", "?????????"); /* a newline in disguise, a surrogate, past the last one */
}

static void fit(void **state)
{
	(void)state;
	assert_int_equal(0, utf8_fit("\xc3\xa9", 1));
	assert_int_equal(2, utf8_fit("\xc3\xa9", 2));
	assert_int_equal(3, utf8_fit("abc", 9));
	assert_int_equal(1, utf8_fit("\xff\xe2\x82\xac", 3));
}

/* One line, and whole characters where a value was cut. */
static void errors(void **state)
{
	vdisk_error err;

	(void)state;
	assert_int_equal(-1, fail(&err, VDISK_CORRUPT, "<uuid> is \"%.5s\"", "1\n2\xe2\x82\xac"));
	assert_string_equal("<uuid> is \"1?2??\"", err.message);
	errno = ENOENT;
	assert_int_equal(-1, fail_errno(&err, "%s", "a\nb"));
	assert_string_equal("a?b: No such file or directory", err.message);
	assert_int_equal(ENOENT, err.sys_errno);
	assert_int_equal(-1, fail(NULL, VDISK_IO, "nobody asks"));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(clean), cmocka_unit_test(fit), cmocka_unit_test(errors) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

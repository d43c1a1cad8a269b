/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* URLs as names of images: which will do, what they are called, and where names inside an image lead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "io/url.h"
#include "base/alloc.h"

#include <string.h>

static void kinds(void **state)
{
	(void)state;
	assert_true(vd_url_is("http://h/a"));
	assert_true(vd_url_is("HTTPS://h/a"));
	assert_false(vd_url_is("http:/h/a"));
	assert_false(vd_url_is("ftp://h/a"));
	assert_false(vd_url_is("./http://h/a"));
	assert_false(vd_url_is(""));
	assert_true(vd_url_is_secure("https://h"));
	assert_false(vd_url_is_secure("http://h"));
}

static void judged(void **state)
{
	static const struct { const char *url, *word;
	} bad[] = {
		{ "http://", "no server" },      { "http:///a", "no server" },   { "https://?a", "no server" },
		{ "http://:80/a", "no server" }, { "http://u@h/a", "password" }, { "http://u:p@h", "password" },
		{ "http://h/a b", "space" },     { "http://h/a\tb", "space" },   { "http://h/a\r\nX: y", "space" },
		{ "http://h/\x7f", "space" },
	};
	static const char *const good[] = { "http://h", "http://h:80/a", "https://[::1]:8/a?b=c@d#e", "http://h/a@b",
		                            "http://h/\xc3\xa4" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		vd_error err = { 0 };

		assert_int_equal(vd_url_judge(bad[i].url, &err), -1);
		assert_int_equal(err.kind, VDISK_INVALID);
		assert_non_null(strstr(err.message, bad[i].word));
		assert_null(strpbrk(err.message, "\r\n\t"));
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_int_equal(vd_url_judge(good[i], NULL), 0);
}

static void shown(void **state)
{
	static const char *const pairs[][2] = {
		{ "http://h/a.vmdk?key=s3cret", "http://h/a.vmdk" }, { "http://h/a#f", "http://h/a" }, { "http://h", "http://h" },
		{ "https://u:p@s3cret@h:80/a@b?c@d", "https://h:80/a@b" }, { "http://u@h?x", "http://h" }, { "http://h/a@b", "http://h/a@b" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		VD_AUTO_FREE char *s = vd_url_shown(pairs[i][0]);

		assert_string_equal(s, pairs[i][1]);
	}
}

static void beside(void **state)
{
	static const char *const good[][3] = {
		{ "http://h/d/a.vmdk", "a-flat.vmdk", "http://h/d/a-flat.vmdk" },
		{ "http://h/d/a.vmdk?x=/y/z", "b c%.vmdk", "http://h/d/b%20c%25.vmdk?x=/y/z" },
		{ "http://h/d/a?x#f", "s/b", "http://h/d/s/b?x" },
		{ "http://h/a", "b", "http://h/b" },
		{ "http://h", "b", "http://h/b" },
		{ "http://h?q", "b", "http://h/b?q" },
		{ "http://h/d/", "b?c#d", "http://h/d/b%3Fc%23d" },
		{ "http://h/d/a", "...", "http://h/d/..." },
		{ "http://h/d/a", "\xc3\xa4", "http://h/d/%C3%A4" },
		{ "http://h/d/a", "%2e%2e/b", "http://h/d/%252e%252e/b" },
	};
	static const char *const bad[] = { "",   "/b",   "../b", "s/../b", "s/..",  "./b", ".",
		                           "..", "s//b", "s/",   "//h/b",  "..\\b", "s\\b" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		char *url;

		assert_int_equal(vd_url_beside(good[i][0], good[i][1], &url, NULL), 0);
		assert_string_equal(url, good[i][2]);
		assert_true(vd_url_same_origin(url, good[i][0]));
		vd_free(url);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		vd_error err = { 0 };
		char *url = NULL;

		assert_int_equal(vd_url_beside("http://h/d/a", bad[i], &url, &err), -1);
		assert_int_equal(err.kind, VDISK_REFUSED);
		assert_null(url);
	}
}

static void origins(void **state)
{
	(void)state;
	assert_true(vd_url_same_origin("http://H/a", "HTTP://h?b"));
	assert_true(vd_url_same_origin("https://h:1/a", "https://h:1"));
	assert_false(vd_url_same_origin("http://h/a", "https://h/a"));
	assert_false(vd_url_same_origin("http://h/a", "http://h:81/a"));
	assert_false(vd_url_same_origin("http://h/a", "http://hh/a"));
	assert_false(vd_url_same_origin("http://h.example/a", "http://h/a"));
	assert_false(vd_url_same_origin("file:///a", "file:///a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds),  cmocka_unit_test(judged),  cmocka_unit_test(shown),
		cmocka_unit_test(beside), cmocka_unit_test(origins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

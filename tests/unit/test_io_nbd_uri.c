/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of NBD servers' exports: what they say, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "alloc_fail.h"
#include "base/alloc.h"
#include "io/nbd.h"
#include "io/nbd_uri.h"

#include <string.h>

static void same(const char *due, const char *is)
{
	if (due)
		assert_non_null(is);
	else
		assert_null(is);
	if (due)
		assert_string_equal(due, is);
}

static void good(void **state)
{
	static const struct {
		const char *text;
		struct vd_nbd_uri due;
	} v[] = {
#define S(x) (char *)(uintptr_t)(x)
		{ "nbd://h", { .host = S("h"), .port = S("10809"), .name = S("") } },
		{ "NBD://h/", { .host = S("h"), .port = S("10809"), .name = S("") } },
		{ "nbd://h:1/a", { .host = S("h"), .port = S("1"), .name = S("a") } },
		{ "nbd://h:65535//a/b", { .host = S("h"), .port = S("65535"), .name = S("/a/b") } },
		{ "nbd:///a", { .host = S("localhost"), .port = S("10809"), .name = S("a") } },
		{ "nbd://:7", { .host = S("localhost"), .port = S("7"), .name = S("") } },
		{ "nbd://[::1]:7/a?", { .host = S("::1"), .port = S("7"), .name = S("a") } },
		{ "nbd://[fe80::1%25eth0]", { .host = S("fe80::1%eth0"), .port = S("10809"), .name = S("") } },
		{ "nbd://10.0.0.1/%41%2fb%3F%25", { .host = S("10.0.0.1"), .port = S("10809"), .name = S("A/b?%") } },
		{ "nbd://h/a?&&", { .host = S("h"), .port = S("10809"), .name = S("a") } },
		{ "nbd+unix:///?socket=/run/s", { .socket = S("/run/s"), .name = S("") } },
		{ "nbd+unix://?socket=s", { .socket = S("s"), .name = S("") } },
		{ "nbd+unix:///a?socket=/run/s%20t%26u", { .socket = S("/run/s t&u"), .name = S("a") } },
		{ "nbds://h/?tls-certificates=/d",
		  { .host = S("h"), .port = S("10809"), .name = S(""), .certificates = S("/d"), .tls = true } },
		{ "nbds://u@h/?tls-psk-file=/f",
		  { .host = S("h"), .port = S("10809"), .name = S(""), .user = S("u"), .psk_file = S("/f"), .tls = true } },
		{ "nbds+unix://u%40v@/n?tls-psk-file=f&socket=s",
		  { .socket = S("s"), .name = S("n"), .user = S("u@v"), .psk_file = S("f"), .tls = true } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		struct vd_nbd_uri u;
		vd_error err = { 0 };

		print_message("%s\n", v[i].text);
		assert_true(vd_nbd_uri_is(v[i].text));
		assert_int_equal(0, vd_nbd_uri_parse(v[i].text, &u, &err));
		same(v[i].due.host, u.host);
		same(v[i].due.port, u.port);
		same(v[i].due.socket, u.socket);
		same(v[i].due.name, u.name);
		same(v[i].due.user, u.user);
		same(v[i].due.certificates, u.certificates);
		same(v[i].due.psk_file, u.psk_file);
		assert_int_equal(v[i].due.tls, u.tls);
		vd_nbd_uri_free(&u);
	}
}

static void bad(void **state)
{
	static const struct {
		const char *text, *word;
		enum vdisk_error_kind kind;
	} v[] = {
		{ "http://h/a", "no name of an NBD", VDISK_INVALID },
		{ "nbd:/h/a", "no name of an NBD", VDISK_INVALID },
		{ "nbd://h:/a", "port", VDISK_INVALID },
		{ "nbd://h:0", "port", VDISK_INVALID },
		{ "nbd://h:65536", "port", VDISK_INVALID },
		{ "nbd://h:000001", "port", VDISK_INVALID },
		{ "nbd://h:+1", "port", VDISK_INVALID },
		{ "nbd://h:1x", "port", VDISK_INVALID },
		{ "nbd://a:b:1/", "port", VDISK_INVALID },
		{ "nbd://[::1/a", "']'", VDISK_INVALID },
		{ "nbd://[::1]x/a", "']'", VDISK_INVALID },
		{ "nbd://h%2f/a", "host", VDISK_INVALID },
		{ "nbd://[::1%20]/a", "host", VDISK_INVALID },
		{ "nbd://h,i/a", "host", VDISK_INVALID },
		{ "nbd://h/%", "'%'", VDISK_INVALID },
		{ "nbd://h/%4", "'%'", VDISK_INVALID },
		{ "nbd://h/%4g", "'%'", VDISK_INVALID },
		{ "nbd://h/%00", "'%'", VDISK_INVALID },
		{ "nbd://h/a b", "space", VDISK_INVALID },
		{ "nbd://h/a\n", "space", VDISK_INVALID },
		{ "nbd://h/a#b", "'#'", VDISK_INVALID },
		{ "nbd://h/?a=b", "parameter", VDISK_UNSUPPORTED },
		{ "nbd://h/?tls-verify-peer=false", "parameter", VDISK_UNSUPPORTED },
		{ "nbd+unix:///?socket=a&socket=b", "twice", VDISK_INVALID },
		{ "nbd+unix:///?socket=", "without a value", VDISK_INVALID },
		{ "nbd+unix:///?socket", "without a value", VDISK_INVALID },
		{ "nbd+unix:///", "no socket", VDISK_INVALID },
		{ "nbd+unix://h/?socket=a", "host", VDISK_INVALID },
		{ "nbd://h/?socket=a", "nbd+unix", VDISK_INVALID },
		{ "nbd://u@h/", "without TLS", VDISK_INVALID },
		{ "nbd://h/?tls-certificates=d", "without TLS", VDISK_INVALID },
		{ "nbds://u:p@h/?tls-psk-file=f", "password", VDISK_INVALID },
		{ "nbds://h/", "whom to trust", VDISK_REFUSED },
		{ "nbds+unix:///?socket=a", "whom to trust", VDISK_REFUSED },
		{ "nbds://h/?tls-certificates=d&tls-psk-file=f", "together", VDISK_INVALID },
		{ "nbds+unix:///?socket=a&tls-certificates=d", "Unix socket", VDISK_UNSUPPORTED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
		struct vd_nbd_uri u;
		vd_error err = { 0 };

		print_message("%s\n", v[i].text);
		assert_int_equal(-1, vd_nbd_uri_parse(v[i].text, &u, &err));
		assert_int_equal(v[i].kind, err.kind);
		assert_non_null(strstr(err.message, v[i].word));
		assert_null(strchr(err.message, '\n'));
	}
}

static void lengths(void **state)
{
	char text[8300] = "nbd://h/";
	struct vd_nbd_uri u;
	size_t at = strlen(text);

	(void)state;
	memset(text + at, 'a', 4096);
	assert_int_equal(0, vd_nbd_uri_parse(text, &u, NULL));
	vd_nbd_uri_free(&u);
	text[at + 4096] = 'a';
	assert_int_equal(-1, vd_nbd_uri_parse(text, &u, NULL));
	memset(text + at, 'a', 8200);
	assert_int_equal(-1, vd_nbd_uri_parse(text, &u, NULL));
}

static void out_of_memory(void **state)
{
	static const char text[] = "nbds://user@host:1/name?tls-psk-file=f";
	struct vd_nbd_uri u;

	(void)state;
	for (long n = 0;; n++) {
		vd_error err = { 0 };
		int rc;

		alloc_fail_at(n);
		rc = vd_nbd_uri_parse(text, &u, &err);
		alloc_fail_at(-1);
		if (!rc) {
			assert_true(n >= 5);
			vd_nbd_uri_free(&u);
			return;
		}
		assert_int_equal(VDISK_NOMEM, err.kind);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good), cmocka_unit_test(bad), cmocka_unit_test(lengths), cmocka_unit_test(out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

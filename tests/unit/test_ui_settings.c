/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the capture interface takes from the kernel's command line and from people, and what it makes of the capture's lines. */
#include "job.h"
#include "settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void test_kernel_line(void **state)
{
	struct settings s = { 0 };
	vdisk_error err;

	(void)state;
	assert_int_equal(settings_from_kernel(
				 &s,
				 "BOOT_IMAGE=/live/vmlinuz quiet vdisk.auto vdisk.server=10.0.2.2:9000 vdisk.token=\"Abc-123\" "
				 "vdisk.fingerprint=" HEX " vdisk.disks=sda,nvme0n1 vdisk.after=poweroff console=ttyS0,115200\n",
				 &err),
	                 0);
	assert_string_equal(s.server, "https://10.0.2.2:9000/");
	assert_string_equal(s.token, "Abc-123");
	assert_string_equal(s.fingerprint, HEX);
	assert_string_equal(s.disks, "sda,nvme0n1");
	assert_true(s.auto_start);
	assert_int_equal(s.after, AFTER_POWEROFF);
	assert_true(settings_want(&s, "sda") && settings_want(&s, "nvme0n1"));
	assert_false(settings_want(&s, "sdb") || settings_want(&s, "sd") || settings_want(&s, "nvme0n"));

	memset(&s, 0, sizeof(s));
	assert_int_equal(settings_from_kernel(&s, "quiet splash vdiskless=1", &err), 0);
	assert_true(!s.server[0] && !s.auto_start && settings_want(&s, "sdb"));
}

static void refused(const char *line, const char *why)
{
	struct settings s = { 0 };
	vdisk_error err = { 0 };

	if (!settings_from_kernel(&s, line, &err))
		fail_msg("taken: %s", line);
	if (!strstr(err.message, why))
		fail_msg("%s: \"%s\" is due, \"%s\" came", line, why, err.message);
}

static void test_kernel_refused(void **state)
{
	char *line;

	(void)state;
	refused("vdisk.server=http://a/", "https only");
	refused("vdisk.server=", "empty");
	refused("vdisk.server=a:0", "port");
	refused("vdisk.server=a:70000", "port");
	refused("vdisk.server=a:12x", "behind");
	refused("vdisk.server=a/b", "behind");
	refused("vdisk.server=[::1", "no server's name");
	refused("vdisk.fingerprint=abc", "64 digits");
	refused("vdisk.fingerprint=" HEX "0", "64 digits");
	refused("vdisk.after=sleep", "poweroff or reboot");
	refused("vdisk.disks=sda;reboot", "commas");
	refused("vdisk.serve=a", "not known");
	refused("\"vdisk.token=a b\"", "cannot have");
	line = malloc(5000);
	memset(line, 'x', 4999);
	line[4999] = '\0';
	memcpy(line, "vdisk.token=", 12);
	refused(line, "too long");
	free(line);
}

static void test_server(void **state)
{
	static const struct { const char *text, *url, *host, *port; } good[] = {
		{ "host", "https://host:8443/", "host", "8443" },
		{ "https://h.example.org:1/", "https://h.example.org:1/", "h.example.org", "1" },
		{ "[fe80::1%eth0]:9", "https://[fe80::1%eth0]:9/", "fe80::1%eth0", "9" },
		{ "[2001:db8::1]", "https://[2001:db8::1]:8443/", "2001:db8::1", "8443" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		struct settings s = { 0 };
		char host[256], port[8];
		vdisk_error err;

		assert_int_equal(settings_server(&s, good[i].text, &err), 0);
		assert_string_equal(s.server, good[i].url);
		settings_host(&s, host, port);
		assert_string_equal(host, good[i].host);
		assert_string_equal(port, good[i].port);
	}
}

static void test_fingerprint(void **state)
{
	struct settings s = { 0 };
	vdisk_error err;

	(void)state;
	assert_int_equal(
		settings_fingerprint(&s, "SHA256:01:23:45:67 89AB CDEF 0123456789abcdef-0123456789abcdef0123456789abcdef", &err),
		0);
	assert_string_equal(s.fingerprint, HEX);
	assert_int_equal(settings_fingerprint(&s, "", &err), 0);
	assert_string_equal(s.fingerprint, "");
}

static void test_lines(void **state)
{
	struct job *j = calloc(1, sizeof(*j));
	uint64_t done, total;

	(void)state;
	job_line(
		j,
		"{\"event\":\"progress\",\"phase\":\"reading\",\"disk\":\"sda\",\"pass\":1,\"done\":50,\"total\":200,\"bytes-per-second\":10,\"seconds-left\":15.0}");
	job_line(
		j,
		"{\"event\":\"progress\",\"disk\":\"sdb\",\"pass\":2,\"done\":900,\"total\":100,\"bytes-per-second\":10,\"seconds-left\":null}");
	assert_int_equal(j->disks_n, 2);
	job_total(j, &done, &total);
	assert_int_equal(done, 150);
	assert_int_equal(total, 300);
	assert_int_equal(j->disks[1].pass, 2);
	assert_true(j->disks[1].moving && !j->disks[0].moving && j->left < 0);
	job_line(j, "{\"event\":\"progress\",\"disk\":[1],\"done\":\"x\"}");
	job_line(j, "{\"event\":5}");
	job_line(j, "{ broken");
	job_line(j, "vdisk capture: sda: \x1b[2Jgone");
	assert_string_equal(j->error, "vdisk capture: sda: ?[2Jgone");
	for (unsigned i = 0; i < 1000; i++)
		job_line(j, "a line");
	assert_string_equal(job_log(j, JOB_LINES - 1), "a line");
	assert_null(job_log(j, JOB_LINES));
	free(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernel_line), cmocka_unit_test(test_kernel_refused), cmocka_unit_test(test_server),
		cmocka_unit_test(test_fingerprint), cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

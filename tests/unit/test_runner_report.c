/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where an answer goes: a full disk is told, and leaves nothing behind in halves; a device stays what it is. */
#include "judge.h"
#include "output.h"
#include "report.h"
#include "screen.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FULL "/dev/full"

static char folder[64], path[128];
static struct judge judge;
static struct options options;
static struct report report = { .options = &options, .judge = &judge, .engine = "qemu", .note = "", .firmware = "bios" };

static int begin(void **state)
{
	static const char *image = "a.raw";
	vdisk_error err;

	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/vdisk-report-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/answer", folder);
	options = (struct options){ .command = "verify", .n_images = 1 };
	options.images[0] = image;
	signal(SIGXFSZ, SIG_IGN);
	return judge_init(&judge, NULL, false, &err);
}

static int end(void **state)
{
	(void)state;
	judge_destroy(&judge);
	return rmdir(folder);
}

/* So long a file may become; what is longer is a disk that is full. */
static void room(rlim_t bytes)
{
	struct rlimit r;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &r), 0);
	r.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static void refused(int rc, const vdisk_error *err, const char *name)
{
	assert_int_equal(rc, -1);
	assert_int_equal(err->kind, VDISK_IO);
	if (strncmp(err->message, name, strlen(name)) || !strchr(err->message, ':'))
		fail_msg("'%s' and why are due: %s", name, err->message);
}

static bool is_device(const char *name)
{
	struct stat st;

	return !stat(name, &st) && S_ISCHR(st.st_mode);
}

static void junit(void **state)
{
	vdisk_error err = { 0 };
	char text[4096] = "";
	FILE *f;

	(void)state;
	assert_int_equal(report_junit(&report, path, &err), 0);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_true(fread(text, 1, sizeof(text) - 1, f) > 100);
	fclose(f);
	assert_non_null(strstr(text, "<testsuite name=\"vdisk verify\""));
	assert_string_equal(text + strlen(text) - 13, "</testsuite>\n");
	room(100);
	refused(report_junit(&report, path, &err), &err, path);
	room(RLIM_INFINITY);
	assert_int_equal(access(path, F_OK), -1);
	if (is_device(FULL)) {
		refused(report_junit(&report, FULL, &err), &err, FULL);
		assert_true(is_device(FULL));
	}
}

static void screenshot(void **state)
{
	struct screen s = { 0 };
	vdisk_error err = { 0 };
	uint8_t magic[8] = { 0 };
	int fd;

	(void)state;
	assert_int_equal(screen_picture(&s, 64, 48, &err), 0);
	for (size_t i = 0; i < 64 * 48 * 3; i++)
		s.rgb[i] = (uint8_t)(i * i >> 3);
	assert_int_equal(screen_save(&s, path, &err), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, magic, 8), 8);
	close(fd);
	assert_memory_equal(magic, "\x89PNG\r\n\x1a\n", 8);
	room(100);
	refused(screen_save(&s, path, &err), &err, path);
	room(RLIM_INFINITY);
	assert_int_equal(access(path, F_OK), -1);
	if (is_device(FULL)) {
		refused(screen_save(&s, FULL, &err), &err, FULL);
		assert_true(is_device(FULL));
	}
	screen_destroy(&s);
}

/* Text and JSON, on a standard output that takes nothing. */
static void standard_output(void **state)
{
	int status;

	(void)state;
	if (!is_device(FULL))
		skip();
	for (int json = 0; json < 2; json++) {
		pid_t pid = fork();

		if (!pid) {
			vdisk_error err = { 0 };

			options.json = json;
			if (!freopen(FULL, "w", stdout))
				_exit(9);
			_exit(report_print(&report, &err) == -1 && !strncmp(err.message, "standard output: ", 17) ? 0 : 1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

static void judged_before(void **state)
{
	vdisk_error err = { 0 };
	char none[160];

	(void)state;
	snprintf(none, sizeof(none), "%s/none/answer", folder);
	assert_int_equal(output_judge(NULL, &err), 0);
	assert_int_equal(output_judge(path, &err), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(output_judge("answer", &err), 0);
	assert_int_equal(output_judge("/dev/null", &err), 0);
	refused(output_judge(none, &err), &err, none);
	refused(output_judge(folder, &err), &err, folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(junit),
		cmocka_unit_test(screenshot),
		cmocka_unit_test(standard_output),
		cmocka_unit_test(judged_before),
	};

	return cmocka_run_group_tests(tests, begin, end);
}

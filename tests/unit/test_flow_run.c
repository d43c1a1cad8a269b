/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Programs that the flow runs, stopped: those that tidy up, and one that does not hear. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flow/run.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char folder[PATH_MAX];
static volatile int cancel;

static void path_of(char out[PATH_MAX], const char *name) { snprintf(out, PATH_MAX, "%.4000s/%s", folder, name); }

static void program_write(const char *name, const char *text)
{
	char path[PATH_MAX];
	FILE *f;

	path_of(path, name);
	f = fopen(path, "we");
	assert_non_null(f);
	fprintf(f, "#!/bin/sh\ncd '%s' || exit 9\n%s", folder, text);
	fclose(f);
	assert_int_equal(chmod(path, 0755), 0);
}

static int folder_make(void **state)
{
	char path[PATH_MAX + 100];

	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/vdisk-run-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s:%s", folder, getenv("PATH"));
	return setenv("PATH", path, 1);
}

static int folder_drop(void **state)
{
	static const char *const names[] = { "quick", "tidy", "deaf", "pid", "tidied" };
	char path[PATH_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		path_of(path, names[i]);
		unlink(path);
	}
	return rmdir(folder);
}

static bool there(const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	path_of(path, name);
	return !stat(path, &st) && st.st_size;
}

static void nap(void) { nanosleep(&(struct timespec){ .tv_nsec = 10 * 1000 * 1000 }, NULL); }

/* Stops it as soon as it says that it runs. */
static void *stopper(void *ctx)
{
	(void)ctx;
	for (int i = 0; i < 6000 && !there("pid"); i++)
		nap();
	cancel = 1;
	return NULL;
}

static pid_t pid_take(void)
{
	char path[PATH_MAX], text[32] = "";
	FILE *f;

	path_of(path, "pid");
	f = fopen(path, "re");
	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	fclose(f);
	unlink(path);
	return (pid_t)atoi(text);
}

static void runs_and_fails(void **state)
{
	struct run r = { 0 };
	vdisk_error err = { 0 };

	(void)state;
	program_write("quick", "echo said; echo 'vdisk quick: that was it' >&2; exit 3\n");
	run_add(&r, "quick");
	assert_int_equal(run_program(&r, NULL, &err), 0);
	assert_int_equal(r.status, 3);
	assert_string_equal(r.out, "said\n");
	assert_string_equal(r.complaint, "that was it");
	run_free(&r);
}

/* Its pid; it has been stopped. */
static pid_t stopped(const char *name, unsigned grace_ms)
{
	struct run r = { .grace_ms = grace_ms };
	vdisk_error err = { 0 };
	pthread_t thread;

	cancel = 0;
	run_add(&r, name);
	assert_int_equal(pthread_create(&thread, NULL, stopper, NULL), 0);
	assert_int_equal(run_program(&r, &cancel, &err), -1);
	assert_int_equal(err.kind, VDISK_CANCELLED);
	pthread_join(thread, NULL);
	run_free(&r);
	return pid_take();
}

static void tidies_up(void **state)
{
	(void)state;
	program_write("tidy", "trap 'sleep 0.3; echo x >tidied; exit 2' TERM\necho $$ >pid\nwhile :; do sleep 0.05; done\n");
	assert_int_equal(kill(stopped("tidy", 60000), 0), -1);
	assert_int_equal(errno, ESRCH);
	assert_true(there("tidied"));
}

static void hears_nothing(void **state)
{
	time_t begin = time(NULL);

	(void)state;
	program_write("deaf", "trap '' TERM\necho $$ >pid\nwhile :; do sleep 0.05; done\n");
	assert_int_equal(kill(stopped("deaf", 300), 0), -1);
	assert_int_equal(errno, ESRCH);
	assert_true(time(NULL) - begin < 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_and_fails),
		cmocka_unit_test(tidies_up),
		cmocka_unit_test(hears_nothing),
	};

	alarm(240);
	return cmocka_run_group_tests(tests, folder_make, folder_drop);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Staging: nothing under the final name before commit, nothing left after abort, what was there is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/staging.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/vdisk-staging-XXXXXX";
static char dest[256], temp[256], extra[256];

static int setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(dest, sizeof(dest), "%s/d.img", dir);
	snprintf(temp, sizeof(temp), "%s/.d.img.vdisk-partial", dir);
	snprintf(extra, sizeof(extra), "%s/d-flat.img", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(dest);
	unlink(temp);
	unlink(extra);
	return rmdir(dir); /* fails where something was left behind */
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void has(const char *path, const char *text)
{
	char buf[64] = "";
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	assert_non_null(fgets(buf, sizeof(buf), f));
	fclose(f);
	assert_string_equal(buf, text);
}

static void test_commit_gives_names(void **state)
{
	struct vd_staging *s;
	struct vd_file *f, *g;
	vd_error err;

	(void)state;
	assert_int_equal(vd_staging_new(dest, false, &s, &f, &err), 0);
	assert_int_equal(vd_staging_add(s, "d-flat.img", &g, &err), 0);
	assert_int_equal(vd_file_pwrite(f, "new", 3, 0, &err), 0);
	assert_int_equal(vd_file_pwrite(g, "flat", 4, 0, &err), 0);
	assert_int_not_equal(access(dest, F_OK), 0);
	assert_int_not_equal(access(extra, F_OK), 0);
	vd_file_close(f);
	vd_file_close(g);
	assert_int_equal(vd_staging_commit(s, &err), 0);
	has(dest, "new");
	has(extra, "flat");
	assert_int_not_equal(access(temp, F_OK), 0);
	unlink(dest);
	unlink(extra);
}

static void test_existing_is_refused_and_kept(void **state)
{
	struct vd_staging *s;
	struct vd_file *f;
	vd_error err;

	(void)state;
	put(dest, "old");
	assert_int_equal(vd_staging_new(dest, false, &s, &f, &err), -1);
	assert_int_equal(err.kind, VDISK_REFUSED);
	assert_non_null(strstr(err.message, "--force"));
	assert_int_equal(vd_staging_new(dest, true, &s, &f, &err), 0);
	assert_int_equal(vd_file_pwrite(f, "new", 3, 0, &err), 0);
	has(dest, "old");
	vd_file_close(f);
	vd_staging_abort(s);
	has(dest, "old");
	assert_int_not_equal(access(temp, F_OK), 0);
	unlink(dest);
}

static void test_appearing_meanwhile_is_kept(void **state)
{
	struct vd_staging *s;
	struct vd_file *f;
	vd_error err;

	(void)state;
	assert_int_equal(vd_staging_new(dest, false, &s, &f, &err), 0);
	vd_file_close(f);
	put(dest, "other");
	assert_int_equal(vd_staging_commit(s, &err), -1);
	assert_int_equal(err.kind, VDISK_REFUSED);
	has(dest, "other");
	unlink(dest);
}

static void test_stale_is_replaced_live_is_busy(void **state)
{
	struct vd_staging *s, *t;
	struct vd_file *f, *g;
	vd_error err;

	(void)state;
	put(temp, "stale");
	assert_int_equal(vd_staging_new(dest, false, &s, &f, &err), 0);
	assert_int_equal(vd_file_size(f), 0);
	assert_int_equal(vd_staging_new(dest, false, &t, &g, &err), -1);
	assert_int_equal(err.kind, VDISK_BUSY);
	vd_file_close(f);
	vd_staging_abort(s);
}

static void test_room(void **state)
{
	vd_error err;

	(void)state;
	assert_int_equal(vd_staging_room(dest, 4096, &err), 0);
	assert_int_equal(vd_staging_room(dest, UINT64_MAX, &err), -1);
	assert_int_equal(err.sys_errno, ENOSPC);
}

static void test_names_stay_in_the_folder(void **state)
{
	struct vd_staging *s;
	struct vd_file *f, *g;
	vd_error err;

	(void)state;
	assert_int_equal(vd_staging_new(dest, false, &s, &f, &err), 0);
	assert_int_equal(vd_staging_add(s, "../x", &g, &err), -1);
	assert_int_equal(err.kind, VDISK_INVALID);
	vd_file_close(f);
	vd_staging_abort(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commit_gives_names),          cmocka_unit_test(test_existing_is_refused_and_kept),
		cmocka_unit_test(test_appearing_meanwhile_is_kept), cmocka_unit_test(test_stale_is_replaced_live_is_busy),
		cmocka_unit_test(test_room),                        cmocka_unit_test(test_names_stay_in_the_folder),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

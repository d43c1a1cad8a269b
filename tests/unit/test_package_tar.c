/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Headers of a tar that is written, sizes beyond what octal digits say among them, and what reading makes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "archive/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct file {
	const char *name;
	uint64_t size;
};

/* A sparse file with these members, whose bytes are holes but for the first one of each. */
static void tar_make(const char *path, const struct file *v, size_t n, uint64_t offs[])
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint64_t at = 0;

	assert_true(fd >= 0);
	for (size_t i = 0; i < n; i++) {
		uint8_t head[TAR_HEADER_BYTES];
		vdisk_error err;

		assert_int_equal(tar_header(v[i].name, v[i].size, 1700000000, head, &err), 0);
		assert_int_equal(pwrite(fd, head, sizeof(head), (off_t)at), sizeof(head));
		offs[i] = at + TAR_HEADER_BYTES;
		if (v[i].size)
			assert_int_equal(pwrite(fd, v[i].name, 1, (off_t)offs[i]), 1);
		at = offs[i] + ((v[i].size + 511) & ~UINT64_C(511));
	}
	assert_int_equal(ftruncate(fd, (off_t)(at + 1024)), 0);
	close(fd);
}

static void test_there_and_back(void **state)
{
	static const struct file v[] = {
		{ "m.ovf", 1 }, { "disk-1.vmdk", (UINT64_C(1) << 33) - 1 }, { "disk-2.vmdk", UINT64_C(1) << 33 }, { "empty", 0 },
		{ "disk-3.vmdk", UINT64_C(12) << 30 }, { "m.mf", 512 },
	};
	size_t n = sizeof(v) / sizeof(v[0]), i = 0;
	char path[] = "/tmp/vdisk-tar.XXXXXX";
	uint64_t offs[sizeof(v) / sizeof(v[0])];
	struct tar_entry e;
	vdisk_error err = { 0 };
	struct tar *t;
	int rc;

	(void)state;
	close(mkstemp(path));
	tar_make(path, v, n, offs);
	assert_int_equal(tar_open(path, false, &t, &err), 0);
	while ((rc = tar_next(t, &e, &err)) > 0) {
		char first;

		assert_true(i < n);
		assert_string_equal(e.name, v[i].name);
		assert_int_equal(e.size, v[i].size);
		assert_int_equal(e.off, offs[i]);
		if (i == 2) { /* reading one does not lose the place */
			assert_int_equal(tar_read(t, &first, 1, &err), 0);
			assert_int_equal(first, v[i].name[0]);
		}
		i++;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(i, n);
	tar_close(t);
	unlink(path);
}

static void test_names(void **state)
{
	uint8_t head[TAR_HEADER_BYTES];
	char name[300];
	vdisk_error err = { 0 };

	(void)state;
	memset(name, 'a', sizeof(name));
	name[100] = '\0';
	assert_int_equal(tar_header(name, 1, 0, head, &err), 0);
	name[100] = 'a';
	name[299] = '\0';
	assert_int_not_equal(tar_header(name, 1, 0, head, &err), 0);
	assert_int_not_equal(tar_header(name, UINT64_C(1) << 34, 0, head, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

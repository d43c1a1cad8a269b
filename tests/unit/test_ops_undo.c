/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The beginning and the end of a commit's undo journal: no descriptor is left open, nor the journal. */
#include "ops_help.h"
#include "ops/undo.h"

#include <dirent.h>
#include <unistd.h>

static unsigned descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void file_make(const char *path)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fclose(f), 0);
}

static void nothing_stays_open(void **state)
{
	char folder[] = "/tmp/vdisk-test-undo-XXXXXX", image[64], leaf[64];
	unsigned before;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(image, sizeof(image), "%s/image", folder);
	snprintf(leaf, sizeof(leaf), "%s/leaf", folder);
	file_make(image);
	file_make(leaf);
	before = descriptors();
	for (unsigned i = 0; i < 3; i++) {
		struct vd_undo_run r = { 0 };

		must(vd_undo_begin(&r, image, leaf, "raw", NULL, err));
		must(vd_undo_end(&r, false, err));
	}
	assert_int_equal(descriptors(), before);
	assert_int_equal(unlink(image), 0);
	assert_int_equal(unlink(leaf), 0);
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(nothing_stays_open) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two guest ranges that own one piece of host space, on a layer whose map is a list. */
#include "ops_help.h"
#include "ops/walk.h"

#include <pthread.h>

struct fake {
	struct vd_extent v[16];
	size_t n;
	unsigned passes; /* maps that began at 0 */
};

static int fake_map(struct vd_layer *l, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err)
{
	struct fake *f = l->priv;
	uint64_t at = 0;

	(void)len, (void)flags, (void)err;
	f->passes += off == 0;
	for (size_t i = 0; i <= f->n; i++) {
		struct vd_extent hole = { .off = at, .kind = VD_ABSENT };

		hole.len = (i < f->n ? f->v[i].off : l->size) - at;
		if (hole.len && !vd_extents_add(e, &hole))
			return 0;
		if (i == f->n || !vd_extents_add(e, &f->v[i]))
			return 0;
		at = f->v[i].off + f->v[i].len;
	}
	return 0;
}

static const struct vd_driver fake_driver = { .info = { .name = "fake" }, .map = fake_map };

static int survey(struct fake *f, uint64_t host_size, uint32_t grain, uint32_t image_flags, struct vd_survey *s, vd_error *report)
{
	struct vd_file *file, *files[1];
	struct vd_layer l = {
		.drv = &fake_driver, .files = files, .n_files = 1, .path = (char *)"fake", .size = UINT64_C(1) << 44
	};
	struct vd_layer *chain[1] = { &l };
	vdisk_image img = { .top = &l, .chain = chain, .n_layers = 1, .flags = image_flags, .path = (char *)"fake" };
	int rc;

	must(vd_file_memory("fake.img", NULL, 0, &file, err));
	must(vd_file_truncate(file, host_size, err));
	files[0] = file;
	l.priv = f;
	l.alloc_grain = l.presence_grain = grain;
	pthread_rwlock_init(&l.lock, NULL);
	rc = vd_survey_image(&img, 65536, NULL, 0, NULL, s, report);
	pthread_rwlock_destroy(&l.lock);
	vd_file_close(file);
	return rc;
}

static void add(struct fake *f, uint64_t off, uint64_t len, uint64_t host)
{
	f->v[f->n++] = (struct vd_extent){
		.off = off, .len = len, .kind = VD_DATA, .flags = VD_EXT_MAPPED, .host = host, .host_len = len
	};
}

static void add_packed(struct fake *f, uint64_t off, uint64_t host, uint64_t host_len)
{
	f->v[f->n++] = (struct vd_extent){
		.off = off, .len = 65536, .kind = VD_DATA, .flags = VD_EXT_COMPRESSED, .host = host, .host_len = host_len
	};
}

static void expect_clean(struct fake *f, uint64_t host_size, uint32_t grain)
{
	struct vd_survey s;

	must(survey(f, host_size, grain, 0, &s, err));
}

static void expect_twice(struct fake *f, uint64_t host_size, uint32_t grain, const char *first, const char *second)
{
	struct vd_survey s;
	vd_error failed = { 0 };

	assert_int_equal(survey(f, host_size, grain, 0, &s, &failed), -1);
	assert_int_equal(failed.kind, VDISK_CORRUPT);
	assert_non_null(strstr(failed.message, first));
	assert_non_null(strstr(failed.message, second));
	must(survey(f, host_size, grain, VDISK_OPEN_SALVAGE, &s, err));
}

static void test_clean(void **state)
{
	struct fake f = { 0 };
	struct vd_survey s;

	(void)state;
	add(&f, 0, 65536, 65536 * 9);
	add(&f, 65536, 3 * 65536, 65536);
	add(&f, UINT64_C(1) << 30, 65536, 65536 * 5);
	expect_clean(&f, 1 << 20, 65536);
	must(survey(&f, 1 << 20, 65536, 0, &s, err));
	assert_int_equal(s.data, 5 * 65536);
	assert_int_equal(s.units, 5);
	assert_false(s.whole);
	assert_int_equal(f.passes, 2); /* one each */
}

static void test_cluster_twice(void **state)
{
	struct fake f = { 0 };

	(void)state;
	add(&f, 65536, 65536, 65536 * 3);
	add(&f, 65536 * 100, 4 * 65536, 65536 * 1);
	expect_twice(&f, 1 << 20, 65536, " 65536 ", " 6553600 ");
}

/* Grains that lie at odd sectors and overlap in part. */
static void test_overlap(void **state)
{
	struct fake f = { 0 };

	(void)state;
	add(&f, 0, 65536, 512);
	add(&f, 65536 * 4, 65536, 512 + 65536);
	expect_clean(&f, 1 << 20, 65536);
	f.v[1].host -= 512;
	expect_twice(&f, 1 << 20, 65536, " 0 ", " 262144 ");
}

static void test_packed(void **state)
{
	struct fake f = { 0 };

	(void)state;
	/* Neighbours in one sector, as qcow2 packs them; the last one lies within one. */
	add_packed(&f, 0, 65536, 3000);
	add_packed(&f, 65536, 68536, 1096);
	add_packed(&f, 131072, 68536 + 1000, 96);
	expect_clean(&f, 1 << 20, 65536);
	f.v[1].host = 65536 + 600;
	expect_twice(&f, 1 << 20, 65536, " 0 ", " 65536 ");
}

/* A host file so long that one pass cannot see all of it. */
static void test_far_apart(void **state)
{
	const uint64_t far = UINT64_C(9) << 40;
	struct fake f = { 0 };

	(void)state;
	add(&f, 0, 65536, 512);
	add(&f, 65536, 65536, far + 512);
	add(&f, 65536 * 7, 65536, far + 512 + 65536);
	expect_clean(&f, far + (1 << 20), 65536);
	assert_true(f.passes > 2);
	f.v[2].host = far + 1024;
	expect_twice(&f, far + (1 << 20), 65536, " 65536 ", " 458752 ");
}

/* The disk ends within its last cluster. */
static void test_cut_tail(void **state)
{
	struct fake f = { 0 };

	(void)state;
	add(&f, (UINT64_C(1) << 44) - 1000, 1000, 65536 * 2);
	expect_clean(&f, 1 << 20, 65536);
	assert_int_equal(f.passes, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clean),  cmocka_unit_test(test_cluster_twice), cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_packed), cmocka_unit_test(test_far_apart),     cmocka_unit_test(test_cut_tail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

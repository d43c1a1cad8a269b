/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Snapshots of an image whose file fails at the nth operation: the change has happened or has not, and the image is
 * clean when it is opened again.  And snapshots made while the image itself is, as a conversion does.
 */
#include "kept.h"

#include <errno.h>

#define SIZE (512u * KIB)

static vdisk_image *opened(struct vd_file *f, uint32_t flags, const char *snapshot)
{
	return kept_open(f, "qcow2", flags, snapshot, NULL);
}

static void reads(const struct kept *k, const char *snapshot, const uint8_t *want, uint32_t size)
{
	vdisk_image *img = opened(kept_file(k), 0, snapshot);
	uint8_t *got = vd_malloc(size);

	assert_int_equal(vdisk_size(img), size);
	must(vdisk_pread(img, got, size, 0, err));
	assert_memory_equal(got, want, size);
	vd_free(got);
	must(vdisk_close(img, err));
}

static void clean(const struct kept *k)
{
	vdisk_image *img = opened(kept_file(k), VDISK_OPEN_CHECK, NULL);
	struct vdisk_check_result r;

	must(vdisk_check(img, 0, NULL, NULL, &r, err));
	assert_int_equal(r.corruptions, 0);
	must(vdisk_close(img, err));
}

static int snap(vdisk_image *img, const char *name, vd_error *err)
{
	return vdisk_snapshot_create(img, &(struct vdisk_snapshot_create_options){ .name = name, .date_sec = 1 }, NULL, err);
}

/* Two snapshots, and a disk that differs from both. */
static void image_make(struct kept *k, uint8_t *bytes[3], uint32_t create_flags, const char *option)
{
	vdisk_image *img = kept_create(kept_new(k, kept_empty("snap.qcow2")), "qcow2", SIZE, option, create_flags, NULL);

	for (unsigned i = 0; i < 3; i++) {
		bytes[i] = help_content(SIZE, i + 1);
		must(vdisk_pwrite(img, bytes[i], SIZE, 0, err));
		if (i < 2)
			must(snap(img, i ? "b" : "a", err));
	}
	must(vdisk_close(img, err));
}

static void names_add(void *ctx, const struct vdisk_snapshot_info *s)
{
	snprintf((char *)ctx + strlen(ctx), 32 - strlen(ctx), "%s", s->name);
}

enum change { CREATE, APPLY, REMOVE, CHANGES };

static int change_do(vdisk_image *img, enum change what, vd_error *err)
{
	return what == CREATE  ? snap(img, "c", err)
	       : what == APPLY ? vdisk_snapshot_apply(img, "a", err)
	                       : vdisk_snapshot_delete(img, "a", err);
}

/* Whether the change happened; all else is as it should be. */
static bool judge(const struct kept *k, enum change what, uint8_t *bytes[3])
{
	vdisk_image *img = opened(kept_file(k), 0, NULL);
	uint8_t *got = vd_malloc(SIZE);
	char names[32] = "";
	bool done;

	clean(k);
	must(vdisk_snapshots(img, names_add, names, err));
	must(vdisk_pread(img, got, SIZE, 0, err));
	must(vdisk_close(img, err));
	done = what == CREATE ? !strcmp(names, "abc") : what == REMOVE ? !strcmp(names, "b") : !memcmp(got, bytes[0], SIZE);
	assert_string_equal(names, what == CREATE && done ? "abc" : what == REMOVE && done ? "b" : "ab");
	assert_memory_equal(got, bytes[what == APPLY && done ? 0 : 2], SIZE);
	vd_free(got);
	reads(k, "snapshot=b", bytes[1], SIZE);
	if (what == CREATE && done)
		reads(k, "snapshot=c", bytes[2], SIZE);
	return done;
}

static void test_faults(void **state)
{
	uint8_t *bytes[3];
	struct kept made;

	(void)state;
	image_make(&made, bytes, 0, "cluster_size=4K");
	for (int what = 0; what < CHANGES; what++) {
		unsigned done = 0, undone = 0;

		for (long n = 1;; n++) {
			struct vd_fault fault = { .countdown = -1,
				                  .ops = VD_FAULT_READ | VD_FAULT_WRITE | VD_FAULT_FLUSH | VD_FAULT_OTHER,
				                  .persistent = n % 2,
				                  .sys_errno = n % 3 ? EIO : ENOSPC };
			struct vd_file *f;
			struct kept k;
			vdisk_image *img;
			vd_error why = { 0 };
			int rc;

			must(vd_file_fault(kept_new(&k, kept_file(&made)), &fault, &f, err));
			img = opened(f, VDISK_OPEN_RW, NULL);
			fault.countdown = n;
			rc = change_do(img, (enum change)what, &why);
			assert_true(!rc || why.message[0]);
			vdisk_close(img, NULL);
			if (judge(&k, (enum change)what, bytes))
				done++;
			else
				undone++;
			assert_true(rc || !fault.hits || done); /* what said that it is done is */
			kept_free(&k);
			if (!fault.hits)
				break;
		}
		print_message("change %d: %u times undone, %u times done\n", what, undone, done);
		assert_true(done > 0 && undone > 3);
	}
	kept_free(&made);
	for (unsigned i = 0; i < 3; i++)
		vd_free(bytes[i]);
}

static void test_while_being_made(void **state)
{
	static const char *const options[] = { NULL, "compat=0.10", "cluster_size=512", "extended_l2=on" };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		uint8_t *bytes[3];
		struct kept k;

		image_make(&k, bytes, VD_CREATE_UNFINISHED, options[i]);
		clean(&k);
		reads(&k, "snapshot=a", bytes[0], SIZE);
		reads(&k, "snapshot=2", bytes[1], SIZE);
		reads(&k, NULL, bytes[2], SIZE);
		kept_free(&k);
		for (unsigned n = 0; n < 3; n++)
			vd_free(bytes[n]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_while_being_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

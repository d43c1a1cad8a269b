/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Power cuts at every write boundary while a snapshot is made, applied and deleted: the image has the change or has not, the disk
 * and every snapshot read as they should, its check finds no corruption, and what was lost is space at most.  Of what was not
 * flushed all, nothing or some is kept; sectors are whole, as the header has no copy.
 */
#include "ops_help.h"

#define SIZE (512u * KIB)

struct kind {
	const char *option;
	uint32_t size; /* of the disk when the second snapshot is made */
};

enum change { CREATE, APPLY, REMOVE, CHANGES };
static const char *const change_names[] = { "create", "apply", "delete" };

/* What an image is to hold. */
struct state {
	const uint8_t *disk;
	uint32_t size;
	const char *names; /* of its snapshots, "a b" */
};

struct known {
	uint8_t *a, *b, *now;
	uint32_t b_size;
};

static vdisk_image *opened(struct vd_file *f, uint32_t flags, const char *snapshot)
{
	const char *options[] = { snapshot, NULL };
	vdisk_image *img;

	must(vd_image_open_file(f, "qcow2", flags, snapshot ? options : NULL, NULL, NULL, &img, err));
	return img;
}

static struct vd_file *cut(struct vd_crash *c, unsigned id, unsigned long at, enum vd_crash_mode mode)
{
	struct vd_file *f;

	must(vd_crash_image(c, id, at, mode, at * 4 + mode, &f, err));
	return f;
}

static bool reads(struct vd_file *f, const char *snapshot, const uint8_t *want, uint32_t size)
{
	vdisk_image *img = opened(f, 0, snapshot);
	uint8_t *got = vd_malloc(SIZE * 2);
	bool same = vdisk_size(img) == size;

	must(vdisk_pread(img, got, same ? size : 0, 0, err));
	same = same && !memcmp(got, want, size);
	vd_free(got);
	must(vdisk_close(img, err));
	return same;
}

static void name_add(void *ctx, const struct vdisk_snapshot_info *s)
{
	snprintf((char *)ctx + strlen(ctx), 64 - strlen(ctx), "%s%s", *(char *)ctx ? " " : "", s->name);
}

static void problem_see(void *ctx, bool is_leak, uint64_t offset, const char *message)
{
	(void)offset;
	if (!is_leak)
		snprintf(ctx, 200, "%s", message);
}

static void check_clean(struct vd_file *f, const char *why)
{
	vdisk_image *img = opened(f, VDISK_OPEN_CHECK, NULL);
	struct vdisk_check_result r;
	char text[200] = "";

	must(vdisk_check(img, 0, problem_see, text, &r, err));
	if (r.corruptions)
		fail_msg("%s: %llu corruptions: %s", why, (unsigned long long)r.corruptions, text);
	must(vdisk_close(img, err));
}

static void names_of(struct vd_file *f, char names[64])
{
	vdisk_image *img = opened(f, 0, NULL);

	names[0] = '\0';
	must(vdisk_snapshots(img, name_add, names, err));
	must(vdisk_close(img, err));
}

/* Two snapshots of different content, and in the end a third content over both; shared tables and tables of its own. */
static void image_make(const struct kind *k, struct vd_crash *c, struct known *w, unsigned *id)
{
	const char *options[] = { k->option, NULL };
	struct vd_file *f;
	vdisk_image *img;

	w->a = help_content(SIZE * 2, 1);
	w->b = help_content(SIZE * 2, 1);
	w->b_size = k->size;
	must(vd_file_memory("snap.qcow2", NULL, 0, &f, err));
	must(vd_file_crash(c, f, &f, id, err));
	must(vd_image_create_file(f, "qcow2", SIZE, k->option ? options : NULL, 0, NULL, NULL, &img, err));
	must(vdisk_pwrite(img, w->a, SIZE, 0, err));
	must(vdisk_snapshot_create(img, &(struct vdisk_snapshot_create_options){ .name = "a", .date_sec = 1 }, NULL, err));
	if (k->size != SIZE)
		must(vdisk_resize(img, k->size, VDISK_RESIZE_SHRINK, err));
	memset(w->b + SIZE, 0, SIZE);
	for (uint32_t at = 0; at + 16 * KIB < k->size; at += 70 * KIB) {
		memset(w->b + at, 0xb0, 16 * KIB);
		must(vdisk_pwrite(img, w->b + at, 16 * KIB, at, err));
	}
	must(vdisk_snapshot_create(img, &(struct vdisk_snapshot_create_options){ .name = "b", .date_sec = 2 }, NULL, err));
	w->now = help_content(SIZE * 2, 1);
	memcpy(w->now, w->b, SIZE * 2);
	memset(w->now + 5 * KIB, 0xcc, 100 * KIB);
	must(vdisk_pwrite(img, w->now + 5 * KIB, 100 * KIB, 5 * KIB, err));
	must(vdisk_close(img, err));
}

static void change_do(vdisk_image *img, enum change what)
{
	if (what == CREATE)
		must(vdisk_snapshot_create(img, &(struct vdisk_snapshot_create_options){ .name = "c", .date_sec = 3 }, NULL, err));
	else if (what == APPLY)
		must(vdisk_snapshot_apply(img, "a", err));
	else
		must(vdisk_snapshot_delete(img, "a", err));
}

static bool is_state(struct vd_crash *c, unsigned id, unsigned long at, enum vd_crash_mode mode, const struct known *w,
                     const struct state *s)
{
	char names[64];

	names_of(cut(c, id, at, mode), names);
	if (strcmp(names, s->names) || !reads(cut(c, id, at, mode), NULL, s->disk, s->size))
		return false;
	if (strchr(names, 'a') && !reads(cut(c, id, at, mode), "snapshot=a", w->a, SIZE))
		return false;
	if (strchr(names, 'c') && !reads(cut(c, id, at, mode), "snapshot=c", w->now, w->b_size))
		return false;
	return reads(cut(c, id, at, mode), "snapshot=b", w->b, w->b_size);
}

/* After a cut the image takes the change, and a write, as if nothing had been. */
static void goes_on(struct vd_file *f, enum change what, const char *why)
{
	struct vd_crash *c = vd_crash_new();
	vdisk_image *img;
	unsigned id;

	must(vd_file_crash(c, f, &f, &id, err));
	img = opened(f, VDISK_OPEN_RW, NULL);
	change_do(img, what);
	must(vdisk_pwrite(img, "again", 5, 33 * KIB, err));
	must(vdisk_close(img, err));
	check_clean(cut(c, id, vd_crash_ops(c), VD_CRASH_KEEP), why);
	vd_crash_free(c);
}

static void cut_everywhere(const struct kind *k, enum change what)
{
	struct vd_crash *made = vd_crash_new(), *c = vd_crash_new();
	unsigned long counts[2] = { 0 };
	struct known w;
	struct vd_file *f;
	unsigned id;

	image_make(k, made, &w, &id);
	f = cut(made, id, vd_crash_ops(made), VD_CRASH_KEEP);
	must(vd_file_crash(c, f, &f, &id, err));
	vdisk_image *img = opened(f, VDISK_OPEN_RW, NULL);
	struct state before = { w.now, w.b_size, "a b" };
	struct state after = { what == APPLY ? w.a : w.now, what == APPLY ? SIZE : w.b_size,
		               what == CREATE ? "a b c" : what == REMOVE ? "b" : "a b" };

	change_do(img, what);
	must(vdisk_close(img, err));
	for (unsigned long at = 0; at <= vd_crash_ops(c); at++) {
		for (int mode = VD_CRASH_KEEP; mode <= VD_CRASH_RANDOM; mode++) {
			bool is_after = is_state(c, id, at, (enum vd_crash_mode)mode, &w, &after);
			char why[120];

			snprintf(why, sizeof(why), "%s, %s: cut after %lu of %lu, mode %d", k->option ? k->option : "",
			         change_names[what], at, vd_crash_ops(c), mode);
			if (!is_after && !is_state(c, id, at, (enum vd_crash_mode)mode, &w, &before))
				fail_msg("%s: neither as before nor as after", why);
			counts[is_after]++;
			check_clean(cut(c, id, at, (enum vd_crash_mode)mode), why);
			if (!is_after && mode == VD_CRASH_RANDOM)
				goes_on(cut(c, id, at, (enum vd_crash_mode)mode), what, why);
		}
	}
	print_message("%s %s: %lu cuts before the change, %lu after\n", k->option ? k->option : "", change_names[what], counts[0],
	              counts[1]);
	assert_true(counts[0] > 0 && counts[1] > 0);
	vd_crash_free(made);
	vd_crash_free(c);
	vd_free(w.a);
	vd_free(w.b);
	vd_free(w.now);
}

static void test_kind(void **state)
{
	for (int what = 0; what < CHANGES; what++)
		cut_everywhere(*state, (enum change)what);
}

int main(void)
{
	static struct kind kinds[] = {
		{ NULL, SIZE },          { "cluster_size=4K", SIZE * 2 }, { "cluster_size=512", SIZE },
		{ "compat=0.10", SIZE }, { "extended_l2=on", SIZE / 2 },  { "refcount_bits=2", SIZE },
	};
	struct CMUnitTest tests[sizeof(kinds) / sizeof(*kinds)];

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		tests[i] = (struct CMUnitTest){ kinds[i].option ? kinds[i].option : "qcow2", test_kind, NULL, NULL, &kinds[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

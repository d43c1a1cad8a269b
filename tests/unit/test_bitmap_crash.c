/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Power cuts at every write boundary while bitmaps are changed, and while the disk is that they follow.  A change of bitmaps was
 * made or was not, and the others stay as they are.  A change of the disk leaves each bitmap marked as in use, or telling all that
 * differs from what the disk held when it was made; one that follows no changes stays as it is.  Of what was not flushed all,
 * nothing or some is kept, and sectors may be torn.
 */
#include "ops_help.h"

#define SIZE (1u * MIB)
#define TEXT_MAX 4000

struct kind {
	const char *option;
	uint64_t granularity;
	bool clear; /* b records nothing yet, and has no cluster of its own */
};

enum change {
	CREATE, DELETE, DELETE_LAST, CLEAR, MERGE, DISABLE, ENABLE, BITMAP_CHANGES,
	WRITE = BITMAP_CHANGES, ZERO, DISCARD, GROW, SHRINK, APPLY, CHANGES
};
static const char *const change_names[] = {
	"create", "delete", "delete the last", "clear", "merge", "disable", "enable",
	"write", "zero", "discard", "grow", "shrink", "apply a snapshot",
};

static vdisk_image *opened(struct vd_file *f, uint32_t flags)
{
	vdisk_image *img;

	must(vd_image_open_file(f, "qcow2", flags, NULL, NULL, NULL, &img, err));
	return img;
}

static struct vd_file *cut(struct vd_crash *c, unsigned id, unsigned long at, int mode)
{
	struct vd_file *f;

	must(vd_crash_image(c, id, at, (enum vd_crash_mode)mode, at * 4 + (unsigned)mode, &f, err));
	return f;
}

/* ---------------------------------------------------------------- what an image says */

struct told {
	vdisk_image *img;
	char text[TEXT_MAX];
	bool in_use;         /* any of them */
	unsigned n;
	char name[8][16];
	bool usable[8];
};

static void text_add(struct told *t, const char *fmt, ...)
{
	size_t n = strlen(t->text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t->text + n, sizeof(t->text) - n, fmt, ap);
	va_end(ap);
}

static bool range_tell(void *ctx, uint64_t off, uint64_t len)
{
	text_add(ctx, " %llu+%llu", (unsigned long long)off, (unsigned long long)len);
	return true;
}

static void bitmap_see(void *ctx, const struct vdisk_bitmap_info *b)
{
	struct told *t = ctx;

	assert_true(t->n < 8);
	if (b->problem)
		fail_msg("%s: %s", b->name, b->problem);
	snprintf(t->name[t->n], sizeof(t->name[0]), "%s%s", b->name, b->enabled ? "" : " off");
	t->in_use |= b->in_use;
	t->usable[t->n++] = !b->in_use;
}

static void tell(vdisk_image *img, struct told *t)
{
	*t = (struct told){ .img = img };
	must(vdisk_bitmaps(img, bitmap_see, t, err));
	for (unsigned i = 0; i < t->n; i++) {
		char name[16];

		text_add(t, "%s[%s%s:", i ? " " : "", t->name[i], t->usable[i] ? "" : " in use");
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(t->name[i], " "), t->name[i]);
		if (t->usable[i])
			must(vdisk_bitmap_ranges(img, name, range_tell, t, err));
		text_add(t, "]");
	}
}

static void problem_see(void *ctx, bool is_leak, uint64_t offset, const char *message)
{
	(void)offset;
	if (!is_leak)
		snprintf(ctx, 200, "%s", message);
}

static void check_clean(struct vd_file *f, const char *why)
{
	vdisk_image *img = opened(f, VDISK_OPEN_CHECK);
	struct vdisk_check_result r;
	char text[200] = "";

	must(vdisk_check(img, 0, problem_see, text, &r, err));
	if (r.corruptions)
		fail_msg("%s: %llu corruptions: %s", why, (unsigned long long)r.corruptions, text);
	must(vdisk_close(img, err));
}

/* ---------------------------------------------------------------- the image and its changes */

/* Bitmap "b" follows the writes, "d" does not and holds what b held for a time; snapshot "s" is of another content and size. */
static uint8_t *image_make(const struct kind *k, struct vd_crash *c, unsigned *id)
{
	const char *options[] = { k->option, NULL };
	uint8_t *base = help_content(SIZE, 3);
	struct vd_file *f;
	vdisk_image *img;

	must(vd_file_memory("bitmap.qcow2", NULL, 0, &f, err));
	must(vd_file_crash(c, f, &f, id, err));
	must(vd_image_create_file(f, "qcow2", SIZE - 256 * KIB, k->option ? options : NULL, 0, NULL, NULL, &img, err));
	must(vdisk_pwrite(img, "snapshot", 8, 70 * KIB, err));
	must(vdisk_snapshot_create(img, &(struct vdisk_snapshot_create_options){ .name = "s", .date_sec = 1 }, NULL, err));
	must(vdisk_resize(img, SIZE, 0, err));
	must(vdisk_pwrite(img, base, SIZE, 0, err));
	must(vdisk_bitmap_create(img, "b", k->granularity, 0, err));
	must(vdisk_bitmap_create(img, "d", 0, VDISK_BITMAP_DISABLED, err));
	must(vdisk_pwrite(img, base, 20 * KIB, 100 * KIB, err));
	memcpy(base + 100 * KIB, base, 20 * KIB);
	must(vdisk_bitmap_merge(img, "d", NULL, "b", err));
	must(vdisk_bitmap_clear(img, "b", err));
	if (!k->clear)
		must(vdisk_pwrite(img, base + 512 * KIB, 3 * KIB, 512 * KIB, err));
	must(vdisk_close(img, err));
	return base;
}

static void change_do(vdisk_image *img, enum change what)
{
	uint8_t buf[9000];

	memset(buf, 0xa5, sizeof(buf));
	switch (what) {
	case CREATE:
		must(vdisk_bitmap_create(img, "c", 4096, 0, err));
		break;
	case DELETE:
		must(vdisk_bitmap_delete(img, "b", err));
		break;
	case DELETE_LAST:
		must(vdisk_bitmap_delete(img, "b", err));
		must(vdisk_bitmap_delete(img, "d", err));
		break;
	case CLEAR:
		must(vdisk_bitmap_clear(img, "b", err));
		break;
	case MERGE:
		must(vdisk_bitmap_merge(img, "b", NULL, "d", err));
		break;
	case DISABLE:
	case ENABLE:
		must(vdisk_bitmap_enable(img, what == ENABLE ? "d" : "b", what == ENABLE, err));
		break;
	case WRITE:
		must(vdisk_pwrite(img, buf, sizeof(buf), 200001, err));
		must(vdisk_flush(img, err));
		must(vdisk_pwrite(img, buf, 512, SIZE - 512, err));
		break;
	case ZERO:
		must(vdisk_zero(img, 3000, 300 * KIB, err));
		break;
	case DISCARD:
		must(vdisk_discard(img, 256 * KIB, 700 * KIB, err));
		break;
	case GROW:
		must(vdisk_resize(img, SIZE + MIB, 0, err));
		break;
	case SHRINK:
		must(vdisk_resize(img, SIZE - 640 * KIB, VDISK_RESIZE_SHRINK, err));
		break;
	default:
		must(vdisk_snapshot_apply(img, "s", err));
	}
}

/* ---------------------------------------------------------------- honest */

struct covered {
	const uint8_t *now, *base;
	uint64_t size, at;   /* [0, at) was looked at */
	uint64_t fault;      /* of the first sector that differs and is not told; UINT64_MAX: none */
};

static void gap_judge(struct covered *c, uint64_t to)
{
	for (; c->at < to && c->fault == UINT64_MAX; c->at += 512) {
		uint64_t base_n = c->at < SIZE ? 512 : 0;
		uint8_t zeros[512] = { 0 };

		if (memcmp(c->now + c->at, base_n ? c->base + c->at : zeros, 512))
			c->fault = c->at;
	}
	c->at = vd_max(c->at, to);
}

static bool covered_see(void *ctx, uint64_t off, uint64_t len)
{
	struct covered *c = ctx;

	gap_judge(c, off);
	c->at = vd_max(c->at, off + len);
	return true;
}

/* Bitmap b is in use, or tells all; d is as it was, cut or filled to the disk's size, or in use where tables had to change. */
static bool honest_judge(struct vd_file *f, const uint8_t *base, enum change what, const char *d_before, const char *why)
{
	vdisk_image *img = opened(f, 0);
	struct told t;
	struct covered c = { .base = base, .size = vdisk_size(img), .fault = UINT64_MAX };
	uint8_t *now = vd_calloc(1, SIZE * 3);
	bool kept = true;

	must(vdisk_pread(img, now, c.size, 0, err));
	c.now = now;
	tell(img, &t);
	if (t.n != 2)
		fail_msg("%s: %u bitmaps: %s", why, t.n, t.text);
	if (t.usable[0]) {
		must(vdisk_bitmap_ranges(img, "b", covered_see, &c, err));
		gap_judge(&c, c.size);
		if (c.fault != UINT64_MAX)
			fail_msg("%s: the sector at %llu differs, and b does not tell: %s", why, (unsigned long long)c.fault,
			         t.text);
	}
	if (what < GROW || t.usable[1])
		kept = strstr(t.text, d_before) != NULL;
	if (!kept)
		fail_msg("%s: d was %s, and is: %s", why, d_before, t.text);
	vd_free(now);
	kept = t.usable[0] && t.usable[1];
	must(vdisk_close(img, err));
	return kept;
}

/* After a cut the image takes a write, and all bitmaps can be deleted. */
static void goes_on(struct vd_file *f, const char *why)
{
	struct vd_crash *c = vd_crash_new();
	vdisk_image *img;
	struct told t;
	unsigned id;

	must(vd_file_crash(c, f, &f, &id, err));
	img = opened(f, VDISK_OPEN_RW);
	must(vdisk_pwrite(img, "again", 5, 33 * KIB, err));
	tell(img, &t);
	for (unsigned i = 0; i < t.n; i++) {
		t.name[i][strcspn(t.name[i], " ")] = '\0';
		must(vdisk_bitmap_delete(img, t.name[i], err));
	}
	must(vdisk_bitmap_create(img, "new", 0, 0, err));
	must(vdisk_pwrite(img, "more", 4, 333 * KIB, err));
	must(vdisk_close(img, err));
	img = opened(cut(c, id, vd_crash_ops(c), VD_CRASH_KEEP), 0);
	tell(img, &t);
	if (t.n != 1 || !t.usable[0] || !strstr(t.text, "new: "))
		fail_msg("%s: and then: %s", why, t.text);
	must(vdisk_close(img, err));
	check_clean(cut(c, id, vd_crash_ops(c), VD_CRASH_KEEP), why);
	vd_crash_free(c);
}

static void cut_everywhere(const struct kind *k, enum change what)
{
	struct vd_crash *made = vd_crash_new(), *c = vd_crash_new();
	unsigned long counts[2] = { 0 };
	struct told before, after, middle = { .n = 0 }, now;
	struct vd_file *f;
	vdisk_image *img;
	uint8_t *base;
	const char *d;
	unsigned id;

	base = image_make(k, made, &id);
	f = cut(made, id, vd_crash_ops(made), VD_CRASH_KEEP);
	must(vd_file_crash(c, f, &f, &id, err));
	img = opened(f, VDISK_OPEN_RW);
	tell(img, &before);
	assert_false(before.in_use);
	assert_int_equal(before.n, 2);
	d = strstr(before.text, "[d off:");
	assert_non_null(d);
	change_do(img, what);
	must(vdisk_close(img, err));
	img = opened(cut(c, id, vd_crash_ops(c), VD_CRASH_KEEP), 0);
	tell(img, &after);
	must(vdisk_close(img, err));
	assert_false(after.in_use);
	if (what == DELETE_LAST)
		snprintf(middle.text, sizeof(middle.text), "%s", d);
	for (unsigned long at = 0; at <= vd_crash_ops(c); at++) {
		for (int mode = VD_CRASH_KEEP; mode <= (what < BITMAP_CHANGES ? VD_CRASH_RANDOM : VD_CRASH_TEAR); mode++) {
			char why[160];
			bool done;

			snprintf(why, sizeof(why), "%s, %s: cut after %lu of %lu, mode %d", k->option ? k->option : "",
			         change_names[what], at,
			         vd_crash_ops(c), mode);
			check_clean(cut(c, id, at, mode), why);
			if (what >= BITMAP_CHANGES) {
				done = honest_judge(cut(c, id, at, mode), base, what, d, why);
			} else {
				img = opened(cut(c, id, at, mode), 0);
				tell(img, &now);
				must(vdisk_close(img, err));
				done = !strcmp(now.text, after.text);
				if (!done && strcmp(now.text, before.text) && strcmp(now.text, middle.text))
					fail_msg("%s: neither as before nor as after: %s\n    before: %s\n    after: %s", why,
					         now.text, before.text, after.text);
			}
			counts[done]++;
			if (mode == VD_CRASH_RANDOM && at % 3 == 0)
				goes_on(cut(c, id, at, mode), why);
		}
	}
	print_message("%s %s: %lu cuts before the change (or in use), %lu after\n", k->option ? k->option : "", change_names[what],
	              counts[0],
	              counts[1]);
	assert_true(counts[1] > 0 && (counts[0] > 0 || !strcmp(before.text, after.text)));
	vd_crash_free(made);
	vd_crash_free(c);
	vd_free(base);
}

static void test_kind(void **state)
{
	for (int what = 0; what < CHANGES; what++)
		cut_everywhere(*state, (enum change)what);
}

int main(void)
{
	static struct kind kinds[] = { { NULL, 0, false }, { "cluster_size=512", 512, false }, { "extended_l2=on", 4096, true } };
	struct CMUnitTest tests[sizeof(kinds) / sizeof(*kinds)];

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		tests[i] = (struct CMUnitTest){ kinds[i].option ? kinds[i].option : "qcow2", test_kind, NULL, NULL, &kinds[i] };
	return cmocka_run_group_tests(tests, NULL, NULL);
}

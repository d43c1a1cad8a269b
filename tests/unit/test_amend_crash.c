/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Power cuts at every write boundary while properties that lie in an image's header or descriptor are changed: it opens, is what it was or what
 * it is to be, and reads the same.  Of what was not flushed all, nothing or some is kept; sectors are whole.
 */
#include "ops_help.h"

#define SIZE (256u * KIB)

struct kind {
	const char *format, *made_with;
	const char *amend;       /* option; NULL: resized to BIGGER */
	const char *key;         /* of a value that tells old from new */
	const char *before, *after;
};
#define BIGGER (UINT64_C(64) << 30)

static struct vd_file *cut_at(struct vd_crash *clock, unsigned id, unsigned long at, int mode)
{
	struct vd_file *f;

	must(vd_crash_image(clock, id, at, (enum vd_crash_mode)mode, at, &f, err));
	return f;
}

static vdisk_image *opened(const struct kind *k, struct vd_file *f, uint32_t flags)
{
	vdisk_image *img;

	must(vd_image_open_file(f, k->format, flags | VDISK_OPEN_NO_PARENT, NULL, NULL, NULL, &img, err));
	return img;
}

struct wanted {
	const char *key;
	char found[64];
};

static void value(void *ctx, const struct vdisk_value *v)
{
	struct wanted *w = ctx;

	if (!strcmp(v->key, w->key))
		snprintf(w->found, sizeof(w->found), "%s", v->type == VDISK_VALUE_STRING ? v->str : v->u64 ? "on" : "off");
}

/* True: it is the new one.  Takes f. */
static bool judged(const struct kind *k, struct vd_file *f, const uint8_t *want)
{
	uint8_t *got = vd_malloc(SIZE);
	struct wanted w = { k->key, "" };
	vdisk_image *img = opened(k, f, VDISK_OPEN_RW | VDISK_OPEN_KEEP_ID);
	bool now;

	must(vdisk_pread(img, got, SIZE, 0, err));
	for (uint32_t i = 0; i < SIZE; i++)
		if (got[i] != want[i])
			fail_msg("byte %u is %u, should be %u", i, got[i], want[i]);
	if (k->amend) {
		must(vdisk_layer_values(img, 0, value, &w, err));
		now = !strcmp(w.found, k->after);
		if (!now && strcmp(w.found, k->before))
			fail_msg("%s is \"%s\", should be %s or %s", k->key, w.found, k->before, k->after);
	} else {
		now = vdisk_size(img) == BIGGER;
		if (!now && vdisk_size(img) != SIZE)
			fail_msg("the size is %llu", (unsigned long long)vdisk_size(img));
	}
	must(vdisk_pwrite(img, want, 4096, 0, err)); /* and it can be written to */
	must(vdisk_close(img, err));
	vd_free(got);
	return now;
}

static struct vd_file *made(const struct kind *k, const uint8_t *bytes)
{
	const char *options[] = { k->made_with, NULL };
	struct vd_crash *clock = vd_crash_new();
	struct vd_file *f, *inner;
	vdisk_image *img;
	unsigned id;

	must(vd_file_memory("image", NULL, 0, &inner, err));
	must(vd_file_crash(clock, inner, &f, &id, err));
	must(vd_image_create_file(f, k->format, SIZE, k->made_with ? options : NULL, 0, NULL, NULL, &img, err));
	must(vdisk_pwrite(img, bytes, SIZE, 0, err));
	must(vdisk_close(img, err));
	f = cut_at(clock, id, vd_crash_ops(clock), VD_CRASH_KEEP);
	vd_crash_free(clock);
	return f;
}

static void test_kind(void **state)
{
	const struct kind *k = *state;
	const char *options[] = { k->amend, NULL };
	uint8_t *want = help_content(SIZE, 5);
	struct vd_crash *clock = vd_crash_new();
	unsigned long old = 0, now = 0;
	struct vd_file *f;
	vdisk_image *img;
	unsigned id;

	must(vd_file_crash(clock, made(k, want), &f, &id, err));
	img = opened(k, f, VDISK_OPEN_RW | VDISK_OPEN_KEEP_ID);
	if (k->amend)
		must(vdisk_amend(img, options, err));
	else
		must(vdisk_resize(img, BIGGER, 0, err));
	must(vdisk_close(img, err));
	for (unsigned long at = 0; at <= vd_crash_ops(clock); at++)
		for (int mode = VD_CRASH_KEEP; mode <= VD_CRASH_RANDOM; mode++)
			*(judged(k, cut_at(clock, id, at, mode), want) ? &now : &old) += 1;
	print_message("%s %s: %lu cuts before, %lu after\n", k->format, k->amend ? k->amend : "resized", old, now);
	assert_true(old > 0 && now > 0);
	vd_crash_free(clock);
	vd_free(want);
}

int main(void)
{
	static struct kind kinds[] = {
		{ "qcow2", NULL, "lazy_refcounts=on", "lazy-refcounts", "off", "on" },
		{ "qcow2", NULL, "compat=0.10", "compat", "1.1", "0.10" },
		{ "qcow2", "compat=0.10", "compat=1.1", "compat", "0.10", "1.1" },
		{ "vmdk", NULL, "adapter_type=legacyESX", "adapter-type", "lsilogic", "legacyESX" },
		{ "vmdk", NULL, NULL, NULL, NULL, NULL },
		{ "vhd", NULL, NULL, NULL, NULL, NULL },
		{ "qcow2", NULL, NULL, NULL, NULL, NULL },
	};
	struct CMUnitTest tests[] = {
		{ "qcow2 lazy_refcounts", test_kind, NULL, NULL, &kinds[0] },
		{ "qcow2 to version 2", test_kind, NULL, NULL, &kinds[1] },
		{ "qcow2 to version 3", test_kind, NULL, NULL, &kinds[2] },
		{ "vmdk adapter_type", test_kind, NULL, NULL, &kinds[3] },
		{ "vmdk resized", test_kind, NULL, NULL, &kinds[4] },
		{ "vhd resized", test_kind, NULL, NULL, &kinds[5] },
		{ "qcow2 resized", test_kind, NULL, NULL, &kinds[6] },
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Power cuts at every write boundary while properties that lie in an image's header or descriptor are changed: it opens, is what it
 * was or what it is to be, and reads the same.  Of what was not flushed all, nothing or some is kept; sectors are whole.
 */
#include "ops_help.h"

#define SIZE (256u * KIB)
#define SEEDS 6u

struct kind {
	const char *format, *made_with;
	const char *amend;       /* option; NULL: resized to BIGGER */
};
#define BIGGER (UINT64_C(64) << 30)

static struct vd_file *cut_at(struct vd_crash *clock, unsigned id, unsigned long at, int mode, uint64_t seed)
{
	struct vd_file *f;

	must(vd_crash_image(clock, id, at, (enum vd_crash_mode)mode, seed, &f, err));
	return f;
}

static vdisk_image *opened(const struct kind *k, struct vd_file *f, uint32_t flags)
{
	vdisk_image *img;

	must(vd_image_open_file(f, k->format, flags | VDISK_OPEN_NO_PARENT, NULL, NULL, NULL, &img, err));
	return img;
}

/* All that the image says of itself, but for the mark that it is being written to. */
struct facts {
	char text[4096];
	size_t n;
};

static void value(void *ctx, const struct vdisk_value *v)
{
	struct facts *w = ctx;

	if (!strcmp(v->key, "unclean-shutdown") || !strcmp(v->key, "damage")) /* what the next write mends */
		return;
	if (v->type == VDISK_VALUE_STRING)
		w->n += (size_t)snprintf(w->text + w->n, sizeof(w->text) - w->n, "%s %s\n", v->key, v->str);
	else
		w->n += (size_t)snprintf(w->text + w->n, sizeof(w->text) - w->n, "%s %llu\n", v->key, (unsigned long long)v->u64);
	assert_true(w->n < sizeof(w->text));
}

static struct facts *facts_of(vdisk_image *img)
{
	struct facts *w = vd_calloc(1, sizeof(*w));

	must(vdisk_layer_values(img, 0, value, w, err));
	w->n += (size_t)snprintf(w->text + w->n, sizeof(w->text) - w->n, "size %llu\n", (unsigned long long)vdisk_size(img));
	return w;
}

/* True: it is the new one.  Takes f. */
static bool judged(const struct kind *k, struct vd_file *f, const uint8_t *want, const struct facts *before,
                   const struct facts *after)
{
	uint8_t *got = vd_malloc(SIZE);
	vdisk_image *img = opened(k, f, VDISK_OPEN_RW | VDISK_OPEN_KEEP_ID);
	struct facts *w = facts_of(img);
	bool now = !strcmp(w->text, after->text);

	must(vdisk_pread(img, got, SIZE, 0, err));
	for (uint32_t i = 0; i < SIZE; i++)
		if (got[i] != want[i])
			fail_msg("byte %u is %u, should be %u", i, got[i], want[i]);
	if (!now && strcmp(w->text, before->text))
		fail_msg("it says\n%sand should say\n%sor\n%s", w->text, before->text, after->text);
	must(vdisk_pwrite(img, want, 4096, 0, err)); /* and it can be written to */
	must(vdisk_close(img, err));
	vd_free(got);
	vd_free(w);
	return now;
}

/* A descriptor that ends in its second sector, most of it comment: what changes its length moves what follows over the boundary. */
static void lengthen(struct vd_file *f)
{
	char text[10240] = { 0 }, longer[10240] = { 0 }, *line;

	must(vd_file_pread(f, text, sizeof(text), 512, err));
	line = strchr(text, '\n') + 1;
	snprintf(longer, sizeof(longer), "%.*s#%0100d\n%s", (int)(line - text), text, 0, line);
	must(vd_file_pwrite(f, longer, sizeof(longer), 512, err));
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
	f = cut_at(clock, id, vd_crash_ops(clock), VD_CRASH_KEEP, 0);
	vd_crash_free(clock);
	if (!strcmp(k->format, "vmdk"))
		lengthen(f);
	return f;
}

static void test_kind(void **state)
{
	const struct kind *k = *state;
	const char *options[] = { k->amend, NULL };
	uint8_t *want = help_content(SIZE, 5);
	struct vd_crash *clock = vd_crash_new();
	unsigned long old = 0, now = 0;
	struct facts *before, *after;
	struct vd_file *f;
	vdisk_image *img;
	unsigned id;

	must(vd_file_crash(clock, made(k, want), &f, &id, err));
	img = opened(k, f, VDISK_OPEN_RW | VDISK_OPEN_KEEP_ID);
	before = facts_of(img);
	if (k->amend)
		must(vdisk_amend(img, options, err));
	else
		must(vdisk_resize(img, BIGGER, 0, err));
	after = facts_of(img);
	must(vdisk_close(img, err));
	for (unsigned long at = 0; at <= vd_crash_ops(clock); at++)
		for (int mode = VD_CRASH_KEEP; mode <= VD_CRASH_RANDOM; mode++)
			for (uint64_t seed = 0; seed < (mode == VD_CRASH_RANDOM ? SEEDS : 1); seed++)
				*(judged(k, cut_at(clock, id, at, mode, seed), want, before, after) ? &now : &old) += 1;
	print_message("%s %s: %lu cuts before, %lu after\n", k->format, k->amend ? k->amend : "resized", old, now);
	assert_true(old > 0 && now > 0);
	vd_crash_free(clock);
	vd_free(before);
	vd_free(after);
	vd_free(want);
}

int main(void)
{
	static struct kind kinds[] = {
		{ "qcow2", NULL, "lazy_refcounts=on" },
		{ "qcow2", NULL, "compat=0.10" },
		{ "qcow2", "compat=0.10", "compat=1.1" },
		{ "vmdk", NULL, "adapter_type=legacyESX" },
		{ "vmdk", NULL, NULL },
		{ "vhd", NULL, NULL },
		{ "qcow2", NULL, NULL },
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

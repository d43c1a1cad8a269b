/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Power cuts at every write boundary while a layer is flattened, while it gets another parent, and while it is committed into its
 * parent: it reads the same over the parent that it names, and a second run finishes.  Of what was not flushed all, nothing or some
 * is kept; sectors are whole, as headers have no copies.
 */
#include "kept.h"
#include "ops/surgery.h"

#define SIZE (384u * KIB)

struct kind {
	const char *format, *option;
};

static vdisk_image *opened(const struct kind *k, struct vd_file *f, uint32_t flags, vdisk_image *parent)
{
	return kept_open(f, k->format, flags, NULL, parent);
}

static void made(const struct kind *k, const char *name, vdisk_image *parent, const uint8_t *bytes, bool some, struct kept *s)
{
	vdisk_image *img = kept_create(kept_new(s, kept_empty(name)), k->format, SIZE, k->option, 0, parent);

	for (uint32_t at = 0; at < SIZE; at += 24 * KIB)
		if (!some || at / (24 * KIB) % 3 == 1)
			must(vdisk_pwrite(img, bytes + at, 24 * KIB, at, err));
	must(vdisk_close(img, err));
}

struct chain {
	const struct kind *k;
	uint8_t *want;
	struct kept base, other, leaf;
};

/* What parent the leaf names.  Takes f, as do the others. */
static const char *parent_in(const struct chain *c, struct vd_file *f)
{
	vdisk_image *img = opened(c->k, f, 0, NULL);
	const struct vd_parent_ref *ref = &img->top->parent_ref;
	const char *name = !ref->n_names ? "" : strstr(ref->names[0], "other") ? "other" : "base";

	must(vdisk_close(img, err));
	return name;
}

static vdisk_image *over(const struct chain *c, struct vd_file *f, uint32_t flags, const char *parent)
{
	return opened(c->k, f, flags, !*parent ? NULL : opened(c->k, kept_file(*parent == 'o' ? &c->other : &c->base), 0, NULL));
}

static void right(const struct chain *c, struct vd_file *f, const char *parent)
{
	vdisk_image *img = over(c, f, 0, parent);
	uint8_t *got = vd_malloc(SIZE);

	must(vdisk_pread(img, got, SIZE, 0, err));
	for (uint32_t i = 0; i < SIZE; i++)
		if (got[i] != c->want[i])
			fail_msg("over \"%s\": byte %u is %u, should be %u", parent, i, got[i], c->want[i]);
	vd_free(got);
	must(vdisk_close(img, err));
}

/* The work, on a leaf that names `parent`; *s keeps its bytes. */
static void surgery(const struct chain *c, struct vd_file *f, const char *parent, bool flatten, struct kept *s)
{
	vdisk_image *img = over(c, kept_new(s, f), VDISK_OPEN_RW | VDISK_OPEN_KEEP_ID, parent), *other;
	uint64_t n = 0;

	if (flatten) {
		must(vdisk_flatten(img, NULL, &n, err));
	} else {
		struct vd_new_parent p = { .name = "other", .format = c->k->format, .path = "/other" };

		other = opened(c->k, kept_file(&c->other), 0, NULL);
		p.layer = other->top;
		must(vd_image_pull(img, other, 0, SIZE, &n, err));
		must(vd_layer_set_parent(img->top, &p, err));
		must(vd_image_replace_parents(img, other, err));
	}
	must(vdisk_close(img, err));
}

static void cut_everywhere(const struct chain *c, bool flatten)
{
	const char *due = flatten ? "" : "other";
	unsigned long before = 0, after = 0;
	struct kept s, again;

	surgery(c, kept_file(&c->leaf), "base", flatten, &s);
	for (unsigned long at = 0; at <= vd_crash_ops(s.clock); at++) {
		for (int mode = VD_CRASH_KEEP; mode <= VD_CRASH_RANDOM; mode++) {
			const char *parent;

			print_message("%s%s: cut after %lu of %lu, mode %d\r", c->k->format, flatten ? " flatten" : " rebase", at,
			              vd_crash_ops(s.clock), mode);
			parent = parent_in(c, kept_cut(&s, at, mode, at));
			*(!strcmp(parent, due) ? &after : &before) += 1;
			right(c, kept_cut(&s, at, mode, at), parent);
			surgery(c, kept_cut(&s, at, mode, at), parent, flatten, &again);
			assert_string_equal(parent_in(c, kept_file(&again)), due);
			right(c, kept_file(&again), due);
			kept_free(&again);
		}
	}
	print_message("\n%s%s: %lu cuts before the switch, %lu after\n", c->k->format, flatten ? " flatten" : " rebase", before,
	              after);
	assert_true(before > 0 && after > 0);
	kept_free(&s);
}

/* ---------------------------------------------------------------- commit: two images on one clock */

struct pair {
	struct vd_crash *clock;
	unsigned base, leaf;
};

static struct vd_file *pair_file(const struct pair *p, unsigned id, unsigned long at, enum vd_crash_mode mode)
{
	struct vd_file *f;

	must(vd_crash_image(p->clock, id, at, mode, at, &f, err));
	return f;
}

/* Takes both; *p keeps their bytes. */
static void commit(const struct chain *c, struct vd_file *base, struct vd_file *leaf, struct pair *p)
{
	struct vdisk_commit_report report = { 0 };
	struct vd_commit run = { .path = "base" };

	p->clock = vd_crash_new();
	assert_non_null(p->clock);
	must(vd_file_crash(p->clock, base, &base, &p->base, err));
	must(vd_file_crash(p->clock, leaf, &leaf, &p->leaf, err));
	run.to = opened(c->k, base, VDISK_OPEN_RW | VDISK_OPEN_KEEP_ID, NULL);
	run.top = opened(c->k, leaf, VDISK_OPEN_RW | VDISK_OPEN_KEEP_ID, NULL);
	must(vd_commit_run(&run, &report, err));
	assert_true(report.emptied);
	must(vdisk_close(run.to, err));
	must(vdisk_close(run.top, err));
}

static void pair_right(const struct chain *c, const struct pair *p, unsigned long at, enum vd_crash_mode mode, bool alone)
{
	vdisk_image *base = opened(c->k, pair_file(p, p->base, at, mode), 0, NULL), *img = base;
	uint8_t *got = vd_malloc(SIZE);

	if (!alone) {
		img = opened(c->k, pair_file(p, p->leaf, at, mode), 0, base);
		must(vd_parent_judge(img, img->top, img->top->parent, err));
	}
	must(vdisk_pread(img, got, SIZE, 0, err));
	for (uint32_t i = 0; i < SIZE; i++)
		if (got[i] != c->want[i])
			fail_msg("cut after %lu, mode %d%s: byte %u is %u, should be %u", at, mode,
			         alone ? ", the parent alone" : "", i, got[i], c->want[i]);
	vd_free(got);
	must(vdisk_close(img, err));
}

static void cut_commit(const struct chain *c)
{
	unsigned long unfinished = 0;
	struct pair p, again;

	commit(c, kept_file(&c->base), kept_file(&c->leaf), &p);
	for (unsigned long at = 0; at <= vd_crash_ops(p.clock); at++) {
		for (int m = VD_CRASH_KEEP; m <= VD_CRASH_RANDOM; m++) {
			enum vd_crash_mode mode = (enum vd_crash_mode)m;
			struct vd_file *base, *leaf;

			pair_right(c, &p, at, mode, false);
			base = pair_file(&p, p.base, at, mode);
			leaf = pair_file(&p, p.leaf, at, mode);
			commit(c, base, leaf, &again);
			unfinished += vd_crash_ops(again.clock) > 0;
			pair_right(c, &again, vd_crash_ops(again.clock), VD_CRASH_DROP, false);
			pair_right(c, &again, vd_crash_ops(again.clock), VD_CRASH_DROP, true);
			vd_crash_free(again.clock);
		}
	}
	print_message("%s commit: %lu cuts, after %lu of them something was left to do\n", c->k->format,
	              3 * (vd_crash_ops(p.clock) + 1), unfinished);
	assert_true(unfinished > 0);
	vd_crash_free(p.clock);
}

static void test_kind(void **state)
{
	struct chain c = { .k = *state };
	uint8_t *low = help_content(SIZE, 1), *otherwise = help_content(SIZE, 2), *high = help_content(SIZE, 3);

	c.want = help_content(SIZE, 1);
	for (uint32_t at = 24 * KIB; at < SIZE; at += 72 * KIB)
		memcpy(c.want + at, high + at, vd_min(24 * KIB, SIZE - at));
	made(c.k, "base", NULL, low, false, &c.base);
	made(c.k, "other", NULL, otherwise, false, &c.other);
	made(c.k, "leaf", opened(c.k, kept_file(&c.base), 0, NULL), high, true, &c.leaf);
	right(&c, kept_file(&c.leaf), "base");
	cut_everywhere(&c, true);
	cut_everywhere(&c, false);
	cut_commit(&c);
	kept_free(&c.base);
	kept_free(&c.other);
	kept_free(&c.leaf);
	vd_free(c.want);
	vd_free(low);
	vd_free(otherwise);
	vd_free(high);
}

int main(void)
{
	static struct kind kinds[] = {
		{ "qcow2", NULL },
		{ "qcow2", "cluster_size=4K" },
		{ "qcow2", "compat=0.10" },
		{ "vmdk", NULL },
		{ "vhd", NULL },
		{ "vdi", NULL },
	};
	struct CMUnitTest tests[] = {
		{ "qcow2", test_kind, NULL, NULL, &kinds[0] },
		{ "qcow2, 4 KiB clusters", test_kind, NULL, NULL, &kinds[1] },
		{ "qcow2, version 2", test_kind, NULL, NULL, &kinds[2] },
		{ "vmdk", test_kind, NULL, NULL, &kinds[3] },
		{ "vhd", test_kind, NULL, NULL, &kinds[4] },
		{ "vdi", test_kind, NULL, NULL, &kinds[5] },
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Power cuts at every write boundary of a commit under an undo journal.  Where the journal counts, it brings the ancestor's file
 * back to the byte and the length; where it does not, the file is as it was.  From there the commit, done again over the same
 * journal, reaches its end; and cut anywhere in that, or in the restoration, the journal serves once more.
 */
#include "kept.h"
#include "io/undo.h"
#include "ops/undo.h"

#define SIZE (384u * KIB)

struct kind {
	const char *format, *option;
};

struct bench {
	const struct kind *k;
	struct vd_crash *clock;
	unsigned base, journal; /* files of the clock */
	uint8_t *old;           /* the base's file before */
	size_t old_len;
	uint8_t *want;          /* the guest's bytes after */
	struct vd_file *leaf;   /* whole, to be copied */
};

static struct vd_file *copied(struct vd_file *f)
{
	size_t n = (size_t)vd_file_size(f);
	uint8_t *b = vd_malloc(n + 1);
	struct vd_file *out;

	must(vd_file_pread(f, b, n, 0, err));
	must(vd_file_memory(f->name, b, n, &out, err));
	vd_free(b);
	return out;
}

static vdisk_image *opened(const struct kind *k, struct vd_file *f, uint32_t flags, vdisk_image *parent)
{
	return kept_open(f, k->format, flags, NULL, parent);
}

/* A disk of which `part` in three pieces is written: 0 all, 1 every third. */
static struct vd_file *made(const struct kind *k, const char *name, const uint8_t *bytes, unsigned step, unsigned first)
{
	struct vd_file *f;
	struct kept whole;
	vdisk_image *img = kept_create(kept_new(&whole, kept_empty(name)), k->format, SIZE, k->option, 0, NULL);

	for (uint32_t at = first * 24 * KIB; at < SIZE; at += step * 24 * KIB)
		must(vdisk_pwrite(img, bytes + at, 24 * KIB, at, err));
	must(vdisk_close(img, err));
	f = kept_file(&whole);
	kept_free(&whole);
	return f;
}

/* The layer: a qcow2 that says something in every other piece, and zeros in one. */
static struct vd_file *layer_made(const struct kind *k, struct vd_file *base, const uint8_t *bytes, uint8_t *want)
{
	struct vd_file *f;
	struct kept whole;
	vdisk_image *img = kept_create(kept_new(&whole, kept_empty("leaf")), "qcow2", SIZE, "cluster_size=4K", 0,
	                               opened(k, copied(base), 0, NULL));

	for (uint32_t at = 24 * KIB; at < SIZE; at += 48 * KIB) {
		must(vdisk_pwrite(img, bytes + at, 24 * KIB, at, err));
		memcpy(want + at, bytes + at, 24 * KIB);
	}
	must(vdisk_zero(img, 96 * KIB, 48 * KIB, err));
	memset(want + 96 * KIB, 0, 48 * KIB);
	must(vdisk_close(img, err));
	f = kept_file(&whole);
	kept_free(&whole);
	return f;
}

static vdisk_image *leaf_open(const struct bench *b)
{
	return kept_open(copied(b->leaf), "qcow2", 0, NULL, NULL);
}

/* The commit over a journal; both files are the caller's clock's. */
static void commit(const struct bench *b, struct vd_file *base, struct vd_undo *u)
{
	struct vdisk_commit_report report = { 0 };
	struct vd_commit run = { .path = "base", .keep = true };
	struct vd_file *guarded;

	must(vd_file_undo(base, u, "", &guarded, err));
	run.to = opened(b->k, guarded, VDISK_OPEN_RW | VDISK_OPEN_KEEP_ID, NULL);
	run.top = leaf_open(b);
	must(vd_undo_foresee(&run, err));
	must(vd_commit_run(&run, &report, err));
	must(vdisk_close(run.to, err));
	must(vdisk_close(run.top, err));
}

static void file_is_old(const struct bench *b, struct vd_file *f, const char *when, unsigned long at)
{
	uint8_t *got = vd_malloc(b->old_len + 1);

	if (vd_file_size(f) != b->old_len)
		fail_msg("%s, cut after %lu: %llu bytes long, should be %zu", when, at, (unsigned long long)vd_file_size(f),
		         b->old_len);
	must(vd_file_pread(f, got, b->old_len, 0, err));
	for (size_t i = 0; i < b->old_len; i++)
		if (got[i] != b->old[i])
			fail_msg("%s, cut after %lu: byte %zu is %u, should be %u", when, at, i, got[i], b->old[i]);
	vd_free(got);
}

static void guest_is_new(const struct bench *b, struct vd_file *f, unsigned long at)
{
	vdisk_image *img = opened(b->k, f, 0, NULL);
	uint8_t *got = vd_malloc(SIZE);

	must(vdisk_pread(img, got, SIZE, 0, err));
	for (uint32_t i = 0; i < SIZE; i++)
		if (got[i] != b->want[i])
			fail_msg("adapted after a cut after %lu: byte %u is %u, should be %u", at, i, got[i], b->want[i]);
	vd_free(got);
	must(vdisk_close(img, err));
}

/* Brings the file back, with a cut in the middle of that, and goes on to the end of the commit.  Takes both. */
static void recover(const struct bench *b, struct vd_file *base, struct vd_file *journal, unsigned long at, enum vd_crash_mode mode)
{
	struct vd_crash *clock = vd_crash_new();
	struct vd_file *f, *back;
	struct vd_undo *u;
	unsigned id;

	must(vd_file_crash(clock, base, &f, &id, err));
	must(vd_undo_load(journal, &u, err));
	assert_int_equal(vd_undo_n_files(u), 1);
	assert_int_equal(vd_undo_file(u, 0)->size, b->old_len);
	must(vd_undo_restore(u, 0, f, err));
	file_is_old(b, f, "brought back", at);
	must(vd_crash_image(clock, id, vd_crash_ops(clock) / 2, mode, at, &back, err));
	must(vd_undo_restore(u, 0, back, err));
	file_is_old(b, back, "brought back after a cut in that", at);
	vd_file_close(f);
	vd_crash_free(clock);

	clock = vd_crash_new();
	must(vd_file_crash(clock, back, &f, &id, err));
	commit(b, f, u);
	must(vd_crash_image(clock, id, vd_crash_ops(clock), VD_CRASH_DROP, at, &f, err));
	guest_is_new(b, f, at);
	must(vd_crash_image(clock, id, vd_crash_ops(clock) * 2 / 3, mode, at, &f, err));
	must(vd_undo_restore(u, 0, f, err));
	file_is_old(b, f, "brought back after the second attempt", at);
	vd_file_close(f);
	vd_crash_free(clock);
	vd_undo_free(u);
}

static void cut(const struct bench *b, unsigned long at, enum vd_crash_mode mode, unsigned long *active)
{
	struct vd_file *base, *journal;
	enum vd_undo_state state;

	must(vd_crash_image(b->clock, b->base, at, mode, at * 7 + 1, &base, err));
	must(vd_crash_image(b->clock, b->journal, at, mode, at * 7 + 2, &journal, err));
	must(vd_undo_peek(journal, &state, err));
	if (state == VD_UNDO_NONE) {
		file_is_old(b, base, "without a journal", at);
		vd_file_close(base);
		vd_file_close(journal);
	} else {
		assert_int_equal(state, VD_UNDO_ACTIVE);
		++*active;
		recover(b, base, journal, at, mode);
	}
}

static void test_kind(void **state)
{
	struct bench b = { .k = *state };
	uint8_t *low = help_content(SIZE, 1), *high = help_content(SIZE, 2);
	struct vd_file *base, *file, *journal;
	unsigned long active = 0, ops;
	struct vd_undo *u;

	b.want = vd_calloc(1, SIZE);
	for (uint32_t at = 0; at < SIZE; at += 48 * KIB) /* every other piece: some of what comes is new to the file */
		memcpy(b.want + at, low + at, 24 * KIB);
	base = made(b.k, "base", low, 2, 0);
	b.old_len = (size_t)vd_file_size(base);
	b.old = vd_malloc(b.old_len + 1);
	must(vd_file_pread(base, b.old, b.old_len, 0, err));
	b.leaf = layer_made(b.k, base, high, b.want);
	b.clock = vd_crash_new();
	must(vd_file_crash(b.clock, base, &file, &b.base, err));
	must(vd_file_crash(b.clock, kept_empty("journal"), &journal, &b.journal, err));
	must(vd_undo_new(journal, "leaf leaf\n", &u, err));
	commit(&b, file, u);
	vd_undo_free(u);
	ops = vd_crash_ops(b.clock);
	for (unsigned long at = 0; at <= ops; at++)
		for (int mode = VD_CRASH_KEEP; mode <= VD_CRASH_TEAR; mode++)
			cut(&b, at, (enum vd_crash_mode)mode, &active);
	print_message("%s: %lu operations, the journal counted after %lu of %lu cuts\n", b.k->format, ops, active, 4 * (ops + 1));
	assert_true(active > 4);
	must(vd_crash_image(b.clock, b.base, ops, VD_CRASH_DROP, 0, &file, err));
	guest_is_new(&b, file, ops);
	vd_crash_free(b.clock);
	vd_file_close(b.leaf);
	vd_free(b.want);
	vd_free(b.old);
	vd_free(low);
	vd_free(high);
}

/* ---------------------------------------------------------------- the journal by itself */

static void a_change_waits_for_the_journal(void **state)
{
	struct vd_crash *clock = vd_crash_new();
	uint8_t *bytes = help_content(300 * KIB, 3), *got = vd_malloc(300 * KIB);
	struct vd_file *f, *journal, *guarded;
	unsigned file_id, journal_id;
	struct vd_undo *u;

	(void)state;
	must(vd_file_memory("file", bytes, 300 * KIB, &f, err));
	must(vd_file_crash(clock, f, &f, &file_id, err));
	must(vd_file_crash(clock, kept_empty("journal"), &journal, &journal_id, err));
	must(vd_undo_new(journal, "what for\n", &u, err));
	must(vd_file_undo(f, u, "", &guarded, err));
	assert_int_equal(vd_undo_state(u), VD_UNDO_NONE);
	must(vd_file_truncate(guarded, 100 * KIB, err));
	must(vd_file_pwrite(guarded, "x", 1, 5, err));
	must(vd_file_zero(guarded, 90 * KIB, 400 * KIB, true, err));
	must(vd_file_punch(guarded, 0, 1000, err));
	must(vd_file_grow(guarded, 900 * KIB, err));
	assert_int_equal(vd_file_size(guarded), 900 * KIB);
	assert_int_equal(vd_undo_state(u), VD_UNDO_ACTIVE);
	vd_file_close(guarded);
	must(vd_crash_image(clock, file_id, vd_crash_ops(clock), VD_CRASH_KEEP, 0, &f, err));
	must(vd_undo_restore(u, 0, f, err));
	assert_int_equal(vd_file_size(f), 300 * KIB);
	must(vd_file_pread(f, got, 300 * KIB, 0, err));
	assert_memory_equal(got, bytes, 300 * KIB);
	vd_file_close(f);
	vd_undo_free(u);
	vd_crash_free(clock);
	vd_free(bytes);
	vd_free(got);
}

/* Whatever bytes a journal has, it is refused or read, and nothing outside of its files' old lengths is written. */
static void a_journal_is_not_believed(void **state)
{
	uint8_t *bytes = help_content(200 * KIB, 4), *whole, *bad;
	struct vd_file *f, *journal, *guarded;
	uint32_t seed = 12345, refused = 0;
	struct vd_undo *u;
	size_t n;

	(void)state;
	must(vd_file_memory("file", bytes, 200 * KIB, &f, err));
	journal = kept_empty("journal");
	must(vd_undo_new(journal, "a b\n", &u, err));
	must(vd_file_undo(f, u, "", &guarded, err));
	must(vd_file_pwrite(guarded, "x", 1, 70 * KIB, err));
	n = (size_t)vd_file_size(journal);
	whole = vd_malloc(n);
	bad = vd_malloc(n);
	must(vd_file_pread(journal, whole, n, 0, err));
	vd_file_close(guarded);
	vd_undo_free(u);
	for (int i = 0; i < 3000; i++) {
		struct vd_undo *v;
		vd_error why;

		memcpy(bad, whole, n);
		for (int k = 0; k < 3; k++) {
			seed = seed * 1664525 + 1013904223;
			bad[i % 2 ? seed % n : 512 + seed % 200] = (uint8_t)(seed >> 24);
		}
		must(vd_file_memory("bad", bad, i % 5 ? n : seed % n, &journal, err));
		if (vd_undo_load(journal, &v, &why)) {
			refused++;
			continue;
		}
		for (unsigned k = 0; k < vd_undo_n_files(v); k++)
			assert_true(vd_undo_file(v, k)->size <= INT64_MAX);
		vd_undo_free(v);
	}
	assert_true(refused > 100 && refused < 3000);
	vd_free(bytes);
	vd_free(whole);
	vd_free(bad);
}

int main(void)
{
	static struct kind kinds[] = {
		{ "raw", NULL },
		{ "qcow2", NULL },
		{ "qcow2", "cluster_size=4K" },
		{ "vmdk", NULL },
		{ "vhd", NULL },
	};
	struct CMUnitTest tests[] = {
		{ "raw", test_kind, NULL, NULL, &kinds[0] },
		{ "qcow2", test_kind, NULL, NULL, &kinds[1] },
		{ "qcow2, 4 KiB clusters", test_kind, NULL, NULL, &kinds[2] },
		{ "vmdk", test_kind, NULL, NULL, &kinds[3] },
		{ "vhd", test_kind, NULL, NULL, &kinds[4] },
		cmocka_unit_test(a_change_waits_for_the_journal),
		cmocka_unit_test(a_journal_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

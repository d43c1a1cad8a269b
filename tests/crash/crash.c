/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The power is cut at every write boundary of some work, and of what was not flushed all, nothing, some, or some and half a sector
 * is kept.  Then the image opens; every flushed byte is there, and each byte written since is the old or the new one; after repair
 * check is clean; and the image takes a write.
 *
 *   crash VARIANT [MOMENT MODE [FOLDER]]
 *
 * FOLDER gets what the crash left, as files "crashed-…".  "crash VARIANT all MODE FOLDER" is for other programs to read: each
 * moment's files, "MOMENT-…", and nothing is checked here.
 */
#include "common/image.h"
#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const mode_names[] = { "keep", "drop", "random", "tear" };

struct tally { unsigned long crashes, clean, repaired, unopened; };

static void work(struct t_image *t, struct vd_crash *clock, struct t_rng *rng, unsigned n)
{
	struct t_model *m = &t->model;
	uint8_t *buf = t_alloc(m->size);
	vd_error err;

	for (unsigned i = 0; i < n; i++) {
		struct t_op op = t_op_pick(rng, m->size);
		uint8_t *bytes;
		size_t before = m->n;

		if (op.kind == T_OP_READ || op.kind == T_OP_READV)
			op.kind = T_OP_WRITE;
		if (i % 9 == 8)
			op.kind = T_OP_FLUSH;
		op.len = vd_min(op.len, 150000);
		bytes = t_op_bytes(&op);
		t_at("operation %u: %s %" PRIu64 "+%" PRIu64, i, t_op_names[op.kind], op.off, op.len);
		if (op.kind <= T_OP_DISCARD) {
			size_t index = t_model_change(m, op.off, op.len, bytes, true, vd_crash_ops(clock));

			if (op.kind == T_OP_DISCARD)
				t_model_unsure(m, index);
		}
		T_OK(t_op_do(t->img, &op, bytes, buf, &err), err);
		if (op.kind == T_OP_FLUSH)
			t_model_flushed(m, before, vd_crash_ops(clock));
		free(bytes);
		if (i == n / 2) { /* closed and opened again, so that those paths' writes are cut too */
			T_OK(t_image_close(t, &err), err);
			t_model_flushed(m, m->n, vd_crash_ops(clock));
			T_OK(t_image_open(t, VDISK_OPEN_RW, &err), err);
		}
	}
	T_OK(t_image_close(t, &err), err);
	t_model_flushed(m, m->n, vd_crash_ops(clock));
	free(buf);
}

static void problem(void *ctx, bool is_leak, uint64_t offset, const char *message)
{
	(void)ctx;
	printf("check: %s at %#" PRIx64 ": %s\n", is_leak ? "leak" : "corruption", offset, message);
}

static bool can_check(const struct t_image *t)
{
	return vdisk_format_find(t->v->format)->caps & VDISK_FORMAT_CHECK;
}

static void check(struct t_image *t, struct t_shelf *s, uint32_t repair, struct vdisk_check_result *r, bool quiet)
{
	vdisk_image *img;
	vd_error err;

	memset(r, 0, sizeof(*r));
	if (!can_check(t))
		return;
	T_OK(t_image_open_on(t, s, VDISK_OPEN_CHECK | (repair ? VDISK_OPEN_RW : 0), &img, &err), err);
	T_OK(vdisk_check(img, repair, quiet ? NULL : problem, NULL, r, &err), err);
	T_OK(vdisk_close(img, &err), err);
}

static void right(struct t_image *t, struct t_shelf *s, uint32_t flags, unsigned long at, const char *when)
{
	vdisk_image *img;
	uint64_t bad;
	vd_error err;

	T_OK(t_image_open_on(t, s, flags, &img, &err), err);
	if (!t_image_right(t, img, at, &bad, &err))
		t_fail("%s: wrong content: at %" PRIu64 ": %s", when, bad, err.message);
	T_OK(vdisk_close(img, &err), err);
}

static void takes_a_write(struct t_image *t, struct t_shelf *s)
{
	vdisk_image *img;
	uint8_t buf[700], back[700];
	uint64_t off = t->model.size / 2 - 300;
	vd_error err;

	t_bytes(off, buf, sizeof(buf));
	T_OK(t_image_open_on(t, s, VDISK_OPEN_RW, &img, &err), err);
	T_OK(vdisk_pwrite(img, buf, sizeof(buf), off, &err), err);
	T_OK(vdisk_close(img, &err), err);
	T_OK(t_image_open_on(t, s, 0, &img, &err), err);
	T_OK(vdisk_pread(img, back, sizeof(back), off, &err), err);
	T_CHECK(!memcmp(buf, back, sizeof(buf)), "what was written after the crash does not read back");
	T_OK(vdisk_close(img, &err), err);
}

static void one_crash(struct t_image *t, const struct t_shelf *from, unsigned long at, enum vd_crash_mode mode, uint64_t seed,
                      struct tally *tally, const char *dump)
{
	struct vdisk_check_result r;
	struct t_shelf s;
	vdisk_image *img;
	vd_error err;

	t_at("power cut after %lu of %lu operations, %s", at, vd_crash_ops(from->crash), mode_names[mode]);
	tally->crashes++;
	t_shelf_init(&s, t->base_name);
	t_shelf_after_crash(&s, from, at, mode, seed);
	if (dump)
		t_shelf_dump(&s, dump, "crashed");
	right(t, &s, 0, at, "as the crash left it");
	if (t->v->flags & T_ORDERED) {
		check(t, &s, 0, &r, false);
		T_CHECK(!r.corruptions, "%" PRIu64 " corruptions before any repair, though the order of writes is kept",
		        r.corruptions);
	}
	if (!t_image_open_on(t, &s, VDISK_OPEN_RW, &img, &err)) {
		T_OK(vdisk_close(img, &err), err);
		right(t, &s, 0, at, "opened for writing, and closed");
		tally->clean++;
	} else {
		t_error_is_told(&err, "opening for writing");
		T_CHECK(can_check(t), "cannot be opened for writing, nor repaired: %s", err.message);
	}
	check(t, &s, 0, &r, true);
	if (r.corruptions || r.leaks) {
		check(t, &s, VDISK_CHECK_REPAIR_ALL, &r, true);
		tally->repaired++;
	}
	check(t, &s, 0, &r, false);
	T_CHECK(!r.corruptions && !r.leaks, "%" PRIu64 " corruptions and %" PRIu64 " leaks after repair", r.corruptions, r.leaks);
	right(t, &s, 0, at, "after repair");
	takes_a_write(t, &s);
	check(t, &s, 0, &r, false);
	T_CHECK(!r.corruptions, "%" PRIu64 " corruptions after a write into what was repaired", r.corruptions);
	t_shelf_free(&s);
}

static void all_dump(const struct t_image *t, enum vd_crash_mode mode, uint64_t seed, const char *folder)
{
	for (unsigned long at = 0; at <= vd_crash_ops(t->shelf.crash); at++) {
		char prefix[32];
		struct t_shelf s;

		snprintf(prefix, sizeof(prefix), "%lu", at);
		t_shelf_init(&s, t->base_name);
		t_shelf_after_crash(&s, &t->shelf, at, mode, seed + at);
		t_shelf_dump(&s, folder, prefix);
		t_shelf_free(&s);
	}
}

/* While an image is being made nothing is promised but that what opens is an empty disk over its parent. */
static void creation(struct t_image *t, uint64_t seed, struct tally *tally)
{
	struct vd_crash *clock = vd_crash_new();
	vd_error err;

	t->shelf.crash = clock;
	T_OK(t_image_create(t, &err), err);
	T_OK(t_image_close(t, &err), err);
	for (unsigned long at = 0; at <= vd_crash_ops(clock); at++) {
		for (int mode = VD_CRASH_KEEP; mode <= VD_CRASH_TEAR; mode++) {
			struct t_shelf s;
			vdisk_image *img;
			uint64_t bad;

			t_at("creating: power cut after %lu of %lu operations, %s", at, vd_crash_ops(clock), mode_names[mode]);
			tally->crashes++;
			t_shelf_init(&s, t->base_name);
			t_shelf_after_crash(&s, &t->shelf, at, (enum vd_crash_mode)mode, seed + at);
			if (t_image_open_on(t, &s, 0, &img, &err)) {
				t_error_is_told(&err, "opening");
				T_CHECK(at < vd_crash_ops(clock), "the finished image does not open: %s", err.message);
				tally->unopened++;
			} else {
				/* A raw file grows in steps. */
				if (vdisk_size(img) == t->model.size && !t_image_right(t, img, at, &bad, &err))
					t_error_is_told(&err, "reading");
				T_OK(vdisk_close(img, &err), err);
			}
			t_shelf_free(&s);
		}
	}
	/* On with a plain copy of the whole. */
	{
		struct t_shelf whole;

		t_shelf_init(&whole, t->base_name);
		t_shelf_copy(&whole, &t->shelf);
		t_shelf_free(&t->shelf);
		t->shelf = whole;
		t->shelf.host.ctx = &t->shelf;
	}
	vd_crash_free(clock);
}

int main(int argc, char **argv)
{
	const struct t_variant *v = t_variant_find(argc > 1 ? argv[1] : "");
	uint64_t seed = t_seed("crash", v->name);
	struct t_rng rng = { seed };
	struct t_image *t = t_image_new(v, &rng);
	struct vd_crash *clock = vd_crash_new();
	unsigned n = (unsigned)t_iterations(36);
	struct tally tally = { 0 };
	vd_error err;

	t->cache_bytes = t_below(&rng, 2);
	creation(t, seed, &tally);
	t_at("packing");
	if (v->flags & T_PACK) {
		T_OK(t_image_open(t, VDISK_OPEN_RW, &err), err);
		t_image_pack(t, &rng);
		T_OK(t_image_close(t, &err), err);
	}
	t_shelf_crashable(&t->shelf, clock);
	T_OK(t_image_open(t, VDISK_OPEN_RW, &err), err);
	work(t, clock, &rng, n < 120 ? n : 120);
	if (argc > 4 && !strcmp(argv[2], "all")) {
		for (int mode = VD_CRASH_KEEP; mode <= VD_CRASH_TEAR; mode++)
			if (!strcmp(argv[3], mode_names[mode]))
				all_dump(t, (enum vd_crash_mode)mode, seed, argv[4]);
		t_image_free(t);
		vd_crash_free(clock);
		return 0;
	}
	for (unsigned long at = 0; at <= vd_crash_ops(clock); at++) {
		for (int mode = VD_CRASH_KEEP; mode <= VD_CRASH_TEAR; mode++) {
			if (argc > 3 && (at != strtoul(argv[2], NULL, 0) || strcmp(argv[3], mode_names[mode])))
				continue;
			one_crash(t, &t->shelf, at, (enum vd_crash_mode)mode, seed + at, &tally, argc > 4 ? argv[4] : NULL);
		}
	}
	printf("%lu crashes at %lu moments: %lu opened for writing at once, %lu wanted a repair; %lu unfinished creations did not open\nok\n",
	       tally.crashes, vd_crash_ops(clock), tally.clean, tally.repaired, tally.unopened);
	t_image_free(t);
	vd_crash_free(clock);
	return 0;
}

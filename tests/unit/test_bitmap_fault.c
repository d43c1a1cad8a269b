/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bitmaps of an image whose file fails at the nth operation, or whose nth allocation does; many threads writing at once, which must
 * all be recorded; and so many places touched that notes have to be made coarser.
 */
#include "kept.h"
#include "alloc_fail.h"

#include <errno.h>
#include <pthread.h>

#define SIZE (2u * MIB)

static vdisk_image *opened(struct vd_file *f, uint32_t flags) { return kept_open(f, "qcow2", flags, NULL, NULL); }

/* ---------------------------------------------------------------- what an image says */

struct told {
	char text[2000];
	bool in_use;
};

static void text_add(struct told *t, const char *text)
{
	snprintf(t->text + strlen(t->text), sizeof(t->text) - strlen(t->text), "%s", text);
}

static bool range_tell(void *ctx, uint64_t off, uint64_t len)
{
	char text[64];

	snprintf(text, sizeof(text), " %llu+%llu", (unsigned long long)off, (unsigned long long)len);
	text_add(ctx, text);
	return true;
}

static void name_tell(void *ctx, const struct vdisk_bitmap_info *b)
{
	struct told *t = ctx;

	assert_null(b->problem);
	text_add(t, b->name);
	text_add(t, b->enabled ? "+" : "-");
	if (b->in_use)
		text_add(t, " in use");
	t->in_use |= b->in_use;
}

static void tell(const struct kept *k, struct told *t)
{
	static const char *const names[] = { "a", "b", "c" };
	vdisk_image *img = opened(kept_file(k), 0);

	*t = (struct told){ .text = "" };
	must(vdisk_bitmaps(img, name_tell, t, err));
	for (unsigned i = 0; i < 3; i++) {
		vd_error err;

		text_add(t, "; ");
		text_add(t, names[i]);
		if (vdisk_bitmap_ranges(img, names[i], range_tell, t, &err))
			text_add(t, " none");
	}
	must(vdisk_close(img, err));
}

static void clean(const struct kept *k)
{
	vdisk_image *img = opened(kept_file(k), VDISK_OPEN_CHECK);
	struct vdisk_check_result r;

	must(vdisk_check(img, 0, NULL, NULL, &r, err));
	assert_int_equal(r.corruptions, 0);
	must(vdisk_close(img, err));
}

static void image_make(struct kept *k)
{
	vdisk_image *img = kept_create(kept_new(k, kept_empty("bitmap.qcow2")), "qcow2", SIZE, "cluster_size=4K", 0, NULL);

	must(vdisk_bitmap_create(img, "a", 512, 0, err));
	must(vdisk_bitmap_create(img, "b", 0, VDISK_BITMAP_DISABLED, err));
	must(vdisk_pwrite(img, "x", 1, 5000, err));
	must(vdisk_bitmap_merge(img, "b", NULL, "a", err));
	must(vdisk_pwrite(img, "x", 1, 700000, err));
	must(vdisk_close(img, err));
}

/* ---------------------------------------------------------------- failing */

enum change { CREATE, DELETE, CLEAR, MERGE, SWITCH, WRITE, GROW, CHANGES };

static int change_do(vdisk_image *img, enum change what, vd_error *err)
{
	switch (what) {
	case CREATE: return vdisk_bitmap_create(img, "c", 4096, 0, err);
	case DELETE: return vdisk_bitmap_delete(img, "b", err);
	case CLEAR: return vdisk_bitmap_clear(img, "a", err);
	case MERGE: return vdisk_bitmap_merge(img, "a", NULL, "b", err);
	case SWITCH: return vdisk_bitmap_enable(img, "b", true, err);
	case WRITE: return vdisk_pwrite(img, "yz", 2, 1500000, err);
	default: return vdisk_resize(img, SIZE + MIB, 0, err);
	}
}

/* One run with the nth operation (or allocation) failing; false when there were not that many. */
static bool fault_run(const struct kept *made, enum change what, long n, bool memory, const struct told *before,
                      const struct told *after,
                      unsigned counts[3])
{
	struct vd_fault fault = { .countdown = -1, .ops = VD_FAULT_READ | VD_FAULT_WRITE | VD_FAULT_FLUSH | VD_FAULT_OTHER,
	                          .persistent = n % 2,
		                      .sys_errno = n % 3 ? EIO : ENOSPC };
	vd_error why = { 0 };
	struct told now;
	vdisk_image *img;
	struct vd_file *f;
	struct kept k;
	int rc;
	long hits;

	must(vd_file_fault(kept_new(&k, kept_file(made)), &fault, &f, err));
	img = opened(f, VDISK_OPEN_RW);
	if (memory)
		alloc_fail_at(n - 1);
	else
		fault.countdown = n;
	rc = change_do(img, what, &why);
	assert_true(!rc || why.message[0]);
	if (vdisk_close(img, &why))
		rc = -1;
	hits = memory ? alloc_fail_hits() : fault.hits;
	alloc_fail_at(-1);
	clean(&k);
	tell(&k, &now);
	if (now.in_use) /* what follows writes may be lost by a failure, and says so */
		counts[0]++;
	else if (!strcmp(now.text, after->text))
		counts[1]++;
	else if (!strcmp(now.text, before->text) && rc)
		counts[2]++;
	else
		fail_msg("change %d, failure %ld (%s): neither as before nor as after: %s\n    before: %s\n    after: %s",
		         (int)what, n, why.message, now.text,
		         before->text, after->text);
	if (now.in_use && !hits)
		fail_msg("change %d: in use without a failure: %s", (int)what, now.text);
	if (now.in_use && what < WRITE)
		fail_msg("change %d, failure %ld (%s): a change of bitmaps cost one: %s", (int)what, n, why.message, now.text);
	if (!rc && strcmp(now.text, after->text))
		fail_msg("change %d: said to be done, and is not: %s", (int)what, now.text);
	kept_free(&k);
	return hits > 0;
}

static void faults(bool memory)
{
	struct kept made;
	struct told before;

	image_make(&made);
	tell(&made, &before);
	for (int what = 0; what < CHANGES; what++) {
		unsigned counts[3] = { 0 };
		struct told after;
		struct kept k;
		vdisk_image *img = opened(kept_new(&k, kept_file(&made)), VDISK_OPEN_RW);

		must(change_do(img, (enum change)what, err));
		must(vdisk_close(img, err));
		tell(&k, &after);
		kept_free(&k);
		for (long n = 1; fault_run(&made, (enum change)what, n, memory, &before, &after, counts); n++)
			;
		print_message("change %d: %u times marked as in use, %u times done, %u times not\n", what, counts[0], counts[1],
		              counts[2]);
		assert_true(counts[1] > 0 && counts[0] + counts[2] > 0);
	}
	kept_free(&made);
}

static void test_io_faults(void **state)
{
	(void)state;
	faults(false);
}

static void test_no_memory(void **state)
{
	(void)state;
	faults(true);
}

/* ---------------------------------------------------------------- many threads */

#define THREADS 4
#define WRITES 300

struct writer {
	vdisk_image *img;
	uint64_t seed;
	uint8_t touched[SIZE / 512];
};

static void *writer_run(void *ctx)
{
	struct writer *w = ctx;

	for (unsigned i = 0; i < WRITES; i++) {
		uint64_t off = help_random(&w->seed) % (SIZE - 5000), len = 1 + help_random(&w->seed) % 5000;
		uint8_t buf[5000];

		memset(buf, (int)i, sizeof(buf));
		if (i % 7 == 3)
			must(vdisk_zero(w->img, off, len, err));
		else
			must(vdisk_pwrite(w->img, buf, len, off, err));
		memset(w->touched + off / 512, 1, (off + len - 1) / 512 - off / 512 + 1);
	}
	return NULL;
}

static bool sectors_set(void *ctx, uint64_t off, uint64_t len)
{
	memset((uint8_t *)ctx + off / 512, 1, len / 512);
	return true;
}

static void test_threads(void **state)
{
	static struct writer w[THREADS];
	static uint8_t want[SIZE / 512], got[SIZE / 512];
	pthread_t thread[THREADS];
	struct kept made, k;
	vdisk_image *img;

	(void)state;
	image_make(&made);
	img = opened(kept_new(&k, kept_file(&made)), VDISK_OPEN_RW);
	must(vdisk_bitmap_clear(img, "a", err));
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct writer){ .img = img, .seed = i + 1 };
		assert_int_equal(pthread_create(&thread[i], NULL, writer_run, &w[i]), 0);
	}
	for (unsigned i = 0; i < 20; i++) /* what was noted so far is stored meanwhile, and nothing is lost by it */
		must(vdisk_bitmap_enable(img, "b", i % 2, err));
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	must(vdisk_close(img, err));
	for (unsigned i = 0; i < THREADS; i++)
		for (unsigned s = 0; s < sizeof(want); s++)
			want[s] |= w[i].touched[s];
	img = opened(kept_file(&k), 0);
	must(vdisk_bitmap_ranges(img, "a", sectors_set, got, err));
	must(vdisk_close(img, err));
	for (unsigned s = 0; s < sizeof(want); s++)
		if (want[s] != got[s])
			fail_msg("sector %u: written %d, recorded %d", s, want[s], got[s]);
	clean(&k);
	kept_free(&k);
	kept_free(&made);
}

/* ---------------------------------------------------------------- coarser */

struct sum {
	uint64_t bytes, places;
};

static bool range_sum(void *ctx, uint64_t off, uint64_t len)
{
	struct sum *s = ctx;
	uint64_t step = UINT64_C(16) << 20;

	s->bytes += len;
	/* Whether the place that was written to, at each 16 MiB, is in it. */
	s->places += (off + len - 1) / step + 1 - vd_div_up(off, step);
	return true;
}

static void test_coarser(void **state)
{
	const uint64_t size = UINT64_C(272) << 30, step = UINT64_C(16) << 20; /* 17,408 pieces of notes at 512 bytes a bit */
	vdisk_image *img;
	struct sum s = { 0 };
	struct kept k;

	(void)state;
	img = kept_create(kept_new(&k, kept_empty("big.qcow2")), "qcow2", size, NULL, 0, NULL);
	must(vdisk_bitmap_create(img, "fine", 512, 0, err));
	for (uint64_t off = 0; off < size; off += step)
		must(vdisk_zero(img, off, 512, err));
	must(vdisk_bitmap_ranges(img, "fine", range_sum, &s, err));
	assert_int_equal(s.places, size / step);
	assert_true(s.bytes > size / step * 512 && s.bytes <= size / step * 512 + (UINT64_C(17408 - 16384) * step));
	must(vdisk_close(img, err));
	kept_free(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_io_faults),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_coarser),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

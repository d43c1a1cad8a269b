/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files that tests rely on. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "io/testfile.h"

#include <errno.h>
#include <string.h>

static struct vd_file *memory(const char *text)
{
	struct vd_file *f;

	assert_int_equal(vd_file_memory("m", text, strlen(text), &f, NULL), 0);
	return f;
}

static void fault_once(void **state)
{
	struct vd_fault fault = {.countdown = 3, .ops = VD_FAULT_WRITE | VD_FAULT_OTHER, .sys_errno = ENOSPC};
	struct vd_file *f;
	vd_error err;
	char b[4];

	(void)state;
	assert_int_equal(vd_file_fault(memory("abcd"), &fault, &f, &err), 0);
	assert_int_equal(vd_file_pwrite(f, "x", 1, 0, &err), 0);
	assert_int_equal(vd_file_pread(f, b, 4, 0, &err), 0); /* not counted */
	assert_int_equal(vd_file_truncate(f, 8, &err), 0);
	assert_int_equal(vd_file_pwrite(f, "y", 1, 1, &err), -1); /* the third */
	assert_int_equal(err.kind, VDISK_IO);
	assert_int_equal(err.sys_errno, ENOSPC);
	assert_int_equal(vd_file_pwrite(f, "z", 1, 2, &err), 0);
	assert_int_equal(vd_file_pread(f, b, 4, 0, &err), 0);
	assert_memory_equal(b, "xbzd", 4);
	assert_int_equal(atomic_load(&fault.hits), 1);
	assert_int_equal(vd_file_size(f), 8);
	vd_file_close(f);
}

static void fault_persistent(void **state)
{
	struct vd_fault fault = {.countdown = 2, .ops = 15, .persistent = true, .sys_errno = EIO};
	struct vd_file *f;
	vd_error err;
	uint64_t len = 4;
	bool data;
	char b[4];

	(void)state;
	assert_int_equal(vd_file_fault(memory("abcd"), &fault, &f, &err), 0);
	assert_int_equal(vd_file_pread(f, b, 4, 0, &err), 0);
	assert_int_equal(vd_file_pread(f, b, 4, 0, &err), -1);
	assert_int_equal(vd_file_flush(f, &err), -1);
	assert_int_equal(vd_file_zero(f, 0, 1, true, &err), -1);
	assert_int_equal(vd_file_punch(f, 0, 1, &err), -1);
	assert_int_equal(vd_file_extent(f, 0, &len, &data, &err), -1);
	assert_int_equal(atomic_load(&fault.hits), 5);
	atomic_store(&fault.countdown, -1);
	assert_int_equal(vd_file_flush(f, &err), 0);
	vd_file_close(f);
}

static struct vd_file *after(struct vd_crash *c, unsigned id, unsigned long op, enum vd_crash_mode mode, uint64_t seed)
{
	struct vd_file *f;

	assert_int_equal(vd_crash_image(c, id, op, mode, seed, &f, NULL), 0);
	return f;
}

static bool holds_bytes(struct vd_file *f, const char *text, size_t len)
{
	char b[64];
	size_t got;
	bool same;

	assert_int_equal(vd_file_pread_some(f, b, sizeof(b), 0, &got, NULL), 0);
	same = got == len && !memcmp(b, text, got);
	vd_file_close(f);
	return same;
}

static bool holds(struct vd_file *f, const char *text)
{
	return holds_bytes(f, text, strlen(text));
}

static void crash_keeps_and_drops(void **state)
{
	struct vd_crash *c = vd_crash_new();
	struct vd_file *f, *g;
	unsigned id, other;

	(void)state;
	assert_int_equal(vd_file_crash(c, memory("start"), &f, &id, NULL), 0);
	assert_int_equal(vd_file_crash(c, memory("other"), &g, &other, NULL), 0);
	assert_int_equal(vd_file_pwrite(f, "S", 1, 0, NULL), 0);  /* 1 */
	assert_int_equal(vd_file_flush(f, NULL), 0);              /* 2 */
	assert_int_equal(vd_file_pwrite(f, "T", 1, 1, NULL), 0);  /* 3 */
	assert_int_equal(vd_file_pwrite(g, "OT", 2, 0, NULL), 0); /* 4 */
	assert_int_equal(vd_file_truncate(f, 4, NULL), 0);        /* 5 */
	assert_int_equal(vd_file_flush(g, NULL), 0);              /* 6 */
	assert_int_equal(vd_file_zero(f, 2, 1, true, NULL), 0);   /* 7 */
	assert_int_equal(vd_file_punch(f, 3, 9, NULL), 0);        /* 8 */
	assert_int_equal(vd_crash_ops(c), 8);
	assert_true(holds(after(c, id, 0, VD_CRASH_KEEP, 0), "start"));
	assert_true(holds(after(c, id, 1, VD_CRASH_KEEP, 0), "Start"));
	assert_true(holds(after(c, id, 1, VD_CRASH_DROP, 0), "start"));
	assert_true(holds(after(c, id, 2, VD_CRASH_DROP, 0), "Start"));
	assert_true(holds(after(c, id, 4, VD_CRASH_KEEP, 0), "STart"));
	assert_true(holds(after(c, id, 5, VD_CRASH_KEEP, 0), "STar"));
	assert_true(holds(after(c, id, 6, VD_CRASH_DROP, 0), "Start")); /* the other file's flush */
	assert_true(holds(after(c, other, 5, VD_CRASH_DROP, 0), "other"));
	assert_true(holds(after(c, other, 6, VD_CRASH_DROP, 0), "OTher"));
	assert_int_equal(vd_file_size(f), 4);
	vd_file_close(f); /* the journal outlives it */
	assert_true(holds_bytes(after(c, id, 99, VD_CRASH_KEEP, 0), "ST\0\0", 4));
	vd_file_close(g);
	vd_crash_free(c);
}

/* Over many seeds: each sector is sometimes there and sometimes not, tearing cuts one at most, and a seed always gives the same. */
static void crash_scatters(void **state)
{
	static char before[4096], now[4096], b[4096], twice[4096];
	struct vd_crash *c = vd_crash_new();
	unsigned seen_new[8] = {0}, torn_images = 0;
	struct vd_file *f, *m, *a;
	unsigned id;

	(void)state;
	memset(before, 'a', sizeof(before));
	memset(now, 'b', sizeof(now));
	assert_int_equal(vd_file_memory("m", before, sizeof(before), &m, NULL), 0);
	assert_int_equal(vd_file_crash(c, m, &f, &id, NULL), 0);
	assert_int_equal(vd_file_pwrite(f, now, sizeof(now), 0, NULL), 0);
	for (int mode = VD_CRASH_RANDOM; mode <= VD_CRASH_TEAR; mode++) {
		for (uint64_t seed = 0; seed < 100; seed++) {
			unsigned torn = 0;

			a = after(c, id, 1, mode, seed);
			assert_int_equal(vd_file_pread(a, b, sizeof(b), 0, NULL), 0);
			vd_file_close(a);
			a = after(c, id, 1, mode, seed);
			assert_int_equal(vd_file_pread(a, twice, sizeof(b), 0, NULL), 0);
			vd_file_close(a);
			assert_memory_equal(b, twice, sizeof(b));
			for (int s = 0; s < 8; s++) {
				bool first = b[s * 512] == 'b', last = b[s * 512 + 511] == 'b';

				seen_new[s] += first && last;
				torn += first != last;
			}
			assert_true(torn <= (mode == VD_CRASH_TEAR));
			torn_images += torn;
		}
	}
	assert_true(torn_images > 20);
	for (int s = 0; s < 8; s++)
		assert_true(seen_new[s] > 30 && seen_new[s] < 170);
	vd_file_close(f);
	vd_crash_free(c);
}

/* A write past the end may leave the length without the bytes, or neither. */
static void crash_lengths(void **state)
{
	struct vd_crash *c = vd_crash_new();
	unsigned id, shorter = 0, longer_empty = 0;
	struct vd_file *f, *a;

	(void)state;
	assert_int_equal(vd_file_crash(c, memory("x"), &f, &id, NULL), 0);
	assert_int_equal(vd_file_pwrite(f, "yyyy", 4, 2000, NULL), 0);
	for (uint64_t seed = 0; seed < 50; seed++) {
		char b[4] = {0};

		a = after(c, id, 1, VD_CRASH_RANDOM, seed);
		if (vd_file_size(a) == 1) {
			shorter++;
		} else {
			assert_int_equal(vd_file_size(a), 2004);
			assert_int_equal(vd_file_pread(a, b, 4, 2000, NULL), 0);
			longer_empty += !b[0];
		}
		vd_file_close(a);
	}
	assert_true(shorter > 3 && longer_empty > 3);
	vd_file_close(f);
	vd_crash_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fault_once),     cmocka_unit_test(fault_persistent), cmocka_unit_test(crash_keeps_and_drops),
		cmocka_unit_test(crash_scatters), cmocka_unit_test(crash_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

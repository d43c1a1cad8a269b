/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Power cuts while a VHD is resized: it opens with the old size or the new one, with its data, and zeros behind them; check mends
 * what is left, and it can be written to.  Sectors are whole: the dynamic header has no copy, nor has a fixed disk's footer.  For
 * that reason the sector where a fixed disk's smaller size ends may hold a footer: past the old end, or in what was to be cut off.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "core/image.h"
#include "io/testfile.h"

#include <stdlib.h>

#define CHUNK 512u

static void ok(int r, const vd_error *err)
{
	if (r)
		fail_msg("%s", err->message);
}

static void pattern(uint8_t *b, uint64_t off)
{
	for (unsigned i = 0; i < CHUNK; i++)
		b[i] = (uint8_t)(off / CHUNK * 7 + i + 1);
}

/* Data in the first and last chunk of each 64 KiB. */
static bool has_data(uint64_t off)
{
	return off % 65536 == 0 || off % 65536 == 65536 - CHUNK;
}

static void write_all(vdisk_image *img, uint64_t from, uint64_t to)
{
	uint8_t b[CHUNK];
	vd_error err;

	for (uint64_t off = from; off < to; off += CHUNK) {
		if (has_data(off)) {
			pattern(b, off);
			ok(vdisk_pwrite(img, b, CHUNK, off, &err), &err);
		}
	}
}

/* Data up to `written`, zeros behind it, but for the chunk at `loose`. */
static void verify(vdisk_image *img, uint64_t written, uint64_t loose)
{
	uint8_t b[CHUNK], want[CHUNK];
	vd_error err;

	for (uint64_t off = 0; off < vdisk_size(img); off += CHUNK) {
		memset(want, 0, CHUNK);
		if (off < written && has_data(off))
			pattern(want, off);
		ok(vdisk_pread(img, b, CHUNK, off, &err), &err);
		if (off != loose)
			assert_memory_equal(b, want, CHUNK);
	}
}

static void problem(void *ctx, bool is_leak, uint64_t offset, const char *message)
{
	(void)ctx, (void)is_leak, (void)offset, (void)message;
}

/* The bytes of f, which it takes, in a new memory file. */
static struct vd_file *copied(struct vd_file *f)
{
	size_t n = vd_file_size(f);
	uint8_t *b = vd_malloc(n);
	struct vd_file *out;
	vd_error err;

	assert_non_null(b);
	ok(vd_file_pread(f, b, n, 0, &err), &err);
	ok(vd_file_memory("copy", b, n, &out, &err), &err);
	vd_free(b);
	return out;
}

static void survive(struct vd_file *f, uint64_t old, uint64_t size, uint64_t loose)
{
	struct vd_file *again = copied(f), *third;
	struct vdisk_check_result r;
	vdisk_image *img;
	uint64_t now;
	vd_error err;

	ok(vd_image_open_file(f, "vhd", 0, NULL, NULL, NULL, &img, &err), &err);
	now = vdisk_size(img);
	if (now != old && now != size)
		fail_msg("the size is %" PRIu64 ", neither %" PRIu64 " nor %" PRIu64, now, old, size);
	verify(img, vd_min(old, now), loose);
	ok(vdisk_close(img, &err), &err);

	third = copied(again);
	ok(vd_image_open_file(again, "vhd", VDISK_OPEN_RW | VDISK_OPEN_CHECK, NULL, NULL, NULL, &img, &err), &err);
	ok(vdisk_check(img, VDISK_CHECK_REPAIR_ALL, problem, NULL, &r, &err), &err);
	assert_true(r.corruptions == r.corruptions_fixed);
	assert_true(r.leaks == 0);
	ok(vdisk_check(img, 0, problem, NULL, &r, &err), &err);
	assert_true(r.corruptions == 0);
	verify(img, vd_min(old, now), loose);
	ok(vdisk_close(img, &err), &err);

	ok(vd_image_open_file(third, "vhd", VDISK_OPEN_RW, NULL, NULL, NULL, &img, &err), &err);
	write_all(img, 0, now);
	ok(vdisk_flush(img, &err), &err);
	verify(img, now, has_data(loose) ? UINT64_MAX : loose);
	ok(vdisk_resize(img, old + size, 0, &err), &err);
	verify(img, now, has_data(loose) ? UINT64_MAX : loose);
	ok(vdisk_close(img, &err), &err);
}

static void resize_crashes(const char *option, uint64_t old, uint64_t size)
{
	const char *options[] = { option, NULL };
	struct vd_crash *making = vd_crash_new(), *clock = vd_crash_new();
	struct vd_file *f;
	vdisk_image *img;
	unsigned id;
	vd_error err;

	ok(vd_file_memory("disk", NULL, 0, &f, &err), &err);
	ok(vd_file_crash(making, f, &f, &id, &err), &err);
	ok(vd_image_create_file(f, "vhd", old, options, 0, NULL, NULL, &img, &err), &err);
	write_all(img, 0, old);
	ok(vdisk_close(img, &err), &err);
	ok(vd_crash_image(making, id, vd_crash_ops(making), VD_CRASH_KEEP, 0, &f, &err), &err);

	ok(vd_file_crash(clock, f, &f, &id, &err), &err);
	ok(vd_image_open_file(f, "vhd", VDISK_OPEN_RW, NULL, NULL, NULL, &img, &err), &err);
	ok(vdisk_resize(img, size, VDISK_RESIZE_SHRINK, &err), &err);
	ok(vdisk_close(img, &err), &err);
	assert_true(vd_crash_ops(clock) > 2);
	for (unsigned long at = 0; at <= vd_crash_ops(clock); at++) {
		for (int mode = VD_CRASH_KEEP; mode <= VD_CRASH_RANDOM; mode++) {
			ok(vd_crash_image(clock, id, at, (enum vd_crash_mode)mode, at * 3 + 1, &f, &err), &err);
			survive(f, old, size, strcmp(option, "subformat=fixed") ? UINT64_MAX : vd_min(old, size));
		}
	}
	vd_crash_free(making);
	vd_crash_free(clock);
}

static void grow_in_place(void **state) { (void)state; resize_crashes("block_size=512K", 1 << 20 | 512, 5 << 20); }
/* 128 entries are a sector of the BAT. */
static void grow_moves_bat(void **state) { (void)state; resize_crashes("block_size=4K", 300 << 10, 900 << 10); }
static void shrink(void **state) { (void)state; resize_crashes("block_size=4K", 900 << 10, 300 << 10 | 512); }
static void shrink_large(void **state) { (void)state; resize_crashes("block_size=512K", 3 << 20, 1 << 20); }
static void fixed_grow(void **state) { (void)state; resize_crashes("subformat=fixed", 512 << 10, 1 << 20); }
static void fixed_grow_by_one(void **state) { (void)state; resize_crashes("subformat=fixed", 512 << 10, 512 << 10 | 512); }
static void fixed_shrink(void **state) { (void)state; resize_crashes("subformat=fixed", 1 << 20, 512 << 10); }

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grow_in_place), cmocka_unit_test(grow_moves_bat), cmocka_unit_test(shrink),
		cmocka_unit_test(shrink_large),  cmocka_unit_test(fixed_grow),     cmocka_unit_test(fixed_grow_by_one),
		cmocka_unit_test(fixed_shrink),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

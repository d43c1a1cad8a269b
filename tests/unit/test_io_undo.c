/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a journal that is read holds of a file: its records' ranges, ascending and apart, in whatever order and however often they
   stand there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/bytes.h"
#include "io/undo.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define SECTOR  512u
#define BLOCKS  512u /* of a file, one sector each */
#define RECORDS 400u
#define META    1u
#define FILE_   2u
#define ZEROS   4u

struct journal {
	uint8_t bytes[65536];
	size_t len;
};

static void record(struct journal *j, uint32_t kind, uint32_t file, uint64_t off, uint64_t len, const char *payload)
{
	uint8_t *at = j->bytes + j->len;
	size_t n = payload ? (size_t)len : 0;

	assert_true(j->len + 32 + n <= sizeof(j->bytes));
	le32_put(at, kind);
	le32_put(at + 4, file);
	le64_put(at + 8, off);
	le64_put(at + 16, len);
	le32_put(at + 24, 0);
	if (n)
		memcpy(at + 32, payload, n);
	le32_put(at + 28, (uint32_t)crc32_z(crc32_z(0, at, 28), at + 32, n));
	j->len += 32 + n;
}

/* Of two files, "a" and "b", with nothing of them in it yet. */
static void begin(struct journal *j)
{
	static const char a[] = "inode 1\nbirth 0\nname a", b[] = "inode 2\nbirth 0\nname b";

	memset(j, 0, sizeof(*j));
	memcpy(j->bytes, "vdisk undo\r\n\x1a\n\0", 16);
	le32_put(j->bytes + 16, 1);
	le32_put(j->bytes + 20, VD_UNDO_ACTIVE);
	le32_put(j->bytes + 508, (uint32_t)crc32_z(0, j->bytes, 508));
	j->len = SECTOR;
	record(j, META, 0, 0, 7, "format\n");
	record(j, FILE_, 0, BLOCKS * SECTOR, strlen(a), a);
	record(j, FILE_, 1, BLOCKS * SECTOR, strlen(b), b);
}

static struct vd_undo *loaded(const struct journal *j)
{
	vd_error err = { 0 };
	struct vd_undo *u;
	struct vd_file *f;

	assert_int_equal(vd_file_memory("journal", j->bytes, j->len, &f, &err), 0);
	if (vd_undo_load(f, &u, &err))
		fail_msg("%s", err.message);
	assert_int_equal(vd_undo_bytes(u), j->len);
	return u;
}

static void put(struct journal *j, bool has[BLOCKS], uint32_t file, unsigned from, unsigned n)
{
	record(j, ZEROS, file, from * SECTOR, n * SECTOR, NULL);
	memset(has + from, true, n);
}

/* The list is the runs of what was put, no more and no fewer. */
static void compare(const struct vd_undo_file *f, const bool has[BLOCKS])
{
	size_t n = 0;

	for (unsigned i = 0, end; i < BLOCKS; i = end) {
		for (end = i + 1; end < BLOCKS && has[end] == has[i]; end++)
			;
		if (!has[i])
			continue;
		if (n >= f->n)
			fail_msg("%zu ranges; blocks %u to %u are in none", f->n, i, end);
		if (f->logged[n].off != i * SECTOR || f->logged[n].len != (end - i) * SECTOR)
			fail_msg("range %zu is %ju+%ju, not blocks %u to %u", n, (uintmax_t)f->logged[n].off,
			         (uintmax_t)f->logged[n].len, i, end);
		n++;
	}
	assert_int_equal(f->n, n);
}

static void ranges_in_any_order(void **state)
{
	static const struct { unsigned from, n; } list[] = {
		{ 100, 4 }, { 90, 4 }, { 94, 6 },   /* apart, then what lies between them */
		{ 200, 1 }, { 200, 9 }, { 203, 2 }, /* the same place: longer, within */
		{ 310, 9 }, { 305, 6 }, { 318, 4 }, /* overlapping at both ends */
		{ 300, 40 },                        /* around all of those */
		{ 511, 1 }, { 0, 1 }, { 2, 1 }, { 1, 1 },
	};
	bool a[BLOCKS] = { false }, b[BLOCKS] = { false };
	struct journal j;
	struct vd_undo *u;

	(void)state;
	begin(&j);
	for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++)
		put(&j, a, 0, list[i].from, list[i].n);
	u = loaded(&j);
	compare(vd_undo_file(u, 0), a);
	compare(vd_undo_file(u, 1), b);
	assert_int_equal(vd_undo_file(u, 0)->n, 5);
	assert_int_equal(vd_undo_file(u, 1)->n, 0);
	vd_undo_free(u);
}

static void ranges_backwards(void **state)
{
	bool a[BLOCKS] = { false };
	struct journal j;
	struct vd_undo *u;

	(void)state;
	begin(&j);
	for (unsigned i = BLOCKS / 2; i--;)
		put(&j, a, 0, 2 * i, 1);
	u = loaded(&j);
	compare(vd_undo_file(u, 0), a);
	assert_int_equal(vd_undo_file(u, 0)->n, BLOCKS / 2);
	vd_undo_free(u);
}

static void ranges_by_chance(void **state)
{
	unsigned seed = getenv("VDISK_SEED") ? (unsigned)strtoul(getenv("VDISK_SEED"), NULL, 10) : 20240611u;

	(void)state;
	print_message("VDISK_SEED=%u\n", seed);
	for (unsigned round = 0; round < 50; round++) {
		bool has[2][BLOCKS] = { { false } };
		unsigned records = (unsigned)rand_r(&seed) % RECORDS;
		struct journal j;
		struct vd_undo *u;

		begin(&j);
		for (unsigned i = 0; i < records; i++) {
			unsigned file = (unsigned)rand_r(&seed) % 2, from = (unsigned)rand_r(&seed) % (BLOCKS - 4);

			put(&j, has[file], file, from, 1 + (unsigned)rand_r(&seed) % 4);
		}
		u = loaded(&j);
		compare(vd_undo_file(u, 0), has[0]);
		compare(vd_undo_file(u, 1), has[1]);
		vd_undo_free(u);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(ranges_in_any_order), cmocka_unit_test(ranges_backwards),
		                            cmocka_unit_test(ranges_by_chance) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VHDX's log: the entry before stays whole while one is written; wherever the power is cut, a log that a header calls used has an
 * entry that counts (others take the file for damaged without), also where a log was left behind that was cut itself, or the file
 * became shorter.
 */
#include "kept.h"
#include "alloc_fail.h"
#include "base/crc32c.h"
#include "formats/vhdx/vhdx.h"

#define SIZE (5u * MIB)

static uint8_t sector[VHDX_SECTOR];

static void entry_before_stays(void **state)
{
	uint8_t *before = vd_malloc(VHDX_MIB), *after = vd_malloc(VHDX_MIB);
	struct vd_file *f = kept_empty("log.vhdx");
	struct vhdx_change c[VHDX_LOG_TABLES];
	uint64_t seed = 1, at = 0, len = 0;
	vdisk_image *img;
	struct vhdx *v;

	(void)state;
	assert_true(before && after);
	img = kept_create(f, "vhdx", SIZE, "block_size=1M", 0, NULL);
	v = img->top->priv;
	for (size_t i = 0; i < VHDX_LOG_TABLES; i++)
		c[i] = (struct vhdx_change){ v->bat.off, sector };
	for (unsigned k = 0; k < 1000; k++) {
		size_t n = help_random(&seed) % (VHDX_LOG_TABLES + 1);

		if (k % 3)
			n = VHDX_LOG_TABLES - n % 4;
		must(vd_file_pread(img->top->files[0], before, len, v->header.log_off + at, err));
		must(vhdx_log_commit(img->top, v, c, n, err));
		must(vd_file_pread(img->top->files[0], after, len, v->header.log_off + at, err));
		if (memcmp(before, after, len))
			fail_msg("entry %u of %zu sectors, which ends at %" PRIu64 ", lies over the one before it, %" PRIu64
			         " bytes at %" PRIu64,
			         k, n + 1, v->log_head, len, at);
		len = (1 + n) * VHDX_SECTOR;
		at = v->log_head - len;
	}
	must(vdisk_close(img, err));
	vd_free(before);
	vd_free(after);
}

/* ---------------------------------------------------------------- power cuts */

static bool header_newest(struct vd_file *f, struct vhdx_header *h)
{
	uint8_t *b = vd_malloc(VHDX_SECTOR);
	struct vhdx_header x;
	bool found = false;
	size_t got;

	assert_non_null(b);
	for (unsigned i = 0; i < 2; i++) {
		must(vd_file_pread_some(f, b, VHDX_SECTOR, VHDX_HEADER_OFF(i), &got, err));
		if (got < VHDX_SECTOR || !vhdx_header_decode(&x, b) || (found && x.sequence < h->sequence))
			continue;
		*h = x;
		found = true;
	}
	vd_free(b);
	return found;
}

/* An entry of that GUID, whole, and its own tail, as all of ours are. */
static bool log_has_entry(struct vd_file *f, const struct vhdx_header *h)
{
	uint8_t *b = vd_malloc(h->log_len), guid[16];
	bool found = false;

	assert_non_null(b);
	must(vd_file_pread(f, b, h->log_len, h->log_off, err));
	vhdx_guid_put(guid, h->log_guid);
	for (uint32_t at = 0; !found && at < h->log_len; at += VHDX_SECTOR) {
		uint32_t len = le32_get(b + at + 8), sum = le32_get(b + at + 4);

		if (memcmp(b + at, "loge", 4) || memcmp(b + at + 32, guid, 16) || len > h->log_len - at ||
		    le32_get(b + at + 12) != at)
			continue;
		memset(b + at + 4, 0, 4);
		found = vd_crc32c(0, b + at, len) == sum && le64_get(b + at + 48) <= vd_file_size(f);
	}
	vd_free(b);
	return found;
}

/* What is wanted of the first and the last MiB. */
static void reads(struct vd_file *f, int first, int last, const char *when)
{
	vdisk_image *img = kept_open(f, "vhdx", 0, NULL, NULL);
	uint8_t b[2];

	must(vdisk_pread(img, b, 1, 0, err));
	must(vdisk_pread(img, b + 1, 1, vdisk_size(img) - 1, err));
	if ((first >= 0 && b[0] != first) || (last >= 0 && b[1] != last))
		fail_msg("%s: %#x and %#x are read", when, b[0], b[1]);
	must(vdisk_close(img, err));
}

static void put(vdisk_image *img, uint64_t off, uint8_t value)
{
	must(vdisk_pwrite(img, &value, 1, off, err));
}

/* `first`: what was flushed there before all of it. */
static void cuts_judge(const struct kept *k, int first, const char *what)
{
	static const enum vd_crash_mode modes[] = { VD_CRASH_KEEP, VD_CRASH_DROP, VD_CRASH_RANDOM, VD_CRASH_TEAR };

	for (unsigned long at = 0; at <= vd_crash_ops(k->clock); at++) {
		for (unsigned m = 0; m < 4; m++) {
			struct vd_file *f = kept_cut(k, at, modes[m], at);
			struct vhdx_header h;
			char when[80];

			snprintf(when, sizeof(when), "%s: cut after %lu, mode %u", what, at, m);
			if (!header_newest(f, &h))
				fail_msg("%s: no header", when);
			if (memcmp(h.log_guid, vhdx_guid_none, 16) && !log_has_entry(f, &h))
				fail_msg("%s: the log is in use, and has no entry", when);
			reads(f, first, -1, when);
		}
	}
}

static struct vd_file *made(void)
{
	struct kept k;
	vdisk_image *img = kept_create(kept_new(&k, kept_empty("cut.vhdx")), "vhdx", SIZE, "block_size=1M", 0, NULL);
	struct vd_file *f;

	put(img, 0, 1);
	put(img, SIZE - 1, 2);
	must(vdisk_close(img, err));
	f = kept_file(&k);
	kept_free(&k);
	return f;
}

/* Opened, written to in a block that there is and in one that there is not, flushed in between; `cut_at`: what is left half-way. */
static struct vd_file *worked(struct vd_file *from, int first, struct vd_file **half, const char *what)
{
	unsigned long ops;
	struct vd_file *f;
	struct kept k;
	vdisk_image *img = kept_open(kept_new(&k, from), "vhdx", VDISK_OPEN_RW, NULL, NULL);

	put(img, 100, 3);
	put(img, 2 * MIB, 4);
	must(vdisk_flush(img, err));
	ops = vd_crash_ops(k.clock);
	put(img, 3 * MIB, 5);
	must(vdisk_close(img, err));
	cuts_judge(&k, first, what);
	*half = kept_cut(&k, ops, VD_CRASH_DROP, 0);
	f = kept_file(&k);
	kept_free(&k);
	return f;
}

static void log_in_use_has_an_entry(void **state)
{
	struct vd_file *half, *quarter, *whole;

	(void)state;
	whole = worked(made(), 1, &half, "closed before");
	reads(whole, 1, 2, "closed again");
	vd_file_close(worked(half, 1, &quarter, "left behind"));
	vd_file_close(quarter);
}

static void shorter_file(void **state)
{
	struct kept k;
	vdisk_image *img = kept_open(kept_new(&k, made()), "vhdx", VDISK_OPEN_RW, NULL, NULL);
	uint64_t size = vd_file_size(img->top->files[0]);

	(void)state;
	put(img, 2 * MIB, 3);
	must(vdisk_flush(img, err));
	must(vdisk_resize(img, MIB + 512, VDISK_RESIZE_SHRINK, err));
	assert_true(vd_file_size(img->top->files[0]) < size);
	put(img, MIB, 4);
	must(vdisk_close(img, err));
	cuts_judge(&k, 1, "made shorter");
	reads(kept_file(&k), 1, 0, "made shorter");
	kept_free(&k);
}

/* ---------------------------------------------------------------- space */

static void without_memory(void **state)
{
	struct vhdx_space s = { 0 };

	(void)state;
	assert_true(vhdx_space_mark(&s, 0, 8 * VHDX_MIB));
	alloc_fail_at(0);
	assert_false(vhdx_space_mark(&s, 100000 * VHDX_MIB, VHDX_MIB));
	alloc_fail_at(-1);
	assert_int_equal(s.end, 8);
	vd_free(s.used);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entry_before_stays),
		cmocka_unit_test(log_in_use_has_an_entry),
		cmocka_unit_test(shorter_file),
		cmocka_unit_test(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

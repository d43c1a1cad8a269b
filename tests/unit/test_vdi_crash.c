/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Power cuts after a power cut: a VDI whose header counts a place that the file never got; whatever the next cut leaves, it is read
 * and written to.  Power cuts while the size changes, at each write: the disk has the old size or the new one, and its content.
 */
#include "kept.h"
#include "formats/vdi/vdi.h"

#define SIZE (3u * MIB)

/* What a cut leaves behind the write of the count, where the file's new length was not durable. */
static struct vd_file *counted(void)
{
	struct kept k;
	struct vd_file *f;
	uint8_t one[4] = { 1 };

	must(vdisk_close(kept_create(kept_new(&k, kept_empty("cut.vdi")), "vdi", SIZE, NULL, 0, NULL), err));
	f = kept_file(&k);
	kept_free(&k);
	must(vd_file_pwrite(f, one, 4, VDI_ALLOCATED_AT, err));
	return f;
}

static void place_past_the_end(void **state)
{
	static const enum vd_crash_mode modes[] = { VD_CRASH_KEEP, VD_CRASH_DROP, VD_CRASH_RANDOM, VD_CRASH_TEAR };
	uint8_t data[700], got[700], none[700] = { 0 };
	unsigned long flushed;
	vdisk_image *img;
	struct kept k;

	(void)state;
	memset(data, 7, sizeof(data));
	img = kept_open(kept_new(&k, counted()), "vdi", VDISK_OPEN_RW, NULL, NULL);
	must(vdisk_pwrite(img, data, sizeof(data), MIB + 100, err));
	must(vdisk_flush(img, err));
	flushed = vd_crash_ops(k.clock);
	must(vdisk_close(img, err));
	for (unsigned long at = 0; at <= vd_crash_ops(k.clock); at++) {
		for (unsigned i = 0; i < 40; i++) {
			img = kept_open(kept_cut(&k, at, modes[i % 4], at * 40 + i), "vdi", VDISK_OPEN_RW, NULL, NULL);
			must(vdisk_pread(img, got, sizeof(got), MIB + 100, err));
			if (at >= flushed)
				assert_memory_equal(got, data, sizeof(got));
			must(vdisk_pwrite(img, data, sizeof(data), 0, err));
			must(vdisk_pread(img, got, sizeof(got), 2 * MIB, err));
			assert_memory_equal(got, none, sizeof(got));
			must(vdisk_close(img, err));
		}
	}
	kept_free(&k);
}

/* ---------------------------------------------------------------- other sizes */

#define BLOCK 4096u

/* Blocks of 4 KiB, so that a map of few sectors is soon full; each third one has no place, and the places are in no order. */
struct layout {
	uint32_t blocks, map_sectors;
	enum vdi_type type;
	uint32_t bare; /* from this block on there are zeros only */
};

static uint8_t byte_of(const struct layout *y, uint32_t block)
{
	return block % 3 == 1 || block >= y->bare ? 0 : (uint8_t)(block % 200 + 1);
}

static struct vd_file *crafted(const struct layout *y)
{
	struct vdi_header h = {
		.version = 0x10001,
		.header_len = 0x190,
		.type = y->type,
		.map_off = 512,
		.data_off = 512 + 512 * y->map_sectors,
		.sector_bytes = 512,
		.size = (uint64_t)y->blocks * BLOCK - 512,
		.block_bytes = BLOCK,
		.blocks = y->blocks,
		.uuid = { 1 },
		.modified = { 2 },
	};
	uint8_t *map = vd_malloc(512 * y->map_sectors), header[VDI_HEADER_BYTES], data[BLOCK];
	struct vd_file *f = kept_empty("crafted.vdi");

	assert_non_null(map);
	memset(map, 0, 512 * y->map_sectors); /* what stands behind the map's end is nobody's: as VirtualBox has it */
	for (uint32_t b = 0; b < y->blocks; b++)
		le32_put(map + 4 * b, VDI_FREE);
	for (uint32_t i = 0; i < y->blocks; i++) {
		uint32_t b = (i * 7 + 3) % y->blocks;

		if (!byte_of(y, b) && y->type != VDI_FIXED)
			continue;
		memset(data, byte_of(y, b), sizeof(data));
		must(vd_file_pwrite(f, data, sizeof(data), h.data_off + (uint64_t)h.allocated * BLOCK, err));
		le32_put(map + 4 * b, h.allocated++);
	}
	vdi_header_encode(&h, header);
	must(vd_file_pwrite(f, map, 512 * y->map_sectors, 512, err));
	must(vd_file_pwrite(f, header, sizeof(header), 0, err));
	vd_free(map);
	return f;
}

/* Takes f. */
static void content_right(const struct layout *y, struct vd_file *f, uint64_t old, uint64_t new, bool whole)
{
	vdisk_image *img = kept_open(f, "vdi", 0, NULL, NULL);
	uint64_t size = vdisk_size(img), kept = vd_min(old, new);
	struct vdisk_check_result r;
	uint8_t *got = vd_malloc(size);

	assert_true(size == new || (!whole && size == old));
	must(vdisk_pread(img, got, size, 0, err));
	for (uint64_t i = 0; i < size; i++) {
		uint8_t due = i < kept || (size == old && i < old) ? byte_of(y, (uint32_t)(i / BLOCK)) : 0;

		/* What a shrunk disk gave up may be zeros already when the old size still stands. */
		if (got[i] != due)
			fail_msg("byte %" PRIu64 " of %" PRIu64 " is %u, due is %u", i, size, got[i], due);
	}
	vd_free(got);
	must(vdisk_check(img, 0, NULL, NULL, &r, err));
	assert_int_equal(0, r.corruptions);
	must(vdisk_close(img, err));
}

static void resized(struct vd_file *f, uint64_t size, struct kept *k)
{
	vdisk_image *img = kept_open(kept_new(k, f), "vdi", VDISK_OPEN_RW | VDISK_OPEN_KEEP_ID, NULL, NULL);

	must(vdisk_resize(img, size, VDISK_RESIZE_SHRINK, err));
	must(vdisk_close(img, err));
}

static void cut_everywhere(const struct layout *y, uint64_t size)
{
	/* A sector is whole or not written: that is what the one write of the header relies on. */
	static const enum vd_crash_mode modes[] = { VD_CRASH_KEEP, VD_CRASH_DROP, VD_CRASH_RANDOM, VD_CRASH_RANDOM };
	uint64_t old = (uint64_t)y->blocks * BLOCK - 512;
	struct kept k, again;

	resized(crafted(y), size, &k);
	content_right(y, kept_file(&k), old, size, true);
	for (unsigned long at = 0; at <= vd_crash_ops(k.clock); at++) {
		for (unsigned i = 0; i < 4; i++) {
			content_right(y, kept_cut(&k, at, modes[i], at * 4 + i), old, size, false);
			resized(kept_cut(&k, at, modes[i], at * 4 + i), size, &again);
			content_right(y, kept_file(&again), old, size, true);
			kept_free(&again);
		}
	}
	kept_free(&k);
}

static void other_sizes(void **state)
{
	static const struct {
		struct layout y;
		uint32_t blocks;
	} cases[] = {
		{ { 100, 1, VDI_DYNAMIC, 100 }, 120 },  /* within the map */
		{ { 100, 1, VDI_DYNAMIC, 100 }, 128 },
		{ { 100, 1, VDI_DYNAMIC, 100 }, 129 },  /* one place makes way */
		{ { 100, 1, VDI_DYNAMIC, 100 }, 1100 }, /* two */
		{ { 128, 1, VDI_DYNAMIC, 128 }, 130 },  /* no room in the map, but places that are free */
		{ { 100, 1, VDI_FIXED, 100 }, 120 },
		{ { 100, 1, VDI_FIXED, 100 }, 300 },
		{ { 3, 1, VDI_DYNAMIC, 3 }, 300 },    /* fewer blocks than places make way, nearly */
		{ { 100, 1, VDI_DYNAMIC, 0 }, 1100 }, /* no place is taken */
		{ { 100, 1, VDI_DYNAMIC, 1 }, 1100 }, /* fewer than make way */
		{ { 100, 1, VDI_DYNAMIC, 100 }, 40 },
		{ { 100, 1, VDI_FIXED, 100 }, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		print_message("%u blocks become %u\n", cases[i].y.blocks, cases[i].blocks);
		cut_everywhere(&cases[i].y, (uint64_t)cases[i].blocks * BLOCK - i % 2 * 512);
	}
}

/* Nothing is free, in the map or on the disk. */
static void no_room(void **state)
{
	static const struct layout full = { 128, 1, VDI_FIXED, 128 };
	vdisk_image *img = kept_open(crafted(&full), "vdi", VDISK_OPEN_RW, NULL, NULL);
	vd_error why = { 0 };

	(void)state;
	assert_int_equal(-1, vdisk_resize(img, 300 * BLOCK, 0, &why));
	assert_int_equal(VDISK_UNSUPPORTED, why.kind);
	assert_non_null(strstr(why.message, "convert it"));
	assert_int_equal(128 * BLOCK - 512, vdisk_size(img));
	must(vdisk_pwrite(img, "x", 1, 0, err)); /* nothing is broken */
	must(vdisk_close(img, err));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(place_past_the_end), cmocka_unit_test(other_sizes),
		                            cmocka_unit_test(no_room) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Power cuts after a power cut: a VDI whose header counts a place that the file never got; whatever the next cut leaves, it is read and written to. */
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

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(place_past_the_end) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VHDX's log: the entry before stays whole while one is written. */
#include "kept.h"
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
			fail_msg("entry %u of %zu sectors, which ends at %" PRIu64 ", lies over the one before it, %" PRIu64 " bytes at %" PRIu64, k, n + 1,
			         v->log_head, len, at);
		len = (1 + n) * VHDX_SECTOR;
		at = v->log_head - len;
	}
	must(vdisk_close(img, err));
	vd_free(before);
	vd_free(after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entry_before_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

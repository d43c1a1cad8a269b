/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "alloc_fail.h"
#include "base/pack.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define UNIT 65536

static unsigned char in[UNIT], packed[UNIT * 2], out[UNIT + 1];

static void fill(int kind)
{
	for (size_t i = 0; i < UNIT; i++)
		in[i] = (unsigned char)(kind == 0 ? 0 : kind == 1 ? (i * 7 / 13) ^ (i >> 8) : (unsigned)rand());
}

static void round_trip(void **state)
{
	vd_error err;

	(void)state;
	for (int m = VD_PACK_DEFLATE; m <= VD_PACK_ZSTD; m++) {
		struct vd_unpacker *u;

		assert_int_equal(vd_unpacker_new(m, &u, &err), 0);
		for (int level = 0; level <= 12; level += 6) {
			struct vd_packer *p;

			assert_int_equal(vd_packer_new(m, level, &p, &err), 0);
			for (int kind = 0; kind < 3; kind++) {
				size_t n, used;

				fill(kind);
				assert_int_equal(vd_pack(p, in, UNIT, packed, UNIT - 1, &n, &err), 0);
				if (kind == 2) {
					assert_int_equal(n, 0); /* incompressible */
					assert_int_equal(vd_pack(p, in, UNIT, packed, sizeof(packed), &n, &err), 0);
				}
				assert_true(n > 0);
				memset(packed + n, 0xee, 512); /* what a sector's padding may hold */
				out[UNIT] = 0x5a;
				assert_int_equal(vd_unpack(u, packed, n + 512, out, UNIT, &used, &err), 0);
				assert_int_equal(used, n);
				assert_memory_equal(in, out, UNIT);
				assert_int_equal(out[UNIT], 0x5a);
				assert_int_equal(vd_unpack(u, packed, n, out, UNIT, NULL, &err), 0);
			}
			vd_packer_free(p);
		}
		vd_unpacker_free(u);
	}
	vd_packer_free(NULL);
	vd_unpacker_free(NULL);
}

static void damage(void **state)
{
	vd_error err;

	(void)state;
	for (int m = VD_PACK_DEFLATE; m <= VD_PACK_ZSTD; m++) {
		struct vd_unpacker *u;
		struct vd_packer *p;
		size_t n;

		fill(1);
		assert_int_equal(vd_packer_new(m, 0, &p, &err), 0);
		assert_int_equal(vd_unpacker_new(m, &u, &err), 0);
		assert_int_equal(vd_pack(p, in, UNIT, packed, sizeof(packed), &n, &err), 0);
		out[UNIT - 1000] = 0x77;
		/* more than fits (a bomb), fewer, cut short, nothing, garbage */
		assert_int_equal(vd_unpack(u, packed, n, out, UNIT - 1000, NULL, &err), -1);
		assert_int_equal(err.kind, VDISK_CORRUPT);
		assert_int_equal(out[UNIT - 1000], 0x77);
		assert_int_equal(vd_unpack(u, packed, n, out, UNIT + 1, NULL, &err), -1);
		assert_int_equal(err.kind, VDISK_CORRUPT);
		assert_int_equal(vd_unpack(u, packed, n / 2, out, UNIT, NULL, &err), -1);
		assert_int_equal(err.kind, VDISK_CORRUPT);
		assert_int_equal(vd_unpack(u, packed, 0, out, UNIT, NULL, &err), -1);
		assert_int_equal(err.kind, VDISK_CORRUPT);
		memset(packed, 0xff, 64);
		assert_int_equal(vd_unpack(u, packed, n, out, UNIT, NULL, &err), -1);
		assert_int_equal(err.kind, VDISK_CORRUPT);
		vd_packer_free(p);
		vd_unpacker_free(u);
	}
}

/* What zlib wrote is read; a wrong checksum is not. */
static void zlib_foreign(void **state)
{
	struct vd_unpacker *u;
	uLongf n = sizeof(packed);
	size_t used;
	vd_error err;

	(void)state;
	fill(1);
	assert_int_equal(compress2(packed, &n, in, UNIT, 6), Z_OK);
	assert_int_equal(vd_unpacker_new(VD_PACK_ZLIB, &u, &err), 0);
	assert_int_equal(vd_unpack(u, packed, n + 100, out, UNIT, &used, &err), 0);
	assert_int_equal(used, n);
	assert_memory_equal(in, out, UNIT);
	packed[n - 1] ^= 1;
	assert_int_equal(vd_unpack(u, packed, n, out, UNIT, NULL, &err), -1);
	assert_int_equal(err.kind, VDISK_CORRUPT);
	vd_unpacker_free(u);
}

static void levels(void **state)
{
	struct vd_packer *p;
	vd_error err;

	(void)state;
	assert_int_equal(vd_packer_new(VD_PACK_DEFLATE, 13, &p, &err), -1);
	assert_int_equal(err.kind, VDISK_INVALID);
	assert_int_equal(vd_packer_new(VD_PACK_ZSTD, 20, &p, &err), -1);
	assert_int_equal(vd_packer_new(VD_PACK_ZLIB, -1, &p, &err), -1);
	assert_int_equal(vd_packer_new(VD_PACK_ZSTD, 19, &p, &err), 0);
	vd_packer_free(p);
}

static void out_of_memory(void **state)
{
	struct vd_packer *p;
	struct vd_unpacker *u;
	size_t n;
	vd_error err;

	(void)state;
	fill(1);
	alloc_fail_at(0);
	assert_int_equal(vd_packer_new(VD_PACK_ZLIB, 0, &p, &err), -1);
	assert_int_equal(err.kind, VDISK_NOMEM);
	alloc_fail_at(0);
	assert_int_equal(vd_unpacker_new(VD_PACK_ZLIB, &u, &err), -1);
	assert_int_equal(vd_packer_new(VD_PACK_ZLIB, 0, &p, &err), 0);
	assert_int_equal(vd_unpacker_new(VD_PACK_ZLIB, &u, &err), 0);
	alloc_fail_at(0);
	assert_int_equal(vd_pack(p, in, UNIT, packed, sizeof(packed), &n, &err), -1);
	assert_int_equal(err.kind, VDISK_NOMEM);
	assert_int_equal(vd_pack(p, in, UNIT, packed, sizeof(packed), &n, &err), 0);
	alloc_fail_at(0);
	assert_int_equal(vd_unpack(u, packed, n, out, UNIT, NULL, &err), -1);
	assert_int_equal(err.kind, VDISK_NOMEM);
	alloc_fail_at(0);
	assert_int_equal(vd_pack(p, in, UNIT, packed, sizeof(packed), &n, &err), 0); /* its compressor is there */
	alloc_fail_at(-1);
	vd_packer_free(p);
	vd_unpacker_free(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip), cmocka_unit_test(damage),        cmocka_unit_test(zlib_foreign),
		cmocka_unit_test(levels),     cmocka_unit_test(out_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

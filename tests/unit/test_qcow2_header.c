/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qcow2: the header's fields and extensions, decoded, judged, encoded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/qcow2/qcow2.h"

#define FILE_SIZE (1u << 20)

/* A sound version 3 header with 64 KiB clusters and a disk of 64 MiB. */
static struct qcow2_header sound(void)
{
	struct qcow2_header h = {
		.version = 3,
		.cluster_bits = 16,
		.size = 64u << 20,
		.l1_size = 1,
		.l1_off = 0x30000,
		.rt_off = 0x10000,
		.rt_clusters = 1,
		.refcount_order = 4,
		.header_len = 112,
	};

	return h;
}

static enum vdisk_error_kind judged(const struct qcow2_header *h)
{
	vd_error err = {0};

	return qcow2_header_validate(h, FILE_SIZE, false, &err) < 0 ? err.kind : VDISK_OK;
}

static void fields_survive(void **state)
{
	struct qcow2_header h = sound(), back;
	uint8_t buf[112] = {0};

	(void)state;
	h.incompat = QCOW2_INCOMPAT_COMPRESSION | QCOW2_INCOMPAT_DIRTY;
	h.compat = 1;
	h.autoclear = 2;
	h.compression = 1;
	h.backing_off = 0x123;
	h.backing_len = 17;
	h.n_snap = 3;
	h.snap_off = 0x40000;
	h.crypt_method = 2;
	qcow2_header_encode(&h, buf);
	assert_int_equal(qcow2_header_decode(buf, sizeof(buf), &back, NULL), 0);
	assert_int_equal(back.version, h.version);
	assert_int_equal(back.cluster_bits, h.cluster_bits);
	assert_int_equal(back.size, h.size);
	assert_int_equal(back.backing_off, h.backing_off);
	assert_int_equal(back.backing_len, h.backing_len);
	assert_int_equal(back.crypt_method, h.crypt_method);
	assert_int_equal(back.l1_off, h.l1_off);
	assert_int_equal(back.l1_size, h.l1_size);
	assert_int_equal(back.rt_clusters, h.rt_clusters);
	assert_int_equal(back.rt_off, h.rt_off);
	assert_int_equal(back.snap_off, h.snap_off);
	assert_int_equal(back.n_snap, h.n_snap);
	assert_int_equal(back.refcount_order, h.refcount_order);
	assert_int_equal(back.incompat, h.incompat);
	assert_int_equal(back.compat, h.compat);
	assert_int_equal(back.autoclear, h.autoclear);
	assert_int_equal(back.header_len, h.header_len);
	assert_int_equal(back.compression, h.compression);
	assert_int_equal(qcow2_header_decode(buf, 103, &back, NULL), -1);
	assert_int_equal(qcow2_header_decode(buf, 71, &back, NULL), -1);
	buf[0] = 'q';
	assert_int_equal(qcow2_header_decode(buf, sizeof(buf), &back, NULL), -1);
}

static void version_2_ends_at_72(void **state)
{
	struct qcow2_header h = sound(), back;
	uint8_t buf[112];

	(void)state;
	memset(buf, 0xff, sizeof(buf));
	h.version = 2;
	h.header_len = 72;
	qcow2_header_encode(&h, buf);
	assert_int_equal(buf[72], 0xff);
	assert_int_equal(qcow2_header_decode(buf, 72, &back, NULL), 0);
	assert_int_equal(back.refcount_order, 4);
	assert_int_equal(back.incompat, 0);
	assert_int_equal(back.header_len, 72);
}

#define REFUSED(kind, change) \
	do { \
		struct qcow2_header h = sound(); \
		change; \
		assert_int_equal(judged(&h), kind); \
	} while (0)

static void limits_hold(void **state)
{
	(void)state;
	REFUSED(VDISK_OK, (void)0);
	REFUSED(VDISK_UNSUPPORTED, h.version = 4);
	REFUSED(VDISK_CORRUPT, h.cluster_bits = 8);
	REFUSED(VDISK_CORRUPT, h.cluster_bits = 22);
	REFUSED(VDISK_CORRUPT, h.cluster_bits = 0xffffffff);
	REFUSED(VDISK_CORRUPT, h.refcount_order = 7);
	REFUSED(VDISK_OK, h.header_len = 104);
	REFUSED(VDISK_OK, h.header_len = 136);
	REFUSED(VDISK_CORRUPT, h.header_len = 103);
	REFUSED(VDISK_CORRUPT, h.header_len = 107);
	REFUSED(VDISK_CORRUPT, h.header_len = 0xffffffff);
	REFUSED(VDISK_UNSUPPORTED, h.crypt_method = 3);
	REFUSED(VDISK_CORRUPT, h.size = UINT64_MAX);
	REFUSED(VDISK_CORRUPT, h.size = (512u << 20) + 1);
	REFUSED(VDISK_CORRUPT, h.l1_size = 0);
	REFUSED(VDISK_CORRUPT, h.l1_size = 0xffffffff);
	REFUSED(VDISK_CORRUPT, h.l1_off = 0x30200);
	REFUSED(VDISK_CORRUPT, h.l1_off = 0);
	REFUSED(VDISK_CORRUPT, h.l1_off = 0x7fffffffffff0000);
	REFUSED(VDISK_CORRUPT, (h.l1_size = 2, h.l1_off = FILE_SIZE));
	REFUSED(VDISK_CORRUPT, h.rt_off = 0x10200);
	REFUSED(VDISK_CORRUPT, h.rt_off = 0x7fffffffffff0000);
	REFUSED(VDISK_CORRUPT, h.rt_clusters = 0);
	REFUSED(VDISK_CORRUPT, h.rt_clusters = 0xffffffff);
	REFUSED(VDISK_CORRUPT, h.rt_off = h.l1_off);
	REFUSED(VDISK_CORRUPT, (h.n_snap = 1, h.snap_off = 0x40200));
	REFUSED(VDISK_CORRUPT, (h.n_snap = 0xffff, h.snap_off = 0xffffffffffff0000));
	REFUSED(VDISK_CORRUPT, h.n_snap = 65537);
	REFUSED(VDISK_CORRUPT, (h.backing_off = 0x200, h.backing_len = 1024));
	REFUSED(VDISK_CORRUPT, (h.backing_off = UINT64_MAX - 5, h.backing_len = 10));
	REFUSED(VDISK_CORRUPT, h.incompat = QCOW2_INCOMPAT_COMPRESSION);
	REFUSED(VDISK_UNSUPPORTED, (h.incompat = QCOW2_INCOMPAT_COMPRESSION, h.compression = 2));
	REFUSED(VDISK_CORRUPT, h.compression = 1);
	REFUSED(VDISK_CORRUPT, (h.incompat = QCOW2_INCOMPAT_EXT_L2, h.cluster_bits = 13));
	REFUSED(VDISK_CORRUPT, h.autoclear = QCOW2_AUTOCLEAR_RAW_DATA);
	REFUSED(VDISK_CORRUPT, (h.incompat = QCOW2_INCOMPAT_DATA_FILE, h.n_snap = 1, h.snap_off = 0x40000));
}

static void extensions_survive(void **state)
{
	struct qcow2_header h = sound();
	struct qcow2_exts x = {0}, back;
	uint8_t buf[4096] = {0};
	size_t used;

	(void)state;
	h.crypt_method = QCOW2_CRYPT_LUKS;
	x.backing_format = (char *)(uintptr_t)"raw";
	x.data_name = (char *)(uintptr_t)"data.raw!";
	x.has_crypto = x.has_bitmaps = true;
	x.crypto_off = 0x50000;
	x.crypto_len = 2068480;
	x.n_bitmaps = 2;
	x.bitmap_dir_off = 0x60000;
	x.bitmap_dir_len = 64;
	x.kept = (uint8_t *)(uintptr_t)"\x12\x34\x56\x78\0\0\0\3abc\0\0\0\0";
	x.kept_len = 16;
	assert_int_equal(qcow2_exts_encode(&h, &x, 0, buf + h.header_len, sizeof(buf) - h.header_len, &used, NULL), 0);
	assert_int_equal(qcow2_exts_decode(&h, buf, h.header_len + used, &back, NULL), 0);
	assert_string_equal(back.backing_format, "raw");
	assert_string_equal(back.data_name, "data.raw!");
	assert_int_equal(back.crypto_off, x.crypto_off);
	assert_int_equal(back.crypto_len, x.crypto_len);
	assert_int_equal(back.n_bitmaps, 2);
	assert_int_equal(back.bitmap_dir_off, x.bitmap_dir_off);
	assert_int_equal(back.kept_len, 16);
	assert_memory_equal(back.kept, x.kept, 16);
	qcow2_exts_free(&back);
	/* They are taken apart before a header with features that are not known is judged. */
	h.autoclear = QCOW2_AUTOCLEAR_BITMAPS;
	h.cluster_bits = 144;
	assert_int_equal(qcow2_exts_decode(&h, buf, h.header_len + used, &back, NULL), -1);
	qcow2_exts_free(&back);
	/* Where they do not fit, that is said. */
	assert_int_equal(qcow2_exts_encode(&h, &x, 0, buf, 100, &used, NULL), -1);
}

static void extension_past_the_end(void **state)
{
	struct qcow2_header h = sound();
	struct qcow2_exts x;
	uint8_t buf[256] = {0};
	vd_error err = {0};

	(void)state;
	be32_put(buf + 112, 0x99999999);
	be32_put(buf + 116, 0xffffffff);
	assert_int_equal(qcow2_exts_decode(&h, buf, sizeof(buf), &x, &err), -1);
	assert_int_equal(err.kind, VDISK_CORRUPT);
	qcow2_exts_free(&x);
}

static void unknown_features_by_name(void **state)
{
	struct qcow2_header h = sound();
	struct qcow2_exts x = {0};
	uint8_t table[96] = {0};
	vd_error err = {0};

	(void)state;
	assert_int_equal(qcow2_features_judge(&h, &x, NULL), 0);
	table[1] = 63;
	memcpy(table + 2, "unfinished conversion", 21);
	table[48 + 1] = 40;
	memset(table + 50, 'x', 46); /* of full length, so without a NUL */
	x.features = table;
	x.features_len = sizeof(table);
	h.incompat = 1ull << 63 | 1ull << 40 | 1ull << 41;
	assert_int_equal(qcow2_features_judge(&h, &x, &err), -1);
	assert_int_equal(err.kind, VDISK_UNSUPPORTED);
	assert_non_null(strstr(err.message, "\"unfinished conversion\" (bit 63)"));
	assert_non_null(strstr(err.message, "xxxx\" (bit 40)"));
	assert_non_null(strstr(err.message, "bit 41"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_survive), cmocka_unit_test(version_2_ends_at_72), cmocka_unit_test(limits_hold),
		cmocka_unit_test(extensions_survive), cmocka_unit_test(extension_past_the_end),
		cmocka_unit_test(unknown_features_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

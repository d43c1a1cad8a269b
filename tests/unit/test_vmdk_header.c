/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Headers of sparse extents, and markers: what is read back, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "formats/vmdk/header.h"
#include "base/bytes.h"

static const struct vmdk_sparse good = {
    .version = 1,
    .flags = 3,
    .capacity = 20480,
    .grain = 128,
    .desc_off = 1,
    .desc_len = 20,
    .gtes = 512,
    .rgd_off = 21,
    .gd_off = 26,
    .overhead = 128,
};

/* The first bytes of an image that VMware's own library made. */
static void bytes_are_vmwares(void **state)
{
	static const uint8_t head[80] = "KDMV\1\0\0\0\3\0\0\0\0\x50\0\0\0\0\0\0\x80\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\x14\0\0\0\0\0\0\0"
					"\0\2\0\0\x15\0\0\0\0\0\0\0\x1a\0\0\0\0\0\0\0"
					"\x80\0\0\0\0\0\0\0\0\n \r\n\0\0";
	uint8_t bytes[VMDK_SPARSE_BYTES];
	(void)state;
	vmdk_sparse_encode(&good, false, bytes);
	assert_memory_equal(bytes, head, 79);
}

static void reads_what_it_writes(void **state)
{
	struct vmdk_sparse h = good, back;
	uint8_t bytes[VMDK_SPARSE_BYTES];
	(void)state;
	h.version = 3;
	h.flags = 0x30001;
	h.gd_off = VMDK_GD_AT_END;
	h.unclean = 1;
	h.compression = 1;
	vmdk_sparse_encode(&h, false, bytes);
	memset(&back, 0, sizeof(back));
	assert_int_equal(vmdk_sparse_decode(bytes, 0, &back, NULL), 0);
	assert_int_equal(back.version, h.version);
	assert_int_equal(back.flags, h.flags);
	assert_int_equal(back.capacity, h.capacity);
	assert_int_equal(back.grain, h.grain);
	assert_int_equal(back.desc_off, h.desc_off);
	assert_int_equal(back.desc_len, h.desc_len);
	assert_int_equal(back.gtes, h.gtes);
	assert_int_equal(back.rgd_off, h.rgd_off);
	assert_int_equal(back.gd_off, h.gd_off);
	assert_int_equal(back.overhead, h.overhead);
	assert_int_equal(back.unclean, h.unclean);
	assert_int_equal(back.compression, h.compression);
	vmdk_sparse_encode(&h, true, bytes);
	assert_int_equal(vmdk_sparse_decode(bytes, 0, &back, NULL), -1);
}

static void refused(unsigned at, unsigned n, uint64_t value, const char *mentions)
{
	uint8_t bytes[VMDK_SPARSE_BYTES];
	struct vmdk_sparse h;
	vd_error err;
	vmdk_sparse_encode(&good, false, bytes);
	memcpy(bytes + at, &value, n);
	vd_error_clear(&err);
	assert_int_equal(vmdk_sparse_decode(bytes, 0, &h, &err), -1);
	if (!strstr(err.message, mentions))
		fail_msg("\"%s\" does not mention \"%s\"", err.message, mentions);
}

static void refuses_by_field(void **state)
{
	(void)state;
	refused(0, 4, 0, "magic");
	refused(4, 4, 0, "version 0");
	refused(4, 4, 4, "version 4");
	refused(8, 4, 0x40003, "0x40000");
	refused(8, 4, 0x20003, "markers without");
	refused(8, 4, 0x10003, "no algorithm");
	refused(12, 8, UINT64_MAX, "capacity");
	refused(12, 8, UINT64_C(1) << 50, "grain directory of");
	refused(20, 8, 0, "grain size of 0");
	refused(20, 8, 3456, "grain size of 3456");
	refused(20, 8, UINT64_C(1) << 60, "grain size");
	refused(44, 4, 1, "1 entries");
	refused(44, 4, UINT32_MAX, "4294967295 entries");
	refused(48, 8, UINT64_C(1) << 60, "redundant grain directory");
	refused(56, 8, UINT64_C(1) << 60, "grain directory at");
	refused(64, 8, UINT64_MAX, "overhead");
	refused(73, 1, '\r', "text mode");
	refused(77, 2, 2, "compression algorithm 2");
}

static void cowd(void **state)
{
	struct vmdk_cowd h = {
	    .version = 1, .flags = 3, .capacity = 5000, .grain = 1, .gd_off = 4, .n_gts = 2, .free_sector = 77, .unclean = 1};
	struct vmdk_cowd back = {0};
	uint8_t bytes[VMDK_COWD_BYTES];
	(void)state;
	vmdk_cowd_encode(&h, false, bytes);
	assert_int_equal(vmdk_cowd_decode(bytes, &back, NULL), 0);
	assert_memory_equal(&back, &h, sizeof(h));
	le32_put(bytes + 24, 1);
	assert_int_equal(vmdk_cowd_decode(bytes, &back, NULL), -1);
	vmdk_cowd_encode(&h, true, bytes);
	assert_int_equal(vmdk_cowd_decode(bytes, &back, NULL), -1);
}

static void sesparse_entries(void **state)
{
	uint64_t grain;
	uint32_t table;
	bool present;
	(void)state;
	assert_int_equal(vmdk_se_entry(0, &grain), VMDK_SE_ABSENT);
	assert_int_equal(vmdk_se_entry(5, &grain), VMDK_SE_BAD);
	assert_int_equal(vmdk_se_entry(UINT64_C(1) << 60, &grain), VMDK_SE_ZERO);
	assert_int_equal(vmdk_se_entry(UINT64_C(2) << 60, &grain), VMDK_SE_ZERO);
	assert_int_equal(vmdk_se_entry(UINT64_C(0x3005000000000002), &grain), VMDK_SE_DATA);
	assert_int_equal(grain, 0x2005);
	assert_int_equal(vmdk_se_entry(UINT64_C(4) << 60, &grain), VMDK_SE_BAD);
	assert_true(vmdk_se_table(UINT64_C(0x1000000000000009), &present, &table));
	assert_true(present);
	assert_int_equal(table, 9);
	assert_true(vmdk_se_table(0, &present, &table));
	assert_false(present);
	assert_false(vmdk_se_table(9, &present, &table));
}

static void markers(void **state)
{
	uint8_t sector[VMDK_SECTOR], grain[16] = {0};
	struct vmdk_marker m = {.value = 4, .type = VMDK_MARKER_GT}, back;
	(void)state;
	memset(sector, 0xff, sizeof(sector));
	vmdk_marker_encode(&m, sector);
	assert_memory_equal(sector, "\4\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0", 16);
	assert_int_equal(sector[511], 0);
	vmdk_marker_decode(sector, &back);
	assert_int_equal(back.value, 4);
	assert_int_equal(back.size, 0);
	assert_int_equal(back.type, VMDK_MARKER_GT);
	vmdk_grain_marker_encode(128, 1000, grain);
	vmdk_marker_decode(grain, &back);
	assert_int_equal(back.value, 128);
	assert_int_equal(back.size, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bytes_are_vmwares), cmocka_unit_test(reads_what_it_writes),
	    cmocka_unit_test(refuses_by_field),  cmocka_unit_test(cowd),
	    cmocka_unit_test(sesparse_entries),  cmocka_unit_test(markers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VHD footers and dynamic headers: bytes, checksums, limits, geometry. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "formats/vhd/vhd.h"

/* What Virtual PC 2007 wrote for a dynamic disk of 256 MiB (its first 85 bytes; the rest is zeros). */
static const uint8_t virtual_pc[] = {
	'c',  'o',  'n',  'e',  'c',  't',  'i',  'x',  0,    0,    0,    2,    0,    1,    0,    0,    0,
	0,    0,    0,    0,    0,    2,    0,    0x0f, 0x3d, 0xb9, 0xe4, 'v',  'p',  'c',  ' ',  0,    5,
	0,    3,    'W',  'i',  '2',  'k',  0,    0,    0,    0,    0x10, 0,    0,    0,    0,    0,    0,
	0,    0x10, 0,    0,    0,    0x02, 0x08, 0x10, 0x3f, 0,    0,    0,    3,    0xff, 0xff, 0xee, 0x00,
	0x9d, 0xa6, 0x38, 0x8f, 0xd5, 0xd6, 0x11, 0xdc, 0x82, 0x86, 0x9f, 0x79, 0x81, 0xb4, 0x95, 0xde, 0,
};

static void footer_bytes(void **state)
{
	uint8_t b[VHD_FOOTER_BYTES] = { 0 }, again[VHD_FOOTER_BYTES] = { 0 };
	struct vhd_footer f;

	(void)state;
	memcpy(b, virtual_pc, sizeof(virtual_pc));
	assert_true(vhd_footer_has_cookie(b));
	assert_true(vhd_footer_sum_ok(b));
	vhd_footer_decode(&f, b);
	assert_int_equal(f.version, 0x10000);
	assert_int_equal(f.data_offset, 512);
	assert_int_equal(f.current_size, 256 << 20);
	assert_int_equal(f.geometry.cylinders, 520);
	assert_int_equal(f.geometry.heads, 16);
	assert_int_equal(f.geometry.sectors, 63);
	assert_int_equal(f.type, VHD_DYNAMIC);
	assert_int_equal(f.checksum, 0xffffee00);
	assert_int_equal(f.uuid[0], 0x9d);
	assert_int_equal(f.saved_state, 0);
	vhd_footer_encode(&f, again);
	assert_memory_equal(b, again, sizeof(b));
	/* What is not ours stays, and counts in the checksum. */
	again[300] = 7;
	assert_false(vhd_footer_sum_ok(again));
	vhd_footer_encode(&f, again);
	assert_int_equal(again[300], 7);
	assert_true(vhd_footer_sum_ok(again));
}

static int footer_judged(void (*change)(struct vhd_footer *))
{
	uint8_t b[VHD_FOOTER_BYTES] = { 0 };
	struct vhd_footer f;
	vd_error err = { 0 };
	int r;

	memcpy(b, virtual_pc, sizeof(virtual_pc));
	vhd_footer_decode(&f, b);
	if (change)
		change(&f);
	r = vhd_footer_validate(&f, 0, 4096, &err);
	assert_int_equal(r != 0, err.message[0] != 0);
	return r;
}

static void type_9(struct vhd_footer *f) { f->type = 9; }
static void version_2(struct vhd_footer *f) { f->version = 0x20000; }
static void size_huge(struct vhd_footer *f) { f->current_size = UINT64_C(1) << 62; }
static void size_past_end(struct vhd_footer *f) { f->current_size = VHD_SIZE_MAX + 512; }
static void size_largest(struct vhd_footer *f) { f->current_size = VHD_SIZE_MAX; }
static void size_odd(struct vhd_footer *f) { f->current_size++; }
static void header_outside(struct vhd_footer *f) { f->data_offset = 4096 - 512; }
static void header_wraps(struct vhd_footer *f) { f->data_offset = UINT64_MAX - 511; }
static void header_over_copy(struct vhd_footer *f) { f->data_offset = 0; }
static void header_misaligned(struct vhd_footer *f) { f->data_offset = 513; }
static void fixed_without_header(struct vhd_footer *f) { f->type = VHD_FIXED; f->data_offset = UINT64_MAX; }

static void footer_limits(void **state)
{
	(void)state;
	assert_int_equal(footer_judged(NULL), 0);
	assert_int_equal(footer_judged(size_largest), 0);
	assert_int_equal(footer_judged(fixed_without_header), 0);
	assert_int_equal(footer_judged(type_9), -1);
	assert_int_equal(footer_judged(version_2), -1);
	assert_int_equal(footer_judged(size_huge), -1);
	assert_int_equal(footer_judged(size_past_end), -1);
	assert_int_equal(footer_judged(size_odd), -1);
	assert_int_equal(footer_judged(header_outside), -1);
	assert_int_equal(footer_judged(header_wraps), -1);
	assert_int_equal(footer_judged(header_over_copy), -1);
	assert_int_equal(footer_judged(header_misaligned), -1);
}

static struct vhd_header header_sane(void)
{
	return (struct vhd_header){ .table_offset = 1536, .version = 0x10000, .max_entries = 128, .block_bytes = 2 << 20,
	                            .locators = { { VHD_CODE('W', '2', 'r', 'u'), 512, 10, 4096 } } };
}

static void header_bytes(void **state)
{
	struct vhd_header h = header_sane(), back = { 0 };
	uint8_t b[VHD_HEADER_BYTES] = { 0 };

	(void)state;
	memcpy(h.parent_uuid, virtual_pc + 68, 16);
	memcpy(h.parent_name, "\0a\0b", 4);
	h.parent_timestamp = 5;
	vhd_header_encode(&h, b);
	assert_true(vhd_header_has_cookie(b));
	assert_true(vhd_header_sum_ok(b));
	assert_memory_equal(b + 576, "W2ru", 4);
	vhd_header_decode(&back, b);
	assert_int_equal(back.table_offset, h.table_offset);
	assert_int_equal(back.max_entries, h.max_entries);
	assert_int_equal(back.block_bytes, h.block_bytes);
	assert_int_equal(back.parent_timestamp, h.parent_timestamp);
	assert_memory_equal(back.parent_uuid, h.parent_uuid, 16);
	assert_memory_equal(back.parent_name, h.parent_name, sizeof(h.parent_name));
	for (unsigned i = 0; i < VHD_LOCATORS; i++)
		assert_int_equal(back.locators[i].code, h.locators[i].code);
	b[1000] ^= 1;
	assert_false(vhd_header_sum_ok(b));
}

static int header_judged(struct vhd_header h)
{
	return vhd_header_validate(&h, 512, 256 << 20, 8192, NULL);
}

static void header_limits(void **state)
{
	static const uint32_t bad_blocks[] = { 0, 1, 128, 511, 513, 3 << 20, UINT32_MAX };
	struct vhd_header h = header_sane();

	(void)state;
	assert_int_equal(header_judged(h), 0);
	for (size_t i = 0; i < sizeof(bad_blocks) / sizeof(*bad_blocks); i++) {
		h.block_bytes = bad_blocks[i];
		assert_int_equal(header_judged(h), -1);
	}
	h = header_sane(), h.max_entries = 127; /* too few for the disk */
	assert_int_equal(header_judged(h), -1);
	h = header_sane(), h.max_entries = UINT32_MAX;
	assert_int_equal(header_judged(h), -1);
	h = header_sane(), h.table_offset = UINT64_C(1) << 60;
	assert_int_equal(header_judged(h), -1);
	h = header_sane(), h.table_offset = UINT64_MAX - 511;
	assert_int_equal(header_judged(h), -1);
	h = header_sane(), h.table_offset = 0; /* over the footer's copy */
	assert_int_equal(header_judged(h), -1);
	h = header_sane(), h.table_offset = 1024; /* over the header */
	assert_int_equal(header_judged(h), -1);
	h = header_sane(), h.table_offset = 1537;
	assert_int_equal(header_judged(h), -1);
	h = header_sane(), h.version = 0;
	assert_int_equal(header_judged(h), -1);
	/* A table too large to be real, in a file large enough. */
	h = header_sane(), h.max_entries = VHD_BAT_MAX + 1;
	assert_int_equal(vhd_header_validate(&h, 512, 256 << 20, UINT64_C(1) << 40, NULL), -1);
}

static void geometry_is(uint64_t size, unsigned c, unsigned h, unsigned s)
{
	struct vhd_geometry g = vhd_geometry_of(size / 512);

	assert_int_equal(g.cylinders, c);
	assert_int_equal(g.heads, h);
	assert_int_equal(g.sectors, s);
}

/* Sizes and geometries of foreign images: qemu-img, Hyper-V, Virtual PC. */
static void geometry_known(void **state)
{
	(void)state;
	geometry_is(104448, 3, 4, 17);
	geometry_is(1079296, 31, 4, 17);
	geometry_is(4 << 20, 120, 4, 17);
	geometry_is(256 << 20, 520, 16, 63);
	geometry_is(VHD_SIZE_MAX, 65535, 16, 255);
	geometry_is(0, 0, 4, 17);
}

static void geometry_rounds(void **state)
{
	static const uint64_t sizes[] = {
		1, 512, 104448, 104449, 512 << 20, UINT64_C(1) << 30, UINT64_C(33822867456), UINT64_C(65535) * 16 * 255 * 512
	};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		uint64_t up = vhd_geometry_round(sizes[i]);

		assert_true(up >= sizes[i] && up - sizes[i] <= 16 * 255 * 512);
		assert_true(vhd_geometry_bytes(vhd_geometry_of(up / 512)) == up);
		assert_true(vhd_geometry_bytes(vhd_geometry_for(up)) == up);
		assert_true(vhd_geometry_round(up) == up);
	}
	/* qemu-img makes 253,952 bytes more of 1 GiB. */
	assert_true(vhd_geometry_round(UINT64_C(1) << 30) == (UINT64_C(1) << 30) + 253952);
	assert_true(vhd_geometry_round(UINT64_C(200) << 30) == UINT64_C(200) << 30);
	/* A size that cannot be expressed gets the largest geometry. */
	assert_int_equal(vhd_geometry_for(1 << 30).cylinders, 65535);
	assert_int_equal(vhd_geometry_for(1 << 30).heads, 16);
	assert_int_equal(vhd_geometry_for(1 << 30).sectors, 255);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(footer_bytes),   cmocka_unit_test(footer_limits),  cmocka_unit_test(header_bytes),
		cmocka_unit_test(header_limits),  cmocka_unit_test(geometry_known), cmocka_unit_test(geometry_rounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

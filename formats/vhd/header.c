/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The footer and the dynamic header: bytes to structs and back, and what they must hold.  Pure. */
#include "vhd.h"

#define FOOTER_SUM 64u
#define HEADER_SUM 36u
#define LOCATOR_OFF 576u
#define LOCATOR_BYTES 24u

static const char footer_cookie[] = "conectix", header_cookie[] = "cxsparse";

/* One's complement of the sum of all bytes but the checksum's own. */
uint32_t vhd_checksum(const uint8_t *b, size_t len, size_t field)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i - field < 4 ? 0 : b[i];
	return ~sum;
}

bool vhd_footer_has_cookie(const uint8_t *b)
{
	return !memcmp(b, footer_cookie, 8);
}

bool vhd_footer_sum_ok(const uint8_t *b)
{
	return vhd_checksum(b, VHD_FOOTER_BYTES, FOOTER_SUM) == be32_get(b + FOOTER_SUM);
}

void vhd_footer_decode(struct vhd_footer *f, const uint8_t b[VHD_FOOTER_BYTES])
{
	f->features = be32_get(b + 8);
	f->version = be32_get(b + 12);
	f->data_offset = be64_get(b + 16);
	f->timestamp = be32_get(b + 24);
	memcpy(f->app, b + 28, 4);
	f->app_version = be32_get(b + 32);
	memcpy(f->os, b + 36, 4);
	f->original_size = be64_get(b + 40);
	f->current_size = be64_get(b + 48);
	f->geometry = (struct vhd_geometry){ be16_get(b + 56), b[58], b[59] };
	f->type = be32_get(b + 60);
	f->checksum = be32_get(b + FOOTER_SUM);
	memcpy(f->uuid, b + 68, 16);
	f->saved_state = b[84];
}

void vhd_footer_encode(const struct vhd_footer *f, uint8_t b[VHD_FOOTER_BYTES])
{
	memcpy(b, footer_cookie, 8);
	be32_put(b + 8, f->features);
	be32_put(b + 12, f->version);
	be64_put(b + 16, f->data_offset);
	be32_put(b + 24, f->timestamp);
	memcpy(b + 28, f->app, 4);
	be32_put(b + 32, f->app_version);
	memcpy(b + 36, f->os, 4);
	be64_put(b + 40, f->original_size);
	be64_put(b + 48, f->current_size);
	be16_put(b + 56, f->geometry.cylinders);
	b[58] = f->geometry.heads;
	b[59] = f->geometry.sectors;
	be32_put(b + 60, f->type);
	memcpy(b + 68, f->uuid, 16);
	b[84] = f->saved_state;
	be32_put(b + FOOTER_SUM, vhd_checksum(b, VHD_FOOTER_BYTES, FOOTER_SUM));
}

int vhd_footer_validate(const struct vhd_footer *f, uint64_t at, uint64_t file_size, vd_error *err)
{
	if (f->version >> 16 != 1)
		return vd_fail(err, VDISK_UNSUPPORTED, at + 12, "VHD version %u.%u; only 1.0 is known", f->version >> 16,
			       f->version & 0xffff);
	if (f->type != VHD_FIXED && f->type != VHD_DYNAMIC && f->type != VHD_DIFFERENCING)
		return vd_fail(err, VDISK_UNSUPPORTED, at + 60,
			       "VHD disk type %" PRIu32 " is none of fixed (2), dynamic (3), differencing (4)", f->type);
	if (f->current_size > VHD_SIZE_MAX)
		return vd_fail(err, VDISK_CORRUPT, at + 48, "VHD current size %" PRIu64 " is past the format's end, 2040 GiB",
			       f->current_size);
	if (f->current_size % VHD_SECTOR)
		return vd_fail(err, VDISK_CORRUPT, at + 48, "VHD current size %" PRIu64 " is no whole number of sectors",
			       f->current_size);
	if (f->type == VHD_FIXED)
		return 0;
	if (f->data_offset < VHD_FOOTER_BYTES || f->data_offset % VHD_SECTOR ||
	    !vd_within(f->data_offset, VHD_HEADER_BYTES, file_size))
		return vd_fail(err, VDISK_CORRUPT, at + 16,
			       "VHD dynamic header at %#" PRIx64 " is misplaced or outside the file (%" PRIu64 " bytes)",
			       f->data_offset, file_size);
	return 0;
}

bool vhd_header_has_cookie(const uint8_t *b)
{
	return !memcmp(b, header_cookie, 8);
}

bool vhd_header_sum_ok(const uint8_t *b)
{
	return vhd_checksum(b, VHD_HEADER_BYTES, HEADER_SUM) == be32_get(b + HEADER_SUM);
}

void vhd_header_decode(struct vhd_header *h, const uint8_t b[VHD_HEADER_BYTES])
{
	h->table_offset = be64_get(b + 16);
	h->version = be32_get(b + 24);
	h->max_entries = be32_get(b + 28);
	h->block_bytes = be32_get(b + 32);
	h->checksum = be32_get(b + HEADER_SUM);
	memcpy(h->parent_uuid, b + 40, 16);
	h->parent_timestamp = be32_get(b + 56);
	memcpy(h->parent_name, b + 64, VHD_NAME_BYTES);
	for (unsigned i = 0; i < VHD_LOCATORS; i++) {
		const uint8_t *p = b + LOCATOR_OFF + i * LOCATOR_BYTES;

		h->locators[i] = (struct vhd_locator){ be32_get(p), be32_get(p + 4), be32_get(p + 8), be64_get(p + 16) };
	}
}

void vhd_header_encode(const struct vhd_header *h, uint8_t b[VHD_HEADER_BYTES])
{
	memcpy(b, header_cookie, 8);
	be64_put(b + 8, UINT64_MAX); /* "Data Offset": no further structure */
	be64_put(b + 16, h->table_offset);
	be32_put(b + 24, h->version);
	be32_put(b + 28, h->max_entries);
	be32_put(b + 32, h->block_bytes);
	memcpy(b + 40, h->parent_uuid, 16);
	be32_put(b + 56, h->parent_timestamp);
	memcpy(b + 64, h->parent_name, VHD_NAME_BYTES);
	for (unsigned i = 0; i < VHD_LOCATORS; i++) {
		uint8_t *p = b + LOCATOR_OFF + i * LOCATOR_BYTES;

		be32_put(p, h->locators[i].code);
		be32_put(p + 4, h->locators[i].space);
		be32_put(p + 8, h->locators[i].length);
		be64_put(p + 16, h->locators[i].off);
	}
	be32_put(b + HEADER_SUM, vhd_checksum(b, VHD_HEADER_BYTES, HEADER_SUM));
}

int vhd_header_validate(const struct vhd_header *h, uint64_t at, uint64_t size, uint64_t file_size, vd_error *err)
{
	uint64_t end = at + VHD_HEADER_BYTES, blocks;

	if (h->version >> 16 != 1)
		return vd_fail(err, VDISK_UNSUPPORTED, at + 24, "VHD dynamic header version %u.%u; only 1.0 is known",
			       h->version >> 16, h->version & 0xffff);
	if (h->block_bytes < VHD_SECTOR || !vd_is_pow2(h->block_bytes))
		return vd_fail(err, VDISK_CORRUPT, at + 32, "VHD block size %" PRIu32 " is no power of two of at least 512",
			       h->block_bytes);
	blocks = vd_div_up(size, h->block_bytes);
	if (h->max_entries < blocks)
		return vd_fail(err, VDISK_CORRUPT, at + 28,
			       "VHD table of %" PRIu32 " entries is too small for the disk's %" PRIu64 " blocks", h->max_entries,
			       blocks);
	if (h->table_offset < VHD_FOOTER_BYTES || h->table_offset % VHD_SECTOR ||
	    !vd_within(h->table_offset, (uint64_t)h->max_entries * 4, file_size))
		return vd_fail(err, VDISK_CORRUPT, at + 16,
			       "VHD block allocation table at %#" PRIx64 " (%" PRIu32
			       " entries) is misplaced or outside the file (%" PRIu64 " bytes)",
			       h->table_offset, h->max_entries, file_size);
	if (h->table_offset < end && h->table_offset + vhd_bat_bytes(h) > at)
		return vd_fail(err, VDISK_CORRUPT, at + 16,
			       "VHD block allocation table at %#" PRIx64 " overlaps the dynamic header at %#" PRIx64,
			       h->table_offset, at);
	if (h->max_entries > VHD_BAT_MAX)
		return vd_fail(err, VDISK_UNSUPPORTED, at + 28,
			       "VHD table of %" PRIu32 " entries; at most %" PRIu32 " are supported", h->max_entries, VHD_BAT_MAX);
	return 0;
}

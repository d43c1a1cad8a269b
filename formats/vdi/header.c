/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The header as bytes.  Pure. */
#include "vdi.h"

#include <stddef.h>

static const char text[] = "<<< Oracle VM VirtualBox Disk Image >>>\n";

/* A UUID's first three fields are integers. */
void vdi_uuid_get(uint8_t uuid[16], const uint8_t *b)
{
	static const uint8_t place[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };

	for (unsigned i = 0; i < 16; i++)
		uuid[i] = b[place[i]];
}

bool vdi_magic_ok(const uint8_t *b, size_t len)
{
	return len >= 72 && le32_get(b + 64) == VDI_MAGIC;
}

void vdi_header_decode(struct vdi_header *h, const uint8_t b[VDI_HEADER_BYTES])
{
	memset(h, 0, sizeof(*h));
	h->version = le32_get(b + 68);
	h->header_len = le32_get(b + 72);
	h->type = le32_get(b + 76);
	h->flags = le32_get(b + 80);
	memcpy(h->comment, b + 84, VDI_COMMENT);
	h->map_off = le32_get(b + 340);
	h->data_off = le32_get(b + 344);
	h->sector_bytes = le32_get(b + 360);
	h->size = le64_get(b + 368);
	h->block_bytes = le32_get(b + 376);
	h->extra_bytes = le32_get(b + 380);
	h->blocks = le32_get(b + 384);
	h->allocated = le32_get(b + VDI_ALLOCATED_AT);
	vdi_uuid_get(h->uuid, b + 392);
	vdi_uuid_get(h->modified, b + VDI_MODIFIED_AT);
	vdi_uuid_get(h->link, b + 424);
	vdi_uuid_get(h->parent_modified, b + 440);
}

void vdi_header_encode(const struct vdi_header *h, uint8_t b[VDI_HEADER_BYTES])
{
	memset(b, 0, VDI_HEADER_BYTES);
	memcpy(b, text, sizeof(text) - 1);
	le32_put(b + 64, VDI_MAGIC);
	le32_put(b + 68, h->version);
	le32_put(b + 72, h->header_len);
	le32_put(b + 76, h->type);
	le32_put(b + 80, h->flags);
	memcpy(b + 84, h->comment, VDI_COMMENT);
	le32_put(b + 340, h->map_off);
	le32_put(b + 344, h->data_off);
	le32_put(b + 360, h->sector_bytes);
	le64_put(b + 368, h->size);
	le32_put(b + 376, h->block_bytes);
	le32_put(b + 380, h->extra_bytes);
	le32_put(b + 384, h->blocks);
	le32_put(b + VDI_ALLOCATED_AT, h->allocated);
	vdi_uuid_get(b + 392, h->uuid); /* turning twice is none */
	vdi_uuid_get(b + VDI_MODIFIED_AT, h->modified);
	vdi_uuid_get(b + 424, h->link);
	vdi_uuid_get(b + 440, h->parent_modified);
	le32_put(b + 468, h->sector_bytes); /* of the logical geometry, which is left to the BIOS */
}

int vdi_header_validate(const struct vdi_header *h, uint64_t file_size, vd_error *err)
{
	uint64_t map_end = h->map_off + (uint64_t)h->blocks * 4;

	/* Versions 0 put their blocks anywhere, on no sector's boundary. */
	if (h->version != 0x10001)
		return vd_fail(err, VDISK_UNSUPPORTED, 68, "VDI version %" PRIu32 ".%" PRIu32 " is not known (1.1 is)",
		               h->version >> 16, h->version & 0xffff);
	if (h->header_len < 0x180)
		return vd_fail(err, VDISK_CORRUPT, 72, "VDI header of %" PRIu32 " bytes: 384 are the least", h->header_len);
	if (h->type < VDI_DYNAMIC || h->type > VDI_DIFFERENCING)
		return vd_fail(err, VDISK_UNSUPPORTED, 76, "VDI type %" PRIu32 " is not known", h->type);
	if (h->sector_bytes != 512)
		return vd_fail(err, VDISK_UNSUPPORTED, 360, "VDI with sectors of %" PRIu32 " bytes: only 512 are known",
		               h->sector_bytes);
	if (h->block_bytes < VDI_BLOCK_MIN || h->block_bytes > VDI_BLOCK_MAX || !vd_is_pow2(h->block_bytes))
		return vd_fail(err, VDISK_CORRUPT, 376, "VDI block size %" PRIu32 " is no power of two from 4 KiB to 256 MiB",
		               h->block_bytes);
	if (h->extra_bytes % 512 || h->extra_bytes > h->block_bytes)
		return vd_fail(err, VDISK_CORRUPT, 380, "VDI blocks have %" PRIu32 " bytes of their own", h->extra_bytes);
	if (h->blocks > VDI_BLOCKS_MAX || vd_div_up(h->size, h->block_bytes) > h->blocks)
		return vd_fail(err, VDISK_CORRUPT, 384,
		               "VDI map of %" PRIu32 " blocks is too long, or too short for a disk of %" PRIu64 " bytes", h->blocks,
		               h->size);
	if (h->allocated > h->blocks)
		return vd_fail(err, VDISK_CORRUPT, 388, "VDI has %" PRIu32 " blocks, and says that %" PRIu32 " are allocated",
		               h->blocks, h->allocated);
	if (h->map_off % 512 || h->data_off % 512 || h->map_off < 512)
		return vd_fail(err, VDISK_CORRUPT, 340, "VDI map at %#" PRIx32 " or data at %#" PRIx32 " is no whole sector",
		               h->map_off, h->data_off);
	if (h->data_off < map_end || map_end > file_size)
		return vd_fail(err, VDISK_CORRUPT, 340,
		               "VDI map of %" PRIu32 " blocks at %#" PRIx32 " reaches past the data's beginning or the file's end",
		               h->blocks, h->map_off);
	return 0;
}

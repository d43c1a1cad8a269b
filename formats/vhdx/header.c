/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The headers and region tables as bytes (specification, 2.2).  Pure. */
#include "vhdx.h"

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/uuid.h"

const uint8_t vhdx_guid_bat[16] = {
	0x2d, 0xc2, 0x77, 0x66, 0xf6, 0x23, 0x42, 0x00, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08
};
const uint8_t vhdx_guid_meta[16] = {
	0x8b, 0x7c, 0xa2, 0x06, 0x47, 0x90, 0x4b, 0x9a, 0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e
};
const uint8_t vhdx_guid_none[16];

/* A GUID's first three fields are integers. */
static void guid_turn(uint8_t to[16], const uint8_t from[16])
{
	static const uint8_t place[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };

	for (unsigned i = 0; i < 16; i++)
		to[i] = from[place[i]];
}

void vhdx_guid_get(uint8_t guid[16], const uint8_t *b)
{
	guid_turn(guid, b);
}

void vhdx_guid_put(uint8_t *b, const uint8_t guid[16])
{
	guid_turn(b, guid);
}

/* Over all of it, with zeros for the checksum itself, which stands at 4. */
static uint32_t checksum(const uint8_t *b, size_t len)
{
	static const uint8_t none[4];
	uint32_t c = vd_crc32c(0, b, 4);

	c = vd_crc32c(c, none, 4);
	return vd_crc32c(c, b + 8, len - 8);
}

/* ---------------------------------------------------------------- headers */

bool vhdx_header_decode(struct vhdx_header *h, const uint8_t b[VHDX_SECTOR])
{
	if (memcmp(b, "head", 4) || le32_get(b + 4) != checksum(b, VHDX_SECTOR))
		return false;
	h->sequence = le64_get(b + 8);
	vhdx_guid_get(h->file_guid, b + 16);
	vhdx_guid_get(h->data_guid, b + 32);
	vhdx_guid_get(h->log_guid, b + 48);
	h->log_version = le16_get(b + 64);
	h->version = le16_get(b + 66);
	h->log_len = le32_get(b + 68);
	h->log_off = le64_get(b + 72);
	return true;
}

void vhdx_header_encode(const struct vhdx_header *h, uint8_t b[VHDX_SECTOR])
{
	memset(b, 0, VHDX_SECTOR);
	memcpy(b, "head", 4);
	le64_put(b + 8, h->sequence);
	vhdx_guid_put(b + 16, h->file_guid);
	vhdx_guid_put(b + 32, h->data_guid);
	vhdx_guid_put(b + 48, h->log_guid);
	le16_put(b + 64, h->log_version);
	le16_put(b + 66, h->version);
	le32_put(b + 68, h->log_len);
	le64_put(b + 72, h->log_off);
	le32_put(b + 4, checksum(b, VHDX_SECTOR));
}

int vhdx_header_validate(const struct vhdx_header *h, unsigned i, vd_error *err)
{
	uint64_t at = VHDX_HEADER_OFF(i), end;

	if (h->version != 1)
		return vd_fail(err, VDISK_UNSUPPORTED, at + 66, "VHDX version %u is not known (1 is)", h->version);
	if (h->log_version)
		return vd_fail(err, VDISK_UNSUPPORTED, at + 64, "VHDX log version %u is not known (0 is)", h->log_version);
	if (h->log_len % VHDX_MIB || h->log_off % VHDX_MIB || (h->log_len && h->log_off < VHDX_MIB) ||
	    vd_add64(h->log_off, h->log_len, &end) || end > INT64_MAX)
		return vd_fail(err, VDISK_CORRUPT, at + 68,
		               "VHDX log of %" PRIu32 " bytes at %#" PRIx64 " is not made of whole MiB behind the first",
		               h->log_len, h->log_off);
	return 0;
}

/* ---------------------------------------------------------------- region tables */

bool vhdx_regions_intact(const uint8_t b[VHDX_TABLE_BYTES])
{
	return !memcmp(b, "regi", 4) && le32_get(b + 4) == checksum(b, VHDX_TABLE_BYTES);
}

static int region_judge(const struct vhdx_region *r, vd_error *err)
{
	bool known = !memcmp(r->guid, vhdx_guid_bat, 16) || !memcmp(r->guid, vhdx_guid_meta, 16);
	char text[VD_UUID_TEXT];
	uint64_t end;

	vd_uuid_format(text, r->guid);
	if (r->required && !known)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "VHDX region %s is required, and not known", text);
	if (r->off < VHDX_MIB || r->off % VHDX_MIB || r->len % VHDX_MIB || !r->len || vd_add64(r->off, r->len, &end) ||
	    end > INT64_MAX)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET,
		               "VHDX region %s of %" PRIu32 " bytes at %#" PRIx64 " is not made of whole MiB behind the first",
		               text, r->len, r->off);
	return 0;
}

int vhdx_regions_decode(struct vhdx_regions *r, const uint8_t b[VHDX_TABLE_BYTES], vd_error *err)
{
	uint32_t n = le32_get(b + 8);

	if (n > VHDX_TABLE_MAX)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "VHDX region table has %" PRIu32 " entries; %u is the limit", n,
		               VHDX_TABLE_MAX);
	r->v = vd_calloc(n ? n : 1, sizeof(*r->v));
	if (!r->v)
		return vd_fail_nomem(err, n * sizeof(*r->v));
	for (r->n = 0; r->n < n; r->n++) {
		struct vhdx_region *x = &r->v[r->n];
		const uint8_t *e = b + 16 + 32 * r->n;

		vhdx_guid_get(x->guid, e);
		x->off = le64_get(e + 16);
		x->len = le32_get(e + 24);
		x->required = le32_get(e + 28) & 1;
		if (region_judge(x, err))
			return -1;
	}
	return 0;
}

void vhdx_regions_encode(const struct vhdx_regions *r, uint8_t b[VHDX_TABLE_BYTES])
{
	memset(b, 0, VHDX_TABLE_BYTES);
	memcpy(b, "regi", 4);
	le32_put(b + 8, r->n);
	for (uint32_t i = 0; i < r->n; i++) {
		uint8_t *e = b + 16 + 32 * i;

		vhdx_guid_put(e, r->v[i].guid);
		le64_put(e + 16, r->v[i].off);
		le32_put(e + 24, r->v[i].len);
		le32_put(e + 28, r->v[i].required);
	}
	le32_put(b + 4, checksum(b, VHDX_TABLE_BYTES));
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where LVM2 keeps things on a device: the label in one of the first four sectors, which is followed by the physical volume's
 * header with the lists of data and metadata areas; each metadata area is a header of one sector and a ring in which the text of
 * the volume group lies, newer ones after older ones.
 */
#include "ops/lvm.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <string.h>
#include <zlib.h>

#define SECTOR 512u
#define LABEL_SECTORS 4
#define LABEL_SUM_FROM 20 /* the checksum covers the sector from there */
#define RING_HEADER 512u
#define LOCATION_IGNORED 1u
#define CRC_START 0xf597a6cfu

/* CRC-32 without its inversions, from a start of LVM's own. */
static uint32_t lvm_crc(uint32_t crc, const void *p, size_t len)
{
	return ~(uint32_t)crc32(~crc, p, (uInt)len);
}

/* 32 characters to 6-4-4-4-4-4-6, as the text has them. */
static void uuid_format(const uint8_t *raw, char out[VD_LVM_UUID])
{
	static const uint8_t groups[] = { 6, 4, 4, 4, 4, 4, 6 };
	size_t n = 0;

	for (size_t g = 0; g < sizeof(groups); g++) {
		if (g)
			out[n++] = '-';
		for (unsigned i = 0; i < groups[g]; i++, raw++)
			out[n++] = *raw >= 0x20 && *raw < 0x7f ? (char)*raw : '?';
	}
	out[n] = '\0';
}

/* Reads one list of {offset, size}, which an offset of zero ends; `at` moves behind it.  False: it leaves the sector. */
static bool areas_get(const uint8_t *sector, size_t *at, struct vd_lvm_area *v, unsigned *n)
{
	for (;; *at += 16) {
		struct vd_lvm_area a;

		if (*at + 16 > SECTOR)
			return false;
		a.off = le64_get(sector + *at);
		a.len = le64_get(sector + *at + 8);
		if (!a.off)
			break;
		if (v && *n < VD_LVM_AREAS_MAX)
			v[(*n)++] = a;
	}
	*at += 16;
	return true;
}

static int label_get(const uint8_t *s, unsigned number, struct vd_lvm_label *out, vd_error *err)
{
	uint32_t sum = le32_get(s + 16), is = lvm_crc(CRC_START, s + LABEL_SUM_FROM, SECTOR - LABEL_SUM_FROM),
		 header = le32_get(s + 20);
	size_t at;

	if (le64_get(s + 8) != number)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "LVM label in sector %u says sector %" PRIu64, number,
			       le64_get(s + 8));
	if (sum != is)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "LVM label's checksum is %08" PRIx32 ", not %08" PRIx32, is,
			       sum);
	if (header < 32 || header > SECTOR - 40)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "LVM label's header at %" PRIu32 " is outside its sector",
			       header);
	memset(out, 0, sizeof(*out));
	uuid_format(s + header, out->uuid);
	out->device_bytes = le64_get(s + header + 32);
	at = header + 40;
	if (!areas_get(s, &at, NULL, NULL) || !areas_get(s, &at, out->meta, &out->n_meta))
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "LVM label's list of areas has no end");
	return 0;
}

int vd_lvm_label_read(const struct vd_disk *d, uint64_t off, uint64_t len, struct vd_lvm_label *out, bool *found, vd_error *err)
{
	uint8_t sectors[LABEL_SECTORS * SECTOR];

	*found = false;
	if (len < sizeof(sectors))
		return 0;
	if (d->read(d->ctx, sectors, sizeof(sectors), off, err))
		return -1;
	for (unsigned i = 0; i < LABEL_SECTORS; i++) {
		const uint8_t *s = sectors + i * SECTOR;

		if (memcmp(s, "LABELONE", 8) || memcmp(s + 24, "LVM2 001", 8))
			continue;
		*found = true;
		return label_get(s, i, out, err);
	}
	return 0;
}

struct location {
	uint64_t off, len; /* in the area */
	uint32_t sum;
};

/* The header of an area; out->len 0: it holds no text. */
static int ring_get(const uint8_t *s, const struct vd_lvm_area *area, struct location *out, vd_error *err)
{
	static const char magic[16] = { ' ', 'L', 'V', 'M', '2', ' ', 'x', '[', '5', 'A', '%', 'r', '0', 'N', '*', '>' };
	uint32_t sum = le32_get(s), is = lvm_crc(CRC_START, s + 4, RING_HEADER - 4);

	memset(out, 0, sizeof(*out));
	if (memcmp(s + 4, magic, sizeof(magic)))
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "LVM metadata area at %" PRIu64 " has no header", area->off);
	if (sum != is)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET,
			       "LVM metadata area at %" PRIu64 ": checksum is %08" PRIx32 ", not %08" PRIx32, area->off, is, sum);
	if (le32_get(s + 20) != 1)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "LVM metadata area of version %" PRIu32, le32_get(s + 20));
	if (le64_get(s + 24) != area->off)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "LVM metadata area at %" PRIu64 " says it is at %" PRIu64,
			       area->off, le64_get(s + 24));
	if (!le64_get(s + 40) || le32_get(s + 60) & LOCATION_IGNORED)
		return 0;
	out->off = le64_get(s + 40);
	out->len = le64_get(s + 48);
	out->sum = le32_get(s + 56);
	if (out->off < RING_HEADER || out->off >= area->len || out->len > area->len - RING_HEADER)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET,
			       "LVM metadata at %" PRIu64 "+%" PRIu64 " is outside its area of %" PRIu64 " bytes", out->off,
			       out->len, area->len);
	if (out->len > VD_LVM_TEXT_MAX)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "LVM metadata of %" PRIu64 " bytes", out->len);
	return 0;
}

int vd_lvm_area_read(const struct vd_disk *d, uint64_t off, uint64_t len, const struct vd_lvm_area *area, char **text,
		     size_t *text_len, vd_error *err)
{
	uint8_t header[RING_HEADER];
	struct location at;
	VD_AUTO_FREE char *buf = NULL;
	uint64_t first;
	uint32_t is;

	*text = NULL;
	*text_len = 0;
	if (area->len <= RING_HEADER || !vd_within(area->off, area->len, len))
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET,
			       "LVM metadata area %" PRIu64 "+%" PRIu64 " is outside its device (%" PRIu64 " bytes)", area->off,
			       area->len, len);
	off += area->off;
	if (d->read(d->ctx, header, sizeof(header), off, err) || ring_get(header, area, &at, err))
		return -1;
	if (!at.len)
		return 0;
	buf = vd_malloc(at.len);
	if (!buf)
		return vd_fail_nomem(err, at.len);
	first = vd_min(at.len, area->len - at.off);
	if (d->read(d->ctx, buf, first, off + at.off, err) ||
	    (first < at.len && d->read(d->ctx, buf + first, at.len - first, off + RING_HEADER, err)))
		return -1;
	is = lvm_crc(CRC_START, buf, at.len);
	if (is != at.sum)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "LVM metadata's checksum is %08" PRIx32 ", not %08" PRIx32, is,
			       at.sum);
	*text = buf;
	*text_len = at.len;
	buf = NULL;
	return 0;
}

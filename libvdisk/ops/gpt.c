/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GUID partition tables, UEFI 2.10 section 5.3: the header at sector 1, its copy in the last sector, each with two checksums. */
#include "ops/partitions.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/text.h"
#include "base/uuid.h"

#include <stdio.h>
#include <zlib.h>

#define GPT_ENTRIES_BYTES_MAX (1u << 20)

struct gpt_header {
	uint32_t header_bytes, n_entries, entry_bytes, entries_crc;
	uint64_t self, entries;
	uint8_t id[16];
};

/* GUIDs are stored with their first three fields little-endian. */
static void guid_format(char text[VD_UUID_TEXT], const uint8_t *p)
{
	uint8_t u[16] = { p[3], p[2], p[1], p[0], p[5], p[4], p[7], p[6] };

	memcpy(u + 8, p + 8, 8);
	vd_uuid_format(text, u);
}

static struct gpt_header header_get(const uint8_t *p)
{
	struct gpt_header h = {
		.header_bytes = le32_get(p + 12),
		.self = le64_get(p + 24),
		.entries = le64_get(p + 72),
		.n_entries = le32_get(p + 80),
		.entry_bytes = le32_get(p + 84),
		.entries_crc = le32_get(p + 88),
	};

	memcpy(h.id, p + 56, 16);
	return h;
}

static bool header_valid(const uint8_t *sector, uint32_t sector_bytes, uint64_t lba, const struct gpt_header *h)
{
	static const uint8_t none[4];
	uLong crc;

	if (h->header_bytes < 92 || h->header_bytes > sector_bytes || h->self != lba || h->entry_bytes < 128 ||
	    h->entry_bytes % 8 || !h->n_entries || (uint64_t)h->n_entries * h->entry_bytes > GPT_ENTRIES_BYTES_MAX)
		return false;
	crc = crc32(0, sector, 16);
	crc = crc32(crc, none, 4);
	crc = crc32(crc, sector + 20, h->header_bytes - 20);
	return crc == le32_get(sector + 16);
}

static int entry_add(const struct vd_disk *d, uint32_t sector_bytes, unsigned number, const uint8_t *p,
                     struct vd_partition_list *list, vd_error *err)
{
	static const uint8_t unused[16];
	uint64_t first = le64_get(p + 32), last = le64_get(p + 40);
	struct vdisk_partition part = { .number = number, .active = le64_get(p + 48) & 4 };
	VD_AUTO_FREE char *name = NULL;
	size_t chars = 0;

	if (!memcmp(p, unused, 16))
		return 0;
	if (last < first || last >= d->size / sector_bytes)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET,
		               "partition %u (sectors %" PRIu64 " to %" PRIu64 ") is not within the disk (%" PRIu64 " bytes)",
		               number, first, last, d->size);
	part.off = first * sector_bytes;
	part.len = (last - first + 1) * sector_bytes;
	guid_format(part.type, p);
	guid_format(part.uuid, p + 16);
	while (chars < 36 && le16_get(p + 56 + 2 * chars))
		chars++;
	if (!vd_text_to_utf8("UTF-16LE", p + 56, 2 * chars, &name, NULL))
		snprintf(part.name, sizeof(part.name), "%s", name);
	vd_partition_add(list, &part);
	return 0;
}

/* One copy: *found only where header and entries are whole. */
static int copy_read(const struct vd_disk *d, uint32_t sector_bytes, uint64_t lba, struct vdisk_partition_table *t,
                     struct vd_partition_list *list, bool *signature, bool *found, vd_error *err)
{
	VD_AUTO_FREE uint8_t *sector = vd_malloc(sector_bytes), *entries = NULL;
	struct gpt_header h;
	size_t bytes;

	*signature = *found = false;
	if (!sector)
		return vd_fail_nomem(err, sector_bytes);
	if (!vd_within(lba * sector_bytes, sector_bytes, d->size))
		return 0;
	if (d->read(d->ctx, sector, sector_bytes, lba * sector_bytes, err))
		return -1;
	if (memcmp(sector, "EFI PART", 8))
		return 0;
	*signature = true;
	h = header_get(sector);
	if (!header_valid(sector, sector_bytes, lba, &h))
		return 0;
	bytes = (size_t)h.n_entries * h.entry_bytes;
	if (h.entries > d->size / sector_bytes || !vd_within(h.entries * sector_bytes, bytes, d->size))
		return 0;
	entries = vd_malloc(bytes);
	if (!entries)
		return vd_fail_nomem(err, bytes);
	if (d->read(d->ctx, entries, bytes, h.entries * sector_bytes, err))
		return -1;
	if (crc32(0, entries, (uInt)bytes) != h.entries_crc)
		return 0;
	for (unsigned i = 0; i < h.n_entries; i++)
		if (entry_add(d, sector_bytes, i + 1, entries + (size_t)i * h.entry_bytes, list, err))
			return -1;
	t->kind = VDISK_TABLE_GPT;
	t->sector_bytes = sector_bytes;
	guid_format(t->id, h.id);
	*found = true;
	return 0;
}

int vd_gpt_read(const struct vd_disk *d, uint32_t sector_bytes, bool protective, struct vdisk_partition_table *t,
                struct vd_partition_list *list, bool *found, vd_error *err)
{
	bool first, second = false;

	if (copy_read(d, sector_bytes, 1, t, list, &first, found, err) || *found)
		return *found ? 0 : -1;
	if ((first || protective) && d->size >= 2 * (uint64_t)sector_bytes) {
		if (copy_read(d, sector_bytes, d->size / sector_bytes - 1, t, list, &second, found, err))
			return -1;
		t->from_backup = *found;
	}
	if (!*found && (first || second))
		return vd_fail(err, VDISK_CORRUPT, sector_bytes,
		               "a GUID partition table is there, but neither of its two copies is whole");
	return 0;
}

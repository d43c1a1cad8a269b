/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The PC's partition table: four entries at byte 446, and a chain of extended boot records for logical partitions. */
#include "ops/partitions.h"
#include "base/bytes.h"

#include <stdio.h>

#define MBR_ENTRIES 446
#define MBR_LOGICAL_MAX 1024 /* a chain longer than that is a loop or an attack */

struct mbr_entry {
	bool active;
	uint8_t type;
	uint32_t start, sectors;
};

static struct mbr_entry entry_get(const uint8_t *sector, unsigned i)
{
	const uint8_t *p = sector + MBR_ENTRIES + 16 * i;

	return (struct mbr_entry){ .active = p[0] & 0x80, .type = p[4], .start = le32_get(p + 8), .sectors = le32_get(p + 12) };
}

static bool is_extended(uint8_t type) { return type == 0x05 || type == 0x0f || type == 0x85; }

bool vd_mbr_is_protective(const uint8_t *sector)
{
	for (unsigned i = 0; i < 4; i++)
		if (entry_get(sector, i).type == 0xee)
			return true;
	return false;
}

/* A boot sector without a table (FAT, NTFS) carries the signature too: entries whose flag byte is neither 0 nor 0x80 tell. */
static bool is_table(const uint8_t *sector)
{
	for (unsigned i = 0; i < 4; i++)
		if (sector[MBR_ENTRIES + 16 * i] & 0x7f)
			return false;
	return true;
}

static int entry_add(const struct vd_disk *d, uint32_t id, unsigned number, uint64_t start, const struct mbr_entry *e,
                     struct vd_partition_list *list, vd_error *err)
{
	struct vdisk_partition p = { .number = number, .off = start * 512, .len = (uint64_t)e->sectors * 512, .active = e->active };

	if (!vd_within(p.off, p.len, d->size))
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET,
		               "partition %u (sectors %" PRIu64 "+%" PRIu32 ") sticks out over the disk's end (%" PRIu64 " bytes)",
		               number, start, e->sectors, d->size);
	snprintf(p.type, sizeof(p.type), "0x%02x", e->type);
	snprintf(p.uuid, sizeof(p.uuid), "%08" PRIx32 "-%02x", id, number);
	vd_partition_add(list, &p);
	return 0;
}

static int logical_read(const struct vd_disk *d, uint32_t id, const struct mbr_entry *extended, struct vd_partition_list *list,
                        vd_error *err)
{
	uint64_t at = extended->start;

	for (unsigned i = 0; i < MBR_LOGICAL_MAX; i++) {
		struct mbr_entry part, next;
		uint8_t sector[512];

		if (!vd_within(at * 512, 512, d->size))
			return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET,
			               "extended boot record at sector %" PRIu64 " is outside the disk", at);
		if (d->read(d->ctx, sector, sizeof(sector), at * 512, err))
			return -1;
		if (sector[510] != 0x55 || sector[511] != 0xaa)
			return vd_fail(err, VDISK_CORRUPT, at * 512,
			               "extended boot record at sector %" PRIu64 " lacks its signature", at);
		part = entry_get(sector, 0);
		next = entry_get(sector, 1);
		if (part.sectors && part.type && entry_add(d, id, 5 + i, at + part.start, &part, list, err))
			return -1;
		if (!is_extended(next.type) || !next.sectors)
			return 0;
		at = (uint64_t)extended->start + next.start;
	}
	return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET,
	               "more than %d logical partitions: the chain of extended boot records loops", MBR_LOGICAL_MAX);
}

int vd_mbr_read(const struct vd_disk *d, const uint8_t *sector, struct vdisk_partition_table *t, struct vd_partition_list *list,
                vd_error *err)
{
	uint32_t id = le32_get(sector + 440);

	if (!is_table(sector))
		return 0;
	for (unsigned i = 0; i < 4; i++) {
		struct mbr_entry e = entry_get(sector, i);

		if (e.type && e.sectors && entry_add(d, id, 1 + i, e.start, &e, list, err))
			return -1;
	}
	for (unsigned i = 0; i < 4; i++) {
		struct mbr_entry e = entry_get(sector, i);

		if (is_extended(e.type) && e.sectors)
			if (logical_read(d, id, &e, list, err))
				return -1;
	}
	if (list->n) {
		t->kind = VDISK_TABLE_MBR;
		t->sector_bytes = 512;
		snprintf(t->id, sizeof(t->id), "%08" PRIx32, id);
	}
	return 0;
}

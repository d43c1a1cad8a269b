/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which disk a machine starts from.  What a BIOS says of it (EDD) counts where the kernel has asked; else what lies on the disks
 * does: with UEFI an EFI system partition, the mounted one first; with BIOS a boot record with a program, and with a partition that
 * such a program goes to.  Of several that are alike it is the first, as it is for the firmware.
 */
#include "boot.h"
#include "find_text.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define SECTOR 512
#define SIGNATURE_AT 440
#define PARTITIONS_AT 446
#define ESP_GPT "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
#define ESP_MBR "0xef"
#define BIOS_BOOT_GPT "21686148-6449-6e6f-744e-656564454649"

static bool first_sector(uint8_t out[SECTOR], const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool whole = fd >= 0 && pread(fd, out, SECTOR, 0) == SECTOR;

	if (fd >= 0)
		close(fd);
	return whole && out[510] == 0x55 && out[511] == 0xaa;
}

static uint32_t signature(const uint8_t s[SECTOR])
{
	const uint8_t *p = s + SIGNATURE_AT;

	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The BIOS' disks are 0x80 and on, in its order; the medium that the capture runs from may be among them. */
static struct machine_disk *bios_says(struct machine *m, const struct disk *disks, size_t n, const char *root)
{
	uint8_t sector[SECTOR];
	char text[64];

	for (unsigned device = 0x80; device < 0x90; device++) {
		uint32_t wanted;

		if (!find_text(text, sizeof(text), root, "/sys/firmware/edd/int13_dev%02x/mbr_signature", device))
			continue;
		wanted = (uint32_t)strtoul(text, NULL, 16);
		for (size_t i = 0; wanted && i < n; i++)
			if (first_sector(sector, disks[i].path) && signature(sector) == wanted)
				return &m->disks[i];
	}
	return NULL;
}

static bool partition_of(const struct machine_partition *p, const struct machine_disk *d, const char *gpt, const char *mbr)
{
	return p->disk && p->type && d->name && !strcmp(p->disk, d->name) &&
	       (!strcasecmp(p->type, gpt) || (mbr && !strcasecmp(p->type, mbr)));
}

static unsigned worth_by_uefi(const struct machine *m, const struct machine_disk *d)
{
	unsigned worth = 0;

	for (size_t i = 0; i < m->partitions_n; i++)
		if (partition_of(&m->partitions[i], d, ESP_GPT, ESP_MBR))
			worth = m->partitions[i].mount ? 2 : worth ? worth : 1;
	return worth;
}

static unsigned worth_by_bios(const struct machine *m, const struct machine_disk *d, const char *path)
{
	uint8_t sector[SECTOR];

	if (!first_sector(sector, path) || (!sector[0] && !sector[1]))
		return 0;
	for (size_t i = 0; i < 4; i++)
		if (sector[PARTITIONS_AT + 16 * i] & 0x80)
			return 2;
	for (size_t i = 0; i < m->partitions_n; i++)
		if (partition_of(&m->partitions[i], d, BIOS_BOOT_GPT, NULL))
			return 2;
	return 1;
}

void boot_note(struct machine *m, const struct disk *disks, size_t n, const char *root)
{
	bool uefi = m->firmware == MACHINE_FIRMWARE_UEFI;
	struct machine_disk *best = uefi ? NULL : bios_says(m, disks, n, root);

	for (size_t i = 0, most = 0; (!best || most) && i < n; i++) {
		unsigned worth = uefi ? worth_by_uefi(m, &m->disks[i]) : worth_by_bios(m, &m->disks[i], disks[i].path);

		if (worth > most) {
			most = worth;
			best = &m->disks[i];
		}
	}
	if (best)
		best->boot = 1;
}

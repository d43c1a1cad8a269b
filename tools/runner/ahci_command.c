/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* AHCI 1.3.1, section 4; Serial ATA 3.0, section 10.  Pure but for the guest's memory; called with and without locks. */
#include "ahci_command.h"
#include "common/numbers.h"

#include <stdlib.h>

#define HEADER_BYTES 32u
#define TABLE_PRDT   0x80u
#define ENTRY_BYTES  16u

int ahci_command_fetch(struct ahci_command *c, const struct vm *vm, uint64_t list, unsigned slot)
{
	uint8_t header[HEADER_BYTES];

	if (vm_read(vm, list + HEADER_BYTES * slot, header, sizeof(header)))
		return -1;
	uint64_t table = le64_get(header + 8) & ~(uint64_t)0x7f;
	c->n_entries = le16_get(header + 2);
	c->entries_at = table + TABLE_PRDT;
	if (vm_read(vm, table, c->fis, sizeof(c->fis)))
		return -1;
	ata_decode(&c->ata, c->fis);
	if (c->fis[0] != 0x27) { /* no register FIS: nothing that this disk knows */
		c->ata = (struct ata_command){ 0 };
		c->control = false;
		return 0;
	}
	c->control = !(c->fis[1] & 0x80);
	if (c->control)
		c->ata = (struct ata_command){ 0 };
	return 0;
}

/* The list's buffers, up to `bytes`; -1 where one is not memory.  *v is owned. */
static int buffers_get(const struct ahci_command *c, const struct vm *vm, uint32_t bytes, struct iovec **v, unsigned *n)
{
	uint32_t left = bytes;

	*n = 0;
	*v = NULL;
	if (!bytes || !c->n_entries)
		return 0;
	const uint8_t *entries = vm_ptr(vm, c->entries_at, (uint64_t)ENTRY_BYTES * c->n_entries);
	if (!entries)
		return -1;
	*v = calloc(c->n_entries, sizeof(**v));
	if (!*v)
		return -1;
	for (uint32_t i = 0; i < c->n_entries && left; i++) {
		uint8_t entry[ENTRY_BYTES];

		memcpy(entry, entries + ENTRY_BYTES * i, sizeof(entry));
		uint32_t len = (le32_get(entry + 12) & 0x3fffff) + 1;
		len = len < left ? len : left;
		void *p = vm_ptr(vm, le64_get(entry), len);
		if (!p)
			return -1;
		(*v)[(*n)++] = (struct iovec){ p, len };
		left -= len;
	}
	return 0;
}

void ahci_command_perform(const struct ahci_command *c, const struct vm *vm, struct ata_disk *d, struct ata_result *r)
{
	struct iovec *v;
	unsigned n;

	if (buffers_get(c, vm, c->ata.bytes, &v, &n))
		*r = (struct ata_result){ .status = ATA_STATUS_READY | ATA_STATUS_ERR, .error = ATA_ERROR_ABORT,
			.lba = c->ata.lba };
	else
		ata_perform(d, &c->ata, v, n, r);
	free(v);
}

void ahci_command_moved(const struct vm *vm, uint64_t list, unsigned slot, uint32_t bytes)
{
	uint8_t count[4];

	le32_put(count, bytes);
	vm_write(vm, list + HEADER_BYTES * slot + 4, count, sizeof(count));
}

static void fis_fill(struct ahci_fis *f, uint8_t type, const struct ata_result *r, uint8_t device)
{
	*f = (struct ahci_fis){ .len = 20 };
	f->bytes[0] = type;
	f->bytes[2] = r->status;
	f->bytes[3] = r->error;
	for (unsigned i = 0; i < 3; i++) {
		f->bytes[4 + i] = (uint8_t)(r->lba >> 8 * i);
		f->bytes[8 + i] = (uint8_t)(r->lba >> (24 + 8 * i));
	}
	f->bytes[7] = device;
	le16_put(f->bytes + 12, r->count);
}

void ahci_fis_registers(struct ahci_fis *f, const struct ata_result *r, uint8_t device)
{
	fis_fill(f, 0x34, r, device);
	f->at = 0x40;
	f->cause = AHCI_IS_REGISTERS;
	f->bytes[1] = 0x40; /* interrupt */
}

void ahci_fis_pio(struct ahci_fis *f, const struct ata_result *r, uint8_t device)
{
	fis_fill(f, 0x5f, r, device);
	f->at = 0x20;
	f->cause = AHCI_IS_PIO;
	f->bytes[1] = 0x60;                                   /* interrupt, to the host */
	f->bytes[2] = ATA_STATUS_READY | ATA_STATUS_DRQ;      /* when the data came; the end's status is apart */
	f->bytes[15] = r->status;
	le16_put(f->bytes + 16, (uint16_t)r->moved);
}

void ahci_fis_bits(struct ahci_fis *f, const struct ata_result *r, uint32_t done)
{
	*f = (struct ahci_fis){ .at = 0x58, .len = 8, .cause = AHCI_IS_BITS };
	f->bytes[0] = 0xa1;
	f->bytes[1] = 0x40;
	f->bytes[2] = r->status & 0x77;
	f->bytes[3] = r->error;
	le32_put(f->bytes + 4, done);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What AHCI keeps in the guest's memory: command headers, tables and lists of buffers on the way in, FISes on the way out. */
#ifndef RUNNER_AHCI_COMMAND_H
#define RUNNER_AHCI_COMMAND_H

#include "ata.h"
#include "vm.h"

/* Bits of PxIS. */
#define AHCI_IS_REGISTERS  0x00000001u
#define AHCI_IS_PIO        0x00000002u
#define AHCI_IS_BITS       0x00000008u
#define AHCI_IS_HOST_FATAL 0x20000000u
#define AHCI_IS_TASK_FILE  0x40000000u

struct ahci_command {
	struct ata_command ata;
	uint8_t fis[20];     /* copies, which the guest can change no more */
	bool control;        /* the FIS is for the device control register: no command */
	uint32_t n_entries;  /* of the buffer list */
	uint64_t entries_at;
};

/* From `slot` of the command list at `list`.  -1: it, or the table that it names, is not in memory. */
int ahci_command_fetch(struct ahci_command *c, const struct vm *vm, uint64_t list, unsigned slot);
/* Does it, into or out of the guest's buffers. */
void ahci_command_perform(const struct ahci_command *c, const struct vm *vm, struct ata_disk *d, struct ata_result *r);
/* Tells in the header how many bytes were moved. */
void ahci_command_moved(const struct vm *vm, uint64_t list, unsigned slot, uint32_t bytes);

/* A FIS to the host: where it belongs in the area of received FISes, and the bit of PxIS that goes with it. */
struct ahci_fis {
	unsigned at, len;
	uint32_t cause;
	uint8_t bytes[20];
};

void ahci_fis_registers(struct ahci_fis *f, const struct ata_result *r, uint8_t device);
void ahci_fis_pio(struct ahci_fis *f, const struct ata_result *r, uint8_t device);
/* `done`: tags of queued commands. */
void ahci_fis_bits(struct ahci_fis *f, const struct ata_result *r, uint32_t done);

#endif

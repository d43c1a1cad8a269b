/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The machine's ACPI tables, not yet at any address: whoever places them adds the address where the fixups say. */
#ifndef RUNNER_ACPI_H
#define RUNNER_ACPI_H

#include "buf.h"
#include "machine.h"

#define ACPI_RSDP_BYTES  20
#define ACPI_RSDP_RSDT   16 /* offset of the pointer in it */
#define ACPI_FIXUPS_MAX  16
#define ACPI_TABLES_MAX  8

struct acpi {
	struct buf tables;
	uint8_t rsdp[ACPI_RSDP_BYTES];      /* its pointer: offset in `tables` */
	uint32_t fixups[ACPI_FIXUPS_MAX];   /* where in `tables` stand 32-bit offsets into `tables` */
	unsigned n_fixups;
	struct {
		uint32_t off, len;              /* each needs its checksum (byte 9) made */
	} sums[ACPI_TABLES_MAX];
	unsigned n_sums;
};

int acpi_build(struct acpi *a, const struct machine *m, vdisk_error *err);
void acpi_destroy(struct acpi *a);
/* Places them in guest memory, the RSDP first.  The segment at 896 KiB, where kernels search, is memory then. */
int acpi_place(struct acpi *a, struct vm *vm, uint64_t addr, uint64_t room, vdisk_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The i440FX host bridge with its memory below 1 MiB, and the PIIX3 ISA bridge with the routing of PCI interrupts. */
#ifndef RUNNER_CHIPSET_H
#define RUNNER_CHIPSET_H

#include "machine.h"

struct chipset;

/* `rom`: the firmware whose last 128 KiB are to be seen below 1 MiB until it turns on the memory there; NULL: memory from the
   start. Borrowed until the machine is gone. */
int chipset_create(struct machine *m, void *rom, uint64_t rom_bytes, struct chipset **out, vdisk_error *err);
void chipset_destroy(struct chipset *c);
/* Interrupt routing as firmware sets it, for machines without one. */
void chipset_route_default(struct chipset *c);

#endif

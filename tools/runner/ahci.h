/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A SATA controller: AHCI 1.3.1, with an ATA disk on each of its ports. */
#ifndef RUNNER_AHCI_H
#define RUNNER_AHCI_H

#include "machine.h"

struct ahci;

/* With all of the machine's disks, whose images are borrowed.  Returns owned in *out, also when it fails half-way. */
int ahci_create(struct machine *m, unsigned slot, struct ahci **out, vdisk_error *err);
/* Lets the commands that are under way end. */
void ahci_destroy(struct ahci *a);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Kernels as ELF files with an entry for virtual machines (Xen's PVH), booted directly. */
#ifndef RUNNER_PVH_H
#define RUNNER_PVH_H

#include "kernelfile.h"
#include "machine.h"

bool pvh_is_elf(const uint8_t *bytes, size_t n);
/* Loads it with the configuration's initial RAM disk and command line, ACPI's tables, and sets up the first processor. */
int pvh_load(struct machine *m, const struct kernelfile *f, vdisk_error *err);

#endif

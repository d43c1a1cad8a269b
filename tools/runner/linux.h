/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Linux kernels, booted without firmware. */
#ifndef RUNNER_LINUX_H
#define RUNNER_LINUX_H

#include "machine.h"

/* Loads config->kernel (a bzImage, or an ELF file as pvh.h says), initrd and command line, and sets processor 0 to its entry. */
int linux_load(struct machine *m, vdisk_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A firmware's image in memory, and what the firmware is told of the machine. */
#ifndef RUNNER_FIRMWARE_H
#define RUNNER_FIRMWARE_H

#include "machine.h"

struct firmware;

/* Maps config->bios below 4 GiB.  Before the chipset, which shows its end below 1 MiB, too. */
int firmware_create(struct machine *m, struct firmware **out, vdisk_error *err);
void firmware_destroy(struct firmware *fw);
void *firmware_bytes(struct firmware *fw, uint64_t *len);
/* Fills the firmware configuration device. */
int firmware_tell(struct machine *m, vdisk_error *err);

#endif

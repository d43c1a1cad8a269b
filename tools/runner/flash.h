/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The flash memory in which UEFI firmware keeps its variables: Intel's command set on 8-bit writes. */
#ifndef RUNNER_FLASH_H
#define RUNNER_FLASH_H

#include "machine.h"

struct flash;

/* `bytes` (a multiple of 4 KiB) is borrowed and changes as the guest writes; it lies at `at`. */
int flash_create(struct machine *m, uint64_t at, uint8_t *bytes, uint64_t len, struct flash **out, vdisk_error *err);
void flash_destroy(struct flash *f);

#endif

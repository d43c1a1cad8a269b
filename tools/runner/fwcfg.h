/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The firmware configuration device: docs/specs/fw_cfg of QEMU, whose interface stock firmware expects. */
#ifndef RUNNER_FWCFG_H
#define RUNNER_FWCFG_H

#include "machine.h"

struct fwcfg;

#define FWCFG_CPUS     0x05
#define FWCFG_MAX_CPUS 0x0f

int fwcfg_create(struct machine *m, struct fwcfg **out, vdisk_error *err);
void fwcfg_destroy(struct fwcfg *f);
/* The bytes are copied.  A file's name has at most 55 bytes. */
int fwcfg_item(struct fwcfg *f, uint16_t key, const void *bytes, size_t len, vdisk_error *err);
int fwcfg_file(struct fwcfg *f, const char *name, const void *bytes, size_t len, vdisk_error *err);

#endif

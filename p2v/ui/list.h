/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The machine that this runs on, as `vdisk capture --list --json` tells it. */
#ifndef UI_LIST_H
#define UI_LIST_H

#include <machine/machine.h>

/* *m is new (machine_free()), or -1. */
int list_read(const char *program, struct machine **m, vdisk_error *err);
/* Its one line: "web1: Dell Inc. PowerEdge R210, 4 CPUs, 8 GiB, UEFI". */
void list_machine(const struct machine *m, char *out, size_t room);
/* A disk's: "sda  465.8 GiB  ATA WDC WD5003: ext4, swap". */
void list_disk(const struct machine *m, const struct machine_disk *d, char *out, size_t room);
/* Where it is to be found: "/dev/sda". */
void list_path(const struct machine_disk *d, char out[256]);
/* Disks that a capture takes when nobody says which: not CD-ROM drives, not removable ones. */
bool list_default(const struct machine_disk *d);
/* "465.8 GiB". */
void list_size(uint64_t bytes, char out[32]);

#endif

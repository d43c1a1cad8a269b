/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the machine is, from /sys and /proc below `root` ("" is the real one; tests make one up). */
#ifndef CAPTURE_FIND_H
#define CAPTURE_FIND_H

#include "machine/machine.h"

/* Firmware, processors, memory, what it calls itself. */
void find_board(struct machine *m, const char *root);
/* Its NICs; addresses that the kernel tells by calls only where root is "". */
void find_nics(struct machine *m, const char *root);

/* How a disk hangs on the machine: fills all but size and path of an entry that has its name. */
void find_disk(struct machine *m, struct machine_disk *d, const char *root);
/* Whole disks that belong to the machine (no loop, RAM, CD, network, mapped or stacked devices, none without a medium): names as in /sys/block. */
char **find_disks(const char *root, size_t *n); /* find_names_free() */

/* Where something of a disk, or of what lies over it, is mounted. */
struct find_mount {
	char disk[64];    /* sda; as transfer_name_make() makes it where it has other characters: cciss-c0d0 */
	char source[64];  /* the device that holds the file system: sda1, dm-0 */
	char *folder;
	char fs[32];
	bool writable;
	bool direct;      /* on the disk or a partition of it, with nothing in between */
};
struct find_mounts {
	struct find_mount *v;
	size_t n;
};
int find_mounts(struct find_mounts *out, const char *root, vdisk_error *err);
void find_mounts_free(struct find_mounts *m);
/* Calls fn with each disk below a block device (sda of sda1, of dm-0, of md0), itself if it is one. */
void find_bottom(const char *root, const char *device, void (*fn)(void *ctx, const char *disk), void *ctx);

#endif

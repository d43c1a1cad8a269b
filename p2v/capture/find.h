/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the machine is, from /sys and /proc below `root` ("" is the real one; tests make one up). */
#ifndef CAPTURE_FIND_H
#define CAPTURE_FIND_H

#include "machine/machine.h"
#include "transfer/transfer.h"

/* Firmware, processors, memory, what it calls itself. */
void find_board(struct machine *m, const char *root);
/* Its NICs; addresses that the kernel tells by calls only where root is "". */
void find_nics(struct machine *m, const char *root);

/* How a disk hangs on the machine: fills all but name, size and path of the entry of `kernel`, as it is called in /sys/block. */
void find_disk(struct machine *m, struct machine_disk *d, const char *kernel, const char *root);
/* Whole disks that belong to the machine (no loop, RAM, CD, network, mapped or stacked devices, none without a medium; but what
   find_stack() knows, and not what that is made of): names as in /sys/block. */
char **find_disks(const char *root, size_t *n); /* find_names_free() */

/* Whether a device is a disk that others make: a multipath map, or an array of the firmware's. */
enum find_stack { FIND_PLAIN, FIND_MULTIPATH, FIND_RAID };
enum find_stack find_stack(const char *root, const char *device);
/* The one that this disk is a path or member of; FIND_PLAIN: none. */
enum find_stack find_member_of(char out[64], const char *root, const char *disk);
/* What a capture calls the disk: as /sys/block does, a map by its own name; without other characters than names may have. */
void find_disk_name(char out[TRANSFER_NAME_MAX + 1], const char *root, const char *kernel);
/* And back; false: there is none. */
bool find_disk_kernel(char out[64], const char *root, const char *name);
/* The device of a logical volume: dm-3. */
bool find_volume(char out[64], const char *root, const char *group, const char *name);

/* Where something of a disk, or of what lies over it, is mounted. */
struct find_mount {
	char disk[64];    /* sda; by find_disk_name() */
	char source[64];  /* the device that holds the file system: sda1, dm-0; of btrfs the one that was mounted */
	char device[64];  /* the one that lies on this disk: of btrfs perhaps another one */
	char *folder;
	char fs[32];
	bool writable;
};
struct find_mounts {
	struct find_mount *v;
	size_t n;
};
int find_mounts(struct find_mounts *out, const char *root, vdisk_error *err);
void find_mounts_free(struct find_mounts *m);
/* Calls fn with each disk below a block device (sda of sda1, of dm-0, of md0), itself if it is one; with one that others make, and
   with these. */
void find_bottom(const char *root, const char *device, void (*fn)(void *ctx, const char *disk), void *ctx);

/* Where a device begins on the whole disk that it is, or is a partition of: its name in /sys/block, and bytes.  false: something is
   in between. */
bool find_place(char disk[64], uint64_t *off, const char *root, const char *device);

#endif

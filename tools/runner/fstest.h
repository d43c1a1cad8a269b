/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of a guest's disks, read by GRUB's own readers (the program grub-fstest) from raw views of the disks. */
#ifndef RUNNER_FSTEST_H
#define RUNNER_FSTEST_H

#include "bootsource.h"

#define FSTEST_DISKS_MAX   16
#define FSTEST_DEVICES_MAX 128

struct fstest_device {
	char name[BOOT_DEVICE_MAX], uuid[64], label[64];
	bool known; /* uuid and label were looked for */
};

struct fstest {
	char disks[FSTEST_DISKS_MAX][4096]; /* raw files */
	unsigned n_disks;
	struct fstest_device devices[FSTEST_DEVICES_MAX];
	unsigned n_devices;
};

/* Looks for file systems on the raw disks, which are set already. */
int fstest_begin(struct fstest *t, vdisk_error *err);
struct boot_source fstest_source(struct fstest *t);
/* Copies a file to `fd`; at most `most` bytes. */
int fstest_copy(struct fstest *t, const char *path, int fd, uint64_t most, vdisk_error *err);

#endif

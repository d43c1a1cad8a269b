/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest's root file system through GRUB's readers: grub-mount over a file that vdisk-mount shows. */
#ifndef VDISK_FILES_QUICK_H
#define VDISK_FILES_QUICK_H

#include "args.h"
#include "shown.h"

#include <sys/types.h>

struct quick {
	struct shown disk;
	const char *mountpoint;
	dev_t before;           /* the mountpoint's, when nothing was mounted there */
	char chosen[8192];      /* the file with the root file system */
};

/* Looks for the root.  0; 1: this is nothing for GRUB's readers, err->message says why; -1: *err. */
int quick_open(struct quick *q, const struct args *a, vdisk_error *err);
/* Returns when it is mounted; 0, 1 or -1 as above.  `mountpoint` is kept. */
int quick_mount(struct quick *q, const char *mountpoint, bool allow_other, vdisk_error *err);
/* A number that changes while somebody looks at the mount; from another thread. */
unsigned long long quick_activity(const struct quick *q);
/* Waits until it was unmounted. */
void quick_wait(struct quick *q);
void quick_close(struct quick *q);

#endif

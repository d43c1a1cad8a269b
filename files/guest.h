/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest's files through libguestfs: found, unlocked and mounted in its appliance as the guest would, then shown below a folder here. */
#ifndef VDISK_FILES_GUEST_H
#define VDISK_FILES_GUEST_H

#include "args.h"

#include <guestfs.h>

struct guest {
	guestfs_h *g;
	bool rw;
	char opened[4096]; /* devices that were decrypted, each between blanks */
	char locked[256];  /* one that could not be, by our name; "": none */
	char disk[64];     /* the disk, as the appliance names it */
};

/* Starts the appliance over the disk behind `socket` (raw, NBD) and mounts what it finds.  0, or -1 with *err. */
int guest_open(struct guest *t, const struct args *a, const char *socket, bool rw, vdisk_error *err);
/* Mounts it on `mountpoint`: the kernel then waits for guest_serve(), which returns once it is unmounted. */
int guest_mount(struct guest *t, const char *mountpoint, bool allow_other, vdisk_error *err);
int guest_serve(struct guest *t, vdisk_error *err);
/* Unmounts inside, so that everything is written, and ends the appliance; -1 with *err where that fails. */
int guest_close(struct guest *t, vdisk_error *err);

#endif

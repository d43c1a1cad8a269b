/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What stands in the way of adapting a Windows and is not seen once it is mounted: ntfs-3g, mounting to write, empties the log of
   an NTFS that was not closed, and does not mount a hibernated one. */
#ifndef ADAPT_GUESTFS_WINDOWS_H
#define ADAPT_GUESTFS_WINDOWS_H

#include "guest.h"
#include "windows.h"

struct windows_barriers {
	char dynamic[300]; /* "": none */
	char unclean[400];
};

/* Of the root `device`, while nothing is mounted.  A root that is no NTFS has none.  A hibernated one is refused here already. */
int guestfs_barriers(struct guest *t, const char *device, struct windows_barriers *out, vdisk_error *err);
/* Mounts the EFI system partition of the disk with that mounted root, if it is a Windows on a GPT, over a folder of temporary
   files, since Windows gives it no place; its path, or "". */
int guestfs_esp(struct guest *t, const char *device, char *path, size_t room, vdisk_error *err);
/* Where no system was found: the refusal of what hides a Windows from libguestfs, BitLocker and dynamic disks.  0: neither is
   there. */
int guestfs_hidden(struct guest *t, const char *image, vdisk_error *err);

#endif

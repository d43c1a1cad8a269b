/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What stands in the way of adapting a Windows and is not seen once it is mounted: ntfs-3g, mounting to write, empties the log of an NTFS that was
   not closed, and does not mount a hibernated one. */
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
/* The first partition that is BitLocker's, by our name; false: there is none. */
bool guestfs_bitlocker(struct guest *t, char *name, size_t room);

#endif

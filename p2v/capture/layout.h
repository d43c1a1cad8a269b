/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What lies on a disk, for the machine's description: partitions, file systems, LVM, MD, LUKS.  It informs; what cannot be read is
   left out. */
#ifndef CAPTURE_LAYOUT_H
#define CAPTURE_LAYOUT_H

#include "disk.h"
#include "find.h"

void layout_disk(struct machine *m, struct disk *d, const struct find_mounts *mounts, const char *root);
/* Arrays of MD, which lie on several disks. */
void layout_arrays(struct machine *m, const char *root);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef CAPTURE_BOOT_H
#define CAPTURE_BOOT_H

#include "disk.h"
#include "machine/machine.h"

/* Sets `boot` of the disk that the machine starts from, if one of these is seen to be it: m's first n disks, whose firmware and
   partitions are known already.  root: see find.h. */
void boot_note(struct machine *m, const struct disk *disks, size_t n, const char *root);

#endif

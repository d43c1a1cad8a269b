/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The trees of snapshots and of images that a description holds. */
#ifndef MACHINE_SNAPSHOTS_H
#define MACHINE_SNAPSHOTS_H

#include "machine.h"

#define SNAPSHOTS_DEPTH_MAX 256 /* images over each other: libvdisk opens no longer chains */

/* Whether the trees are trees: places within the lists, nobody his own ancestor, no image and no snapshot twice. */
int snapshots_judge(const struct machine *m, vdisk_error *err);
/* What the machine has of snapshots, for those who cannot keep it: each is listed.  `disks`: their disks are kept, only the rest is
   lost. */
void snapshots_lost(const struct machine *m, bool disks, struct machine_lost_list *lost);

#endif

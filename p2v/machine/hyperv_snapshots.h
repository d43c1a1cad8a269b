/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshots of Hyper-V's virtual machines, each of which is a description of its own. */
#ifndef MACHINE_HYPERV_SNAPSHOTS_H
#define MACHINE_HYPERV_SNAPSHOTS_H

#include "machine.h"

/* Adds the snapshots that lie in the folder "Snapshots" below `folder` (machine_folder() of the machine's description).  The images
   in which they and the machine's disks are become its images. */
int hyperv_snapshots_read(struct machine *m, const char *folder, vdisk_error *err);

#endif

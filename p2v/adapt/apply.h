/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plan, carried out in the guest that libguestfs has mounted. */
#ifndef ADAPT_APPLY_H
#define ADAPT_APPLY_H

#include "plan.h"

#include <guestfs.h>

/* Refuses (VDISK_REFUSED) where a file system has too little space for the plan: each file is written beside the one whose place it
   takes.  Changes nothing. */
int apply_judge(guestfs_h *g, const struct plan *p, vdisk_error *err);
/* Does it all, in the plan's order, and syncs.  `run`: programs of the guest may be run (--regenerate).  0, or -1 with *err, when
   part of it is done: the disk is an overlay that can be thrown away. */
int apply_plan(guestfs_h *g, const struct plan *p, bool run, vdisk_error *err);

#endif

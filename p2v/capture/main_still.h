/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How what is mounted is held still for a pass, by snapshots and by freezing, and which blocks are free then. */
#ifndef CAPTURE_MAIN_STILL_H
#define CAPTURE_MAIN_STILL_H

#include "main_run.h"

/* Before the passes: what earlier captures left is removed, what is incomplete is told. */
void still_prepare(struct run *r);
/* `last`: until still_end(); otherwise only as long as it takes to see which blocks are free.  still_end() also after a failure. */
int still_begin(struct run *r, bool last, vdisk_error *err);
void still_end(struct run *r);

#endif

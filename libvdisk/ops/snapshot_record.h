/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The record of external snapshots, read; for snapshot_tree.c. */
#ifndef VD_OPS_SNAPSHOT_RECORD_H
#define VD_OPS_SNAPSHOT_RECORD_H

#include "ops/snapshot_tree.h"

/* Of the image at `image`: t->record is set; if there is one, t->recorded, and its snapshots are appended. */
int vd_snap_record_load(const char *image, struct vd_snap_tree *t, vd_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What vdisk snapshot prints: the tree, and the ranges that differ. */
#ifndef VDISK_TOOL_SNAPSHOT_SHOW_H
#define VDISK_TOOL_SNAPSHOT_SHOW_H

#include "options.h"

#include <vdisk/vdisk.h>

/* Exit statuses. */
int snapshot_list_show(const char *path, const struct vdisk_open_options *open, bool json);
/* `b` NULL: the disk as it is.  EXIT_YES: no difference. */
int snapshot_diff_show(const char *path, const struct vdisk_open_options *open, const char *a, const char *b, bool json);

#endif

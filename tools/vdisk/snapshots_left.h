/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VDISK_TOOL_SNAPSHOTS_LEFT_H
#define VDISK_TOOL_SNAPSHOTS_LEFT_H

#include "source.h"

/* One state of the disk is copied; that others stay behind is said. */
void snapshots_left_warn(const struct source_args *source, vdisk_image *src);

#endif

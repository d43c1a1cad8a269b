/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* convert --snapshots: the disk with its snapshots. */
#ifndef VDISK_TOOL_KEEP_H
#define VDISK_TOOL_KEEP_H

#include "progress.h"
#include "source.h"

/* `how`: keep, inside, layers; `machine`: the description that keeps account of the snapshots, or NULL.  The progress was begun;
   ends it.  An exit status. */
int convert_keep(const char *src, const struct source_args *source, const struct content_args *content, const char *dst,
                 const char *how, const char *machine, const struct vdisk_convert_options *o, struct progress *progress, bool json);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A disk as it was: a snapshot of it, or what its parent holds. */
#ifndef VDISK_TOOL_STATE_H
#define VDISK_TOOL_STATE_H

#include "common/ranges.h"
#include "source.h"

/* "bitmap:NAME", for state_changes(): what that bitmap of img calls changed. */
#define STATE_BITMAP "bitmap:"

/* `name`: a snapshot's name or ID, internal or a layer; "parent", where no snapshot is called so: the layer below the leaf; NULL:
   the disk as it is.  0, or EXIT_TROUBLE after a message. */
int state_open(const char *path, const struct vdisk_open_options *open, const char *name, vdisk_image **img);
/* What of img differs from that state of the disk at `path`, opened as the words say; ranges_free().  `places`: where they may
   differ, which costs no reading. */
int state_changes(const char *path, const struct source_args *source, const char *name, vdisk_image *img, bool places,
                  struct ranges *changed);

#endif

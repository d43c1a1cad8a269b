/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Several trees as one: a guest's root with its other file systems where its fstab mounts them. */
#ifndef ADAPT_TREE_MOUNTS_H
#define ADAPT_TREE_MOUNTS_H

#include "tree.h"

/* Over `root`, from its folder `below` on ("/"; a btrfs subvolume: "/@").  Borrows the trees, which outlive it.  Links are followed
   through all of them; a tree that does not show links (tree_stat's `sure` is false) follows its own, as far as they go.  NULL with
   *err. */
struct tree *tree_mounts_open(struct tree *root, const char *below, vdisk_error *err);
/* What stands at `point` (absolute, without "." and "..") is that folder of `t` from now on.  0, or -1 with *err. */
int tree_mounts_add(struct tree *mounts, const char *point, struct tree *t, const char *below, vdisk_error *err);

#endif

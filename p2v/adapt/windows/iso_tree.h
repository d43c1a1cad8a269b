/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An ISO of this machine as a tree, in memory, of those of its files that are wanted. */
#ifndef ADAPT_ISO_TREE_H
#define ADAPT_ISO_TREE_H

#include "tree.h"

/* `wanted` is asked for each plain file, once, with its path from the root.  NULL with *err. */
struct tree *iso_tree_open(const char *iso, bool (*wanted)(void *to, const char *path), void *to, vdisk_error *err);

#endif

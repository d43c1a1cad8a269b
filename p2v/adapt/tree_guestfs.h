/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest that libguestfs has mounted, as a tree.  Each call of the appliance costs milliseconds under emulation, so whole folders
   are asked for and remembered, and files too: whoever changes the guest closes the tree first. */
#ifndef ADAPT_TREE_GUESTFS_H
#define ADAPT_TREE_GUESTFS_H

#include "tree.h"

#include <guestfs.h>

/* NULL with *err.  `g` must outlive it. */
struct tree *tree_guestfs_open(guestfs_h *g, vdisk_error *err);

#endif

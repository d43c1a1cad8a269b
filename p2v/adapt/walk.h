/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest's path, resolved inside the guest: for trees that have to follow symbolic links by themselves. */
#ifndef ADAPT_WALK_H
#define ADAPT_WALK_H

#include "tree.h"

#define PATH_ROOM 4096

/* What stands at a path of which no part but the last may be a link; answers as tree_ops do. */
struct walk_source {
	int (*stat)(void *ctx, const char *path, struct tree_stat *out, vdisk_error *err);
	int (*link)(void *ctx, const char *path, struct bytes *to, vdisk_error *err);
	void *ctx;
};

/* The path without links and without "." and ".."; of its last part only if `follow`.  Parts that are not there stay as they are.
   0, or -1 with *err: VDISK_CORRUPT (more than 40 links), VDISK_UNSUPPORTED (too long), VDISK_INVALID (not absolute), or what the
   source said. */
int walk_path(const struct walk_source *s, const char *path, bool follow, char out[PATH_ROOM], vdisk_error *err);
/* The same for who asks what is there: 1; 0: nothing can be (a loop of links); -1. */
int walk_find(const struct walk_source *s, const char *path, bool follow, char out[PATH_ROOM], vdisk_error *err);

#endif

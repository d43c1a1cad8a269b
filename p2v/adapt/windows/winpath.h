/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Paths of a guest that does not tell capitals from small letters. */
#ifndef ADAPT_WINPATH_H
#define ADAPT_WINPATH_H

#include "tree.h"

/* The path as the tree spells it: each part as it stands, else the one that differs in case alone.  1 with *out where it is there,
   0 with *out where it is not (what is there as it is spelled, the rest as given), -1 with *err.  *out is the caller's. */
int win_path(struct tree *t, const char *path, char **out, vdisk_error *err);

#endif

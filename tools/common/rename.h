/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names that are given once. */
#ifndef COMMON_RENAME_H
#define COMMON_RENAME_H

/* renameat() that replaces nothing: 0, or -1 with errno, EEXIST where there is something of that name. */
int rename_new(int from_dir, const char *from, int to_dir, const char *to);

#endif

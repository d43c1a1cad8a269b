/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Folders for temporary files, which are the user's alone. */
#ifndef COMMON_FOLDER_H
#define COMMON_FOLDER_H

#include <stddef.h>
#include <vdisk/vdisk.h>

#define FOLDER_LARGE 1u /* it will hold what may be too large for memory, which /tmp may be */

/* Makes one whose name begins with `name`, in $TMPDIR, else in /tmp or for large things /var/tmp.  `out` is empty where it
   fails. */
int folder_make(const char *name, unsigned flags, char *out, size_t room, vdisk_error *err);

#endif

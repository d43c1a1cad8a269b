/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Paths of the host: the folder, and the name in it. */
#ifndef VD_BASE_PATH_H
#define VD_BASE_PATH_H

#include "base/error.h"

/* Bytes of the path up to its last slash, that included; 0: it has none. */
int vd_folder_length(const char *path);
/* What follows: the file's name; inside `path`. */
const char *vd_base_name(const char *path);
/* The folder as it can be opened: "." and "/", too; returns owned, NULL without memory. */
char *vd_folder_of(const char *path);
/* Where a file lies that the one at `path` calls `name`: beside it, unless the name is absolute.  Returns owned, NULL without
   memory. */
char *vd_path_beside(const char *path, const char *name);
/* The reverse: `name` as an image at `path` calls it, relative where it lies in that folder or below; inside `name`. */
const char *vd_name_beside(const char *path, const char *name);
/* What was created, renamed and removed in the folder of `path` is durable, where its file system can say so. */
int vd_folder_sync(const char *path, vd_error *err);

#endif

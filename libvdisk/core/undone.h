/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An image that is being changed under an undo journal (io/undo.h), ".NAME.vdisk-undo" beside it: whoever opens it meanwhile is
   refused. */
#ifndef VD_CORE_UNDONE_H
#define VD_CORE_UNDONE_H

#include "io/undo.h"

/* The journal's path.  Returns owned; NULL: out of memory. */
char *vd_undo_path(const char *image);
/* VDISK_REFUSED where a change was broken off, unless VDISK_OPEN_UNDONE is among the flags.  To be asked under the image's lock. */
int vd_undone_judge(const char *image, uint32_t flags, vd_error *err);

#endif

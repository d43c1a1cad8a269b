/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk map --free: which bytes of a disk its file systems call free. */
#ifndef VDISK_TOOL_FREE_SHOW_H
#define VDISK_TOOL_FREE_SHOW_H

#include "source.h"

/* Prints them, in order; with `live` those of file systems that are not at rest, too, which are taken whole otherwise.  Exit
   status. */
int free_show(vdisk_image *img, const struct source_args *s, const struct content_args *content, bool live, bool json);

#endif

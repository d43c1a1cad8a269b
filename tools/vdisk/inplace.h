/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* convert --in-place. */
#ifndef VDISK_TOOL_INPLACE_H
#define VDISK_TOOL_INPLACE_H

#include "source.h"

/* The exit status. */
int convert_in_place(const char *path, const struct source_args *source, const char *dst, const struct vdisk_convert_options *o,
		     bool json);

#endif

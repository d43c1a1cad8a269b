/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The destination of a conversion, before it exists: what it is to be, what it will take. */
#ifndef VD_OPS_TARGET_H
#define VD_OPS_TARGET_H

#include "core/image.h"
#include "ops/walk.h"

/* Surveys src and fills in *n for the destination; refuses one that is part of the source.  *s: the survey; of a pipe there is
   none, and all is 0. */
int vd_target_new(vdisk_image *src, const char *path, const struct vdisk_convert_options *o, struct vd_new_image *n,
                  struct vd_survey *s, vd_error *err);
/* The allocation grain that an image of this format with these options has; 64 KiB where that cannot be told beforehand. */
uint32_t vd_target_grain(const char *format, const char *const *options);

#endif

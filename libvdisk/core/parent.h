/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the opening of a chain asks about the next parent; core only.  (vd_parent_judge(): core/image.h.) */
#ifndef VD_CORE_PARENT_H
#define VD_CORE_PARENT_H

#include "core/image.h"
#include "core/trust.h"

/* Finds and opens the file of a layer's parent.  *path, *format: returned owned; *format NULL: not declared. */
int vd_parent_find(const struct vd_layer *child, const struct vdisk_open_options *o, const struct vd_trust *t, struct vd_file **f,
                   char **path, char **format, vd_error *err);
/* VDISK_CORRUPT where f is one of the layers above already, VDISK_UNSUPPORTED where there are too many. */
int vd_parent_cycle_judge(const vdisk_image *img, const struct vd_file *f, const char *path, vd_error *err);
/* Where only facts are wanted, what is wrong with a parent is one of them: -1 if it is not, or out of memory. */
int vd_parent_problem_keep(const vdisk_image *img, struct vd_layer *child, vd_error *err);

#endif

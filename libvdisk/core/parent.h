/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the opening of a chain asks about the next parent; core only.  (vd_parent_judge(): core/image.h.) */
#ifndef VD_CORE_PARENT_H
#define VD_CORE_PARENT_H

#include "core/image.h"
#include "core/trust.h"

/* Finds and opens the file of the parent of the layer at `depth`: what the user says it is, else the first of the names in the
   image, from the *at-th on, that is there; *at: the name behind it, n_names where there is nothing more to try.  *path, *format:
   returned owned; *format NULL: not declared. */
int vd_parent_find(const struct vd_layer *child, unsigned depth, const struct vdisk_open_options *o, const struct vd_trust *t,
                   unsigned *at, struct vd_file **f, char **path, char **format, vd_error *err);
/* Whether `parent` has the identity that `child` expects, as far as it says. */
bool vd_parent_fits(const struct vd_layer *child, const struct vd_layer *parent);
/* How many files the user names in place of what images say. */
unsigned vd_ancestors_count(const struct vdisk_open_options *o);
/* VDISK_CORRUPT where f is one of the layers above already, VDISK_UNSUPPORTED where there are too many. */
int vd_parent_cycle_judge(const vdisk_image *img, const struct vd_file *f, const char *path, vd_error *err);
/* Where only facts are wanted, what is wrong with a parent is one of them: -1 if it is not, or out of memory. */
int vd_parent_problem_keep(const vdisk_image *img, struct vd_layer *child, vd_error *err);

#endif

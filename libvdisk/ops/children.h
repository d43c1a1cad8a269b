/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Images that others lie over: their list in the extended attribute "user.vdisk.children" (one on a line: by a name relative to
 * the image's folder what lies there or below, so that both can be moved together; else by an absolute path), the missing write
 * permission that goes with it (core/open.c refuses to write to such an image unless it is forced to), and the search for them.
 */
#ifndef VD_OPS_CHILDREN_H
#define VD_OPS_CHILDREN_H

#include "core/image.h"

#include <sys/types.h>

/* `child` is listed, and the image's files lose their write permission, as far as the file system can.  VDISK_UNSUPPORTED where the
   image is no file. */
int vd_children_protect(vdisk_image *img, const char *child, vd_error *err);
/* The list of the image at `path` gets `child`, and loses it.  When the last one goes, its owner may write to the file again.  What
   is not listed is no error, nor is a file system without attributes. */
int vd_children_add(const char *path, const char *child, vd_error *err);
int vd_children_remove(const char *path, const char *child, vd_error *err);
/* The image at `child` lies over `to` now, no more over `from` (each may be NULL, or the same): its name moves from list to list;
   only an image that has a list gets one.  What cannot be noted is told in the log: the images are right without it. */
void vd_children_move(const vdisk_image *log, const char *child, const char *from, const char *to);
/* Refuses, unless forced, what lies over the image at `path` besides `but` (NULL: nothing): it would read differently. */
int vd_children_judge(const char *path, const char *but, const struct vdisk_open_options *o, vd_error *err);
/* No list any more, and these permissions. */
int vd_children_clear(const char *path, mode_t mode, vd_error *err);

/* Paths, owned. */
struct vd_paths {
	char **v;
	size_t n, cap;
};
int vd_paths_add(struct vd_paths *p, const char *path, vd_error *err); /* once */
void vd_paths_drop(struct vd_paths *p, const char *path);
bool vd_paths_has(const struct vd_paths *p, const char *path); /* by the file that it is */
void vd_paths_free(struct vd_paths *p);

/* The images directly over the one at `path`: those of its folder whose suffix tells their format, and those listed in its
   attribute. */
int vd_children_find(const char *path, const struct vdisk_open_options *o, struct vd_paths *out, vd_error *err);
/* All that may have lain over it: the images of its folder, by their suffix, and what its list names, there or not. */
int vd_children_around(const char *path, struct vd_paths *out, vd_error *err);
/* Whether `child` lies directly over the image at `path`. */
bool vd_children_is(const char *child, const char *path, const struct vdisk_open_options *o);
/* `dirs` (may be NULL) and the folder of `path`, NULL-terminated: who names that image is allowed to.  Returns owned, in one
   piece. */
const char **vd_dirs_with(const char *const *dirs, const char *path, vd_error *err);
/* The same file of the host. */
bool vd_same_path(const char *a, const char *b);
/* `path` without links, also where its last part is not there; returns owned. */
int vd_path_real(const char *path, char **out, vd_error *err);

#endif

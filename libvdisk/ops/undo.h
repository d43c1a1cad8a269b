/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A commit under an undo journal: ".NAME.vdisk-undo" beside the ancestor (core/undone.h), locked while somebody works with it.
 *
 * It begins empty, without force.  The bytes that the commit is known to overwrite are logged first, so that few flushes are due
 * later; its first change of a file puts it in force.  It ends by being removed, or kept under another name: after the ancestor is
 * closed, whole and durable.  Whatever fails in between, the files are brought back.
 */
#ifndef VD_OPS_UNDO_H
#define VD_OPS_UNDO_H

#include "core/undone.h"
#include "ops/surgery.h"

struct vd_undo_run {
	struct vd_undo *u;
	char *journal, *image;  /* paths */
	char *keep;             /* NULL: it is removed at the end */
	bool hold;              /* no end yet, if all goes well */
	const char *const *allow_dirs; /* borrowed */
};

/* For a commit of `leaf`, of that format, into `image`. */
int vd_undo_begin(struct vd_undo_run *r, const char *image, const char *leaf, const char *format, const char *keep, vd_error *err);
/* Takes up the one that was broken off: the files are brought back first.  *leaf and its *format: returned owned. */
int vd_undo_again(struct vd_undo_run *r, const char *image, char **leaf, char **format, vd_error *err);
/* What the commit is going to overwrite. */
int vd_undo_foresee(struct vd_commit *c, vd_error *err);
/* The commit came to an end, well or not (`failed`; *err says why, and stays), and its images are closed.  Clears *r. */
int vd_undo_end(struct vd_undo_run *r, bool failed, vd_error *err);

#endif

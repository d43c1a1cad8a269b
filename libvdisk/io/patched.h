/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A host file with other bytes laid over some of its places: what a log holds, and nobody wrote where it belongs yet. */
#ifndef VD_IO_PATCHED_H
#define VD_IO_PATCHED_H

#include "io/file.h"

#define VD_PATCH_ZERO UINT64_MAX
struct vd_patch {
	uint64_t off, len; /* what is hidden, */
	uint64_t from;     /* by the bytes that stand there in the same file (never looked up in other patches); VD_PATCH_ZERO: by
	                      zeros */
};

/* Makes patches, in the order in which they were written, ascending and apart, the later hiding the earlier; at most twice as many.
   *v (owned by the caller, allocated by vd_malloc() and its kin) may become another. */
int vd_patches_settle(struct vd_patch **v, size_t *n, vd_error *err);

/* Takes inner and patches (settled), on failure too.  At least `size` bytes long; zeros past the inner file's end.  fd is -1.
   Nothing can be written to it until vd_file_patched_apply() was called. */
int vd_file_patched(struct vd_file *inner, struct vd_patch *patches, size_t n, uint64_t size, struct vd_file **out, vd_error *err);
/* Writes the patches where they belong, makes that durable, and lays nothing over the file any more.  Others may be reading. */
int vd_file_patched_apply(struct vd_file *f, vd_error *err);
/* Whether each patch lies within one of these. */
bool vd_file_patched_within(const struct vd_file *f, const struct vd_range *r, size_t n);
/* The host sees through it from now on: the caller knows that no patch lies where anybody but the file's own reads. */
void vd_file_patched_show_fd(struct vd_file *f);

#endif

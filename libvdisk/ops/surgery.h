/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the operations on chains share: flatten.c, rebase.c, commit.c. */
#ifndef VD_OPS_SURGERY_H
#define VD_OPS_SURGERY_H

#include "ops/flow.h"
#include "core/image.h"

/* A disk gone over from front to back in pieces, with progress and the cancel flag in between. */
struct vd_sweep {
	const struct vdisk_job_options *opts; /* may be NULL */
	uint64_t size, grain;
	void *ctx;
	int (*piece)(void *ctx, uint64_t off, uint64_t len, uint64_t *copied, vd_error *err);
	uint64_t copied; /* out */
};
int vd_sweep_run(struct vd_sweep *s, vd_error *err);

/* The second half of vdisk_commit(), with the images open: `top`, the leaf and what is above the ancestor, `to`, the ancestor over
   what is below it, opened by `path`.  Both keep their identity (VDISK_OPEN_KEEP_ID) and are closed by the caller, `to` first. */
struct vd_commit {
	vdisk_image *top, *to;
	const char *path;
	bool keep;              /* leave the leaf as it is */
	const struct vdisk_job_options *job;
	uint8_t *buf;           /* its own */
};
/* Where in the extent of `top` that begins which a commit writes into the ancestor; its end: nowhere. */
uint64_t vd_commit_from(const struct vd_commit *c, const struct vd_extent *x);
/* Whether the ancestor would read differently after it: not so where an earlier run was killed when only the leaf was left to be
   emptied. */
int vd_commit_pends(struct vd_commit *c, bool *pends, vd_error *err);
int vd_commit_run(struct vd_commit *c, struct vdisk_commit_report *report, vd_error *err);

/* Refuses an image that is not open for writing, whose format has no parents, or whose internal snapshots rely on the parent,
   too. */
int vd_surgery_judge(vdisk_image *img, const char *what, vd_error *err);
/* Of these the last. */
int vd_snapshots_judge(vdisk_image *img, const char *what, vd_error *err);

#endif

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

/* Refuses an image that is not open for writing, whose format has no parents, or whose internal snapshots rely on the parent, too. */
int vd_surgery_judge(vdisk_image *img, const char *what, vd_error *err);
/* Of these the last. */
int vd_snapshots_judge(vdisk_image *img, const char *what, vd_error *err);

#endif

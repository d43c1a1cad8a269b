/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk_flatten(): the parents' bytes come into the leaf, durably, and only then does the leaf forget its parent, at one stroke.
 * Killed at any moment, the chain reads the same; the next run finds less to copy.
 */
#include "ops/children.h"
#include "ops/surgery.h"
#include "ops/walk.h"

static int flatten_piece(void *ctx, uint64_t off, uint64_t len, uint64_t *copied, vd_error *err)
{
	return vd_image_pull(ctx, NULL, off, len, copied, err);
}

int vdisk_flatten(vdisk_image *img, const struct vdisk_job_options *opts, uint64_t *copied, vdisk_error *err)
{
	struct vd_sweep s = {
		.opts = opts, .size = img->top->size, .grain = img->top->alloc_grain, .ctx = img, .piece = flatten_piece
	};

	if (copied)
		*copied = 0;
	if (!img->top->parent_ref.n_names) /* an earlier run may have been killed at its very end */
		return img->claims && img->top->flags & VD_LAYER_UNSETTLED ? vd_layer_begin(img->top, err) : 0;
	if (vd_image_whole(img, err) || vd_surgery_judge(img, "it cannot be flattened", err) || vd_sweep_run(&s, err))
		return -1;
	if (copied)
		*copied = s.copied;
	if (vd_layer_set_parent(img->top, NULL, err))
		return -1;
	if (img->n_layers > 1)
		vd_children_move(img, img->top->path, img->chain[1]->path, NULL);
	return vd_image_replace_parents(img, NULL, err);
}

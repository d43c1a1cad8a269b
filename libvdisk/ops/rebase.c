/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk_rebase(): a leaf over another parent.  Where old and new parent differ, the leaf says itself what the old one says,
 * durably, and only then is the name changed, at one stroke.  Killed at any moment, the leaf reads the same; the next run finds
 * less to copy.
 */
#include "ops/children.h"
#include "ops/surgery.h"
#include "ops/walk.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/path.h"
#include "core/trust.h"
#include "io/local.h"

struct rebase {
	vdisk_image *img, *to; /* to: NULL: no parent */
};

static int rebase_piece(void *ctx, uint64_t off, uint64_t len, uint64_t *copied, vd_error *err)
{
	const struct rebase *r = ctx;

	return vd_image_pull(r->img, r->to, off, len, copied, err);
}

static int loop_judge(const vdisk_image *img, const vdisk_image *to, vd_error *err)
{
	for (unsigned i = 0; i < to->n_layers; i++)
		if (vd_layer_same_file(img->top, to->chain[i]))
			return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: would be its own ancestor, by way of %s",
			               img->path, to->path);
	if (to->n_layers >= VD_CHAIN_MAX)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: the chain of parents would be longer than %u",
		               img->path, VD_CHAIN_MAX);
	return 0;
}

/* What the image is going to name must be what opening it will follow. */
static int name_judge(const vdisk_image *img, const struct vdisk_rebase_options *o, vd_error *err)
{
	struct vd_trust t = {
		.image = img->top->path, .said = true, .format = img->top->drv->info.name, .allow_dirs = o->allow_dirs
	};
	size_t n = strlen(o->backing);
	struct vd_file *f;

	for (const char *const *map = o->parent_map; map && *map; map++)
		if (!strncmp(*map, o->backing, n) && (*map)[n] == '=')
			return 0;
	if (vd_trust_open(&t, o->backing, false, &f, NULL, err))
		return vd_fail_in(err, "%s: its parent", img->path);
	vd_file_close(f);
	return 0;
}

static int parent_describe(const struct vdisk_rebase_options *o, const vdisk_image *to, char real[PATH_MAX],
                           struct vd_new_parent *p, vd_error *err)
{
	struct stat st;

	if (!realpath(to->path, real) || stat(real, &st))
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", to->path);
	*p = (struct vd_new_parent){
		.name = o->backing,
		.format = to->top->drv->info.name,
		.layer = to->top,
		.path = real,
		.mtime = (uint64_t)st.st_mtime,
	};
	return 0;
}

/* Copies and points.  Takes r->to. */
static int rebase_run(struct rebase *r, const struct vdisk_rebase_options *o, uint64_t *copied, vd_error *err)
{
	struct vd_sweep s = {
		.opts = &o->job, .size = r->img->top->size, .grain = r->img->top->alloc_grain, .ctx = r, .piece = rebase_piece
	};
	bool unsafe = o->flags & VDISK_REBASE_UNSAFE;
	struct vd_new_parent p;
	char real[PATH_MAX];

	if ((r->to && (loop_judge(r->img, r->to, err) || parent_describe(o, r->to, real, &p, err))) ||
	    (!unsafe && vd_sweep_run(&s, err)) || vd_layer_set_parent(r->img->top, r->to ? &p : NULL, err)) {
		vdisk_close(r->to, NULL);
		return -1;
	}
	if (copied)
		*copied = s.copied;
	vd_children_move(r->img, r->img->top->path, r->img->n_layers > 1 ? r->img->chain[1]->path : NULL,
	                 r->to ? r->to->path : NULL);
	return vd_image_replace_parents(r->img, r->to, err);
}

int vdisk_rebase(vdisk_image *img, const struct vdisk_rebase_options *o, uint64_t *copied, vdisk_error *err)
{
	struct vdisk_open_options open = { .format = o->backing_format, .allow_dirs = o->allow_dirs, .parent_map = o->parent_map,
		                           .log = img->log, .log_ctx = img->log_ctx };
	struct rebase r = { .img = img };
	VD_AUTO_FREE char *path = NULL;

	if (copied)
		*copied = 0;
	if (!(o->flags & VDISK_REBASE_UNSAFE) && (vd_image_whole(img, err) || vd_surgery_judge(img, "it cannot be rebased", err)))
		return -1;
	if (!img->claims || (img->flags & VDISK_OPEN_INFO))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: not open for writing", img->path);
	if (!o->backing)
		return rebase_run(&r, o, copied, err);
	if (!o->backing_format)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: the format of the new parent '%s' must be said (-F)",
		               img->path, o->backing);
	if (vd_local_judge(o->backing, err) || name_judge(img, o, err))
		return -1;
	path = vd_path_beside(img->path, o->backing);
	if (!path)
		return vd_fail_nomem(err, strlen(o->backing));
	if (vdisk_open(path, &open, &r.to, err))
		return -1;
	return rebase_run(&r, o, copied, err);
}

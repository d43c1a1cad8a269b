/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk_commit(): which ancestor, and the images opened; what is done with them is commit_run.c's. */
#include "ops/children.h"
#include "ops/surgery.h"
#include "ops/undo.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/path.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct commit {
	const struct vdisk_commit_options *o;
	const struct vdisk_open_options *open;
	unsigned depth;         /* of the ancestor */
	char *into, *format;    /* its path and format */
	char *leaf_format;
	vdisk_image *top, *to;  /* the layers above it; it and what is below */
	struct vd_undo_run undo; /* u NULL: without a journal */
};

/* ---------------------------------------------------------------- which ancestor */

static bool is_named(const struct vd_layer *l, const char *name, const char *leaf)
{
	VD_AUTO_FREE char *beside = vd_path_beside(leaf, name);
	struct stat a, b;

	if (stat(l->path, &a))
		return false;
	return (!stat(name, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino) ||
	       (beside && !stat(beside, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino);
}

static int ancestor_find(struct commit *c, vdisk_image *img, vd_error *err)
{
	if (img->n_layers < 2)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: has no parent to commit into", img->path);
	c->depth = 1;
	while (c->o->to && c->depth < img->n_layers && !is_named(img->chain[c->depth], c->o->to, img->path))
		c->depth++;
	if (c->depth == img->n_layers)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: '%s' is none of its %u ancestors", img->path, c->o->to,
		               img->n_layers - 1);
	c->into = vd_strdup(img->chain[c->depth]->path);
	c->format = vd_strdup(img->chain[c->depth]->drv->info.name);
	c->leaf_format = vd_strdup(img->top->drv->info.name);
	return c->into && c->format && c->leaf_format ? 0 : vd_fail_nomem(err, strlen(img->path));
}

/* Looks at the whole chain first, which also judges every link of it. */
static int chain_look(struct commit *c, const char *path, vd_error *err)
{
	struct vdisk_open_options o = *c->open;
	vdisk_image *img;
	int rc;

	o.flags &= ~(uint32_t)(VDISK_OPEN_RW | VDISK_OPEN_FORCE);
	if (vdisk_open(path, &o, &img, err))
		return -1;
	rc = ancestor_find(c, img, err);
	vdisk_close(img, NULL);
	return rc;
}

/* ---------------------------------------------------------------- opening */

static int both_open(struct commit *c, const char *path, vd_error *err)
{
	bool keep = c->o->flags & VDISK_COMMIT_KEEP;
	struct vdisk_open_options to = *c->open, top = *c->open;

	to.format = c->format;
	to.options = NULL;
	to.flags |= VDISK_OPEN_RW | VDISK_OPEN_KEEP_ID;
	top.flags |= keep ? 0 : VDISK_OPEN_RW | VDISK_OPEN_KEEP_ID;
	if ((c->undo.u ? vd_image_open_undo(c->into, &to, c->undo.u, &c->to, err) : vdisk_open(c->into, &to, &c->to, err)) ||
	    vd_image_open_part(path, &top, c->depth, &c->top, err))
		return -1;
	if (vd_parent_judge(c->top, c->top->chain[c->depth - 1], c->to->top, err))
		return -1;
	return keep ? vd_snapshots_judge(c->top, "it cannot be committed", err)
	            : vd_surgery_judge(c->top, "it cannot be committed", err);
}

/* What lies between reads differently afterwards: it may be nobody else's ground, and nothing that is to be kept. */
static int between_judge(const struct commit *c, vd_error *err)
{
	for (unsigned i = 1; i < c->depth && !(c->open->flags & VDISK_OPEN_FORCE); i++) {
		const struct vd_layer *l = c->top->chain[i];

		if (vd_protection_judge(l->files[0], l->path, c->open->flags, err) ||
		    vd_children_judge(l->path, c->top->chain[i - 1]->path, c->open, err))
			return -1;
	}
	return 0;
}

static int commit_run(struct commit *c, const char *path, struct vdisk_commit_report *report, vd_error *err)
{
	struct vd_commit run = { .path = c->into, .keep = c->o->flags & VDISK_COMMIT_KEEP, .job = &c->o->job };
	vd_error why = { 0 };
	bool pends;

	if (both_open(c, path, err) || between_judge(c, err))
		return -1;
	run.top = c->top;
	run.to = c->to;
	if (!(c->open->flags & VDISK_OPEN_FORCE) && vd_children_judge(c->into, c->top->chain[c->depth - 1]->path, c->open, &why)) {
		if (vd_commit_pends(&run, &pends, err))
			return -1;
		if (pends) {
			if (err)
				*err = why;
			return -1;
		}
	}
	if (c->undo.u && vd_undo_foresee(&run, err))
		return -1;
	return vd_commit_run(&run, report, err);
}

/* Closes both, the ancestor first: nothing of the leaf is newer than it.  The first error is told. */
static int commit_end(struct commit *c, int rc, vd_error *err)
{
	rc = vdisk_close(c->to, rc ? NULL : err) || rc ? -1 : 0;
	rc = vdisk_close(c->top, rc ? NULL : err) || rc ? -1 : 0;
	if (c->undo.u)
		rc = vd_undo_end(&c->undo, rc, err);
	vd_free(c->into);
	vd_free(c->format);
	vd_free(c->leaf_format);
	return rc;
}

static int undo_judge(const struct commit *c, const char *path, vd_error *err)
{
	if (!(c->o->flags & VDISK_COMMIT_UNDO))
		return c->o->keep_undo || c->o->flags & VDISK_COMMIT_HOLD
		               ? vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: without an undo journal there is none to keep",
		                         path)
		               : 0;
	if (c->o->keep_undo && c->o->flags & VDISK_COMMIT_HOLD)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "%s: an undo journal that stays in force cannot be kept elsewhere", path);
	if (!(c->o->flags & VDISK_COMMIT_KEEP))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: a commit that can be undone leaves the layer as it is",
		               path);
	return 0;
}

int vdisk_commit(const char *path, const struct vdisk_commit_options *o, struct vdisk_commit_report *report, vdisk_error *err)
{
	static const struct vdisk_open_options none;
	struct vdisk_commit_report r = { 0 };
	struct commit c = { .o = o, .open = o->open ? o->open : &none };
	int rc;

	if (c.open->flags & (VDISK_OPEN_SALVAGE | VDISK_OPEN_NO_PARENT | VDISK_OPEN_INFO | VDISK_OPEN_CHECK | VDISK_OPEN_STREAM))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: a commit wants images that are whole", path);
	if (undo_judge(&c, path, err))
		return -1;
	rc = chain_look(&c, path, err) ? -1 : 0;
	if (!rc && o->flags & VDISK_COMMIT_UNDO) {
		c.undo.allow_dirs = c.open->allow_dirs;
		c.undo.hold = o->flags & VDISK_COMMIT_HOLD;
		rc = vd_undo_begin(&c.undo, c.into, path, c.leaf_format, o->keep_undo, err);
	}
	if (!rc)
		rc = commit_run(&c, path, &r, err);
	rc = commit_end(&c, rc, err);
	if (report)
		*report = r;
	return rc;
}

int vdisk_commit_resume(const char *path, const struct vdisk_commit_options *o, struct vdisk_commit_report *report,
                        vdisk_error *err)
{
	const struct vdisk_commit_options as = { .flags = VDISK_COMMIT_KEEP | VDISK_COMMIT_UNDO, .job = o->job };
	struct vdisk_open_options open = o->open ? *o->open : (struct vdisk_open_options){ 0 };
	struct commit c = { .o = &as, .open = &open };
	struct vdisk_commit_report r = { 0 };
	VD_AUTO_FREE char *leaf = NULL, *format = NULL;
	int rc;

	open.flags |= VDISK_OPEN_UNDONE;
	c.undo.allow_dirs = open.allow_dirs;
	c.undo.hold = o->flags & VDISK_COMMIT_HOLD;
	if (vd_undo_again(&c.undo, path, &leaf, &format, err))
		return -1;
	open.format = format;
	rc = chain_look(&c, leaf, err) || commit_run(&c, leaf, &r, err) ? -1 : 0;
	rc = commit_end(&c, rc, err);
	if (report)
		*report = r;
	return rc;
}

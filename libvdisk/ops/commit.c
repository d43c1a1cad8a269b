/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk_commit(): what the layers above an ancestor say goes into the ancestor; then the leaf lies over it, and is emptied.
 *
 * At each moment the leaf reads the same, because
 *  - the ancestor is changed only where a layer above it hides it, to what that layer says, and keeps the identity that the child checks;
 *  - it is durable, all of it, before anything of the leaf goes;
 *  - where there were layers in between, the leaf is pointed at the ancestor (the same content, now) before it is emptied, since they
 *    would show through;
 *  - what goes from the leaf is shown by the ancestor with the same bytes.
 * So the next run, whatever the last one came to, begins anew and finishes.
 */
#include "ops/children.h"
#include "ops/surgery.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define COMMIT_BATCH 32
#define COMMIT_BUFFER (1u << 20)

struct commit {
	const struct vdisk_commit_options *o;
	const struct vdisk_open_options *open;
	unsigned depth;         /* of the ancestor */
	char *into, *format;    /* its path and format */
	uint64_t below;         /* size of the largest layer under it */
	vdisk_image *top, *to;  /* the layers above it; it and what is below */
	uint8_t *buf;
};

/* ---------------------------------------------------------------- which ancestor */

static bool is_named(const struct vd_layer *l, const char *name, const char *leaf)
{
	const char *slash = strrchr(leaf, '/');
	VD_AUTO_FREE char *beside = slash ? vd_asprintf("%.*s/%s", (int)(slash - leaf), leaf, name) : NULL;
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
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: '%s' is none of its %u ancestors", img->path, c->o->to, img->n_layers - 1);
	for (unsigned i = c->depth + 1; i < img->n_layers; i++)
		c->below = vd_max(c->below, img->chain[i]->size);
	c->into = vd_strdup(img->chain[c->depth]->path);
	c->format = vd_strdup(img->chain[c->depth]->drv->info.name);
	return c->into && c->format ? 0 : vd_fail_nomem(err, strlen(img->path));
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
	if (vdisk_open(c->into, &to, &c->to, err) || vd_image_open_part(path, &top, c->depth, &c->top, err))
		return -1;
	if (vd_parent_judge(c->top, c->top->chain[c->depth - 1], c->to->top, err))
		return -1;
	return keep ? vd_snapshots_judge(c->top, "it cannot be committed", err) : vd_surgery_judge(c->top, "it cannot be committed", err);
}

/* ---------------------------------------------------------------- the bytes */

static int ancestor_grow(struct commit *c, vd_error *err)
{
	uint64_t size = vdisk_size(c->top), old = vdisk_size(c->to);

	if (size <= old)
		return 0;
	/* A kill between growing and zeroing would let the longer one show through. */
	if (c->below > old)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "%s: has to grow from %" PRIu64 " to %" PRIu64 " bytes, but lies over a longer image: resize it first", c->into, old, size);
	return vdisk_resize(c->to, size, 0, err) || vdisk_flush(c->to, err) ? -1 : 0;
}

static int data_copy(struct commit *c, const struct vd_extent *x, vd_error *err)
{
	for (uint64_t at = x->off; at < x->off + x->len;) {
		size_t n = vd_min(COMMIT_BUFFER, x->off + x->len - at);

		if (vd_image_read_extent(c->top, x, at, c->buf, n, err) || vdisk_pwrite(c->to, c->buf, n, at, err))
			return -1;
		at += n;
	}
	return 0;
}

static int extent_copy(struct commit *c, const struct vd_extent *x, uint64_t *copied, vd_error *err)
{
	uint64_t off = x->off, end = x->off + x->len;

	/* What the last of the layers leaves to the ancestor stays.  Past the end of a layer in between there are zeros, whatever lies below. */
	if (x->kind == VD_ABSENT && x->depth == c->depth - 1)
		off = vd_max(off, c->top->chain[c->depth - 1]->size);
	if (off >= end)
		return 0;
	*copied += end - off;
	return x->kind == VD_DATA ? data_copy(c, x, err) : vdisk_zero(c->to, off, end - off, err);
}

static int commit_piece(void *ctx, uint64_t off, uint64_t len, uint64_t *copied, vd_error *err)
{
	struct commit *c = ctx;
	struct vd_extent buf[COMMIT_BATCH];
	uint64_t end = off + len;

	while (off < end) {
		struct vd_extents e;

		vd_extents_init(&e, buf, COMMIT_BATCH, off, end - off);
		if (vd_image_map(c->top, off, end - off, 0, &e, err))
			return -1;
		for (size_t i = 0; i < e.n; i++)
			if (extent_copy(c, &e.v[i], copied, err))
				return -1;
		off = e.next;
	}
	return 0;
}

/* ---------------------------------------------------------------- the leaf, afterwards */

/* The ancestor's name as the leaf will have it: relative where it lies in the leaf's folder or below. */
static const char *name_for(const char *leaf, const char *into, const char *real)
{
	const char *slash = strrchr(leaf, '/');
	size_t n = slash ? (size_t)(slash + 1 - leaf) : 0;

	if (into[0] == '/' && !n)
		return real;
	return strncmp(leaf, into, n) ? real : into + n;
}

static int leaf_repoint(struct commit *c, vd_error *err)
{
	char real[PATH_MAX];
	struct stat st;
	struct vd_new_parent p = { .format = c->format, .layer = c->to->top, .path = real };

	if (c->depth == 1)
		return 0;
	if (!realpath(c->into, real) || stat(real, &st))
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", c->into);
	p.name = name_for(c->top->path, c->into, real);
	p.mtime = (uint64_t)st.st_mtime;
	if (vd_layer_set_parent(c->top->top, &p, err))
		return -1;
	vd_children_move(c->top, c->top->path, c->top->chain[1]->path, c->into);
	return 0;
}

static int leaf_empty(struct commit *c, vd_error *err)
{
	struct vd_layer *l = c->top->top;

	if (vd_layer_begin(l, err) || vd_layer_unmap(l, 0, l->size, VD_ABSENT, err))
		return -1;
	return vd_layer_flush(l, err);
}

static int commit_run(struct commit *c, const char *path, struct vdisk_commit_report *report, vd_error *err)
{
	struct vd_sweep s = { .opts = &c->o->job, .ctx = c, .piece = commit_piece };

	if (chain_look(c, path, err) || both_open(c, path, err))
		return -1;
	if (!(c->open->flags & VDISK_OPEN_FORCE) && vd_children_judge(c->into, c->top->chain[c->depth - 1]->path, c->open, err))
		return -1;
	if (ancestor_grow(c, err))
		return -1;
	s.size = vdisk_size(c->top);
	s.grain = c->to->top->alloc_grain;
	c->buf = vd_malloc(COMMIT_BUFFER);
	if (!c->buf)
		return vd_fail_nomem(err, COMMIT_BUFFER);
	if (vd_sweep_run(&s, err) || vdisk_flush(c->to, err))
		return -1;
	report->copied = s.copied;
	report->depth = c->depth;
	if (c->o->flags & VDISK_COMMIT_KEEP)
		return 0;
	report->emptied = true;
	return leaf_repoint(c, err) || leaf_empty(c, err) ? -1 : 0;
}

int vdisk_commit(const char *path, const struct vdisk_commit_options *o, struct vdisk_commit_report *report, vdisk_error *err)
{
	static const struct vdisk_open_options none;
	struct vdisk_commit_report r = { 0 };
	struct commit c = { .o = o, .open = o->open ? o->open : &none };
	int rc;

	if (c.open->flags & (VDISK_OPEN_SALVAGE | VDISK_OPEN_NO_PARENT | VDISK_OPEN_INFO | VDISK_OPEN_CHECK | VDISK_OPEN_STREAM))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: a commit wants images that are whole", path);
	rc = commit_run(&c, path, &r, err);
	/* The first error is told; both are closed in any case, the ancestor first: nothing of the leaf is newer than it. */
	rc = vdisk_close(c.to, rc ? NULL : err) || rc ? -1 : 0;
	rc = vdisk_close(c.top, rc ? NULL : err) || rc ? -1 : 0;
	vd_free(c.into);
	vd_free(c.format);
	vd_free(c.buf);
	if (report)
		*report = r;
	return rc;
}

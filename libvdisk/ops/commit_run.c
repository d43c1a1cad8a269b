/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A commit: what the layers above an ancestor say goes into the ancestor; then the leaf lies over it, and is emptied.
 *
 * At each moment the leaf reads the same, because
 *  - the ancestor is changed only where a layer above it hides it, to what that layer says, and keeps the identity that the child
 *    checks;
 *  - it is durable, all of it, before anything of the leaf goes;
 *  - where there were layers in between, the leaf is pointed at the ancestor (the same content, now) before it is emptied, since
 *    they would show through;
 *  - what goes from the leaf is shown by the ancestor with the same bytes.
 * So the next run, whatever the last one came to, begins anew and finishes.
 */
#include "ops/children.h"
#include "ops/surgery.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/path.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define COMMIT_BATCH 32
#define COMMIT_BUFFER (1u << 20)

/* ---------------------------------------------------------------- the bytes */

static int ancestor_grow(struct vd_commit *c, vd_error *err)
{
	uint64_t size = vdisk_size(c->top), old = vdisk_size(c->to), below = 0;

	if (size <= old)
		return 0;
	/* A kill between growing and zeroing would let the longer one show through. */
	for (unsigned i = 1; i < c->to->n_layers; i++)
		below = vd_max(below, c->to->chain[i]->size);
	if (below > old)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "%s: has to grow from %" PRIu64 " to %" PRIu64
		               " bytes, but lies over a longer image: resize it first",
		               c->path, old, size);
	return vdisk_resize(c->to, size, 0, err) || vdisk_flush(c->to, err) ? -1 : 0;
}

static int data_copy(struct vd_commit *c, const struct vd_extent *x, vd_error *err)
{
	for (uint64_t at = x->off; at < x->off + x->len;) {
		size_t n = vd_min(COMMIT_BUFFER, x->off + x->len - at);

		if (vd_image_read_extent(c->top, x, at, c->buf, n, err) || vdisk_pwrite(c->to, c->buf, n, at, err))
			return -1;
		at += n;
	}
	return 0;
}

uint64_t vd_commit_from(const struct vd_commit *c, const struct vd_extent *x)
{
	/* What the last of the layers leaves to the ancestor stays.  Past the end of a layer in between there are zeros, whatever
	   lies below. */
	return x->kind == VD_ABSENT && x->depth == c->top->n_layers - 1
	               ? vd_max(x->off, vd_min(x->off + x->len, c->top->chain[x->depth]->size))
	               : x->off;
}

static int extent_copy(struct vd_commit *c, const struct vd_extent *x, uint64_t *copied, vd_error *err)
{
	uint64_t off = vd_commit_from(c, x), end = x->off + x->len;

	if (off >= end)
		return 0;
	*copied += end - off;
	return x->kind == VD_DATA ? data_copy(c, x, err) : vdisk_zero(c->to, off, end - off, err);
}

static int commit_piece(void *ctx, uint64_t off, uint64_t len, uint64_t *copied, vd_error *err)
{
	struct vd_commit *c = ctx;
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

/* ---------------------------------------------------------------- whether there is anything to do */

/* The part of x that a commit would write is another there by now. */
static int extent_pends(struct vd_commit *c, const struct vd_extent *x, uint8_t *other, bool *pends, vd_error *err)
{
	for (uint64_t at = vd_commit_from(c, x); at < x->off + x->len && !*pends;) {
		size_t n = vd_min(COMMIT_BUFFER, x->off + x->len - at);

		if (vd_image_read_extent(c->top, x, at, c->buf, n, err) || vdisk_pread(c->to, other, n, at, err))
			return -1;
		*pends = memcmp(c->buf, other, n);
		at += n;
	}
	return 0;
}

int vd_commit_pends(struct vd_commit *c, bool *pends, vd_error *err)
{
	VD_AUTO_FREE uint8_t *buf = vd_malloc(2 * COMMIT_BUFFER);
	struct vd_extent v[COMMIT_BATCH];
	uint64_t off = 0, size = vdisk_size(c->top);
	int rc = 0;

	*pends = size > vdisk_size(c->to) || c->top->n_layers > 1;
	if (!buf)
		return vd_fail_nomem(err, 2 * COMMIT_BUFFER);
	c->buf = buf;
	while (off < size && !rc && !*pends) {
		struct vd_extents e;

		vd_extents_init(&e, v, COMMIT_BATCH, off, size - off);
		rc = vd_image_map(c->top, off, size - off, 0, &e, err);
		for (size_t i = 0; i < e.n && !rc && !*pends; i++)
			rc = extent_pends(c, &e.v[i], buf + COMMIT_BUFFER, pends, err);
		off = e.next;
	}
	c->buf = NULL;
	return rc;
}

/* ---------------------------------------------------------------- the leaf, afterwards */

/* The ancestor's name as the leaf will have it: relative where it lies in the leaf's folder or below. */
static const char *name_for(const char *leaf, const char *into, const char *real)
{
	size_t n = (size_t)vd_folder_length(leaf);

	if (into[0] == '/' && !n)
		return real;
	return strncmp(leaf, into, n) ? real : into + n;
}

static int leaf_repoint(struct vd_commit *c, vd_error *err)
{
	char real[PATH_MAX];
	struct stat st;
	struct vd_new_parent p = { .format = c->to->top->drv->info.name, .layer = c->to->top, .path = real };

	if (c->top->n_layers == 1)
		return 0;
	if (!realpath(c->path, real) || stat(real, &st))
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", c->path);
	p.name = name_for(c->top->path, c->path, real);
	p.mtime = (uint64_t)st.st_mtime;
	if (vd_layer_set_parent(c->top->top, &p, err))
		return -1;
	vd_children_move(c->top, c->top->path, c->top->chain[1]->path, c->path);
	return 0;
}

static int leaf_empty(struct vd_commit *c, vd_error *err)
{
	struct vd_layer *l = c->top->top;

	if (vd_layer_begin(l, err) || vd_layer_unmap(l, 0, l->size, VD_ABSENT, err))
		return -1;
	return vd_layer_flush(l, err);
}

int vd_commit_run(struct vd_commit *c, struct vdisk_commit_report *report, vd_error *err)
{
	struct vd_sweep s = { .opts = c->job, .ctx = c, .piece = commit_piece };
	int rc;

	if (ancestor_grow(c, err))
		return -1;
	s.size = vdisk_size(c->top);
	s.grain = c->to->top->alloc_grain;
	c->buf = vd_malloc(COMMIT_BUFFER);
	if (!c->buf)
		return vd_fail_nomem(err, COMMIT_BUFFER);
	rc = vd_sweep_run(&s, err) || vdisk_flush(c->to, err) ? -1 : 0;
	vd_free(c->buf);
	c->buf = NULL;
	if (rc)
		return -1;
	report->copied = s.copied;
	report->depth = c->top->n_layers;
	if (c->keep)
		return 0;
	report->emptied = true;
	return leaf_repoint(c, err) || leaf_empty(c, err) ? -1 : 0;
}

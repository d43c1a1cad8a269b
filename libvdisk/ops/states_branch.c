/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * States that the disk does not go on from: a snapshot's image, and what lies between it and the states that are there.  The tree
 * of snapshots names them, or the caller does.  One whose chain breaks off, or is another disk's, is told and left out: the disk is
 * whole without it.
 */
#include "ops/states.h"
#include "core/open.h"

#include <stdio.h>
#include <string.h>

/* What came of one image. */
struct branch {
	bool taken;
	bool other;                        /* another disk's, as far as one can see */
	char why[VDISK_ERROR_MESSAGE_MAX]; /* not taken: why */
};

static const char *chain_trouble(const vdisk_image *img)
{
	for (unsigned d = 0; d < img->n_layers; d++)
		if (img->chain[d]->parent_problem)
			return img->chain[d]->parent_problem;
	return NULL;
}

/* The layers of the branch that are no states yet, the lowest first. */
static int layers_take(struct vd_states *s, const struct vd_snap_tree *t, const vdisk_image *img, unsigned fresh,
		       const char *const *ancestors, vd_error *err)
{
	int parent = fresh < img->n_layers ? vd_states_find(s, img->chain[fresh]->path) : -1;
	unsigned said = 0;

	while (ancestors && ancestors[said])
		said++;
	for (unsigned d = fresh; d-- > 0;) {
		const char *const *below = ancestors ? ancestors + (d < said ? d : said) : NULL;

		if (vd_states_add_layer(s, t, img->chain[d], parent, below, err))
			return -1;
		parent = (int)s->n - 1;
	}
	return 0;
}

/* `alien`: it is the disk's own also where it shares nothing with it. */
static int branch_take(vdisk_image *leaf, struct vd_states *s, const struct vd_snap_tree *t, const struct vdisk_keep_name *x,
		       bool alien, struct branch *b, vd_error *err)
{
	struct vdisk_open_options o = *s->how->open;
	unsigned fresh = 0;
	vdisk_image *img;
	vd_error why = {0};
	int rc = 0;

	*b = (struct branch){0};
	o.format = x->format;
	o.ancestors = x->ancestors;
	o.options = NULL;
	o.log = NULL;
	o.flags = (o.flags & VDISK_OPEN_NO_LOCK) | VDISK_OPEN_INFO | VDISK_OPEN_CHAIN;
	if (vdisk_open(x->path, &o, &img, &why)) {
		snprintf(b->why, sizeof(b->why), "%s", why.message);
		return why.kind == VDISK_NOMEM ? vd_fail_nomem(err, sizeof(*img)) : 0;
	}
	while (fresh < img->n_layers && vd_states_find(s, img->chain[fresh]->path) < 0 &&
	       !vd_same_path(img->chain[fresh]->path, leaf->path))
		fresh++;
	if (fresh < img->n_layers && vd_same_path(img->chain[fresh]->path, leaf->path))
		snprintf(b->why, sizeof(b->why), fresh ? "it goes on from the disk itself" : "its image is the disk itself");
	else if (chain_trouble(img))
		snprintf(b->why, sizeof(b->why), "%s", chain_trouble(img));
	else
		b->other = fresh == img->n_layers && !alien;
	if (b->other)
		snprintf(b->why, sizeof(b->why), "it has no image of this disk");
	b->taken = !*b->why;
	if (b->taken)
		rc = layers_take(s, t, img, fresh, x->ancestors, err);
	vdisk_close(img, NULL);
	return rc;
}

static void left_out(const vdisk_image *img, const char *name, const char *why)
{
	vd_log(img, VDISK_LOG_WARNING, "%s: the snapshot '%s' is left out: %s", img->path, name, why);
}

/* The caller's names count more than what is recorded. */
static bool named(const struct vd_states *s, const char *path)
{
	for (size_t i = 0; i < s->how->n_names; i++)
		if (vd_same_path(s->how->names[i].path, path))
			return true;
	return false;
}

/* VMware's snapshots are of all disks: of their images one at most is this disk's. */
static int snapshot_take(vdisk_image *img, const struct vd_snap_tree *t, const struct vd_snap *x, struct vd_states *s,
			 vd_error *err)
{
	char why[VDISK_ERROR_MESSAGE_MAX] = "it has no image";
	struct branch b;

	for (size_t i = 0; i < x->files.n; i++) {
		int state = vd_states_find(s, x->files.v[i]);

		if (state < 0)
			continue;
		if (x->kind == VDISK_SNAPSHOT_VMWARE && !named(s, x->files.v[i]) && strcmp(s->v[state].name, x->name)) {
			snprintf(why, sizeof(why), "it has the same image as '%s', whose name it keeps", s->v[state].name);
			left_out(img, x->name, why);
		}
		return 0;
	}
	if (x->going) {
		left_out(img, x->name, "its deletion was begun, and has to be finished");
		return 0;
	}
	for (size_t i = 0; i < x->files.n; i++) {
		bool vmware = x->kind == VDISK_SNAPSHOT_VMWARE;
		const struct vdisk_keep_name what = {.path = x->files.v[i], .format = vmware ? "vmdk" : x->format};

		if (branch_take(img, s, t, &what, !vmware, &b, err))
			return -1;
		if (b.taken)
			return 0;
		if (!i || !b.other)
			snprintf(why, sizeof(why), "%s", b.why);
	}
	left_out(img, x->name ? x->name : x->id, why);
	return 0;
}

int vd_states_add_branches(vdisk_image *img, const struct vd_snap_tree *t, struct vd_states *s, vd_error *err)
{
	struct branch b;

	for (size_t i = 0; i < s->how->n_names; i++) {
		const struct vdisk_keep_name *x = &s->how->names[i];

		if (vd_states_find(s, x->path) >= 0)
			continue;
		if (branch_take(img, s, t, x, true, &b, err))
			return -1;
		if (!b.taken)
			left_out(img, x->name, b.why);
	}
	for (size_t i = 0; i < t->n; i++)
		if (snapshot_take(img, t, &t->v[i], s, err))
			return -1;
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The states of a disk that its image, the images below it and those of its snapshots hold: what a conversion can keep of them. */
#ifndef VD_OPS_STATES_H
#define VD_OPS_STATES_H

#include "core/image.h"
#include "ops/snapshot_tree.h"

struct vd_state {
	char *path, *format;     /* of the image that holds it; format NULL: as the user said for the leaf */
	char *id;                /* of the internal snapshot; NULL: the image as it is */
	char *name, *description; /* NULL: none; the last state, the disk as it is, has none */
	uint64_t date_sec, vm_clock;
	uint32_t date_nsec;
	uint64_t size;
	int parent;              /* the state that it goes on from, a place in the list; -1: none */
	const char *const *ancestors; /* borrowed; of the image, as vdisk_open_options has them */
};

/* Parents before what goes on from them: first the layers that the disk goes on from and its internal snapshots, each with the one
   before it as its parent; then what branches off; and last the disk as it is. */
struct vd_states {
	struct vd_state *v;
	size_t n, cap;
	size_t line;             /* how many of the first ones the disk goes on from */
	const struct vdisk_keep_options *how; /* borrowed; with how->open, how the leaf was opened */
};

/* Of the disk whose leaf is `img`, opened as how->open says.  Snapshots of which nothing can be kept are told in img's log. */
int vd_states_load(vdisk_image *img, const struct vdisk_keep_options *how, struct vd_states *s, vd_error *err);
void vd_states_free(struct vd_states *s);
/* The state that an image of the host's holds by itself; -1: none. */
int vd_states_find(const struct vd_states *s, const char *path);
/* A new one, all zeros but for its parent, which is none.  NULL: out of memory. */
struct vd_state *vd_states_add(struct vd_states *s, vd_error *err);
/* What the layer holds, as the last state over the state `parent`; its name is looked for in `how` and in the tree. */
int vd_states_add_layer(struct vd_states *s, const struct vd_snap_tree *t, const struct vd_layer *l, int parent,
                        const char *const *ancestors, vd_error *err);
/* states_branch.c: the states that branch off from those that are there. */
int vd_states_add_branches(vdisk_image *img, const struct vd_snap_tree *t, struct vd_states *s, vd_error *err);
/* The i-th, read-only. */
int vd_state_open(const struct vd_states *s, size_t i, vdisk_image **img, vd_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The external snapshots of a disk: what their record says (IMAGE.snapshots beside the first image that was kept), joined with the
 * chain of the leaf.  Which image lies over which is read from the images; the record has names, dates and what permissions to give
 * back.
 */
#ifndef VD_OPS_SNAPSHOT_TREE_H
#define VD_OPS_SNAPSHOT_TREE_H

#include "ops/children.h"

#define VD_SNAPSHOTS_MAX 1024

struct vd_snap {
	enum vdisk_snapshot_kind kind;
	uint64_t uid;            /* of a recorded one; 0: a layer without a name */
	char *id, *name, *description, *problem;
	struct vd_paths files;   /* [0]: the image that holds the state */
	char *format;            /* of files[0], recorded */
	uint64_t date_sec;
	uint32_t date_nsec;
	unsigned mode;           /* what files[0]'s permissions were; 0: not known */
	bool going;              /* its deletion was begun: its image may hold another state by now */
	int parent;              /* index; -1: none */
	unsigned depth;          /* in the leaf's chain; UINT_MAX: not in it */
	uint64_t size, vm_state, vm_clock;
	bool current;
};

struct vd_snap_tree {
	char *record;            /* path; owned.  Where it is, or would be */
	bool recorded;           /* there is one */
	char *vmsd;              /* a .vmsd that tells of the chain; NULL: none */
	uint64_t last_uid;
	struct vd_paths leaves;  /* recorded: in which the disk goes on; it may share no image with what is left of the snapshots */
	struct vd_snap *v;
	size_t n, cap;
};

/* Of the leaf at `path`.  `chain` is it, opened with the layers below it (facts will do). */
int vd_snap_tree_load(vdisk_image *chain, const struct vdisk_open_options *o, struct vd_snap_tree *t, vd_error *err);
void vd_snap_tree_free(struct vd_snap_tree *t);
/* Zeroed but for parent and depth, the tree's; NULL: out of memory, or too many. */
struct vd_snap *vd_snap_tree_add(struct vd_snap_tree *t, vd_error *err);
void vd_snap_tree_drop(struct vd_snap_tree *t, size_t i);
/* A recorded one by its ID or name. */
int vd_snap_tree_find(const struct vd_snap_tree *t, const char *leaf, const char *which, size_t *i, vd_error *err);
/* The recorded one whose image is `path`; -1: none. */
int vd_snap_tree_by_path(const struct vd_snap_tree *t, const char *path);
/* Writes the record anew, at one stroke; without recorded snapshots it goes. */
int vd_snap_record_save(const struct vd_snap_tree *t, vd_error *err);

/* vmsd.c: VMware's, appended.  A snapshot's disks are named relative to the file's folder. */
int vd_vmsd_load(const char *path, struct vd_snap_tree *t, vd_error *err);
/* A .vmsd in the folder of `chain` that names one of its images; *path NULL: none. */
int vd_vmsd_find(const vdisk_image *chain, char **path, vd_error *err);

#endif

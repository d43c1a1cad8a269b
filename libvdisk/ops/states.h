/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The states of a disk that its image and the images below it hold, oldest first; what a conversion can keep of its snapshots. */
#ifndef VD_OPS_STATES_H
#define VD_OPS_STATES_H

#include "core/image.h"

struct vd_state {
	char *path, *format;     /* of the image that holds it; format NULL: as the user said for the leaf */
	char *id;                /* of the internal snapshot; NULL: the image as it is */
	char *name, *description; /* NULL: none; the last state, the disk as it is, has none */
	uint64_t date_sec, vm_clock;
	uint32_t date_nsec;
	uint64_t size;
	unsigned depth;          /* of the layer in the leaf's chain */
};

struct vd_states {
	struct vd_state *v;
	size_t n, cap;
	const struct vdisk_keep_options *how; /* borrowed; with how->open, how the leaf was opened */
};

/* Of the disk whose leaf is `img`, opened as how->open says: its layers from the first one up, its internal snapshots, and itself.
   Snapshots that branch off are told in img's log, since nothing is kept of them. */
int vd_states_load(vdisk_image *img, const struct vdisk_keep_options *how, struct vd_states *s, vd_error *err);
void vd_states_free(struct vd_states *s);
/* The i-th, read-only. */
int vd_state_open(const struct vd_states *s, size_t i, vdisk_image **img, vd_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A conversion that keeps snapshots, between keep.c (what is judged), keep_layers.c and keep_inside.c (how states are stored). */
#ifndef VD_OPS_KEEP_H
#define VD_OPS_KEEP_H

#include "ops/states.h"
#include "ops/children.h"

struct vd_keep {
	const struct vdisk_convert_options *c;
	const struct vdisk_keep_options *how; /* with how->open */
	const struct vdisk_format_info *format;
	struct vd_states states;
	const char *path;
	vdisk_image *to;         /* INSIDE: the new image */
	struct vd_paths made;    /* layers that are there, as the states */
	size_t first;            /* number of the first layer, less one */
	uint64_t done, total;    /* guest bytes of the states gone through, and of all */
	struct vdisk_keep_report report;
	uint8_t *buf;            /* VD_KEEP_BUFFER */
};

#define VD_KEEP_BUFFER (1u << 20)

/* Progress over all states: for the work on one. */
struct vdisk_job_options vd_keep_job(struct vd_keep *k);
/* The caller's options for one state's image. */
struct vdisk_convert_options vd_keep_options(struct vd_keep *k);
/* "disk.vhd": "disk-s1.vhd", and so on; the last state has the name that was given.  Returns owned; NULL: out of memory. */
char *vd_keep_layer_name(const struct vd_keep *k, size_t i);

/* Calls fn for each state in turn; `before` is the one that it goes on from, NULL: none. */
int vd_keep_states(struct vd_keep *k, int (*fn)(struct vd_keep *k, size_t i, vdisk_image *before, vdisk_image *now, vd_error *err),
                   vd_error *err);

int vd_keep_layers(struct vd_keep *k, vd_error *err);
int vd_keep_inside(struct vd_keep *k, vd_error *err);

#endif

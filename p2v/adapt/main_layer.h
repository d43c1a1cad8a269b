/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The layer over an image that takes all changes, and what becomes of it. */
#ifndef ADAPT_MAIN_LAYER_H
#define ADAPT_MAIN_LAYER_H

#include "main_options.h"

struct layer {
	const char *image;
	char path[4096]; /* ".NAME.vdisk-adapt" beside the image, or --overlay's; "": none yet */
	bool keep;       /* --overlay */
};

/* Names it, and clears away what a killed run left.  0, or -1 with *err. */
int layer_name(struct layer *l, const struct adapt_args *a, const char *image, vdisk_error *err);
/* Removes it, unless it is to be kept. */
void layer_drop(struct layer *l);

/* What the layers say goes into their images, all or none; then they are gone.  `cancel` (may be NULL) as in vdisk_job_options. */
int layers_commit(struct layer *l, const struct adapt_args *a, const volatile int *cancel, vdisk_error *err);
/* --resume and --undo. */
int layers_resume(const struct adapt_args *a, const volatile int *cancel, vdisk_error *err);
int layers_undo(const struct adapt_args *a, vdisk_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The chains of images that a description's disks and snapshots are: which files they are, by what the description says, and, where
 * it says nothing, by what the images say.  That each is the one that the image over it expects is judged by whoever opens them.
 */
#ifndef MACHINE_CHAIN_H
#define MACHINE_CHAIN_H

#include "locate.h"

struct chain {
	char *path, *format; /* of the image; format NULL: by its bytes */
	char **ancestors;    /* NULL-terminated, the parent first; never NULL once it was found: vdisk_open_options.ancestors */
	size_t n;
};

/* The files of one of the description's images.  Free by chain_free(), after a failure, too. */
int chain_find(const struct machine *m, const struct locate *l, int image, struct chain *c, vdisk_error *err);
void chain_free(struct chain *c); /* {0} is fine */
/* The place of a file among the ancestors (0: the parent); -1: it is none of them. */
int chain_place(const struct chain *c, const char *path);
/* Both are there, and the same file of the host. */
bool chain_same_file(const char *a, const char *b);
/* The snapshots that the description itself does not hold: Hyper-V's, which are descriptions of their own.  No image is opened. */
int snapshots_load(struct machine *m, enum describe_kind kind, const char *description, const struct locate *l, vdisk_error *err);
/* Where only the images tell which snapshot goes on from which (parents_by_images): asks them. */
int snapshots_join(struct machine *m, const struct locate *l, vdisk_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of facts_read(), each in a file of its own: facts_PART.c. */
#ifndef ADAPT_FACTS_PARTS_H
#define ADAPT_FACTS_PARTS_H

#include "facts.h"

struct look {
	struct facts *f;
	struct tree *t;
	vdisk_error *err;
	bool nomem;     /* asked once, at the end */
};

/* NULL only with `nomem`. */
char *look_dup(struct look *l, const char *text);
/* Frees what stood there; text NULL: nothing is set. */
void look_set(struct look *l, char **to, const char *text);
/* Whether there is such; -1: the tree's trouble. */
int look_there(struct look *l, const char *path);
/* Of a list of paths, ended by NULL, the first that is there: 1 and *which, 0, -1. */
int look_first(struct look *l, const char *const *paths, const char **which);
/* The whole of a text file, instead of what `out` held.  One that is no text, or too long for one, is none: 0. */
int look_text(struct look *l, const char *path, struct bytes *out);
/* One more element, all zeros, of an array of n elements of `size`; NULL: nomem. */
void *look_grow(struct look *l, void *array, size_t n, size_t size);

/* Each: 0, or -1 with *l->err. */
int facts_os(struct look *l);
int facts_mounts(struct look *l);   /* fstab */
int facts_kernels(struct look *l);
int facts_loader(struct look *l);   /* after the kernels, of which it tells the default */
int facts_network(struct look *l);
int facts_agents(struct look *l);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tree that a mount shows: folders, windows on disks, texts and links.  Nodes are only ever added, so a pointer to one stays
 * good until the tree is freed; `lock` inside guards the lists of children.
 */
#ifndef VDISK_MOUNT_TREE_H
#define VDISK_MOUNT_TREE_H

#include "window.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NODE_NAME_MAX 255

enum node_kind { NODE_FOLDER, NODE_WINDOW, NODE_TEXT, NODE_LINK };

struct node {
	uint64_t ino; /* 1: the root */
	enum node_kind kind;
	char *name;
	struct node *parent;
	struct node **children; /* FOLDER */
	size_t n_children;
	bool hidden;            /* found by its name, but not listed */
	_Atomic bool unfilled;  /* FOLDER: populate_folder() is due before somebody looks into it */
	_Atomic bool unlinked;  /* FOLDER partitions: its links are still being looked for (links.c) */
	char *text;             /* TEXT, LINK */
	struct state *src;     /* whose it is: for its times, and for what fills a folder */

	struct window win;      /* WINDOW */
	_Atomic uint64_t writes;     /* changes through this very window */
	_Atomic uint64_t seen;       /* changes through other ones that the kernel's cache of this one knows of */
	_Atomic uint64_t blocks; /* of 512 bytes that hold data, when the source had had `counted - 1` changes; 0: never counted */
	_Atomic uint64_t counted;
	_Atomic int64_t count_again; /* not before: ns, monotonic */
};

struct tree {
	pthread_mutex_t lock;
	struct node **nodes; /* [ino - 1] */
	size_t n, cap;
};

/* NULL: out of memory. */
struct tree *tree_new(void);
void tree_free(struct tree *t);
static inline struct node *tree_root(struct tree *t) { return t->nodes[0]; }
/* NULL: no such. */
struct node *tree_node(struct tree *t, uint64_t ino);
struct node *tree_find(struct tree *t, const struct node *folder, const char *name);
/* The i-th child and true, or false past the last. */
bool tree_child(struct tree *t, const struct node *folder, size_t i, struct node **out);

/* NULL: out of memory, or the name is taken.  Names are made fit for a file name: '/' and control bytes
   become '_', and what is too long is cut off. */
struct node *tree_folder(struct tree *t, struct node *in, const char *name, struct state *src);
struct node *tree_window(struct tree *t, struct node *in, const char *name, const struct window *w);
struct node *tree_text(struct tree *t, struct node *in, const char *name, const char *text, struct state *src);
struct node *tree_link(struct tree *t, struct node *in, const char *name, const char *target, struct state *src);
/* The folder of that name, made if need be.  NULL: out of memory, or the name is something else's. */
struct node *tree_folder_get(struct tree *t, struct node *in, const char *name, struct state *src);

#endif

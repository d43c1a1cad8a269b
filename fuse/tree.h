/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tree that a mount shows: folders, windows on the disk, texts and links.  Nodes are only ever added, so a pointer to one stays good
 * until the tree is freed; `lock` inside guards the lists of children.
 */
#ifndef VDISK_MOUNT_TREE_H
#define VDISK_MOUNT_TREE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vdisk/vdisk.h>

enum node_kind { NODE_FOLDER, NODE_WINDOW, NODE_TEXT, NODE_LINK };

struct node {
	uint64_t ino; /* 1: the root */
	enum node_kind kind;
	char *name;
	struct node *parent;
	struct node **children; /* FOLDER */
	size_t n_children;
	uint64_t off, len;      /* WINDOW: bytes of the disk */
	uint64_t blocks;        /* WINDOW: of 512 bytes that hold data */
	char *text;             /* TEXT, LINK */
};

struct tree {
	pthread_mutex_t lock;
	struct node **nodes; /* [ino - 1] */
	size_t n;
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

/* NULL: out of memory, or the name is taken.  Names are made fit for a file name: '/' and control bytes become '_'. */
struct node *tree_folder(struct tree *t, struct node *in, const char *name);
struct node *tree_window(struct tree *t, struct node *in, const char *name, uint64_t off, uint64_t len, uint64_t blocks);
struct node *tree_text(struct tree *t, struct node *in, const char *name, const char *text);
struct node *tree_link(struct tree *t, struct node *in, const char *name, const char *target);

#endif

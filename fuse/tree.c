/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tree.h"

#include <stdlib.h>
#include <string.h>

static void node_free(struct node *n)
{
	if (!n)
		return;
	free(n->name);
	free(n->text);
	free(n->children);
	free(n);
}

/* "." and "..", what a path cannot hold, and what is too long for one. */
static char *name_fit(const char *name)
{
	char *s = strndup(*name ? name : "_", NODE_NAME_MAX);

	if (!s)
		return NULL;
	for (unsigned char *p = (unsigned char *)s; *p; p++)
		if (*p == '/' || *p < 0x20 || *p == 0x7f)
			*p = '_';
	if (!strcmp(s, ".") || !strcmp(s, ".."))
		s[0] = '_';
	return s;
}

static struct node *find_locked(const struct node *folder, const char *name)
{
	for (size_t i = 0; i < folder->n_children; i++)
		if (!strcmp(folder->children[i]->name, name))
			return folder->children[i];
	return NULL;
}

/* Links n, which it takes, into the tree; NULL where that fails. */
static struct node *node_add(struct tree *t, struct node *in, struct node *n)
{
	struct node **nodes, **children;

	pthread_mutex_lock(&t->lock);
	if (in && find_locked(in, n->name))
		goto fail;
	if (t->n == t->cap) {
		nodes = realloc(t->nodes, (t->cap * 2 + 16) * sizeof(*nodes));
		if (!nodes)
			goto fail;
		t->nodes = nodes;
		t->cap = t->cap * 2 + 16;
	}
	if (in) {
		children = realloc(in->children, (in->n_children + 1) * sizeof(*children));
		if (!children)
			goto fail;
		in->children = children;
		children[in->n_children++] = n;
	}
	t->nodes[t->n++] = n;
	n->ino = t->n;
	n->parent = in ? in : n;
	pthread_mutex_unlock(&t->lock);
	return n;
fail:
	pthread_mutex_unlock(&t->lock);
	node_free(n);
	return NULL;
}

static struct node *node_new(enum node_kind kind, const char *name, const char *text, struct state *src)
{
	struct node *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->kind = kind;
	n->src = src;
	n->name = name_fit(name);
	n->text = text ? strdup(text) : NULL;
	if (n->name && (n->text || !text))
		return n;
	node_free(n);
	return NULL;
}

struct tree *tree_new(void)
{
	struct tree *t = calloc(1, sizeof(*t));
	struct node *root = node_new(NODE_FOLDER, "root", NULL, NULL);

	if (t && root) {
		pthread_mutex_init(&t->lock, NULL);
		if (node_add(t, NULL, root))
			return t;
		root = NULL;
		pthread_mutex_destroy(&t->lock);
	}
	node_free(root);
	free(t);
	return NULL;
}

void tree_free(struct tree *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		node_free(t->nodes[i]);
	free(t->nodes);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

struct node *tree_node(struct tree *t, uint64_t ino)
{
	struct node *n;

	pthread_mutex_lock(&t->lock);
	n = ino && ino <= t->n ? t->nodes[ino - 1] : NULL;
	pthread_mutex_unlock(&t->lock);
	return n;
}

struct node *tree_find(struct tree *t, const struct node *folder, const char *name)
{
	struct node *n;

	pthread_mutex_lock(&t->lock);
	n = find_locked(folder, name);
	pthread_mutex_unlock(&t->lock);
	return n;
}

bool tree_child(struct tree *t, const struct node *folder, size_t i, struct node **out)
{
	bool is;

	pthread_mutex_lock(&t->lock);
	is = i < folder->n_children;
	if (is)
		*out = folder->children[i];
	pthread_mutex_unlock(&t->lock);
	return is;
}

struct node *tree_folder(struct tree *t, struct node *in, const char *name, struct state *src)
{
	struct node *n = node_new(NODE_FOLDER, name, NULL, src);

	return n ? node_add(t, in, n) : NULL;
}

struct node *tree_folder_get(struct tree *t, struct node *in, const char *name, struct state *src)
{
	struct node *n = tree_folder(t, in, name, src);

	if (!n)
		n = tree_find(t, in, name);
	return n && n->kind == NODE_FOLDER ? n : NULL;
}

struct node *tree_window(struct tree *t, struct node *in, const char *name, const struct window *w)
{
	struct node *n = node_new(NODE_WINDOW, name, NULL, w->src);

	if (!n)
		return NULL;
	n->win = *w;
	return node_add(t, in, n);
}

struct node *tree_text(struct tree *t, struct node *in, const char *name, const char *text, struct state *src)
{
	struct node *n = node_new(NODE_TEXT, name, text, src);

	return n ? node_add(t, in, n) : NULL;
}

struct node *tree_link(struct tree *t, struct node *in, const char *name, const char *target, struct state *src)
{
	struct node *n = node_new(NODE_LINK, name, target, src);

	return n ? node_add(t, in, n) : NULL;
}

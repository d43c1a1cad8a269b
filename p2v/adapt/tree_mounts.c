/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A path is walked part by part, from the root, and each link on the way is taken apart here: so it can lead from one file system
 * into another. What the walk has come to is a path without links, "." or ".."; the mount that is the longest beginning of it has
 * the file.  Trees that show no links get the path as it is, "." and ".." taken out; where they end at such a link they say "not
 * there".
 */
#include "tree_mounts.h"

#include "common/fail.h"

#include <stdlib.h>
#include <string.h>

#define LINKS_MAX 40
#define PATH_LONG 65536

struct mount {
	char *point; /* "" is the root, else "/boot" */
	char *below; /* "" or "/@" */
	struct tree *tree;
	bool links;  /* it shows them */
};

struct mounts {
	struct tree tree;
	struct mount *v;
	size_t n;
};

static struct mounts *mounts_of(struct tree *t) { return (struct mounts *)t; }

static int nomem(vdisk_error *err) { return fail(err, VDISK_NOMEM, "out of memory"); }

static const struct mount *mount_find(const struct mounts *m, const char *path)
{
	const struct mount *best = &m->v[0];

	for (size_t i = 1; i < m->n; i++) {
		size_t n = strlen(m->v[i].point);

		if (n >= strlen(best->point) && !strncmp(path, m->v[i].point, n) && (path[n] == '/' || !path[n]))
			best = &m->v[i];
	}
	return best;
}

/* The path as the mount's own tree calls it. */
static void inner_path(const struct mount *mt, const char *path, struct bytes *out)
{
	bytes_clear(out);
	bytes_format(out, "%s%s", mt->below, path + strlen(mt->point));
	if (!out->len)
		bytes_text(out, "/");
}

/* Takes the last part off. */
static void part_drop(struct bytes *path)
{
	while (path->len && path->at[path->len - 1] != '/')
		path->len--;
	if (path->len)
		path->len--;
	if (path->at)
		path->at[path->len] = '\0';
}

/* What the link at `path` says, if it is one: 1, 0, -1. */
static int link_read(struct mounts *m, const struct bytes *path, struct bytes *inner, struct bytes *target, vdisk_error *err)
{
	const struct mount *mt = mount_find(m, path->at);

	if (!mt->links || !strcmp(mt->point, path->at)) /* a mount hides what stood there */
		return 0;
	inner_path(mt, path->at, inner);
	bytes_clear(target);
	return inner->failed ? nomem(err) : mt->tree->ops->link(mt->tree, inner->at, target, err);
}

/* Puts `target` before what is left of the way. */
static void way_prepend(struct bytes *rest, size_t from, const struct bytes *target)
{
	struct bytes all = { 0 };

	bytes_add(&all, target->at, target->len);
	bytes_text(&all, "/");
	bytes_add(&all, rest->at + from, rest->len - from);
	bytes_destroy(rest);
	*rest = all;
}

/* 1 with the path in `out`, 0 (a loop), -1. */
static int walk(struct mounts *m, const char *path, bool follow, struct bytes *out, vdisk_error *err)
{
	struct bytes rest = { 0 }, inner = { 0 }, target = { 0 };
	int rc = 1, links = 0;
	size_t at = 0;

	bytes_text(&rest, path);
	bytes_clear(out);
	bytes_add(out, "", 0);
	while (rc > 0 && at < rest.len && !out->failed && !rest.failed) {
		size_t n = strcspn(rest.at + at, "/");
		const char *part = rest.at + at;
		bool last;

		at += n + (part[n] == '/');
		last = strspn(rest.at + at, "/") == rest.len - at;
		if (!n || (n == 1 && part[0] == '.'))
			continue;
		if (n == 2 && part[0] == '.' && part[1] == '.') {
			part_drop(out);
			continue;
		}
		bytes_text(out, "/");
		bytes_add(out, part, n);
		if (out->failed || (last && !follow))
			continue;
		rc = link_read(m, out, &inner, &target, err);
		if (rc > 0 && (++links > LINKS_MAX || rest.len + target.len > PATH_LONG)) {
			rc = 0;
			break;
		}
		if (rc > 0) {
			if (target.len && target.at[0] == '/')
				bytes_clear(out);
			else
				part_drop(out);
			way_prepend(&rest, at, &target);
			at = 0;
		} else if (!rc) {
			rc = 1; /* no link, or nothing */
		}
	}
	if (rc > 0 && (out->failed || rest.failed || inner.failed || target.failed))
		rc = nomem(err);
	bytes_destroy(&rest);
	bytes_destroy(&inner);
	bytes_destroy(&target);
	return rc;
}

/* The mount and its own path of what a path leads to: 1, 0, -1. */
static int find(struct tree *t, const char *path, bool follow, const struct mount **mt, struct bytes *inner, vdisk_error *err)
{
	struct mounts *m = mounts_of(t);
	struct bytes full = { 0 };
	int rc = walk(m, path, follow, &full, err);

	if (rc > 0) {
		*mt = mount_find(m, full.at);
		inner_path(*mt, full.at, inner);
		if (inner->failed)
			rc = nomem(err);
	}
	bytes_destroy(&full);
	return rc;
}

static int mounts_stat(struct tree *t, const char *path, bool follow, struct tree_stat *out, vdisk_error *err)
{
	const struct mount *mt;
	struct bytes inner = { 0 };
	int rc = find(t, path, follow, &mt, &inner, err);

	if (rc > 0)
		rc = mt->tree->ops->stat(mt->tree, inner.at, follow, out, err);
	bytes_destroy(&inner);
	return rc;
}

static int mounts_read(struct tree *t, const char *path, uint64_t max, struct bytes *out, vdisk_error *err)
{
	const struct mount *mt;
	struct bytes inner = { 0 };
	int rc = find(t, path, true, &mt, &inner, err);

	if (rc > 0)
		rc = mt->tree->ops->read(mt->tree, inner.at, max, out, err);
	bytes_destroy(&inner);
	return rc;
}

static int mounts_head(struct tree *t, const char *path, size_t len, struct bytes *out, vdisk_error *err)
{
	const struct mount *mt;
	struct bytes inner = { 0 };
	int rc = find(t, path, true, &mt, &inner, err);

	if (rc > 0 && mt->tree->ops->head)
		rc = mt->tree->ops->head(mt->tree, inner.at, len, out, err);
	else if (rc > 0)
		rc = fail(err, VDISK_UNSUPPORTED, "%s: its beginning alone cannot be read here", path);
	bytes_destroy(&inner);
	return rc;
}

static int mounts_list(struct tree *t, const char *path, struct bytes *names, vdisk_error *err)
{
	const struct mount *mt;
	struct bytes inner = { 0 };
	int rc = find(t, path, true, &mt, &inner, err);

	if (rc > 0)
		rc = mt->tree->ops->list(mt->tree, inner.at, names, err);
	bytes_destroy(&inner);
	return rc;
}

static int mounts_link(struct tree *t, const char *path, struct bytes *target, vdisk_error *err)
{
	const struct mount *mt;
	struct bytes inner = { 0 };
	int rc = find(t, path, false, &mt, &inner, err);

	if (rc > 0)
		rc = mt->tree->ops->link(mt->tree, inner.at, target, err);
	bytes_destroy(&inner);
	return rc;
}

static void mounts_close(struct tree *t)
{
	struct mounts *m = mounts_of(t);

	for (size_t i = 0; i < m->n; i++) {
		free(m->v[i].point);
		free(m->v[i].below);
	}
	free(m->v);
	free(m);
}

static const struct tree_ops mounts_ops = { mounts_stat, mounts_read, mounts_list, mounts_link, mounts_close, mounts_head };

int tree_mounts_add(struct tree *mounts, const char *point, struct tree *t, const char *below, vdisk_error *err)
{
	struct mounts *m = mounts_of(mounts);
	struct tree_stat st = { 0 };
	struct mount *v;

	if (t->ops->stat(t, "/", true, &st, err) < 0)
		return -1;
	v = reallocarray(m->v, m->n + 1, sizeof(*v));
	if (!v)
		return nomem(err);
	m->v = v;
	v[m->n] = (struct mount){.point = strdup(strcmp(point, "/") ? point : ""),
				 .below = strdup(strcmp(below, "/") ? below : ""),
				 .tree = t,
				 .links = st.sure};
	m->n++;
	return v[m->n - 1].point && v[m->n - 1].below ? 0 : nomem(err);
}

struct tree *tree_mounts_open(struct tree *root, const char *below, vdisk_error *err)
{
	struct mounts *m = calloc(1, sizeof(*m));

	if (!m) {
		nomem(err);
		return NULL;
	}
	m->tree.ops = &mounts_ops;
	if (!tree_mounts_add(&m->tree, "/", root, below, err))
		return &m->tree;
	mounts_close(&m->tree);
	return NULL;
}

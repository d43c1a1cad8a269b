/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The view walks links itself (walk.h), since a change may have made them or what they lead to: every path is resolved part by
 * part, and what stands at a resolved one is what the last change that touches it says, or the guest.  A move carries what is below
 * it along.
 */
#include "plan_view.h"

#include "common/fail.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct plan *plan_of(struct tree *t) { return (struct plan *)((char *)t - offsetof(struct plan, view)); }

/* What follows `folder` in `path`, which is it ("") or lies below it ("/x"); NULL: neither. */
static const char *below(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	if (!strcmp(folder, "/"))
		return path;
	return !strncmp(path, folder, n) && (!path[n] || path[n] == '/') ? path + n : NULL;
}

void plan_seen(const struct plan *p, const char *path, size_t n, struct seen *out)
{
	char at[PATH_ROOM], from[PATH_ROOM];

	*out = (struct seen){ 0 };
	snprintf(at, sizeof(at), "%s", path);
	while (n--) {
		const struct change *c = &p->changes[n];
		const char *rest;

		if (c->kind == CHANGE_RUN)
			continue;
		if (c->kind == CHANGE_MOVE && (rest = below(at, c->target))) {
			if (snprintf(from, sizeof(from), "%s%s", c->path, rest) >= (int)sizeof(from)) {
				out->gone = true;
				return;
			}
			memcpy(at, from, sizeof(at));
		} else if (c->kind == CHANGE_MOVE ? below(at, c->path) != NULL : !strcmp(at, c->path)) {
			out->gone = c->kind == CHANGE_MOVE || c->kind == CHANGE_REMOVE;
			out->change = out->gone ? NULL : c;
			return;
		}
	}
	memcpy(out->guest, at, sizeof(at));
}

int plan_stat(struct plan *p, const char *path, struct tree_stat *out, vdisk_error *err)
{
	struct seen s;

	plan_seen(p, path, p->n, &s);
	if (s.gone)
		return 0;
	if (!s.change)
		return p->guest->ops->stat(p->guest, s.guest, false, out, err);
	*out = (struct tree_stat){
		.kind = s.change->kind == CHANGE_WRITE ? TREE_FILE : s.change->kind == CHANGE_LINK ? TREE_LINK : TREE_FOLDER,
		.size = s.change->kind == CHANGE_WRITE ? s.change->content.len : 0,
		.mode = s.change->kind == CHANGE_LINK ? 0777 : s.change->mode,
		.uid = s.change->uid,
		.gid = s.change->gid,
		.sure = true,
	};
	return 1;
}

/* What the link at a resolved path says. */
static int link_read(struct plan *p, const char *path, struct bytes *to, vdisk_error *err)
{
	struct seen s;

	plan_seen(p, path, p->n, &s);
	if (s.gone || (s.change && s.change->kind != CHANGE_LINK))
		return 0;
	if (!s.change)
		return p->guest->ops->link(p->guest, s.guest, to, err);
	bytes_text(to, s.change->target);
	return to->failed ? fail(err, VDISK_NOMEM, "out of memory") : 1;
}

static int source_stat(void *ctx, const char *path, struct tree_stat *out, vdisk_error *err)
{
	return plan_stat(ctx, path, out, err);
}

static int source_link(void *ctx, const char *path, struct bytes *to, vdisk_error *err) { return link_read(ctx, path, to, err); }

int plan_resolve(struct plan *p, const char *path, bool follow, char out[PATH_ROOM], vdisk_error *err)
{
	const struct walk_source source = { source_stat, source_link, p };

	return walk_path(&source, path, follow, out, err);
}

static int resolved(struct plan *p, const char *path, bool follow, char out[PATH_ROOM], vdisk_error *err)
{
	const struct walk_source source = { source_stat, source_link, p };

	return walk_find(&source, path, follow, out, err);
}

/* ---------------------------------------------------------------- the tree */

static int view_stat(struct tree *t, const char *path, bool follow, struct tree_stat *out, vdisk_error *err)
{
	char at[PATH_ROOM];
	int rc = resolved(plan_of(t), path, follow, at, err);

	return rc <= 0 ? rc : plan_stat(plan_of(t), at, out, err);
}

/* What stands at a path that is to be read: in a change (out->change), or in the guest (out->guest).  1; 0: no file; -1. */
static int file_seen(struct plan *p, const char *path, struct seen *out, vdisk_error *err)
{
	char at[PATH_ROOM];
	int rc = resolved(p, path, true, at, err);

	if (rc <= 0)
		return rc;
	plan_seen(p, at, p->n, out);
	return !out->gone && (!out->change || out->change->kind == CHANGE_WRITE);
}

static int content_take(struct bytes *out, const struct bytes *content, size_t len, vdisk_error *err)
{
	bytes_add(out, content->at, content->len < len ? content->len : len);
	return out->failed ? fail(err, VDISK_NOMEM, "out of memory") : 1;
}

static int view_read(struct tree *t, const char *path, uint64_t max, struct bytes *out, vdisk_error *err)
{
	struct plan *p = plan_of(t);
	struct seen s;
	int rc = file_seen(p, path, &s, err);

	if (rc <= 0)
		return rc;
	if (!s.change)
		return p->guest->ops->read(p->guest, s.guest, max, out, err);
	if (s.change->content.len > max)
		return fail(err, VDISK_UNSUPPORTED, "%s: has %zu bytes, more than %llu", path, s.change->content.len,
		            (unsigned long long)max);
	return content_take(out, &s.change->content, SIZE_MAX, err);
}

static int view_link(struct tree *t, const char *path, struct bytes *target, vdisk_error *err)
{
	char at[PATH_ROOM];
	int rc = resolved(plan_of(t), path, false, at, err);

	return rc <= 0 ? rc : link_read(plan_of(t), at, target, err);
}

/* A guest that reads whole files alone is not asked for what may have gigabytes. */
static int view_head(struct tree *t, const char *path, size_t len, struct bytes *out, vdisk_error *err)
{
	struct plan *p = plan_of(t);
	struct seen s;
	int rc = file_seen(p, path, &s, err);

	if (rc <= 0)
		return rc;
	if (s.change)
		return content_take(out, &s.change->content, len, err);
	return p->guest->ops->head ? p->guest->ops->head(p->guest, s.guest, len, out, err)
	                           : fail(err, VDISK_UNSUPPORTED, "%s: its beginning alone cannot be read", path);
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* The last part of a path that lies right in the folder, or NULL. */
static const char *child_of(const char *path, const char *folder)
{
	const char *rest = path ? below(path, folder) : NULL;

	if (!rest || rest[0] != '/' || !rest[1] || strchr(rest + 1, '/'))
		return NULL;
	return rest + 1;
}

/* The candidates: what the guest lists, and what a change puts there. */
static size_t names_gather(struct plan *p, const char *folder, const struct bytes *listed, const char **v)
{
	size_t n = 0;

	for (const char *s = listed->at; s && s < listed->at + listed->len; s += strlen(s) + 1)
		v[n++] = s;
	for (size_t i = 0; i < p->n; i++) {
		const char *a = p->changes[i].kind == CHANGE_RUN ? NULL : child_of(p->changes[i].path, folder);
		const char *b = p->changes[i].kind == CHANGE_MOVE ? child_of(p->changes[i].target, folder) : NULL;

		if (a)
			v[n++] = a;
		if (b)
			v[n++] = b;
	}
	qsort(v, n, sizeof(*v), by_bytes);
	return n;
}

static int names_keep(struct plan *p, const char *folder, const char **v, size_t n, struct bytes *names, vdisk_error *err)
{
	char at[PATH_ROOM];
	struct tree_stat st;
	struct seen s;
	int rc;

	for (size_t i = 0; i < n; i++) {
		if (i && !strcmp(v[i], v[i - 1]))
			continue;
		if (snprintf(at, sizeof(at), "%s/%s", strcmp(folder, "/") ? folder : "", v[i]) >= (int)sizeof(at))
			continue;
		plan_seen(p, at, p->n, &s);
		/* Untouched, it is there, since the guest listed it. */
		rc = !s.gone && !s.change && !strcmp(s.guest, at) ? 1 : plan_stat(p, at, &st, err);
		if (rc < 0)
			return -1;
		if (rc)
			bytes_add(names, v[i], strlen(v[i]) + 1);
	}
	return names->failed ? fail(err, VDISK_NOMEM, "out of memory") : 1;
}

static int view_list(struct tree *t, const char *path, struct bytes *names, vdisk_error *err)
{
	struct plan *p = plan_of(t);
	struct bytes listed = { 0 };
	char at[PATH_ROOM];
	const char **v = NULL;
	struct tree_stat st;
	struct seen s;
	size_t n = 0;
	int rc = resolved(p, path, true, at, err);

	if (rc > 0)
		rc = plan_stat(p, at, &st, err);
	if (rc <= 0 || st.kind != TREE_FOLDER)
		return rc < 0 ? -1 : 0;
	plan_seen(p, at, p->n, &s);
	rc = s.change ? 0 : p->guest->ops->list(p->guest, s.guest, &listed, err);
	for (const char *c = listed.at; c && c < listed.at + listed.len; c += strlen(c) + 1)
		n++;
	if (rc >= 0 && !(v = calloc(n + 2 * p->n + 1, sizeof(*v))))
		rc = fail(err, VDISK_NOMEM, "out of memory");
	if (rc >= 0)
		rc = names_keep(p, at, v, names_gather(p, at, &listed, v), names, err);
	free(v);
	bytes_destroy(&listed);
	return rc;
}

const struct tree_ops plan_view_ops = {
	.stat = view_stat, .read = view_read, .list = view_list, .link = view_link, .head = view_head
};

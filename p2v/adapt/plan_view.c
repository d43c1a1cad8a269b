/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The view walks links itself, since a change may have made them or what they lead to: every path is resolved part by part, and what
 * stands at a resolved one is what the last change that touches it says, or the guest.  A move carries what is below it along.
 */
#include "plan_view.h"

#include "fail.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINKS_MAX 40

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
	char at[PLAN_PATH_MAX], from[PLAN_PATH_MAX];

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

/* ---------------------------------------------------------------- links */

struct walk {
	char done[PLAN_PATH_MAX], rest[PLAN_PATH_MAX];
	unsigned links;
};

/* The next part of w->rest into `part`; false: there is none. */
static bool part_take(struct walk *w, char part[NAME_MAX + 2])
{
	char *at = w->rest + strspn(w->rest, "/");
	size_t n = strcspn(at, "/");

	if (!n)
		return false;
	snprintf(part, NAME_MAX + 2, "%.*s", n > NAME_MAX + 1 ? NAME_MAX + 1 : (int)n, at);
	memmove(w->rest, at + n, strlen(at + n) + 1);
	return true;
}

static int too_long(const char *path, vdisk_error *err)
{
	return fail(err, VDISK_UNSUPPORTED, "%.200s…: is longer than a path may be (%d bytes)", path, PLAN_PATH_MAX - 1);
}

/* Puts the link's words in front of what is left. */
static int link_enter(struct plan *p, struct walk *w, const char *path, const char *at, vdisk_error *err)
{
	struct bytes to = { 0 };
	char rest[PLAN_PATH_MAX];
	int rc = link_read(p, at, &to, err), n = 0;

	if (rc > 0) {
		if (++w->links > LINKS_MAX)
			rc = fail(err, VDISK_CORRUPT, "%s: there are too many symbolic links on the way (%d)", path, LINKS_MAX);
		else if (memchr(to.at ? to.at : "", 0, to.len) || (n = snprintf(rest, sizeof(rest), "%s/%s", to.len ? to.at : "", w->rest)) >= (int)sizeof(rest))
			rc = too_long(path, err);
	}
	if (rc > 0) {
		if (to.len && to.at[0] == '/')
			w->done[0] = '\0';
		memcpy(w->rest, rest, (size_t)n + 1);
	}
	bytes_destroy(&to);
	return rc < 0 ? -1 : 0;
}

static int part_walk(struct plan *p, struct walk *w, const char *path, const char *part, bool follow, vdisk_error *err)
{
	char at[PLAN_PATH_MAX];
	struct tree_stat st;
	int rc;

	if (!strcmp(part, "."))
		return 0;
	if (!strcmp(part, "..")) {
		char *slash = strrchr(w->done, '/');

		if (slash)
			*slash = '\0';
		return 0;
	}
	if (strlen(part) > NAME_MAX || snprintf(at, sizeof(at), "%s/%s", w->done, part) >= (int)sizeof(at))
		return too_long(path, err);
	rc = follow || w->rest[strspn(w->rest, "/")] ? plan_stat(p, at, &st, err) : 0;
	if (rc < 0)
		return -1;
	if (rc && st.kind == TREE_LINK)
		return link_enter(p, w, path, at, err);
	memcpy(w->done, at, sizeof(at));
	return 0;
}

int plan_resolve(struct plan *p, const char *path, bool follow, char out[PLAN_PATH_MAX], vdisk_error *err)
{
	struct walk w = { 0 };
	char part[NAME_MAX + 2];

	if (path[0] != '/' || strlen(path) >= sizeof(w.rest))
		return path[0] == '/' ? too_long(path, err) : fail(err, VDISK_INVALID, "%s: is no absolute path", path);
	memcpy(w.rest, path, strlen(path) + 1);
	while (part_take(&w, part))
		if (part_walk(p, &w, path, part, follow, err))
			return -1;
	snprintf(out, PLAN_PATH_MAX, "%s", w.done[0] ? w.done : "/");
	return 0;
}

/* ---------------------------------------------------------------- the tree */

static int view_stat(struct tree *t, const char *path, bool follow, struct tree_stat *out, vdisk_error *err)
{
	char at[PLAN_PATH_MAX];

	return plan_resolve(plan_of(t), path, follow, at, err) ? -1 : plan_stat(plan_of(t), at, out, err);
}

static int view_read(struct tree *t, const char *path, uint64_t max, struct bytes *out, vdisk_error *err)
{
	struct plan *p = plan_of(t);
	char at[PLAN_PATH_MAX];
	struct seen s;

	if (plan_resolve(p, path, true, at, err))
		return -1;
	plan_seen(p, at, p->n, &s);
	if (s.gone || (s.change && s.change->kind != CHANGE_WRITE))
		return 0;
	if (!s.change)
		return p->guest->ops->read(p->guest, s.guest, max, out, err);
	if (s.change->content.len > max)
		return fail(err, VDISK_UNSUPPORTED, "%s: has %zu bytes, more than %llu", path, s.change->content.len, (unsigned long long)max);
	bytes_add(out, s.change->content.at, s.change->content.len);
	return out->failed ? fail(err, VDISK_NOMEM, "out of memory") : 1;
}

static int view_link(struct tree *t, const char *path, struct bytes *target, vdisk_error *err)
{
	char at[PLAN_PATH_MAX];

	return plan_resolve(plan_of(t), path, false, at, err) ? -1 : link_read(plan_of(t), at, target, err);
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
	char at[PLAN_PATH_MAX];
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
	char at[PLAN_PATH_MAX];
	const char **v = NULL;
	struct tree_stat st;
	struct seen s;
	size_t n = 0;
	int rc;

	if (plan_resolve(p, path, true, at, err))
		return -1;
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

const struct tree_ops plan_view_ops = { .stat = view_stat, .read = view_read, .list = view_list, .link = view_link };

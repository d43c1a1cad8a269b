/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The list of changes.  Each is kept under its resolved path (no links on the way), in the order in which they are to be done; a
 * path that is changed again before it is moved away has one entry.  A change that leaves what stands there in the guest is none.
 */
#include "plan.h"

#include "common/fail.h"
#include "plan_view.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void plan_init(struct plan *p, struct tree *guest) { *p = (struct plan){ .guest = guest, .view = { .ops = &plan_view_ops } }; }

static void change_destroy(struct change *c)
{
	free(c->path);
	free(c->target);
	free(c->why);
	bytes_destroy(&c->content);
	bytes_destroy(&c->notes);
}

void plan_destroy(struct plan *p)
{
	for (size_t i = 0; i < p->n; i++)
		change_destroy(&p->changes[i]);
	free(p->changes);
	bytes_destroy(&p->remarks);
	*p = (struct plan){ 0 };
}

static int nomem(vdisk_error *err) { return fail(err, VDISK_NOMEM, "out of memory"); }

static void change_drop(struct plan *p, struct change *c)
{
	size_t i = (size_t)(c - p->changes);

	change_destroy(c);
	memmove(c, c + 1, (p->n - i - 1) * sizeof(*c));
	p->n--;
}

/* Takes *c, whatever comes of it. */
static int change_add(struct plan *p, struct change *c, vdisk_error *err)
{
	if (p->n == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 32;
		struct change *v = realloc(p->changes, cap * sizeof(*v));

		if (!v) {
			change_destroy(c);
			return nomem(err);
		}
		p->changes = v;
		p->cap = cap;
	}
	p->changes[p->n++] = *c;
	return 0;
}

/* The reason as another line, unless it is one of them already. */
static int why_add(char **why, const char *format, va_list args)
{
	char *line = plan_line(format, args), *both;
	size_t n;

	if (!line)
		return -1;
	if (!*why) {
		*why = line;
		return 0;
	}
	n = strlen(line);
	for (const char *s = *why; s; s = strchr(s, '\n')) {
		s += *s == '\n';
		if (!strncmp(s, line, n) && (!s[n] || s[n] == '\n')) {
			free(line);
			return 0;
		}
	}
	if (asprintf(&both, "%s\n%s", *why, line) < 0)
		both = NULL;
	free(line);
	if (!both)
		return -1;
	free(*why);
	*why = both;
	return 0;
}

/* The change that stands at the path, if it can take another content: nothing of it was moved since. */
static struct change *change_at(struct plan *p, const char *path)
{
	for (size_t i = p->n; i--;) {
		struct change *c = &p->changes[i];

		if (c->kind == CHANGE_RUN)
			continue;
		if (c->kind == CHANGE_MOVE && (!strcmp(c->path, path) || !strcmp(c->target, path)))
			return NULL;
		if (c->kind != CHANGE_MOVE && !strcmp(c->path, path))
			return c;
	}
	return NULL;
}

const struct change *plan_find(const struct plan *p, const char *path)
{
	for (size_t i = p->n; i--;)
		if (p->changes[i].kind != CHANGE_RUN && !strcmp(p->changes[i].path, path))
			return &p->changes[i];
	return NULL;
}

/* ---------------------------------------------------------------- folders */

static int folder_one(struct plan *p, const char *path, uint32_t mode, vdisk_error *err)
{
	struct change c = { .kind = CHANGE_FOLDER, .mode = mode }, *old;
	struct tree_stat st;
	int rc = plan_stat(p, path, &st, err);

	if (rc < 0)
		return -1;
	if (rc)
		return st.kind == TREE_FOLDER ? 0 : fail(err, VDISK_UNSUPPORTED, "%s: is no folder in the guest", path);
	old = change_at(p, path); /* what removed it */
	if (old)
		return fail(err, VDISK_UNSUPPORTED, "%s: was a file in the guest, and is to be a folder", path);
	c.path = strdup(path);
	return c.path ? change_add(p, &c, err) : nomem(err);
}

/* Those on the way to a resolved path; the last part too if `whole`. */
static int folders(struct plan *p, const char *path, bool whole, uint32_t mode, vdisk_error *err)
{
	char at[PATH_ROOM];
	struct tree_stat st;
	char *slash;
	int rc;

	snprintf(at, sizeof(at), "%s", path);
	slash = strrchr(at, '/');
	if (!whole && slash)
		slash[slash == at] = '\0';
	rc = plan_stat(p, at, &st, err); /* as nearly always */
	if (rc < 0 || (rc && st.kind == TREE_FOLDER))
		return rc < 0 ? -1 : 0;
	for (char *s = at + 1; (s = strchr(s, '/')); s++) {
		*s = '\0';
		rc = folder_one(p, at, 0755, err);
		*s = '/';
		if (rc)
			return -1;
	}
	return folder_one(p, at, whole ? mode : 0755, err);
}

int plan_folder(struct plan *p, const char *path, uint32_t mode, vdisk_error *err)
{
	char at[PATH_ROOM];

	return plan_resolve(p, path, true, at, err) ? -1 : folders(p, at, true, mode, err);
}

/* ---------------------------------------------------------------- files */

/* Is this what the guest has there already, `n` changes on?  1, 0 or -1. */
static int same_in_guest(struct plan *p, const char *path, size_t n, const void *content, size_t len, vdisk_error *err)
{
	struct bytes now = { 0 };
	struct tree_stat st;
	struct seen s;
	int rc;

	plan_seen(p, path, n, &s);
	if (s.gone || s.change)
		return 0;
	rc = p->guest->ops->stat(p->guest, s.guest, false, &st, err);
	if (rc <= 0 || st.kind != TREE_FILE || st.size != len)
		return rc < 0 ? -1 : 0;
	rc = p->guest->ops->read(p->guest, s.guest, len, &now, err);
	if (rc > 0)
		rc = now.len == len && (!len || !memcmp(now.at, content, len));
	bytes_destroy(&now);
	return rc;
}

static int content_set(struct change *c, const void *content, size_t len, const struct bytes *notes, vdisk_error *err)
{
	bytes_clear(&c->content);
	bytes_clear(&c->notes);
	bytes_add(&c->content, content, len);
	if (notes && notes->len)
		bytes_add(&c->notes, notes->at, notes->len);
	return c->content.failed || c->notes.failed ? nomem(err) : 0;
}

/* Mode and owner of what is there, which stay. */
static int owner_take(struct plan *p, const char *path, struct change *c, vdisk_error *err)
{
	struct tree_stat st;
	int rc = plan_stat(p, path, &st, err);

	if (rc > 0 && st.kind == TREE_FOLDER)
		return fail(err, VDISK_UNSUPPORTED, "%s: is a folder in the guest, and a file is to be written there", path);
	if (rc > 0 && st.kind == TREE_FILE && st.sure) {
		c->mode = st.mode;
		c->uid = st.uid;
		c->gid = st.gid;
	}
	return rc < 0 ? -1 : 0;
}

static int write_new(struct plan *p, struct change *c, const char *path, const void *content, size_t len, const struct bytes *notes,
                     vdisk_error *err)
{
	c->path = strdup(path);
	if (!c->path)
		nomem(err);
	else if (!owner_take(p, path, c, err) && !content_set(c, content, len, notes, err) && !folders(p, path, false, 0755, err))
		return change_add(p, c, err);
	change_destroy(c);
	return -1;
}

static int write_any(struct plan *p, struct change *c, const char *path, const void *content, size_t len, const struct bytes *notes,
	vdisk_error *err, const char *why, va_list args)
{
	char at[PATH_ROOM];
	struct change *old;
	int rc;

	if (plan_resolve(p, path, true, at, err))
		return -1;
	old = change_at(p, at);
	rc = same_in_guest(p, at, old ? (size_t)(old - p->changes) : p->n, content, len, err);
	if (rc < 0)
		return -1;
	if (rc) {
		if (old)
			change_drop(p, old);
		return 0;
	}
	if (old && old->kind == CHANGE_WRITE && old->content.len == len && (!len || !memcmp(old->content.at, content, len)))
		return 0;
	if (!old) {
		if (why_add(&c->why, why, args))
			return nomem(err);
		return write_new(p, c, at, content, len, notes, err);
	}
	if (old->kind == CHANGE_FOLDER)
		return fail(err, VDISK_UNSUPPORTED, "%s: is to be a folder, and a file", path);
	old->kind = CHANGE_WRITE;
	old->binary = c->binary;
	if (!old->mode)
		old->mode = c->mode;
	return why_add(&old->why, why, args) ? nomem(err) : content_set(old, content, len, notes, err);
}

int plan_write(struct plan *p, const char *path, const void *content, size_t len, uint32_t mode, vdisk_error *err, const char *why,
               ...)
{
	struct change c = { .kind = CHANGE_WRITE, .mode = mode };
	va_list args;
	int rc;

	va_start(args, why);
	rc = write_any(p, &c, path, content, len, NULL, err, why, args);
	va_end(args);
	return rc;
}

int plan_write_binary(struct plan *p, const char *path, const void *content, size_t len, uint32_t mode, const struct bytes *notes,
	vdisk_error *err, const char *why, ...)
{
	struct change c = { .kind = CHANGE_WRITE, .mode = mode, .binary = true };
	va_list args;
	int rc;

	va_start(args, why);
	rc = write_any(p, &c, path, content, len, notes, err, why, args);
	va_end(args);
	return rc;
}

/* ---------------------------------------------------------------- links, moves, removals */

/* Does the link say this already? */
static int link_says(struct plan *p, const char *path, const char *target, vdisk_error *err)
{
	struct bytes now = { 0 };
	int rc = p->view.ops->link(&p->view, path, &now, err);

	if (rc > 0)
		rc = now.len == strlen(target) && !memcmp(now.at, target, now.len);
	bytes_destroy(&now);
	return rc;
}

static int link_any(struct plan *p, const char *path, const char *target, vdisk_error *err, const char *why, va_list args)
{
	struct change c = { .kind = CHANGE_LINK, .mode = 0777 }, *old;
	char at[PATH_ROOM];
	struct tree_stat st;
	int rc;

	if (plan_resolve(p, path, false, at, err) || (rc = link_says(p, at, target, err)) < 0)
		return -1;
	if (rc)
		return 0;
	rc = plan_stat(p, at, &st, err);
	if (rc < 0 || (rc && st.kind == TREE_FOLDER))
		return rc < 0 ? -1
		              : fail(err, VDISK_UNSUPPORTED, "%s: is a folder in the guest, and a link is to be made there", path);
	old = change_at(p, at);
	if (old && (old->kind == CHANGE_LINK || old->kind == CHANGE_WRITE || old->kind == CHANGE_REMOVE)) {
		char *copy = strdup(target);

		if (!copy || why_add(&old->why, why, args)) {
			free(copy);
			return nomem(err);
		}
		free(old->target);
		old->target = copy;
		old->kind = CHANGE_LINK;
		old->binary = false;
		bytes_clear(&old->content);
		bytes_clear(&old->notes);
		return 0;
	}
	c.path = strdup(at);
	c.target = strdup(target);
	if (!c.path || !c.target || why_add(&c.why, why, args) || folders(p, at, false, 0755, err)) {
		if (!c.path || !c.target || !c.why)
			nomem(err);
		change_destroy(&c);
		return -1;
	}
	return change_add(p, &c, err);
}

int plan_link(struct plan *p, const char *path, const char *target, vdisk_error *err, const char *why, ...)
{
	va_list args;
	int rc;

	va_start(args, why);
	rc = link_any(p, path, target, err, why, args);
	va_end(args);
	return rc;
}

static int move_any(struct plan *p, const char *path, const char *to, vdisk_error *err, const char *why, va_list args)
{
	struct change c = { .kind = CHANGE_MOVE };
	char from[PATH_ROOM], at[PATH_ROOM];
	struct tree_stat st;
	int rc;

	if (plan_resolve(p, path, false, from, err) || plan_resolve(p, to, false, at, err) ||
	    (rc = plan_stat(p, from, &st, err)) < 0)
		return -1;
	if (!rc)
		return fail(err, VDISK_INVALID, "%s: is not there, and cannot be moved", path);
	rc = plan_stat(p, at, &st, err);
	if (rc)
		return rc < 0 ? -1
		              : fail(err, VDISK_UNSUPPORTED, "%s: %s is to be moved there, and there is something already", to,
		                     path);
	if (folders(p, at, false, 0755, err))
		return -1;
	c.path = strdup(from);
	c.target = strdup(at);
	if (!c.path || !c.target || why_add(&c.why, why, args)) {
		change_destroy(&c);
		return nomem(err);
	}
	return change_add(p, &c, err);
}

int plan_move(struct plan *p, const char *path, const char *to, vdisk_error *err, const char *why, ...)
{
	va_list args;
	int rc;

	va_start(args, why);
	rc = move_any(p, path, to, err, why, args);
	va_end(args);
	return rc;
}

static int remove_any(struct plan *p, const char *path, vdisk_error *err, const char *why, va_list args)
{
	struct change c = { .kind = CHANGE_REMOVE }, *old;
	char at[PATH_ROOM];
	struct tree_stat st;
	struct seen before;
	int rc;

	if (plan_resolve(p, path, false, at, err) || (rc = plan_stat(p, at, &st, err)) < 0)
		return -1;
	if (!rc)
		return 0;
	if (st.kind == TREE_FOLDER)
		return fail(err, VDISK_UNSUPPORTED, "%s: is a folder in the guest, and folders are not removed", path);
	old = change_at(p, at);
	if (old) {
		plan_seen(p, at, (size_t)(old - p->changes), &before);
		rc = before.gone || before.change ? 0 : p->guest->ops->stat(p->guest, before.guest, false, &st, err);
		if (rc < 0)
			return -1;
		if (!rc) { /* it was never in the guest */
			change_drop(p, old);
			return 0;
		}
		old->kind = CHANGE_REMOVE;
		old->binary = false;
		bytes_clear(&old->content);
		bytes_clear(&old->notes);
		return why_add(&old->why, why, args) ? nomem(err) : 0;
	}
	c.path = strdup(at);
	if (!c.path || why_add(&c.why, why, args)) {
		change_destroy(&c);
		return nomem(err);
	}
	return change_add(p, &c, err);
}

int plan_remove(struct plan *p, const char *path, vdisk_error *err, const char *why, ...)
{
	va_list args;
	int rc;

	va_start(args, why);
	rc = remove_any(p, path, err, why, args);
	va_end(args);
	return rc;
}

/* ---------------------------------------------------------------- the rest */

int plan_run(struct plan *p, const char *line, vdisk_error *err, const char *why, ...)
{
	struct change c = { .kind = CHANGE_RUN };
	va_list args;
	int rc;

	for (size_t i = 0; i < p->n; i++)
		if (p->changes[i].kind == CHANGE_RUN && !strcmp(p->changes[i].content.at, line))
			return 0;
	c.path = strdup("");
	bytes_text(&c.content, line);
	va_start(args, why);
	rc = why_add(&c.why, why, args);
	va_end(args);
	if (c.path && !rc && !c.content.failed)
		return change_add(p, &c, err);
	change_destroy(&c);
	return nomem(err);
}

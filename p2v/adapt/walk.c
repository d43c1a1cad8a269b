/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "walk.h"

#include "common/fail.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define LINKS_MAX 40

struct walk {
	const struct walk_source *source;
	const char *path; /* as it was given */
	char done[PATH_ROOM], rest[PATH_ROOM];
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
	return fail(err, VDISK_UNSUPPORTED, "%.200s…: is longer than a path may be (%d bytes)", path, PATH_ROOM - 1);
}

/* Puts the words of the link at `at` in front of what is left. */
static int link_enter(struct walk *w, const char *at, vdisk_error *err)
{
	struct bytes to = { 0 };
	char rest[PATH_ROOM];
	int rc = w->source->link(w->source->ctx, at, &to, err), n = 0;

	if (rc > 0) {
		if (++w->links > LINKS_MAX)
			rc = fail(err, VDISK_CORRUPT, "%s: there are too many symbolic links on the way (%d)", w->path, LINKS_MAX);
		else if (memchr(to.at ? to.at : "", 0, to.len) ||
		         (n = snprintf(rest, sizeof(rest), "%s/%s", to.len ? to.at : "", w->rest)) >= (int)sizeof(rest))
			rc = too_long(w->path, err);
	}
	if (rc > 0) {
		if (to.len && to.at[0] == '/')
			w->done[0] = '\0';
		memcpy(w->rest, rest, (size_t)n + 1);
	}
	bytes_destroy(&to);
	return rc < 0 ? -1 : 0;
}

static int part_walk(struct walk *w, const char *part, bool follow, vdisk_error *err)
{
	char at[PATH_ROOM];
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
		return too_long(w->path, err);
	rc = follow || w->rest[strspn(w->rest, "/")] ? w->source->stat(w->source->ctx, at, &st, err) : 0;
	if (rc < 0)
		return -1;
	if (rc && st.kind == TREE_LINK)
		return link_enter(w, at, err);
	memcpy(w->done, at, sizeof(at));
	return 0;
}

int walk_path(const struct walk_source *s, const char *path, bool follow, char out[PATH_ROOM], vdisk_error *err)
{
	struct walk w = { .source = s, .path = path };
	char part[NAME_MAX + 2];

	if (path[0] != '/')
		return fail(err, VDISK_INVALID, "%s: is no absolute path", path);
	if (strlen(path) >= sizeof(w.rest))
		return too_long(path, err);
	memcpy(w.rest, path, strlen(path) + 1);
	while (part_take(&w, part))
		if (part_walk(&w, part, follow, err))
			return -1;
	snprintf(out, PATH_ROOM, "%s", w.done[0] ? w.done : "/");
	return 0;
}

int walk_find(const struct walk_source *s, const char *path, bool follow, char out[PATH_ROOM], vdisk_error *err)
{
	vdisk_error why;

	if (!walk_path(s, path, follow, out, &why))
		return 1;
	if (why.kind == VDISK_CORRUPT)
		return 0;
	if (err)
		*err = why;
	return -1;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owns the folders and files that were read, for as long as the tree lives.  Paths are resolved here (walk.h), so the appliance
 * gets none with a link on the way, and one listing answers for every name in a folder.
 */
#include "tree_guestfs.h"

#include "common/fail.h"
#include "walk.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NAMES_MAX  200000u      /* in one folder */
#define KEPT_MAX   (256u << 20) /* bytes of files that are remembered */
#define PIECE      (2u << 20)   /* what fits into one message, of 4 MiB */
#define PIECES_MAX (64u << 20)

struct child {
	char *name;
	struct tree_stat st;
	char *link; /* what a link that was asked for says; NULL: not asked yet */
	bool there; /* it was not removed between the two questions */
};

struct folder {
	char *path;
	struct child *v; /* sorted by name */
	size_t n;
};

struct file {
	char *path;
	struct bytes content;
};

struct guestfs_tree {
	struct tree tree;
	guestfs_h *g;
	void *folders, *files; /* tsearch(3) */
	uint64_t kept;
};

static struct guestfs_tree *tree_of(struct tree *t) { return (struct guestfs_tree *)t; }

static int by_path(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int fail_at(guestfs_h *g, vdisk_error *err, const char *path)
{
	const char *text = guestfs_last_error(g);
	int n = text ? (int)strcspn(text, "\n") : 0;

	return fail(err, VDISK_IO, "%s: %.*s", path, n ? n : 15, n ? text : "libguestfs fails");
}

static int nomem(vdisk_error *err) { return fail(err, VDISK_NOMEM, "out of memory"); }

/* ---------------------------------------------------------------- folders */

static void folder_free(void *p)
{
	struct folder *f = p;

	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].name);
		free(f->v[i].link);
	}
	free(f->v);
	free(f->path);
	free(f);
}

static void stat_take(struct tree_stat *to, int64_t mode, int64_t size, int64_t uid, int64_t gid)
{
	*to = (struct tree_stat){
		.kind = S_ISREG(mode) ? TREE_FILE : S_ISDIR(mode) ? TREE_FOLDER : S_ISLNK(mode) ? TREE_LINK : TREE_OTHER,
		.size = S_ISREG(mode) ? (uint64_t)size : 0,
		.mode = (uint32_t)mode & 07777,
		.uid = (uint32_t)uid,
		.gid = (uint32_t)gid,
		.sure = true,
	};
}

/* Takes the names. */
static int entries_make(struct guestfs_tree *g, struct folder *f, char **names, vdisk_error *err)
{
	struct guestfs_statns_list *stats = NULL;
	size_t n = 0;

	while (names[n])
		n++;
	if (n > NAMES_MAX)
		return fail(err, VDISK_UNSUPPORTED, "%s: has %zu names in it, more than %u", f->path, n, NAMES_MAX);
	f->v = calloc(n + 1, sizeof(*f->v));
	if (!f->v)
		return nomem(err);
	if (n) {
		stats = guestfs_lstatnslist(g->g, f->path, names);
		if (!stats || stats->len != n) {
			guestfs_free_statns_list(stats);
			return fail_at(g->g, err, f->path);
		}
	}
	for (size_t i = 0; i < n; i++) {
		const struct guestfs_statns *s = &stats->val[i];

		f->v[i].name = names[i];
		names[i] = NULL;
		f->v[i].there = s->st_ino != -1;
		stat_take(&f->v[i].st, s->st_mode, s->st_size, s->st_uid, s->st_gid);
	}
	f->n = n;
	guestfs_free_statns_list(stats);
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct child *)a)->name, ((const struct child *)b)->name);
}

/* A folder that is known to be one. */
static int folder_get(struct guestfs_tree *g, const char *path, const struct folder **out, vdisk_error *err)
{
	struct folder **found = tfind(&path, &g->folders, by_path), *f;
	char **names;
	int rc;

	if (found) {
		*out = *found;
		return 0;
	}
	names = guestfs_ls(g->g, path);
	if (!names)
		return fail_at(g->g, err, path);
	f = calloc(1, sizeof(*f));
	if (f)
		f->path = strdup(path);
	rc = f && f->path ? entries_make(g, f, names, err) : nomem(err);
	for (char **p = names; *p || p < names + (f ? f->n : 0); p++)
		free(*p);
	free(names);
	if (!rc && f->n)
		qsort(f->v, f->n, sizeof(*f->v), by_name);
	if (!rc && !tsearch(f, &g->folders, by_path))
		rc = nomem(err);
	if (rc) {
		if (f)
			folder_free(f);
		return -1;
	}
	*out = f;
	return 0;
}

/* What stands at a resolved path, on which no folder is a link; *out NULL: the root. */
static int child_get(struct guestfs_tree *g, const char *path, struct child **out, vdisk_error *err)
{
	const char *slash = strrchr(path, '/');
	struct child *above, want;
	char parent[PATH_ROOM];
	const struct folder *f;
	int rc;

	*out = NULL;
	if (!slash[1])
		return 1;
	snprintf(parent, sizeof(parent), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	rc = child_get(g, parent, &above, err);
	if (rc <= 0 || (above && above->st.kind != TREE_FOLDER))
		return rc < 0 ? -1 : 0;
	if (folder_get(g, parent, &f, err))
		return -1;
	want.name = (char *)(uintptr_t)(slash + 1);
	*out = f->n ? bsearch(&want, f->v, f->n, sizeof(want), by_name) : NULL;
	return *out && (*out)->there;
}

static int source_stat(void *ctx, const char *path, struct tree_stat *out, vdisk_error *err)
{
	struct child *c;
	int rc = child_get(ctx, path, &c, err);

	if (rc > 0)
		*out = c ? c->st : (struct tree_stat){ .kind = TREE_FOLDER, .mode = 0755, .sure = true };
	return rc;
}

static int source_link(void *ctx, const char *path, struct bytes *to, vdisk_error *err)
{
	struct guestfs_tree *g = ctx;
	struct child *c;
	int rc = child_get(g, path, &c, err);

	if (rc <= 0 || !c || c->st.kind != TREE_LINK)
		return rc < 0 ? -1 : 0;
	if (!c->link && !(c->link = guestfs_readlink(g->g, path)))
		return fail_at(g->g, err, path);
	bytes_text(to, c->link);
	return to->failed ? nomem(err) : 1;
}

/* 1; 0: nothing can be there (a loop of links); -1. */
static int resolved(struct guestfs_tree *g, const char *path, bool follow, char out[PATH_ROOM], vdisk_error *err)
{
	const struct walk_source source = { source_stat, source_link, g };

	return walk_find(&source, path, follow, out, err);
}

/* 1: it is there, and of that kind; 0: it is not; -1. */
static int found(struct guestfs_tree *g, const char *path, enum tree_kind kind, char at[PATH_ROOM], struct tree_stat *st,
                 vdisk_error *err)
{
	int rc = resolved(g, path, true, at, err);

	if (rc > 0)
		rc = source_stat(g, at, st, err);
	return rc > 0 ? st->kind == kind : rc;
}

/* ---------------------------------------------------------------- the tree */

static int g_stat(struct tree *t, const char *path, bool follow, struct tree_stat *out, vdisk_error *err)
{
	char at[PATH_ROOM];
	int rc = resolved(tree_of(t), path, follow, at, err);

	return rc <= 0 ? rc : source_stat(tree_of(t), at, out, err);
}

/* Pieces of a file one after the other, `len` bytes at most.  libguestfs's own way to read a file begins a transfer each time,
   which takes a tenth of a second and more under emulation, where a message and its answer take hundredths. */
static int pieces_read(struct guestfs_tree *g, const char *path, uint64_t len, struct bytes *out, vdisk_error *err)
{
	size_t n;

	for (uint64_t done = 0; done < len; done += n) {
		uint64_t ask = len - done < PIECE ? len - done : PIECE;
		char *piece = guestfs_pread(g->g, path, (int)ask, (int64_t)done, &n);

		if (!piece)
			return fail_at(g->g, err, path);
		bytes_add(out, piece, n);
		free(piece);
		if (!n)
			break;
	}
	return out->failed ? nomem(err) : 1;
}

static void content_keep(struct guestfs_tree *g, const char *path, const char *content, size_t n)
{
	struct file *f = g->kept + n <= KEPT_MAX ? calloc(1, sizeof(*f)) : NULL;

	if (!f)
		return;
	f->path = strdup(path);
	bytes_add(&f->content, content, n);
	if (f->path && !f->content.failed && tsearch(f, &g->files, by_path)) {
		g->kept += n;
		return;
	}
	free(f->path); /* it is read again */
	bytes_destroy(&f->content);
	free(f);
}

static int content_read(struct guestfs_tree *g, const char *path, uint64_t size, uint64_t max, struct bytes *out, vdisk_error *err)
{
	size_t before = out->len, n;

	if (size <= PIECES_MAX) {
		if (pieces_read(g, path, size, out, err) < 0)
			return -1;
	} else {
		char *content = guestfs_read_file(g->g, path, &n);

		if (!content)
			return fail_at(g->g, err, path);
		if (n > max) {
			free(content);
			return fail(err, VDISK_UNSUPPORTED, "%s: has %zu bytes, more than %llu", path, n, (unsigned long long)max);
		}
		bytes_add(out, content, n);
		free(content);
	}
	if (out->failed)
		return nomem(err);
	content_keep(g, path, out->len ? out->at + before : "", out->len - before);
	return 1;
}

static int g_read(struct tree *t, const char *path, uint64_t max, struct bytes *out, vdisk_error *err)
{
	struct guestfs_tree *g = tree_of(t);
	char room[PATH_ROOM], *at = room;
	struct file **kept;
	struct tree_stat st;
	int rc = found(g, path, TREE_FILE, at, &st, err);

	if (rc <= 0)
		return rc;
	if (st.size > max)
		return fail(err, VDISK_UNSUPPORTED, "%s: has %llu bytes, more than %llu", path, (unsigned long long)st.size,
		            (unsigned long long)max);
	kept = tfind(&at, &g->files, by_path);
	if (!kept)
		return content_read(g, at, st.size, max, out, err);
	bytes_add(out, (*kept)->content.at, (*kept)->content.len);
	return out->failed ? nomem(err) : 1;
}

static int g_list(struct tree *t, const char *path, struct bytes *names, vdisk_error *err)
{
	char at[PATH_ROOM];
	const struct folder *f;
	struct tree_stat st;
	int rc = found(tree_of(t), path, TREE_FOLDER, at, &st, err);

	if (rc <= 0)
		return rc;
	if (folder_get(tree_of(t), at, &f, err))
		return -1;
	for (size_t i = 0; i < f->n; i++)
		if (f->v[i].there)
			bytes_add(names, f->v[i].name, strlen(f->v[i].name) + 1);
	return names->failed ? nomem(err) : 1;
}

static int g_link(struct tree *t, const char *path, struct bytes *target, vdisk_error *err)
{
	char at[PATH_ROOM];
	int rc = resolved(tree_of(t), path, false, at, err);

	return rc <= 0 ? rc : source_link(tree_of(t), at, target, err);
}

static int g_head(struct tree *t, const char *path, size_t len, struct bytes *out, vdisk_error *err)
{
	struct guestfs_tree *g = tree_of(t);
	char at[PATH_ROOM];
	struct tree_stat st;
	int rc = found(g, path, TREE_FILE, at, &st, err);

	if (rc <= 0)
		return rc;
	return pieces_read(g, at, len, out, err);
}

static void file_free(void *p)
{
	struct file *f = p;

	free(f->path);
	bytes_destroy(&f->content);
	free(f);
}

static void g_close(struct tree *t)
{
	struct guestfs_tree *g = tree_of(t);

	tdestroy(g->folders, folder_free);
	tdestroy(g->files, file_free);
	free(g);
}

static const struct tree_ops ops = { g_stat, g_read, g_list, g_link, g_close, g_head };

struct tree *tree_guestfs_open(guestfs_h *g, vdisk_error *err)
{
	struct guestfs_tree *t = calloc(1, sizeof(*t));

	if (!t) {
		nomem(err);
		return NULL;
	}
	t->tree.ops = &ops;
	t->g = g;
	return &t->tree;
}

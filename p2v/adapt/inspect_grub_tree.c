/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two ways to a file system: names and small files come through a grub-mount, a child of ours in the foreground, whose answers the
 * kernel keeps.  It shows what is compressed (gzip, xz, lzo) unpacked, whatever its name, so large files, for which that matters,
 * and those of such names go through grub-fstest's "cat", which is faster, too; as does everything where nothing is mounted.  Then
 * folders are listed once ("ls -l") and kept. Such a list tells folders, sizes, and (by question marks) what cannot be opened:
 * links to folders, and links to nowhere.
 */
#include "inspect_grub.h"

#include "../../fuse/unmount.h"
#include "common/child.h"
#include "common/fail.h"
#include "inspect_grub_run.h"
#include "shown.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LARGE (1u << 20)          /* bytes: from here on a process of its own is the faster way */
#define LIST_MAX (64u << 20)
#define KEPT_MAX 512
#define PATIENCE_MS 60000
#define GRACE_MS 10000u

struct kept { /* a folder that was listed */
	char *path;
	struct bytes list;  /* as grub-fstest prints it */
};

struct grub_tree {
	struct tree tree;
	struct grub_source source;
	char *device, *folder;  /* folder NULL: nothing is mounted */
	struct tree *mounted;
	pid_t pid;
	dev_t before;
	struct kept kept[KEPT_MAX];
	size_t kept_n;
};

static struct grub_tree *tree_of(struct tree *t) { return (struct grub_tree *)t; }

/* (device)/path; what GRUB would take for something else is not asked for. */
static int name_make(const struct grub_tree *g, const char *path, const char *end, struct bytes *out, vdisk_error *err)
{
	bytes_format(out, "(%s)%s%s", g->device, path, end);
	return out->failed ? fail_nomem(err) : 0;
}

/* ---------------------------------------------------------------- without a mount */

/* "DIR          20261122094606 name/", "1994         20260507203302 name", "????????????  … name". */
struct entry {
	const char *name;
	size_t len;
	bool folder, open;
	uint64_t size;
};

static bool entry_next(const struct bytes *list, size_t *at, struct entry *e)
{
	while (*at < list->len) {
		const char *line = list->at + *at, *p = line;
		size_t len = strcspn(line, "\n"), date;

		*at += len + (line[len] == '\n');
		while (p < line + len && *p != ' ')
			p++;
		if (p == line || p == line + len)
			continue;
		e->folder = !strncmp(line, "DIR", 3);
		e->open = *line != '?';
		e->size = isdigit((unsigned char)*line) ? strtoull(line, NULL, 10) : 0;
		while (p < line + len && *p == ' ')
			p++;
		date = strspn(p, "0123456789");
		if (date == 14 && p[14] == ' ')
			p += 15;
		e->name = p;
		e->len = (size_t)(line + len - p);
		if (e->folder && e->len && e->name[e->len - 1] == '/')
			e->len--;
		if (e->len && !(e->len == 1 && *e->name == '.') && !(e->len == 2 && !memcmp(e->name, "..", 2)))
			return true;
	}
	return false;
}

/* NULL with *err. */
static const struct bytes *folder_list(struct grub_tree *g, const char *path, vdisk_error *err)
{
	struct bytes name = { 0 };
	struct kept *k;

	for (size_t i = 0; i < g->kept_n; i++)
		if (!strcmp(g->kept[i].path, path))
			return &g->kept[i].list;
	if (g->kept_n == KEPT_MAX) {
		k = &g->kept[--g->kept_n];
		free(k->path);
		bytes_destroy(&k->list);
	}
	k = &g->kept[g->kept_n];
	*k = (struct kept){ .path = strdup(path) };
	if (k->path && !name_make(g, path, path[1] ? "/" : "", &name, err)) {
		const char *command[] = { "ls", "-l", name.at, NULL };

		if (grub_run(&g->source, command, LIST_MAX, &k->list, err) >= 0) {
			bytes_destroy(&name);
			g->kept_n++;
			return &k->list;
		}
	} else if (!k->path) {
		fail_nomem(err);
	}
	bytes_destroy(&name);
	free(k->path);
	bytes_destroy(&k->list);
	return NULL;
}

/* 1, 0, -1.  `path` has neither "." nor ".." nor a / at its end. */
static int entry_find(struct grub_tree *g, const char *path, struct entry *e, vdisk_error *err)
{
	const char *slash = strrchr(path, '/');
	char *folder = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	const struct bytes *list = folder ? folder_list(g, folder, err) : NULL;
	size_t at = 0;

	if (!folder)
		fail_nomem(err);
	free(folder);
	if (!list)
		return -1;
	while (entry_next(list, &at, e))
		if (strlen(slash + 1) == e->len && !memcmp(slash + 1, e->name, e->len))
			return 1;
	return 0;
}

/* Without doubled and last slashes.  Returns owned; NULL: nomem. */
static char *path_clean(const char *path)
{
	char *out = malloc(strlen(path) + 2), *to = out;

	if (!out)
		return NULL;
	*to++ = '/';
	for (; *path; path++)
		if (*path != '/' || to[-1] != '/')
			*to++ = *path;
	if (to > out + 1 && to[-1] == '/')
		to--;
	*to = '\0';
	return out;
}

static int bare_stat(struct grub_tree *g, const char *given, struct tree_stat *out, vdisk_error *err)
{
	char *path = path_clean(given);
	struct entry e = { .folder = true, .open = true };
	int rc = !path ? fail_nomem(err) : path[1] ? entry_find(g, path, &e, err) : 1;

	if (rc > 0 && !e.open) { /* a link: to a folder, if that has something in it */
		const struct bytes *list = folder_list(g, path, err);

		e.folder = true;
		rc = !list ? -1 : list->len > 0;
	}
	free(path);
	if (rc > 0)
		*out =
		    (struct tree_stat){.kind = e.folder ? TREE_FOLDER : TREE_FILE, .size = e.size, .mode = e.folder ? 0555 : 0444};
	return rc;
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Adds the names, sorted. */
static int names_sort(char **v, size_t n, struct bytes *names, vdisk_error *err)
{
	qsort(v, n, sizeof(*v), by_bytes);
	for (size_t i = 0; i < n; i++)
		bytes_add(names, v[i], strlen(v[i]) + 1);
	return names->failed ? fail_nomem(err) : 1;
}

static int bare_list(struct grub_tree *g, const char *given, struct bytes *names, vdisk_error *err)
{
	struct tree_stat st;
	int rc = bare_stat(g, given, &st, err);
	char *path = rc > 0 && st.kind == TREE_FOLDER ? path_clean(given) : NULL;
	const struct bytes *list = path ? folder_list(g, path, err) : NULL;
	struct entry e;
	char **v = NULL;
	size_t n = 0, at = 0;

	if (rc > 0 && st.kind != TREE_FOLDER)
		return 0;
	free(path);
	if (rc <= 0 || !list)
		return rc < 0 || rc > 0 ? -1 : 0;
	while (entry_next(list, &at, &e))
		n++;
	v = calloc(n + 1, sizeof(*v));
	if (!v)
		return fail_nomem(err);
	for (at = 0, n = 0; rc > 0 && entry_next(list, &at, &e); n++)
		if (!(v[n] = strndup(e.name, e.len)))
			rc = fail_nomem(err);
	if (rc > 0)
		rc = names_sort(v, n, names, err);
	for (size_t i = 0; i < n; i++)
		free(v[i]);
	free(v);
	return rc;
}

/* ---------------------------------------------------------------- the tree */

/* Not to be read through the mount. */
static bool is_packed(const char *path, const struct tree_stat *st)
{
	const char *dot = strrchr(path, '.');

	return st->kind == TREE_FILE &&
	       (st->size >= LARGE || (dot && (!strcmp(dot, ".gz") || !strcmp(dot, ".xz") || !strcmp(dot, ".lzo"))));
}

static int grub_stat(struct tree *t, const char *path, bool follow, struct tree_stat *out, vdisk_error *err)
{
	struct grub_tree *g = tree_of(t);
	int rc = g->mounted ? g->mounted->ops->stat(g->mounted, path, follow, out, err) : 0;

	return g->mounted && (rc <= 0 || !is_packed(path, out)) ? rc : bare_stat(g, path, out, err);
}

static int grub_read(struct tree *t, const char *path, uint64_t max, struct bytes *out, vdisk_error *err)
{
	struct grub_tree *g = tree_of(t);
	struct bytes name = { 0 };
	struct tree_stat st;
	const char *command[] = { "cat", NULL, NULL };
	size_t before = out->len;
	int rc = grub_stat(t, path, true, &st, err);

	if (rc <= 0 || st.kind == TREE_FOLDER)
		return rc < 0 ? -1 : 0;
	if (st.size > max)
		return fail(err, VDISK_UNSUPPORTED, "%s: is longer (%llu bytes) than what is read (%llu)", path,
			    (unsigned long long)st.size, (unsigned long long)max);
	if (g->mounted && !is_packed(path, &st))
		return g->mounted->ops->read(g->mounted, path, max, out, err);
	if (name_make(g, path, "", &name, err))
		return -1;
	command[1] = name.at;
	bytes_add(out, "", 0);
	rc = grub_run(&g->source, command, max, out, err);
	bytes_destroy(&name);
	/* It fails without a word for us, and may have printed a part. */
	if (!rc || (rc > 0 && out->len - before != st.size))
		rc = fail(err, VDISK_IO, "%s: GRUB's reader stops after %zu of %llu bytes", path, out->len - before,
			  (unsigned long long)st.size);
	return rc;
}

static int grub_tree_head(struct tree *t, const char *path, size_t len, struct bytes *out, vdisk_error *err)
{
	struct grub_tree *g = tree_of(t);
	struct bytes all = { 0 };
	int rc;

	if (g->mounted)
		return g->mounted->ops->head(g->mounted, path, len, out, err);
	rc = grub_read(t, path, 1u << 30, &all, err);
	if (rc > 0)
		bytes_add(out, all.at, all.len < len ? all.len : len);
	bytes_destroy(&all);
	return rc > 0 && out->failed ? fail_nomem(err) : rc;
}

static int grub_list(struct tree *t, const char *path, struct bytes *names, vdisk_error *err)
{
	struct grub_tree *g = tree_of(t);

	return g->mounted ? g->mounted->ops->list(g->mounted, path, names, err) : bare_list(g, path, names, err);
}

static int grub_link(struct tree *t, const char *path, struct bytes *target, vdisk_error *err)
{
	(void)t, (void)path, (void)target, (void)err;
	return 0;
}

static void grub_close(struct tree *t)
{
	struct grub_tree *g = tree_of(t);

	tree_close(g->mounted);
	if (g->folder) {
		unmount(g->folder, UNMOUNT_DETACH);
		if (g->pid > 0)
			child_end(g->pid, GRACE_MS);
		unmount(g->folder, UNMOUNT_DETACH); /* it may have been about to */
	}
	for (size_t i = 0; i < g->kept_n; i++) {
		free(g->kept[i].path);
		bytes_destroy(&g->kept[i].list);
	}
	free(g->device);
	free(g->folder);
	free(g);
}

static const struct tree_ops grub_ops = { grub_stat, grub_read, grub_list, grub_link, grub_close, grub_tree_head };

static int mount_start(struct grub_tree *g, vdisk_error *err)
{
	const struct grub_source *s = &g->source;
	const char *argv[GRUB_FILES_MAX + 12];
	char path[4096];
	struct stat st;
	size_t n = 0;

	if (!child_find("grub-mount", false, path))
		return fail(err, VDISK_UNSUPPORTED, "the program grub-mount is not installed");
	if (stat(g->folder, &st))
		return fail_errno(err, "%s", g->folder);
	g->before = st.st_dev;
	argv[n++] = "grub-mount";
	argv[n++] = "-r";
	argv[n++] = g->device;
	argv[n++] = "--"; /* what begins with - behind it goes to FUSE: in the foreground; nothing changes while we look */
	argv[n++] = "-f";
	argv[n++] = "-oro,kernel_cache,attr_timeout=86400,entry_timeout=86400,negative_timeout=86400";
	for (size_t i = 0; i < s->files_n; i++)
		argv[n++] = s->files[i];
	argv[n++] = g->folder;
	argv[n] = NULL;
	g->pid = child_start(path, (char *const *)argv, true, -1);
	return g->pid < 0 ? fail_errno(err, "grub-mount") : 0;
}

int grub_tree_wait(struct tree *t, vdisk_error *err)
{
	struct grub_tree *g = tree_of(t);
	struct tree_stat root;
	struct stat st;

	if (!g->folder || g->mounted)
		return g->mounted ? 1 : bare_stat(g, "/", &root, err);
	for (unsigned ms = 0; stat(g->folder, &st) || st.st_dev == g->before; ms++) {
		if (waitpid(g->pid, NULL, WNOHANG) == g->pid) {
			g->pid = 0;
			return 0;
		}
		if (ms == PATIENCE_MS)
			return fail(err, VDISK_IO, "grub-mount takes too long");
		shown_pause(1);
	}
	g->mounted = tree_folder_open(g->folder, false, err);
	return g->mounted ? 1 : -1;
}

struct tree *grub_tree_open(const struct grub_source *s, const char *device, const char *folder, vdisk_error *err)
{
	struct grub_tree *g = calloc(1, sizeof(*g));

	if (g) {
		g->tree.ops = &grub_ops;
		g->source = *s;
		g->device = strdup(device);
		g->folder = folder ? strdup(folder) : NULL;
	}
	if (!g || !g->device || (folder && !g->folder))
		fail_nomem(err);
	else if (!folder || !mount_start(g, err))
		return &g->tree;
	if (g)
		grub_close(&g->tree);
	return NULL;
}

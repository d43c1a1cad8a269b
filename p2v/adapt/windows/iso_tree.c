/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * virtio-win's ISO holds most files under several names with one content, and libarchive tells all but the first as links to it.
 * So its table is read first, to see which contents the wanted names need, and then those.  Nothing is ever written to this
 * machine, whatever the names are: a file is found by its name or not at all.
 */
#include "iso_tree.h"

#include "common/fail.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX 100000
#define FILE_MAX_BYTES (64u << 20)
#define TOTAL_MAX (512u << 20)
#define BLOCK (64 * 1024)

struct iso_file {
	char *path;   /* from the root: /viostor/2k19/amd64/viostor.sys */
	char *target; /* the name that has the content; NULL: this one */
	bool wanted;  /* shown in the tree */
	bool needed;  /* its content is read */
	struct bytes content;
};

struct iso_tree {
	struct tree tree;
	struct iso_file *files;
	size_t n;
	uint64_t total;
};

static struct iso_tree *iso_of(struct tree *t) { return (struct iso_tree *)t; }

/* "/a/b" of what an ISO calls "./a/b" or "a/b". */
static char *path_make(const char *name)
{
	char *path;

	while (!strncmp(name, "./", 2) || *name == '/')
		name += *name == '.' ? 2 : 1;
	path = malloc(strlen(name) + 2);
	if (path) {
		*path = '/';
		strcpy(path + 1, name);
	}
	return path;
}

static struct iso_file *file_find(const struct iso_tree *t, const char *path)
{
	for (size_t i = 0; i < t->n; i++) {
		if (!strcmp(t->files[i].path, path))
			return &t->files[i];
	}
	return NULL;
}

/* ---------------------------------------------------------------- reading the ISO */

typedef int (*entry_fn)(struct iso_tree *t, struct archive *a, struct archive_entry *e, vdisk_error *err);

static const char *archive_says(struct archive *a)
{
	const char *text = archive_error_string(a);

	return text ? text : "it is damaged, or something else";
}

static int walk(struct iso_tree *t, const char *iso, entry_fn each, vdisk_error *err)
{
	struct archive *a = archive_read_new();
	struct archive_entry *e;
	int rc = 0, r = ARCHIVE_OK;

	if (!a)
		return fail_nomem(err);
	if (archive_read_support_format_iso9660(a) != ARCHIVE_OK || archive_read_open_filename(a, iso, BLOCK) != ARCHIVE_OK)
		rc = fail(err, VDISK_UNSUPPORTED, "%s: is neither a folder nor an ISO: %s", iso, archive_says(a));
	for (unsigned n = 0; !rc && (r = archive_read_next_header(a, &e)) != ARCHIVE_EOF; n++) {
		if (r < ARCHIVE_WARN)
			rc = fail(err, VDISK_CORRUPT, "%s: %s", iso, archive_says(a));
		else if (n == ENTRIES_MAX)
			rc = fail(err, VDISK_UNSUPPORTED, "%s: holds more than %u files", iso, ENTRIES_MAX);
		else if (archive_entry_pathname(e) && (archive_entry_hardlink(e) || archive_entry_filetype(e) == AE_IFREG))
			rc = each(t, a, e, err);
	}
	archive_read_free(a);
	return rc;
}

static int name_take(struct iso_tree *t, struct archive *a, struct archive_entry *e, vdisk_error *err)
{
	const char *target = archive_entry_hardlink(e);
	struct iso_file *more, one = { 0 };

	(void)a;
	if ((t->n & (t->n - 1)) == 0) {
		more = realloc(t->files, (t->n ? 2 * t->n : 1) * sizeof(*more));
		if (!more)
			return fail_nomem(err);
		t->files = more;
	}
	one.path = path_make(archive_entry_pathname(e));
	one.target = target ? path_make(target) : NULL;
	t->files[t->n++] = one;
	return one.path && (!target || one.target) ? 0 : fail_nomem(err);
}

static int content_take(struct iso_tree *t, struct archive *a, struct archive_entry *e, vdisk_error *err)
{
	char *path = path_make(archive_entry_pathname(e)), *part = malloc(BLOCK);
	struct iso_file *f = path ? file_find(t, path) : NULL;
	la_ssize_t n = 0;
	int rc = path && part ? 0 : fail_nomem(err);

	free(path);
	while (!rc && f && f->needed && !f->target && (n = archive_read_data(a, part, BLOCK)) > 0) {
		bytes_add(&f->content, part, (size_t)n);
		t->total += (uint64_t)n;
		if (f->content.failed)
			rc = fail_nomem(err);
		else if (f->content.len > FILE_MAX_BYTES || t->total > TOTAL_MAX)
			rc = fail(err, VDISK_UNSUPPORTED, "%s: more than 64 MiB of one driver file, or than 512 MiB of all",
			          f->path);
	}
	if (!rc && n < 0)
		rc = fail(err, VDISK_CORRUPT, "%s: %s", f->path, archive_says(a));
	free(part);
	return rc;
}

/* ---------------------------------------------------------------- the tree */

static int iso_stat(struct tree *t, const char *path, bool follow, struct tree_stat *out, vdisk_error *err)
{
	const struct iso_tree *iso = iso_of(t);
	size_t n = strlen(path);

	(void)follow;
	(void)err;
	while (n && path[n - 1] == '/')
		n--;
	for (size_t i = 0; i < iso->n; i++) {
		const struct iso_file *f = &iso->files[i];

		if (!f->wanted || strncmp(f->path, path, n) || (f->path[n] && f->path[n] != '/'))
			continue;
		*out = (struct tree_stat){ .kind = f->path[n] ? TREE_FOLDER : TREE_FILE,
			                   .size = f->path[n] ? 0 : f->content.len,
			                   .mode = 0644 };
		return 1;
	}
	return 0;
}

static int iso_read(struct tree *t, const char *path, uint64_t max, struct bytes *out, vdisk_error *err)
{
	const struct iso_file *f = file_find(iso_of(t), path);

	if (!f || !f->wanted)
		return 0;
	if (f->target)
		f = file_find(iso_of(t), f->target);
	if (!f || f->target)
		return fail(err, VDISK_CORRUPT, "%s: shares its content with a file that is not there", path);
	if (f->content.len > max)
		return fail(err, VDISK_UNSUPPORTED, "%s: has %zu bytes, more than is read", path, f->content.len);
	bytes_add(out, f->content.at ? f->content.at : "", f->content.len);
	return out->failed ? fail_nomem(err) : 1;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int iso_list(struct tree *t, const char *path, struct bytes *names, vdisk_error *err)
{
	const struct iso_tree *iso = iso_of(t);
	char **v = calloc(iso->n + 1, sizeof(*v));
	size_t n = strlen(path), found = 0;
	int rc = v ? 1 : fail_nomem(err);

	while (n && path[n - 1] == '/')
		n--;
	for (size_t i = 0; v && i < iso->n && rc > 0; i++) {
		const struct iso_file *f = &iso->files[i];

		if (!f->wanted || strncmp(f->path, path, n) || f->path[n] != '/')
			continue;
		v[found] = strndup(f->path + n + 1, strcspn(f->path + n + 1, "/"));
		if (!v[found++])
			rc = fail_nomem(err);
	}
	if (rc > 0)
		qsort(v, found, sizeof(*v), by_name);
	for (size_t i = 0; rc > 0 && i < found; i++) {
		if (*v[i] && (!i || strcmp(v[i], v[i - 1])))
			bytes_add(names, v[i], strlen(v[i]) + 1);
	}
	for (size_t i = 0; i < found; i++)
		free(v[i]);
	free(v);
	return rc < 0 ? -1 : names->failed ? fail_nomem(err) : found > 0;
}

static int iso_link(struct tree *t, const char *path, struct bytes *target, vdisk_error *err)
{
	(void)t;
	(void)path;
	(void)target;
	(void)err;
	return 0; /* symbolic links are left out */
}

static void iso_close(struct tree *t)
{
	struct iso_tree *iso = iso_of(t);

	for (size_t i = 0; i < iso->n; i++) {
		free(iso->files[i].path);
		free(iso->files[i].target);
		bytes_destroy(&iso->files[i].content);
	}
	free(iso->files);
	free(iso);
}

static const struct tree_ops iso_ops = {
	.stat = iso_stat, .read = iso_read, .list = iso_list, .link = iso_link, .close = iso_close
};

struct tree *iso_tree_open(const char *iso, bool (*wanted)(void *to, const char *path), void *to, vdisk_error *err)
{
	struct iso_tree *t = calloc(1, sizeof(*t));

	if (!t) {
		fail_nomem(err);
		return NULL;
	}
	t->tree.ops = &iso_ops;
	if (walk(t, iso, name_take, err)) {
		iso_close(&t->tree);
		return NULL;
	}
	for (size_t i = 0; i < t->n; i++) {
		struct iso_file *f = &t->files[i], *source = f;

		f->wanted = wanted(to, f->path);
		if (f->wanted && f->target)
			source = file_find(t, f->target);
		if (f->wanted && source)
			source->needed = true;
	}
	if (!walk(t, iso, content_take, err))
		return &t->tree;
	iso_close(&t->tree);
	return NULL;
}

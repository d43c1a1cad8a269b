/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdops: performs operations on images and their chains, one a line of standard input, through <vdisk/vdisk.h> alone, and answers
 * each with one line: "ok …", "no KIND MESSAGE" (refused, or failed), or "bad …" (no such command).  For tests that need thousands
 * of them.  Words have no spaces in them; "-" stands for "none"; numbers are decimal.
 *
 *   create PATH FORMAT SIZE BACKING BACKING_FORMAT KEY=VALUE,…
 *   open PATH FLAGS                 FLAGS: VDISK_OPEN_*.  Until `close` this is the image of
 *     write OFF LEN BYTE, zero OFF LEN, discard OFF LEN, flush, read OFF LEN FILE
 *     resize SIZE                     smaller, too
 *   close
 *   dump PATH SNAPSHOT PIECE FILE   the content, read in pieces of that length         → ok SIZE FORMAT PARENT
 *   absent PATH                     ranges that the leaf leaves to its parent          → ok SIZE OFF+LEN OFF+LEN …
 *   check PATH                                                                         → ok CORRUPTIONS LEAKS
 *   keep PATH NAME, back PATH NAME, drop PATH NAME                 internal snapshots: made, applied, deleted
 *   layer PATH NAME                 external ones, likewise                            → ok LEAF
 *   layer-back PATH NAME
 *   layer-drop PATH NAME                                                               → ok up|down MERGED
 *   tree PATH                       the external ones with a name                      → ok NAME=FILE …
 *   clone PATH TO full|linked
 *   commit PATH TO FLAGS
 *   rebase PATH BACKING FORMAT safe|unsafe
 *   flatten PATH
 */
#include <vdisk/vdisk.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS 8

static vdisk_image *opened;

static const char *word_or_null(const char *w)
{
	return strcmp(w, "-") ? w : NULL;
}

static uint64_t number(const char *w)
{
	return strtoull(w, NULL, 10);
}

static int image_open(const char *path, uint32_t flags, const char *snapshot, vdisk_image **img, vdisk_error *err)
{
	char option[300];
	const char *options[] = { option, NULL };
	struct vdisk_open_options o = { .flags = flags };

	if (snapshot) {
		snprintf(option, sizeof(option), "snapshot=%s", snapshot);
		o.options = options;
	}
	return vdisk_open(path, &o, img, err);
}

/* ---------------------------------------------------------------- one image */

static int do_create(char **w, char *say, vdisk_error *err)
{
	const char *options[WORDS] = { NULL };
	char *rest = w[6];
	struct vdisk_create_options c = { .format = w[2], .size = strcmp(w[3], "-") ? number(w[3]) : UINT64_MAX, .options = options,
		                          .backing = word_or_null(w[4]), .backing_format = word_or_null(w[5]) };

	for (unsigned n = 0; n + 1 < WORDS && word_or_null(w[6]) && (options[n] = strtok_r(rest, ",", &rest));)
		n++;
	(void)say;
	return vdisk_create(w[1], &c, NULL, err);
}

static int do_open(char **w, char *say, vdisk_error *err)
{
	(void)say;
	return image_open(w[1], (uint32_t)number(w[2]), NULL, &opened, err);
}

static int do_close(char **w, char *say, vdisk_error *err)
{
	vdisk_image *img = opened;

	(void)w, (void)say;
	opened = NULL;
	return vdisk_close(img, err);
}

static int do_write(char **w, char *say, vdisk_error *err)
{
	size_t len = number(w[2]);
	char *buf = malloc(len ? len : 1);
	int rc;

	(void)say;
	memset(buf, (int)number(w[3]), len);
	rc = vdisk_pwrite(opened, buf, len, number(w[1]), err);
	free(buf);
	return rc;
}

static int do_zero(char **w, char *say, vdisk_error *err)
{
	(void)say;
	return vdisk_zero(opened, number(w[1]), number(w[2]), err);
}

static int do_discard(char **w, char *say, vdisk_error *err)
{
	(void)say;
	return vdisk_discard(opened, number(w[1]), number(w[2]), err);
}

static int do_flush(char **w, char *say, vdisk_error *err)
{
	(void)w, (void)say;
	return vdisk_flush(opened, err);
}

static int do_resize(char **w, char *say, vdisk_error *err)
{
	(void)say;
	return vdisk_resize(opened, number(w[1]), VDISK_RESIZE_SHRINK, err);
}

static int pieces_store(vdisk_image *img, uint64_t off, uint64_t len, uint64_t piece, const char *path, vdisk_error *err)
{
	char *buf = malloc(len ? len : 1);
	FILE *f = fopen(path, "wb");
	int rc = 0;

	for (uint64_t at = 0; at < len && !rc; at += piece)
		rc = vdisk_pread(img, buf + at, len - at < piece ? len - at : piece, off + at, err);
	if (!f || fwrite(buf, 1, len, f) != len || fclose(f)) {
		perror(path);
		exit(2);
	}
	free(buf);
	return rc;
}

static int do_read(char **w, char *say, vdisk_error *err)
{
	(void)say;
	return pieces_store(opened, number(w[1]), number(w[2]), UINT64_C(1) << 30, w[3], err);
}

static int do_dump(char **w, char *say, vdisk_error *err)
{
	struct vdisk_layer_info above = { 0 }, below = { .path = "-" };
	vdisk_image *img;
	int rc;

	if (image_open(w[1], 0, word_or_null(w[2]), &img, err))
		return -1;
	rc = pieces_store(img, 0, vdisk_size(img), number(w[3]), w[4], err);
	if (!rc && (vdisk_layer_get(img, 0, &above, err) || (vdisk_depth(img) > 1 && vdisk_layer_get(img, 1, &below, err))))
		rc = -1;
	sprintf(say, "%" PRIu64 " %s %.2000s", vdisk_size(img), above.format, below.path);
	vdisk_close(img, NULL);
	return rc;
}

static int do_absent(char **w, char *say, vdisk_error *err)
{
	struct vdisk_extent x[64];
	uint64_t off = 0, size;
	vdisk_image *img;
	int rc = 0;

	if (image_open(w[1], VDISK_OPEN_NO_PARENT, NULL, &img, err))
		return -1;
	size = vdisk_size(img);
	say += sprintf(say, "%" PRIu64, size);
	for (size_t n; off < size && !rc; off = rc ? off : x[n - 1].off + x[n - 1].len) {
		rc = vdisk_map(img, off, size - off, x, 64, &n, err);
		for (size_t i = 0; i < n && !rc; i++)
			if (x[i].kind == VDISK_ABSENT)
				say += sprintf(say, " %" PRIu64 "+%" PRIu64, x[i].off, x[i].len);
	}
	vdisk_close(img, NULL);
	return rc;
}

static void problem_print(void *ctx, bool is_leak, uint64_t offset, const char *message)
{
	if (!is_leak)
		fprintf(stderr, "%s: %s (at %" PRIu64 ")\n", (const char *)ctx, message, offset);
}

static int do_check(char **w, char *say, vdisk_error *err)
{
	struct vdisk_check_result r = { 0 };
	vdisk_image *img;
	int rc;

	if (image_open(w[1], VDISK_OPEN_CHECK | VDISK_OPEN_NO_PARENT, NULL, &img, err))
		return -1;
	rc = vdisk_check(img, 0, problem_print, w[1], &r, err);
	sprintf(say, "%" PRIu64 " %" PRIu64, r.corruptions, r.leaks);
	vdisk_close(img, NULL);
	return rc;
}

/* ---------------------------------------------------------------- internal snapshots */

static int snapshot_create(vdisk_image *img, const char *name, vdisk_error *err)
{
	struct vdisk_snapshot_create_options o = { .name = name, .date_sec = UINT64_MAX };

	return vdisk_snapshot_create(img, &o, NULL, err);
}

static int do_inside(char **w, char *say, vdisk_error *err)
{
	vdisk_image *img;
	int rc;

	(void)say;
	if (image_open(w[1], VDISK_OPEN_RW, NULL, &img, err))
		return -1;
	rc = !strcmp(w[0], "keep")   ? snapshot_create(img, w[2], err)
	     : !strcmp(w[0], "back") ? vdisk_snapshot_apply(img, w[2], err)
	                             : vdisk_snapshot_delete(img, w[2], err);
	return vdisk_close(img, rc ? NULL : err) || rc ? -1 : 0;
}

/* ---------------------------------------------------------------- external ones */

static int do_layer(char **w, char *say, vdisk_error *err)
{
	struct vdisk_layer_options o = { .name = w[2], .date_sec = UINT64_MAX };

	return vdisk_layer_snapshot(w[1], &o, say, err);
}

static int do_layer_back(char **w, char *say, vdisk_error *err)
{
	const struct vdisk_layer_options o = { 0 };

	(void)say;
	return vdisk_layer_apply(w[1], &o, w[2], err);
}

static int do_layer_drop(char **w, char *say, vdisk_error *err)
{
	const struct vdisk_layer_options o = { 0 };
	struct vdisk_layer_report r = { 0 };
	int rc = vdisk_layer_delete(w[1], &o, w[2], &r, err);

	sprintf(say, "%s %u", r.down ? "down" : "up", r.merged);
	return rc;
}

static void node_see(void *ctx, const struct vdisk_snapshot_node *s)
{
	char **at = ctx;

	if (s->kind == VDISK_SNAPSHOT_EXTERNAL && s->name && s->files[0])
		*at += sprintf(*at, " %.200s=%.2000s", s->name, s->files[0]);
}

static int do_tree(char **w, char *say, vdisk_error *err)
{
	return vdisk_snapshot_tree(w[1], NULL, node_see, &say, err);
}

/* ---------------------------------------------------------------- chains */

static int do_clone(char **w, char *say, vdisk_error *err)
{
	const struct vdisk_clone_options o = { .flags = strcmp(w[3], "linked") ? 0 : VDISK_CLONE_LINKED };
	vdisk_image *img;
	int rc;

	(void)say;
	if (image_open(w[1], 0, NULL, &img, err))
		return -1;
	rc = vdisk_clone(img, w[2], &o, err);
	vdisk_close(img, NULL);
	return rc;
}

static int do_commit(char **w, char *say, vdisk_error *err)
{
	const struct vdisk_open_options open = { .flags = (uint32_t)number(w[3]) };
	const struct vdisk_commit_options o = { .open = &open, .to = word_or_null(w[2]) };

	(void)say;
	return vdisk_commit(w[1], &o, NULL, err);
}

static int do_rebase(char **w, char *say, vdisk_error *err)
{
	bool unsafe = !strcmp(w[4], "unsafe");
	const struct vdisk_rebase_options o = { .backing = word_or_null(w[2]), .backing_format = word_or_null(w[3]),
		                                .flags = unsafe ? VDISK_REBASE_UNSAFE : 0 };
	vdisk_image *img;
	int rc;

	(void)say;
	if (image_open(w[1], VDISK_OPEN_RW | VDISK_OPEN_KEEP_ID | (unsafe ? VDISK_OPEN_NO_PARENT : 0), NULL, &img, err))
		return -1;
	rc = vdisk_rebase(img, &o, NULL, err);
	return vdisk_close(img, rc ? NULL : err) || rc ? -1 : 0;
}

static int do_flatten(char **w, char *say, vdisk_error *err)
{
	vdisk_image *img;
	int rc;

	(void)say;
	if (image_open(w[1], VDISK_OPEN_RW | VDISK_OPEN_KEEP_ID, NULL, &img, err))
		return -1;
	rc = vdisk_flatten(img, NULL, NULL, err);
	return vdisk_close(img, rc ? NULL : err) || rc ? -1 : 0;
}

/* ---------------------------------------------------------------- lines */

static const struct command {
	const char *name;
	int words;  /* behind the name */
	bool image; /* wants one that is open */
	int (*run)(char **w, char *say, vdisk_error *err);
} commands[] = {
	{ "create", 6, false, do_create },   { "open", 2, false, do_open },     { "close", 0, true, do_close },
	{ "write", 3, true, do_write },      { "zero", 2, true, do_zero },      { "discard", 2, true, do_discard },
	{ "flush", 0, true, do_flush },      { "read", 3, true, do_read },      { "resize", 1, true, do_resize },
	{ "dump", 4, false, do_dump },       { "absent", 1, false, do_absent }, { "check", 1, false, do_check },
	{ "keep", 2, false, do_inside },     { "back", 2, false, do_inside },   { "drop", 2, false, do_inside },
	{ "layer", 2, false, do_layer },     { "layer-back", 2, false, do_layer_back },
	{ "layer-drop", 2, false, do_layer_drop }, { "tree", 1, false, do_tree },
	{ "clone", 3, false, do_clone },     { "commit", 3, false, do_commit }, { "rebase", 4, false, do_rebase },
	{ "flatten", 1, false, do_flatten },
};

static void line_perform(char *line)
{
	static char say[1 << 20];
	char *w[WORDS + 1];
	vdisk_error err = { 0 };
	int n = 0;

	for (char *rest = line; n <= WORDS && (w[n] = strtok_r(rest, " \n", &rest));)
		n++;
	for (size_t i = 0; n && i < sizeof(commands) / sizeof(commands[0]); i++) {
		const struct command *c = &commands[i];

		if (strcmp(c->name, w[0]) || c->words != n - 1 || (c->image && !opened))
			continue;
		say[0] = '\0';
		if (c->run(w, say, &err))
			printf("no %s %s\n", vdisk_error_kind_name(err.kind), err.message);
		else
			printf("ok %s\n", say);
		return;
	}
	printf("bad command\n");
}

int main(void)
{
	static char line[16384];

	while (fgets(line, sizeof(line), stdin)) {
		line_perform(line);
		fflush(stdout);
	}
	return 0;
}

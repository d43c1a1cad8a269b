/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "snapshot_show.h"
#include "output.h"
#include "state.h"
#include "sizes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEPTH_SHOWN 40 /* of a tree as text */

static const char *const kinds[] = {
	[VDISK_SNAPSHOT_INTERNAL] = "internal",
	[VDISK_SNAPSHOT_EXTERNAL] = "external",
	[VDISK_SNAPSHOT_VMWARE] = "vmware",
};

static const char *date_text(char buf[40], uint64_t sec)
{
	time_t t = (time_t)sec;
	struct tm tm;
	if (!sec || !gmtime_r(&t, &tm) || !strftime(buf, 40, "%Y-%m-%dT%H:%M:%SZ", &tm))
		return NULL;
	return buf;
}

/* ---------------------------------------------------------------- the tree */

/* All of it is fetched before the first word is said. */
struct list {
	struct json_object *rows;
	const char *current;
	char **ids;      /* of those above, by depth */
	size_t n, depth;
};

static struct json_object *row_make(const struct vdisk_snapshot_node *s)
{
	struct json_object *o = json_must(json_object_new_object()), *files = json_must(json_object_new_array());
	char date[40];
	json_put_text(o, "kind", kinds[s->kind]);
	json_put_text(o, "id", s->id);
	json_put_text(o, "name", s->name);
	json_put_text(o, "description", s->description);
	json_put_text(o, "parent", s->parent_id);
	json_put_bool(o, "current", s->current);
	json_put_text(o, "date", date_text(date, s->date_sec));
	json_put_u64(o, "date-nsec", s->date_nsec);
	json_put_u64(o, "virtual-size", s->virtual_size);
	json_put_u64(o, "vm-state-size", s->vm_state_bytes);
	json_put_u64(o, "vm-clock-nsec", s->vm_clock_nsec);
	for (const char *const *f = s->files; *f; f++) {
		struct json_object *file = json_must(json_object_new_object());
		json_put_text(file, "path", *f);
		json_object_array_add(files, file);
	}
	json_put(o, "files", files);
	json_put_text(o, "problem", s->problem);
	return o;
}

static void row_add(void *ctx, const struct vdisk_snapshot_node *s)
{
	json_object_array_add(((struct list *)ctx)->rows, row_make(s));
}

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v = json_object_object_get(o, key);
	return v ? json_object_get_string(v) : NULL;
}

/* Rows come parents first: how many of the rows before are above this one. */
static unsigned depth_of(struct json_object *rows, size_t i, unsigned *depths)
{
	struct json_object *row = json_object_array_get_idx(rows, i);
	const char *parent = text_of(row, "parent"), *kind = text_of(row, "kind");
	for (size_t k = i; parent && k-- > 0;) {
		struct json_object *o = json_object_array_get_idx(rows, k);
		if (!strcmp(text_of(o, "kind"), kind) && !strcmp(text_of(o, "id"), parent))
			return depths[k] + 1;
	}
	return 0;
}

static void row_say(struct json_object *row, unsigned depth)
{
	struct json_object *files = json_object_object_get(row, "files");
	const char *name = text_of(row, "name"), *date = text_of(row, "date"), *description = text_of(row, "description");
	uint64_t bytes = json_object_get_uint64(json_object_object_get(row, "virtual-size"));
	char size[SIZE_TEXT] = "-";
	int indent = (int)(depth < DEPTH_SHOWN ? depth : DEPTH_SHOWN) * 2;
	if (bytes)
		size_human(size, bytes);
	say("%c %-8s %-6s %-20s %-10s %*s%s", json_object_get_boolean(json_object_object_get(row, "current")) ? '*' : ' ',
	    text_of(row, "kind"), name ? shown(text_of(row, "id")) : "-", date ? date : "-", size, indent, "",
	    name ? shown(name) : "(no name)");
	for (size_t i = 0; i < json_object_array_length(files); i++) {
		const char *path = text_of(json_object_array_get_idx(files, i), "path"), *slash = strrchr(path, '/');
		say("%s%s", i ? ", " : "  ", shown(slash ? slash + 1 : path));
	}
	say("\n");
	if (description)
		say("    %*s%s\n", 48 + indent, "", shown(description));
	if (text_of(row, "problem"))
		say("    %*sproblem: %s\n", 48 + indent, "", shown(text_of(row, "problem")));
}

int snapshot_list_show(const char *path, const struct vdisk_open_options *open, bool json)
{
	struct list l = { .rows = json_must(json_object_new_array()) };
	vdisk_error err = { 0 };
	if (vdisk_snapshot_tree(path, open, row_add, &l, &err)) {
		json_object_put(l.rows);
		return fail_vdisk(&err);
	}
	if (json) {
		struct json_object *o = json_report();
		json_put_text(o, "action", "list");
		json_put_text(o, "path", path);
		json_put(o, "snapshots", l.rows);
		json_print(o);
		return EXIT_YES;
	}
	size_t n = json_object_array_length(l.rows);
	unsigned *depths = tool_realloc(NULL, (n + 1) * sizeof(*depths));
	if (n)
		say("  %-8s %-6s %-20s %-10s %s\n", "kind", "id", "date", "size", "name  images");
	for (size_t i = 0; i < n; i++) {
		depths[i] = depth_of(l.rows, i, depths);
		row_say(json_object_array_get_idx(l.rows, i), depths[i]);
	}
	free(depths);
	json_object_put(l.rows);
	return EXIT_YES;
}

/* ---------------------------------------------------------------- the difference */

struct diff {
	bool json;
	uint64_t ranges, bytes;
};

static bool range_count(void *ctx, uint64_t off, uint64_t len)
{
	struct diff *d = ctx;
	(void)off;
	d->ranges++;
	d->bytes += len;
	return true;
}

static bool range_say(void *ctx, uint64_t off, uint64_t len)
{
	struct diff *d = ctx;
	if (d->json) {
		struct json_object *o = json_must(json_object_new_object());
		json_put_u64(o, "offset", off);
		json_put_u64(o, "length", len);
		json_array_element(o);
	} else {
		say("0x%-16" PRIx64 " 0x%" PRIx64 "\n", off, len);
	}
	return true;
}

/* Compared twice, first without a word, so that an error leaves no half answer, and memory does not follow the number of ranges. */
static int diff_run(vdisk_image *a, vdisk_image *b, const char *const names[2], const char *path, bool json)
{
	struct diff d = { .json = json };
	vdisk_error err = { 0 };
	if (vdisk_diff(a, b, NULL, range_count, &d, &err))
		return fail_vdisk(&err);
	bool equal = !d.ranges && vdisk_size(a) == vdisk_size(b);
	if (json) {
		struct json_object *o = json_report();
		json_put_text(o, "action", "diff");
		json_put_text(o, "path", path);
		json_put_text(o, "first", names[0]);
		json_put_text(o, "second", names[1]);
		json_put_u64(o, "first-size", vdisk_size(a));
		json_put_u64(o, "second-size", vdisk_size(b));
		json_put_bool(o, "equal", equal);
		json_put_u64(o, "bytes", d.bytes);
		json_array_begin(o, "ranges");
	} else {
		if (vdisk_size(a) != vdisk_size(b))
			say("sizes: %" PRIu64 " and %" PRIu64 " bytes\n", vdisk_size(a), vdisk_size(b));
		if (d.ranges)
			say("%-18s %s\n", "offset", "length");
	}
	int r = d.ranges && vdisk_diff(a, b, NULL, range_say, &d, &err) ? fail_vdisk(&err) : 0;
	if (json)
		json_array_end();
	return r ? r : equal ? EXIT_YES : EXIT_NO;
}

int snapshot_diff_show(const char *path, const struct vdisk_open_options *open, const char *a, const char *b, bool json)
{
	const char *names[2] = { a, b };
	vdisk_image *img[2] = { NULL, NULL };
	int status = state_open(path, open, a, &img[0]);
	if (!status)
		status = state_open(path, open, b, &img[1]);
	if (!status)
		status = diff_run(img[0], img[1], names, path, json);
	for (unsigned i = 0; i < 2; i++)
		vdisk_close(img[i], NULL);
	return status;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The snapshots of a described machine, as `vdisk snapshot list` shows those of an image: parents before their children, each with
 * its images.  What is wrong with a chain (an image that is not there, or not the one that the image over it expects) is told
 * beside the snapshot.
 */
#include "main_snapshots.h"

#include "chain.h"
#include "common/fail.h"
#include "snapshots.h"

#include <inttypes.h>
#include <json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEPTH_SHOWN 40

struct listing {
	const struct machine *m;
	const struct locate *where;
	const char *kind;
	json_object *rows; /* as --json has them; the text is made of them */
};

static json_object *text_make(const char *text) { return text ? json_object_new_string(text) : NULL; }

static const char *text_of(json_object *o, const char *key)
{
	json_object *v = NULL;

	return json_object_object_get_ex(o, key, &v) && v ? json_object_get_string(v) : NULL;
}

static const char *date_text(char out[40], uint64_t seconds)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	return seconds && gmtime_r(&t, &tm) && strftime(out, 40, "%Y-%m-%dT%H:%M:%SZ", &tm) ? out : NULL;
}

/* ---------------------------------------------------------------- images */

struct facts {
	uint64_t size;
	char problem[VDISK_ERROR_MESSAGE_MAX]; /* "": none */
};

static void facts_find(const struct listing *l, const struct chain *c, struct facts *f)
{
	const struct vdisk_open_options o = {
		.format = c->format,
		.flags = VDISK_OPEN_INFO | VDISK_OPEN_CHAIN | VDISK_OPEN_NO_LOCK,
		.allow_dirs = l->where->allow,
		.ancestors = (const char *const *)c->ancestors,
	};
	struct vdisk_layer_info info;
	vdisk_error err = { 0 };
	vdisk_image *img;

	if (vdisk_open(c->path, &o, &img, &err)) {
		snprintf(f->problem, sizeof(f->problem), "%s", err.message);
		return;
	}
	f->size = vdisk_size(img);
	for (unsigned d = 0; !*f->problem && d < vdisk_depth(img); d++)
		if (!vdisk_layer_get(img, d, &info, NULL) && info.parent_problem)
			snprintf(f->problem, sizeof(f->problem), "%s", info.parent_problem);
	vdisk_close(img, NULL);
}

/* {"path", "disk", "format", "ancestors"}, and what is found out; an image that is not found is named as the description has it. */
static json_object *image_make(const struct listing *l, const char *disk, int image, struct facts *f)
{
	json_object *o = json_object_new_object(), *above = json_object_new_array();
	const struct machine_image *x = &l->m->images[image];
	vdisk_error err = { 0 };
	struct chain c;
	bool found = !chain_find(l->m, l->where, image, &c, &err);

	if (found)
		facts_find(l, &c, f);
	else if (!*f->problem)
		snprintf(f->problem, sizeof(f->problem), "%s", err.message);
	json_object_object_add(o, "path", text_make(c.path ? c.path : x->path ? x->path : ""));
	json_object_object_add(o, "disk", text_make(disk));
	json_object_object_add(o, "format", text_make(x->format));
	for (size_t i = 0; found && i < c.n; i++)
		json_object_array_add(above, text_make(c.ancestors[i]));
	json_object_object_add(o, "ancestors", above);
	chain_free(&c);
	return o;
}

/* ---------------------------------------------------------------- the tree */

static json_object *row_make(const struct listing *l, size_t at)
{
	const struct machine_snapshot *s = &l->m->snapshots[at];
	json_object *o = json_object_new_object(), *files = json_object_new_array();
	struct facts f = { 0 };
	char date[40];

	for (size_t i = 0; i < l->m->states_n; i++)
		if (l->m->states[i].snapshot == (int)at)
			json_object_array_add(files, image_make(l, l->m->states[i].disk, l->m->states[i].image, &f));
	json_object_object_add(o, "kind", text_make(l->kind));
	json_object_object_add(o, "id", text_make(s->id));
	json_object_object_add(o, "name", text_make(s->name));
	json_object_object_add(o, "description", text_make(s->description));
	json_object_object_add(o, "parent", s->parent < 0 ? NULL : text_make(l->m->snapshots[s->parent].id));
	json_object_object_add(o, "current", json_object_new_boolean(s->current));
	json_object_object_add(o, "date", text_make(date_text(date, s->date)));
	json_object_object_add(o, "date-nsec", json_object_new_uint64(0));
	json_object_object_add(o, "virtual-size", json_object_new_uint64(f.size));
	json_object_object_add(o, "vm-state-size", json_object_new_uint64(0));
	json_object_object_add(o, "vm-clock-nsec", json_object_new_uint64(0));
	json_object_object_add(o, "memory", text_make(s->memory));
	json_object_object_add(o, "files", files);
	json_object_object_add(o, "problem", text_make(*f.problem ? f.problem : NULL));
	return o;
}

/* Those over `parent`, each with what lies over it; they are trees, as machine_judge() has seen. */
static void branch_list(struct listing *l, int parent)
{
	for (size_t i = 0; i < l->m->snapshots_n; i++) {
		if (l->m->snapshots[i].parent != parent)
			continue;
		json_object_array_add(l->rows, row_make(l, i));
		branch_list(l, (int)i);
	}
}

/* What the machine's disks are now, of which the snapshots are earlier states. */
static json_object *disks_make(const struct listing *l)
{
	json_object *list = json_object_new_array();

	for (size_t i = 0; i < l->m->disks_n; i++) {
		int image = l->m->disks[i].medium == MACHINE_DISK ? machine_disk_image(l->m, &l->m->disks[i]) : -1;
		struct facts f = { 0 };
		json_object *o;

		if (image < 0)
			continue;
		o = image_make(l, l->m->disks[i].name, image, &f);
		json_object_object_add(o, "problem", text_make(*f.problem ? f.problem : NULL));
		json_object_array_add(list, o);
	}
	return list;
}

/* ---------------------------------------------------------------- text */

static unsigned depth_of(const struct listing *l, const char *id)
{
	unsigned depth = 0;

	for (size_t i = 0; i < l->m->snapshots_n; i++)
		if (!strcmp(l->m->snapshots[i].id, id))
			for (int up = l->m->snapshots[i].parent; up >= 0; up = l->m->snapshots[up].parent)
				depth++;
	return depth < DEPTH_SHOWN ? depth : DEPTH_SHOWN;
}

static void row_say(const struct listing *l, json_object *row)
{
	json_object *files = json_object_object_get(row, "files");
	const char *id = text_of(row, "id"), *name = text_of(row, "name"), *date = text_of(row, "date"),
		   *description = text_of(row, "description");
	int indent = (int)depth_of(l, id) * 2;

	printf("%c %-10s %-36s %-20s %*s%s", json_object_get_boolean(json_object_object_get(row, "current")) ? '*' : ' ', l->kind,
	       id, date ? date : "-", indent, "", name ? name : "(no name)");
	for (size_t i = 0; i < json_object_array_length(files); i++) {
		const char *path = text_of(json_object_array_get_idx(files, i), "path"), *slash = strrchr(path, '/');

		printf("%s%s", i ? ", " : "  ", slash ? slash + 1 : path);
	}
	printf("\n");
	if (description)
		printf("    %*s%.*s%s\n", 67 + indent, "", (int)strcspn(description, "\n"), description,
		       strchr(description, '\n') ? " …" : "");
	if (text_of(row, "memory"))
		printf("    %*smemory of the running machine: %s\n", 67 + indent, "", text_of(row, "memory"));
	if (text_of(row, "problem"))
		printf("    %*sproblem: %s\n", 67 + indent, "", text_of(row, "problem"));
}

/* ---------------------------------------------------------------- the whole */

static int json_say(struct listing *l, const char *file, vdisk_error *err)
{
	json_object *o = json_object_new_object();
	const char *text;
	int rc;

	json_object_object_add(o, "schema-version", json_object_new_int(1));
	json_object_object_add(o, "command", text_make("snapshot"));
	json_object_object_add(o, "action", text_make("list"));
	json_object_object_add(o, "path", text_make(file));
	json_object_object_add(o, "disks", disks_make(l));
	json_object_object_add(o, "snapshots", json_object_get(l->rows));
	text = json_object_to_json_string_ext(o,
	                                      JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);
	rc = !text ? fail_nomem(err) : puts(text) < 0 ? fail_errno(err, "standard output") : 0;
	json_object_put(o);
	return rc;
}

int snapshots_show(const struct machine *m, enum describe_kind kind, const char *file, const struct locate *where, bool json,
                   vdisk_error *err)
{
	struct listing l = {
		.m = m, .where = where, .kind = kind == DESCRIBE_VBOX ? "virtualbox" : "hyper-v", .rows = json_object_new_array()
	};
	int rc = 0;

	if (kind != DESCRIBE_VBOX && kind != DESCRIBE_HYPERV) {
		json_object_put(l.rows);
		return fail(
			err, VDISK_UNSUPPORTED,
			"a %s description holds no snapshots; vdisk snapshot list IMAGE tells those of an image, and MACHINE.vmsd VMware's",
			describe_kind_name(kind));
	}
	branch_list(&l, -1);
	if (json)
		rc = json_say(&l, file, err);
	else if (m->snapshots_n)
		printf("  %-10s %-36s %-20s %s\n", "kind", "id", "date", "name  images");
	for (size_t i = 0; !json && i < json_object_array_length(l.rows); i++)
		row_say(&l, json_object_array_get_idx(l.rows, i));
	json_object_put(l.rows);
	return rc || fflush(stdout) || ferror(stdout) ? (rc ? rc : fail_errno(err, "standard output")) : 0;
}

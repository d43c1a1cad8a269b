/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk info: an image's facts, which need neither its parent nor its content. */
#include "bitmap_show.h"
#include "output.h"
#include "sizes.h"
#include "source.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

struct info_args {
	struct common_args common;
	struct source_args source;
	struct content_args content;
	bool chain;
};

static const struct opt options[] = {
	{ .name = "chain", .kind = OPT_FLAG, .field = offsetof(struct info_args, chain),
	  .help = "open the parents too, and tell of every layer" },
	{ 0 },
};

#define SNAPSHOTS_MOST 1000 /* a forged table has more */

struct snapshots {
	struct json_object *list; /* NULL: text */
	uint64_t n;
};

static const char *date_text(char buf[40], const struct vdisk_snapshot_info *s)
{
	time_t t = (time_t)s->date_sec;
	struct tm tm;
	if (!gmtime_r(&t, &tm) || !strftime(buf, 40, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(buf, 40, "-");
	return buf;
}

static void snapshot_put(void *ctx, const struct vdisk_snapshot_info *s)
{
	struct snapshots *to = ctx;
	char date[40], state[SIZE_TEXT], size[SIZE_TEXT];
	if (to->n++ >= SNAPSHOTS_MOST)
		return;
	if (!to->list) {
		if (to->n == 1)
			say("snapshots:\n  %-6s %-24s %-20s %-10s %s\n", "id", "name", "date", "VM state", "virtual size");
		say("  %-6s %-24s %-20s %-10s %s\n", shown(s->id), shown(s->name), date_text(date, s),
		    size_human(state, s->vm_state_bytes), size_human(size, s->virtual_size));
		return;
	}
	struct json_object *o = json_must(json_object_new_object());
	json_put_text(o, "id", s->id);
	json_put_text(o, "name", s->name);
	json_put_text(o, "date", date_text(date, s));
	json_put_u64(o, "date-nsec", s->date_nsec);
	json_put_u64(o, "vm-clock-nsec", s->vm_clock_nsec);
	json_put_u64(o, "vm-state-size", s->vm_state_bytes);
	json_put_u64(o, "virtual-size", s->virtual_size);
	json_object_array_add(to->list, o);
}

static void value_say(void *ctx, const struct vdisk_value *v)
{
	const char **title = ctx;
	if (*title)
		say("%s:\n", *title);
	*title = NULL;
	if (v->type == VDISK_VALUE_STRING)
		say("  %s: %s\n", v->key, shown(v->str));
	else if (v->type == VDISK_VALUE_U64)
		say("  %s: %" PRIu64 "\n", v->key, v->u64);
	else
		say("  %s: %s\n", v->key, v->u64 ? "yes" : "no");
}

static void value_put(void *ctx, const struct vdisk_value *v)
{
	struct json_object *o = ctx;
	if (v->type == VDISK_VALUE_STRING)
		json_put_text(o, v->key, shown(v->str));
	else if (v->type == VDISK_VALUE_U64)
		json_put_u64(o, v->key, v->u64);
	else
		json_put_bool(o, v->key, v->u64);
}

/* What is needed of each layer, fetched before the first word is said, so that a failure leaves no half answer. */
static int layers_judge(vdisk_image *img, unsigned depth)
{
	struct vdisk_layer_info l;
	vdisk_error err = { 0 };
	for (unsigned i = 0; i < depth; i++)
		if (vdisk_layer_get(img, i, &l, &err))
			return fail_vdisk(&err);
	return 0;
}

static void size_say(const char *what, uint64_t bytes)
{
	char text[SIZE_TEXT];
	if (bytes < 1024)
		say("%s: %s\n", what, size_human(text, bytes));
	else
		say("%s: %s (%" PRIu64 " bytes)\n", what, size_human(text, bytes), bytes);
}

/* When the layer's own file was last written to; false: that cannot be told. */
static bool modified_text(const char *path, char buf[40])
{
	struct stat st;
	struct tm tm;
	return !stat(path, &st) && gmtime_r(&st.st_mtime, &tm) && strftime(buf, 40, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static int layer_say(vdisk_image *img, unsigned depth, bool chain)
{
	struct vdisk_layer_info l;
	vdisk_error err = { 0 };
	char text[SIZE_TEXT], when[40];
	if (vdisk_layer_get(img, depth, &l, &err))
		return fail_vdisk(&err);
	if (chain)
		say("%slayer %u:\n", depth ? "\n" : "", depth);
	say("image: %s\n", shown(l.path));
	say("format: %s%s%s%s\n", l.format, *l.variant ? " (" : "", shown(l.variant), *l.variant ? ")" : "");
	size_say("virtual size", l.virtual_size);
	size_say(l.n_files > 1 ? "length of its files" : "length of its file", l.host_size);
	say("taken on disk: %s\n", size_human(text, l.allocated));
	if (chain && modified_text(l.path, when))
		say("last written: %s\n", when);
	if (l.alloc_grain > 1)
		say("allocated by: %s\n", size_human(text, l.alloc_grain));
	if (l.parent_name)
		say("parent: %s (%s)\n", shown(l.parent_name), l.parent_format ? shown(l.parent_format) : "format not declared");
	if (l.parent_problem)
		say("problem: %s\n", shown(l.parent_problem));
	const char *name;
	for (unsigned i = 0; l.n_files > 1 && i < l.n_files && (name = vdisk_layer_file(img, depth, i)); i++)
		say("file %u: %s\n", i, shown(name));
	const char *title = l.format;
	return vdisk_layer_values(img, depth, value_say, &title, &err) ? fail_vdisk(&err) : 0;
}

static int layer_put(vdisk_image *img, unsigned depth, struct json_object *to)
{
	struct vdisk_layer_info l;
	vdisk_error err = { 0 };
	char when[40];
	if (vdisk_layer_get(img, depth, &l, &err))
		return fail_vdisk(&err);
	struct json_object *o = json_must(json_object_new_object()), *details = json_must(json_object_new_object());
	struct json_object *files = json_must(json_object_new_array());
	json_put_u64(o, "depth", depth);
	json_put_text(o, "path", l.path);
	json_put_text(o, "format", l.format);
	json_put_text(o, "variant", l.variant);
	json_put_u64(o, "virtual-size", l.virtual_size);
	json_put_u64(o, "host-size", l.host_size);
	json_put_u64(o, "allocated", l.allocated);
	json_put_u64(o, "alloc-grain", l.alloc_grain);
	json_put_text(o, "parent", l.parent_name);
	json_put_text(o, "parent-format", l.parent_format);
	json_put_text(o, "parent-problem", l.parent_problem);
	json_put_text(o, "modified", modified_text(l.path, when) ? when : NULL);
	const char *name;
	for (unsigned i = 0; i < l.n_files && (name = vdisk_layer_file(img, depth, i)); i++) {
		struct json_object *f = json_must(json_object_new_object());
		json_put_text(f, "path", name);
		json_object_array_add(files, f);
	}
	json_put(o, "files", files);
	int r = vdisk_layer_values(img, depth, value_put, details, &err);
	json_put(o, "details", details);
	json_object_array_add(to, o);
	return r ? fail_vdisk(&err) : 0;
}

static int info_json(vdisk_image *img, unsigned depth)
{
	struct json_object *o = json_report(), *layers = json_must(json_object_new_array());
	struct snapshots s = { .list = json_must(json_object_new_array()) };
	vdisk_error err = { 0 };
	int r = 0;
	json_put_text(o, "path", vdisk_path(img));
	json_put_text(o, "format", vdisk_format_name(img));
	json_put_u64(o, "virtual-size", vdisk_size(img));
	for (unsigned i = 0; !r && i < depth; i++)
		r = layer_put(img, i, layers);
	json_put(o, "layers", layers);
	if (!r && vdisk_snapshots(img, snapshot_put, &s, &err))
		r = fail_vdisk(&err);
	json_put(o, "snapshots", s.list);
	json_put_u64(o, "snapshots-unlisted", s.n > SNAPSHOTS_MOST ? s.n - SNAPSHOTS_MOST : 0);
	bitmaps_put(img, o);
	if (r)
		json_object_put(o);
	else
		json_print(o);
	return r;
}

static int info_text(vdisk_image *img, unsigned depth, bool chain)
{
	struct snapshots s = { 0 };
	vdisk_error err = { 0 };
	int r = layers_judge(img, depth);
	for (unsigned i = 0; !r && i < depth; i++) {
		r = layer_say(img, i, chain);
		if (!r && i == 0) {
			r = vdisk_snapshots(img, snapshot_put, &s, &err) ? fail_vdisk(&err) : 0;
			if (s.n > SNAPSHOTS_MOST)
				say("  and %" PRIu64 " more\n", s.n - SNAPSHOTS_MOST);
			if (!r)
				bitmaps_say(img);
		}
	}
	return r;
}

static int run(const void *args, char **operands, unsigned n)
{
	const struct info_args *a = args;
	vdisk_image *img;
	(void)n;
	uint32_t flags = VDISK_OPEN_CHECK | VDISK_OPEN_INFO | (a->chain ? VDISK_OPEN_CHAIN : VDISK_OPEN_NO_PARENT);
	if (source_open(operands[0], &a->source, &a->content, flags, false, &img))
		return EXIT_TROUBLE;
	unsigned depth = a->chain ? vdisk_depth(img) : 1;
	int status = a->common.json ? info_json(img, depth) : info_text(img, depth, a->chain);
	source_close(img);
	return status;
}

const struct command cmd_info = {
	.name = "info",
	.operands = "IMG",
	.min = 1,
	.max = 1,
	.summary = "tell what an image is",
	.domain = DOMAIN_FILE,
	.args_bytes = sizeof(struct info_args),
	.groups = {
		{ options, 0 },
		{ source_options, offsetof(struct info_args, source) },
		{ content_options, offsetof(struct info_args, content) },
		{ common_options, 0 },
	},
	.run = run,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* convert --snapshots: the call, and its report, which is read from the new disk itself. */
#include "keep.h"
#include "keep_machine.h"
#include "output.h"
#include "sizes.h"

#include <inttypes.h>
#include <string.h>

static enum vdisk_keep keep_as(const char *how)
{
	if (!strcmp(how, "inside"))
		return VDISK_KEEP_INSIDE;
	return strcmp(how, "layers") ? VDISK_KEEP_AUTO : VDISK_KEEP_LAYERS;
}

static void node_add(void *ctx, const struct vdisk_snapshot_node *s)
{
	struct json_object *rows = ctx, *o = json_must(json_object_new_object());
	json_put_text(o, "name", s->name ? s->name : s->id);
	json_put_text(o, "id", s->id);
	json_put_text(o, "parent", s->parent_id);
	json_put_text(o, "path", s->files[0]);
	json_put_u64(o, "date-sec", s->date_sec);
	json_put_u64(o, "date-nsec", s->date_nsec);
	json_object_array_add(rows, o);
}

static struct json_object *side_json(const char *path, const char *format, uint64_t size)
{
	struct json_object *o = json_must(json_object_new_object());
	json_put_text(o, "path", path);
	json_put_text(o, "format", format);
	json_put_u64(o, "virtual-size", size);
	return o;
}

static int report_json(const char *src, const struct vdisk_open_options *open, const char *dst,
                       const struct vdisk_convert_options *c, const struct vdisk_keep_report *r)
{
	struct vdisk_open_options new = { .format = c->format }, old = *open;
	struct json_object *report = json_report(), *rows = json_must(json_object_new_array());
	vdisk_error err = { 0 };
	vdisk_image *img = NULL;
	old.flags |= VDISK_OPEN_INFO | VDISK_OPEN_NO_PARENT;
	if (vdisk_open(src, &old, &img, &err) || vdisk_snapshot_tree(dst, &new, node_add, rows, &err)) {
		vdisk_close(img, NULL);
		json_object_put(rows);
		json_object_put(report);
		return fail_vdisk(&err);
	}
	json_put(report, "source", side_json(src, vdisk_format_name(img), vdisk_size(img)));
	json_put(report, "destination", side_json(dst, c->format, r->size));
	json_put_bool(report, "dry-run", false);
	json_put(report, "regions", json_must(json_object_new_array()));
	json_put_u64(report, "data", r->data);
	json_put_bool(report, "verified", c->flags & VDISK_CONVERT_VERIFY);
	json_put_text(report, "kept", r->as == VDISK_KEEP_INSIDE ? "inside" : "layers");
	json_put(report, "snapshots", rows);
	json_print(report);
	source_close(img);
	return EXIT_YES;
}

int convert_keep(const char *src, const struct source_args *source, const struct content_args *content, const char *dst,
                 const char *how, const char *machine, const struct vdisk_convert_options *o, struct progress *progress, bool json)
{
	struct vdisk_keep_report r = { 0 };
	struct opt_list opts = { 0 };
	struct keep_machine k = { 0 };
	vdisk_error err = { 0 };
	if (source_judge(src, source) || (machine && keep_machine_find(&k, machine, src, &source->allow_dirs))) {
		progress_end(progress);
		keep_machine_free(&k);
		return EXIT_TROUBLE;
	}
	source_options_collect(source, &opts);
	const struct vdisk_open_options open = {
		.format = source->format,
		.flags = (source->share ? VDISK_OPEN_NO_LOCK : 0) | (content->salvage ? VDISK_OPEN_SALVAGE : 0),
		.options = opts.v,
		.allow_dirs = source->allow_dirs.v,
		.parent_map = source->parents.v,
		.remote = &source->remote,
		.log = output_log,
		.ancestors = k.ancestors.v,
	};
	const struct vdisk_keep_options keep = {
		.open = &open, .as = keep_as(how), .convert = o, .names = k.names, .n_names = k.n_names
	};
	int failed = vdisk_convert_snapshots(src, dst, &keep, &r, &err);
	bool bar = progress->mode == PROGRESS_BAR;
	progress_end(progress);
	int status = failed ? fail_vdisk(&err) : json ? report_json(src, &open, dst, o, &r) : EXIT_YES;
	opt_list_free(&opts);
	keep_machine_free(&k);
	if (failed || json)
		return status;
	if (bar) {
		char size[SIZE_TEXT], data[SIZE_TEXT];
		fprintf(stderr, "%s with %zu snapshot%s %s: %s written\n", size_human(size, r.size), r.snapshots,
		        r.snapshots == 1 ? "" : "s", r.as == VDISK_KEEP_INSIDE ? "inside" : "as layers", size_human(data, r.data));
	}
	return EXIT_YES;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk snapshot: states of a disk, kept inside its image (qcow2) or as layers: made, listed, gone back to, removed, compared. */
#include "external.h"
#include "output.h"
#include "progress.h"
#include "sizes.h"
#include "snapshot_show.h"
#include "source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct snapshot_args {
	struct common_args common;
	struct source_args source;
	struct progress_args progress;
	bool internal, external, force;
	const char *leaf, *description;
};

#define AT(member) .field = offsetof(struct snapshot_args, member)
static const struct opt options[] = {
	{ .name = "internal", .kind = OPT_FLAG, AT(internal),
	  .help = "a snapshot inside the image; where IMG is qcow2, that is the default" },
	{ .name = "external", .kind = OPT_FLAG, AT(external),
	  .help = "a snapshot that is an image of its own, below a new layer; elsewhere the default" },
	{ .name = "leaf", .kind = OPT_TEXT, AT(leaf), .arg = "NAME",
	  .help = "create: file name of the new layer, beside IMG; by default disk-000001.vhd for disk.vhd, and so on" },
	{ .name = "description", .kind = OPT_TEXT, AT(description), .arg = "TEXT",
	  .help = "create: what an external snapshot is about" },
	{ .name = "force", .kind = OPT_FLAG, AT(force),
	  .help = "change IMG although it is marked as the parent of others, or as corrupt" },
	{ 0 },
};
#undef AT

/* What the arguments come to, for each action. */
struct action {
	const struct snapshot_args *a;
	const char *verb, *path, *name, *other;
	struct vdisk_open_options open;
	bool external;
};

/* ---------------------------------------------------------------- which kind */

static void kind_see(void *ctx, const struct vdisk_snapshot_node *s)
{
	struct action *k = ctx;
	bool hit =
		k->name && s->kind != VDISK_SNAPSHOT_INTERNAL && s->name && (!strcmp(s->name, k->name) || !strcmp(s->id, k->name));
	if (hit && s->kind == VDISK_SNAPSHOT_EXTERNAL)
		k->external = true;
}

static bool is_qcow2(const struct action *k, int *status)
{
	struct vdisk_open_options o = k->open;
	vdisk_error err = { 0 };
	vdisk_image *img;
	o.flags = VDISK_OPEN_INFO | VDISK_OPEN_NO_PARENT;
	if (vdisk_open(k->path, &o, &img, &err)) {
		*status = fail_vdisk(&err);
		return false;
	}
	bool is = !strcmp(vdisk_format_name(img), "qcow2");
	source_close(img);
	return is;
}

/* A new one: by the format.  One that is there: internal, unless an external one has the name. */
static int kind_choose(struct action *k)
{
	vdisk_error err = { 0 };
	int status = 0;
	if (k->a->internal || k->a->external) {
		k->external = k->a->external;
		return 0;
	}
	k->external = !is_qcow2(k, &status);
	if (status || !strcmp(k->verb, "create"))
		return status;
	return vdisk_snapshot_tree(k->path, &k->open, kind_see, k, &err) ? fail_vdisk(&err) : 0;
}

/* ---------------------------------------------------------------- changing */

static struct json_object *report_begin(const struct action *k)
{
	struct json_object *o = json_report();
	json_put_text(o, "action", k->verb);
	json_put_text(o, "path", k->path);
	json_put_text(o, "kind", k->external ? "external" : "internal");
	json_put_text(o, "name", k->name);
	return o;
}

static int internal_change(const struct action *k)
{
	struct vdisk_open_options o = k->open;
	struct vdisk_snapshot_create_options c = { .name = k->name, .date_sec = UINT64_MAX };
	char id[VDISK_SNAPSHOT_ID_MAX] = "";
	vdisk_error err = { 0 }, close_err = { 0 };
	vdisk_image *img;
	int r;
	o.flags |= VDISK_OPEN_RW | (k->a->force ? VDISK_OPEN_FORCE : 0);
	if (vdisk_open(k->path, &o, &img, &err))
		return fail_vdisk(&err);
	if (!strcmp(k->verb, "create"))
		r = vdisk_snapshot_create(img, &c, id, &err);
	else if (!strcmp(k->verb, "apply"))
		r = vdisk_snapshot_apply(img, k->name, &err);
	else
		r = vdisk_snapshot_delete(img, k->name, &err);
	if (vdisk_close(img, &close_err) && !r)
		return fail_vdisk(&close_err);
	if (r)
		return fail_vdisk(&err);
	if (k->a->common.json) {
		struct json_object *report = report_begin(k);
		json_put_text(report, "id", *id ? id : NULL);
		json_print(report);
	}
	return EXIT_YES;
}

static int external_report(const struct action *k, const char *leaf, const struct vdisk_layer_report *r)
{
	if (k->a->common.json) {
		struct json_object *o = report_begin(k);
		json_put_text(o, "leaf", leaf);
		json_put_u64(o, "bytes-copied", r->copied);
		json_put_u64(o, "merged", r->merged);
		json_put_text(o, "direction", !r->merged ? NULL : r->down ? "down" : "up");
		json_print(o);
	} else if (!strcmp(k->verb, "create")) {
		remark("%s is kept; the disk goes on in %s\n", shown(k->path), shown(leaf));
	} else if (k->a->common.verbose && !strcmp(k->verb, "delete")) {
		remark("deleted; %u merged, %" PRIu64 " bytes copied\n", r->merged, r->copied);
	}
	return EXIT_YES;
}

static int external_change(const struct action *k)
{
	struct progress p;
	struct vdisk_open_options open = k->open;
	struct vdisk_layer_report r = { 0 };
	struct vdisk_layer_options o = {
		.open = &open,
		.name = k->name,
		.description = k->a->description,
		.date_sec = UINT64_MAX,
		.leaf = k->a->leaf,
		.job = { .progress = progress_tick, .progress_ctx = &p, .cancel = cancel_by_signals() },
	};
	char leaf[VDISK_PATH_MAX] = "";
	vdisk_error err = { 0 };
	int failed;
	open.flags |= k->a->force ? VDISK_OPEN_FORCE : 0;
	if (!strcmp(k->verb, "create")) {
		failed = vdisk_layer_snapshot(k->path, &o, leaf, &err);
	} else if (!strcmp(k->verb, "apply")) {
		failed = vdisk_layer_apply(k->path, &o, k->name, &err);
	} else {
		progress_begin(&p, &k->a->progress, k->a->common.quiet, "merging");
		failed = vdisk_layer_delete(k->path, &o, k->name, &r, &err);
		progress_end(&p);
	}
	return failed ? fail_vdisk(&err) : external_report(k, *leaf ? leaf : k->path, &r);
}

static int change(struct action *k)
{
	if (k->a->internal && k->a->external)
		return fail_usage("--internal or --external, not both");
	int status = kind_choose(k);
	if (status)
		return status;
	if (!k->external && (k->a->leaf || k->a->description))
		return fail_usage("--leaf and --description are for external snapshots");
	if (strcmp(k->verb, "create") && (k->a->leaf || k->a->description))
		return fail_usage("--leaf and --description are for create");
	return k->external ? external_change(k) : internal_change(k);
}

/* ---------------------------------------------------------------- described machines */

static bool is_description(const char *path)
{
	static const char *const suffixes[] = { ".vbox", ".xml" };
	size_t n = strlen(path);
	for (size_t i = 0; i < 2; i++) {
		size_t k = strlen(suffixes[i]);
		if (n > k && !strcasecmp(path + n - k, suffixes[i]))
			return true;
	}
	return false;
}

/* vdisk-machine reads descriptions, and shows them as this command does images. */
static int description_list(const char *path, const struct source_args *s, bool json)
{
	size_t n = 0;
	if (s->parents.n || s->open_opts.n || s->vhd_size || s->key_file || s->share || s->remote.header_file ||
	    s->remote.netrc_file || s->remote.cacert)
		return fail_usage(
			"%s is a machine's description: of the options for images only --allow-parent goes with it (-f says that it is an image)",
			path);
	char **argv = tool_realloc(NULL, (6 + 2 * s->allow_dirs.n) * sizeof(*argv));
	argv[n++] = (char *)"machine";
	argv[n++] = (char *)"--snapshots";
	if (json)
		argv[n++] = (char *)"--json";
	for (size_t i = 0; i < s->allow_dirs.n; i++) {
		argv[n++] = (char *)"--allow-parent";
		argv[n++] = (char *)s->allow_dirs.v[i];
	}
	argv[n++] = (char *)"--";
	argv[n++] = (char *)path;
	argv[n] = NULL;
	external_run("machine", argv);
	free(argv);
	return fail("%s: vdisk-machine, which reads it, is not installed", path);
}

/* ---------------------------------------------------------------- the words */

static int run(const void *args, char **operands, unsigned n)
{
	const struct snapshot_args *a = args;
	struct opt_list opts = { 0 };
	struct action k = { .a = a, .verb = operands[0], .path = operands[1] };
	k.name = n > 2 ? operands[2] : NULL;
	k.other = n > 3 ? operands[3] : NULL;
	bool list = !strcmp(k.verb, "list"), diff = !strcmp(k.verb, "diff");
	if (!list && !diff && strcmp(k.verb, "create") && strcmp(k.verb, "apply") && strcmp(k.verb, "delete"))
		return fail_usage("\"%s\" is not one of create, list, apply, delete and diff", k.verb);
	if (list && n > 2)
		return fail_usage("list takes no name");
	if (!list && n < 3)
		return fail_usage("%s: which snapshot? Its name is missing", k.verb);
	if (!list && !diff && n > 3)
		return fail_usage("\"%s\" is one word too many", operands[3]);
	if ((list || diff) && (a->internal || a->external || a->leaf || a->description || a->force))
		return fail_usage("%s only looks: --internal, --external, --leaf, --description and --force are for the others",
		                  k.verb);
	if (list && !a->source.format && is_description(k.path))
		return description_list(k.path, &a->source, a->common.json);
	if (source_judge(k.path, &a->source))
		return EXIT_TROUBLE;
	source_options_collect(&a->source, &opts);
	k.open = (struct vdisk_open_options){
		.format = a->source.format,
		.flags = a->source.share ? VDISK_OPEN_NO_LOCK : 0,
		.options = opts.v,
		.allow_dirs = a->source.allow_dirs.v,
		.parent_map = a->source.parents.v,
		.remote = &a->source.remote,
		.log = output_log,
	};
	int status;
	if (list)
		status = snapshot_list_show(k.path, &k.open, a->common.json);
	else if (diff)
		status = snapshot_diff_show(k.path, &k.open, k.name, k.other, a->common.json);
	else
		status = change(&k);
	opt_list_free(&opts);
	return status;
}

const struct command cmd_snapshot = {
	.name = "snapshot",
	.operands = "create|list|apply|delete|diff IMG [NAME [NAME]]",
	.min = 2,
	.max = 4,
	.summary = "keep states of a disk, list them, go back to one, remove one, compare two",
	.notes = "NAME is a snapshot's name or ID.  \"list\" takes a machine's description, too: VMware's .vmsd and .vmx, VirtualBox's .vbox, "
	         "Hyper-V's .xml.  \"diff IMG A\" compares A with the disk as it is, \"diff IMG A B\" two snapshots.  Each change "
	         "may be stopped at any time; the same command finishes it.",
	.domain = DOMAIN_FILE,
	.args_bytes = sizeof(struct snapshot_args),
	.groups = {
		{ options, 0 },
		{ source_options, offsetof(struct snapshot_args, source) },
		{ progress_options, offsetof(struct snapshot_args, progress) },
		{ common_options, 0 },
	},
	.run = run,
};

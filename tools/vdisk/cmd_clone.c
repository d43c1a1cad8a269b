/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk clone: another disk of the same content and format, or a layer over the source. */
#include "output.h"
#include "progress.h"
#include "source.h"

struct clone_args {
	struct common_args common;
	struct source_args source;
	struct progress_args progress;
	bool linked, force;
};

static const struct opt options[] = {
	{ .name = "linked", .kind = OPT_FLAG, .field = offsetof(struct clone_args, linked),
	  .help = "make a layer over SRC, which is protected from being written to" },
	{ .name = "force", .kind = OPT_FLAG, .field = offsetof(struct clone_args, force),
	  .help = "replace an existing destination" },
	{ 0 },
};

static int report(const struct clone_args *a, vdisk_image *src, const char *path)
{
	if (a->common.json) {
		struct json_object *o = json_report();
		json_put_text(o, "source", vdisk_path(src));
		json_put_text(o, "path", path);
		json_put_text(o, "format", vdisk_format_name(src));
		json_put_u64(o, "virtual-size", vdisk_size(src));
		json_put_bool(o, "linked", a->linked);
		json_print(o);
	} else if (a->common.verbose) {
		remark("cloned %s to %s%s\n", shown(vdisk_path(src)), shown(path), a->linked ? ", which needs it" : "");
	}
	return EXIT_YES;
}

static int run(const void *args, char **operands, unsigned n)
{
	const struct clone_args *a = args;
	struct progress p;
	vdisk_image *src;
	vdisk_error err = { 0 };
	(void)n;
	if (source_open(operands[0], &a->source, NULL, 0, false, &src))
		return EXIT_TROUBLE;
	struct vdisk_clone_options o = {
		.flags = (a->linked ? VDISK_CLONE_LINKED : 0) | (a->force ? VDISK_CLONE_OVERWRITE : 0),
		.allow_dirs = a->source.allow_dirs.v,
		.job = { .progress = progress_tick, .progress_ctx = &p, .cancel = cancel_by_signals() },
	};
	progress_begin(&p, &a->progress, a->common.quiet, "cloning");
	int failed = vdisk_clone(src, operands[1], &o, &err);
	progress_end(&p);
	int status = failed ? fail_vdisk(&err) : report(a, src, operands[1]);
	source_close(src);
	return status;
}

const struct command cmd_clone = {
	.name = "clone",
	.operands = "SRC DST",
	.min = 2,
	.max = 2,
	.summary = "make another disk of the same content and format, or a layer over it",
	.domain = DOMAIN_FILE,
	.args_bytes = sizeof(struct clone_args),
	.groups = {
		{ options, 0 },
		{ source_options, offsetof(struct clone_args, source) },
		{ progress_options, offsetof(struct clone_args, progress) },
		{ common_options, 0 },
	},
	.run = run,
};

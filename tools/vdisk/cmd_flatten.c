/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk flatten: the parents' bytes come into the image, which needs them no more. */
#include "output.h"
#include "progress.h"
#include "source.h"

#include <inttypes.h>

struct flatten_args {
	struct common_args common;
	struct source_args source;
	struct progress_args progress;
	bool force;
};

static const struct opt options[] = {
	{ .name = "force", .kind = OPT_FLAG, .field = offsetof(struct flatten_args, force),
	  .help = "change it although it is marked as the parent of others, or as corrupt" },
	{ 0 },
};

static int report(const struct flatten_args *a, vdisk_image *img, unsigned layers, uint64_t copied)
{
	if (a->common.json) {
		struct json_object *o = json_report();
		json_put_text(o, "path", vdisk_path(img));
		json_put_text(o, "format", vdisk_format_name(img));
		json_put_u64(o, "layers", layers);
		json_put_u64(o, "bytes-copied", copied);
		json_print(o);
	} else if (layers == 1) {
		remark("%s has no parent\n", shown(vdisk_path(img)));
	} else if (a->common.verbose) {
		remark("flattened %u layers into %s: %" PRIu64 " bytes copied\n", layers, shown(vdisk_path(img)), copied);
	}
	return EXIT_YES;
}

static int flatten(const struct flatten_args *a, vdisk_image *img)
{
	struct progress p;
	struct vdisk_job_options o = { .progress = progress_tick, .progress_ctx = &p, .cancel = cancel_by_signals() };
	unsigned layers = vdisk_depth(img);
	uint64_t copied;
	vdisk_error err = { 0 };
	progress_begin(&p, &a->progress, a->common.quiet, "flattening");
	int r = vdisk_flatten(img, &o, &copied, &err);
	progress_end(&p);
	return r ? fail_vdisk(&err) : report(a, img, layers, copied);
}

static int run(const void *args, char **operands, unsigned n)
{
	const struct flatten_args *a = args;
	vdisk_image *img;
	vdisk_error err = { 0 };
	(void)n;
	uint32_t flags = VDISK_OPEN_RW | VDISK_OPEN_KEEP_ID | (a->force ? VDISK_OPEN_FORCE : 0);
	if (source_open(operands[0], &a->source, NULL, flags, false, &img))
		return EXIT_TROUBLE;
	int status = flatten(a, img);
	if (vdisk_close(img, &err) && !status)
		return fail_vdisk(&err);
	return status;
}

const struct command cmd_flatten = {
	.name = "flatten",
	.operands = "IMG",
	.min = 1,
	.max = 1,
	.summary = "copy the parents' data into an image, which then needs them no more",
	.notes = "It may be stopped at any time: the image reads the same, and the same command finishes the work.",
	.domain = DOMAIN_FILE,
	.args_bytes = sizeof(struct flatten_args),
	.groups = {
		{ options, 0 },
		{ source_options, offsetof(struct flatten_args, source) },
		{ progress_options, offsetof(struct flatten_args, progress) },
		{ common_options, 0 },
	},
	.run = run,
};

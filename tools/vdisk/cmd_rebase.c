/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk rebase: an image over another parent. */
#include "output.h"
#include "progress.h"
#include "source.h"

#include <inttypes.h>

struct rebase_args {
	struct common_args common;
	struct source_args source;
	struct progress_args progress;
	const char *backing, *backing_format;
	bool none, unsafe, force;
};

#define AT(member) .field = offsetof(struct rebase_args, member)
static const struct opt options[] = {
	{ .letter = 'b', .name = "backing", .kind = OPT_TEXT, AT(backing), .arg = "FILE", .domain = DOMAIN_FILE,
	  .help = "the new parent, a name relative to IMG's folder" },
	{ .letter = 'F', .name = "backing-format", .kind = OPT_TEXT, AT(backing_format), .arg = "FMT", .domain = DOMAIN_FORMAT,
	  .help = "format of the new parent; without it, its suffix tells" },
	{ .name = "no-backing", .kind = OPT_FLAG, AT(none), .help = "no parent at all from now on" },
	{ .name = "unsafe", .kind = OPT_FLAG, AT(unsafe),
	  .help = "change the name only: what IMG reads as changes where the parents differ; the old one may be missing" },
	{ .name = "force", .kind = OPT_FLAG, AT(force),
	  .help = "change it although it is marked as the parent of others, or as corrupt" },
	{ 0 },
};
#undef AT

static int report(const struct rebase_args *a, vdisk_image *img, uint64_t copied)
{
	if (a->common.json) {
		struct json_object *o = json_report();
		json_put_text(o, "path", vdisk_path(img));
		json_put_text(o, "format", vdisk_format_name(img));
		json_put_text(o, "backing", a->backing);
		json_put_bool(o, "unsafe", a->unsafe);
		json_put_u64(o, "bytes-copied", copied);
		json_print(o);
	} else if (a->common.verbose) {
		remark("rebased %s: %" PRIu64 " bytes copied\n", shown(vdisk_path(img)), copied);
	}
	return EXIT_YES;
}

static int rebase(const struct rebase_args *a, vdisk_image *img, const char *format)
{
	struct progress p;
	struct vdisk_rebase_options o = {
		.backing = a->backing,
		.backing_format = format,
		.flags = a->unsafe ? VDISK_REBASE_UNSAFE : 0,
		.allow_dirs = a->source.allow_dirs.v,
		.parent_map = a->source.parents.v,
		.job = { .progress = progress_tick, .progress_ctx = &p, .cancel = cancel_by_signals() },
	};
	uint64_t copied;
	vdisk_error err = { 0 };
	progress_begin(&p, &a->progress, a->common.quiet, "rebasing");
	int r = vdisk_rebase(img, &o, &copied, &err);
	progress_end(&p);
	return r ? fail_vdisk(&err) : report(a, img, copied);
}

static int run(const void *args, char **operands, unsigned n)
{
	const struct rebase_args *a = args;
	const char *format = a->backing_format;
	vdisk_image *img;
	vdisk_error err = { 0 };
	(void)n;
	if (!a->backing == !a->none)
		return fail_usage("over which parent? One of -b FILE and --no-backing says");
	if (a->backing && !format) {
		const struct vdisk_format_info *f = format_by_suffix(a->backing);
		if (!f)
			return fail_usage("no format is known by the suffix of the parent \"%s\": say which with -F FMT",
			                  a->backing);
		format = f->name;
	}
	if (format && !vdisk_format_find(format))
		return fail_usage("there is no format \"%s\"", format);
	uint32_t flags =
		VDISK_OPEN_RW | (a->unsafe ? VDISK_OPEN_NO_PARENT : VDISK_OPEN_KEEP_ID) | (a->force ? VDISK_OPEN_FORCE : 0);
	if (source_open(operands[0], &a->source, NULL, flags, false, &img))
		return EXIT_TROUBLE;
	int status = rebase(a, img, format);
	if (vdisk_close(img, &err) && !status)
		return fail_vdisk(&err);
	return status;
}

const struct command cmd_rebase = {
	.name = "rebase",
	.operands = "IMG",
	.min = 1,
	.max = 1,
	.summary = "put an image over another parent",
	.notes = "The content stays the same: where the parents differ, IMG gets the bytes first.  It may be stopped at any time; "
	         "the same command finishes the work.",
	.domain = DOMAIN_FILE,
	.args_bytes = sizeof(struct rebase_args),
	.groups = {
		{ options, 0 },
		{ source_options, offsetof(struct rebase_args, source) },
		{ progress_options, offsetof(struct rebase_args, progress) },
		{ common_options, 0 },
	},
	.run = run,
};

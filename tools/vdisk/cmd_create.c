/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk create: a new, empty image, or one layered over another. */
#include "output.h"
#include "progress.h"
#include "sizes.h"
#include "source.h"
#include "target.h"

#include <inttypes.h>
#include <string.h>

struct create_args {
	struct common_args common;
	struct target_args target;
	const char *format;
	struct opt_list allow_dirs;
};

static const struct opt options[] = {
	{ .letter = 'f', .name = "format", .kind = OPT_TEXT, .field = offsetof(struct create_args, format), .arg = "FMT",
	  .domain = DOMAIN_FORMAT, .help = "format of the new image; without it, its suffix tells" },
	{ .name = "allow-parent", .kind = OPT_LIST, .field = offsetof(struct create_args, allow_dirs), .arg = "DIR",
	  .domain = DOMAIN_FOLDER, .help = "the backing file may lie below DIR too, not only in the image's folder; repeatable" },
	{ 0 },
};

static void report(const struct create_args *a, const char *path, const char *format, const char *backing_format, uint64_t size)
{
	if (!a->common.json) {
		if (a->target.dry_run)
			say("would make %s: %s, %" PRIu64 " bytes\n", shown(path), format, size);
		else if (a->common.verbose)
			remark("made %s: %s, %" PRIu64 " bytes\n", shown(path), format, size);
		return;
	}
	struct json_object *o = json_report();
	json_put_text(o, "path", path);
	json_put_text(o, "format", format);
	json_put_u64(o, "virtual-size", size);
	json_put_text(o, "backing", a->target.backing);
	json_put_text(o, "backing-format", backing_format);
	json_put_bool(o, "dry-run", a->target.dry_run);
	json_print(o);
}

static int create(const struct create_args *a, char **operands, unsigned n, const struct vdisk_format_info *f,
                  const struct target_profile *profile, const struct opt_list *opts)
{
	const char *path = operands[0], *backing_format;
	uint64_t size = UINT64_MAX;
	if (!strcmp(path, "-"))
		return fail_usage("an image that is made empty cannot go to standard output");
	if (n == 1 && !a->target.backing)
		return fail_usage("a size is missing, IMG SIZE wanted (only with -b the backing file's is taken)");
	if (n == 2 && (!size_parse(operands[1], &size) || size == UINT64_MAX))
		return fail_usage("\"%s\" is no size (a number, with K M G T P E for powers of 1,024)", operands[1]);
	if (target_backing_format(&a->target, &backing_format) || target_size(&a->target, profile, &size))
		return EXIT_TROUBLE;
	struct vdisk_create_options o = {
		.format = f->name,
		.size = size,
		.options = opts->v,
		.backing = a->target.backing,
		.backing_format = backing_format,
		.flags = (a->target.force ? VDISK_CREATE_OVERWRITE : 0) | (a->target.dry_run ? VDISK_CREATE_DRY_RUN : 0) |
		         (target_rounds_up(&a->target) ? VDISK_CREATE_ROUND_UP : 0),
		.allow_dirs = a->allow_dirs.v,
		.log = output_log,
	};
	vdisk_error err = { 0 };
	uint64_t got = 0;
	const volatile int *cancel = o.cancel = cancel_writes_by_signals();
	if (vdisk_create(path, &o, &got, &err))
		return *cancel ? fail("interrupted") : fail_vdisk(&err);
	report(a, path, f->name, backing_format, got);
	return EXIT_YES;
}

static int run(const void *args, char **operands, unsigned n)
{
	const struct create_args *a = args;
	struct target_profile profile;
	struct opt_list opts;
	const struct vdisk_format_info *f = target_choose(&a->target, operands[0], a->format, "-f", &profile, &opts);
	if (!f)
		return EXIT_TROUBLE;
	int status = target_help(f, &a->target.opts) ? EXIT_YES : create(a, operands, n, f, &profile, &opts);
	opt_list_free(&opts);
	return status;
}

const struct command cmd_create = {
	.name = "create",
	.operands = "IMG [SIZE]",
	.min = 1,
	.max = 2,
	.summary = "make an empty image, or a layer over another one",
	.notes = "SIZE takes K M G T P E for powers of 1,024; with -b it defaults to the backing file's.",
	.domain = DOMAIN_FILE,
	.args_bytes = sizeof(struct create_args),
	.groups = {
		{ options, 0 },
		{ target_options, offsetof(struct create_args, target) },
		{ common_options, 0 },
	},
	.run = run,
};

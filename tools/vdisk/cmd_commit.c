/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk commit: an image's changes, written into its parent or a further ancestor. */
#include "output.h"
#include "progress.h"
#include "source.h"

#include <inttypes.h>

struct commit_args {
	struct common_args common;
	struct source_args source;
	struct progress_args progress;
	const char *to;
	bool keep, force;
};

#define AT(member) .field = offsetof(struct commit_args, member)
static const struct opt options[] = {
	{ .name = "to", .kind = OPT_TEXT, AT(to), .arg = "ANCESTOR", .domain = DOMAIN_FILE,
	  .help = "write what all layers above ANCESTOR say into that one, not only IMG's into its parent" },
	{ .name = "keep", .kind = OPT_FLAG, AT(keep), .help = "leave IMG as it is, instead of emptying it" },
	{ .name = "force", .kind = OPT_FLAG, AT(force),
	  .help = "change images although they are marked as the parents of others, or as corrupt" },
	{ 0 },
};
#undef AT

static int report(const struct commit_args *a, const char *path, const struct vdisk_commit_report *r)
{
	if (a->common.json) {
		struct json_object *o = json_report();
		json_put_text(o, "path", path);
		json_put_u64(o, "layers", r->depth);
		json_put_u64(o, "bytes-copied", r->copied);
		json_put_bool(o, "emptied", r->emptied);
		json_print(o);
	} else if (a->common.verbose) {
		remark("committed %s: %" PRIu64 " bytes%s\n", shown(path), r->copied, r->emptied ? "; it is empty now" : "");
	}
	return EXIT_YES;
}

static int run(const void *args, char **operands, unsigned n)
{
	const struct commit_args *a = args;
	const struct source_args *s = &a->source;
	struct progress p;
	struct opt_list opts = { 0 };
	struct vdisk_commit_report r;
	vdisk_error err = { 0 };
	(void)n;
	if (source_judge(operands[0], s))
		return EXIT_TROUBLE;
	source_options_collect(s, &opts);
	struct vdisk_open_options open = {
		.format = s->format,
		.flags = (s->share ? VDISK_OPEN_NO_LOCK : 0) | (a->force ? VDISK_OPEN_FORCE : 0),
		.options = opts.v,
		.allow_dirs = s->allow_dirs.v,
		.parent_map = s->parents.v,
		.remote = &s->remote,
		.log = output_log,
	};
	struct vdisk_commit_options o = {
		.open = &open,
		.to = a->to,
		.flags = a->keep ? VDISK_COMMIT_KEEP : 0,
		.job = { .progress = progress_tick, .progress_ctx = &p, .cancel = cancel_by_signals() },
	};
	progress_begin(&p, &a->progress, a->common.quiet, "committing");
	int failed = vdisk_commit(operands[0], &o, &r, &err);
	progress_end(&p);
	opt_list_free(&opts);
	return failed ? fail_vdisk(&err) : report(a, operands[0], &r);
}

const struct command cmd_commit = {
	.name = "commit",
	.operands = "IMG",
	.min = 1,
	.max = 1,
	.summary = "write an image's changes into its parent",
	.notes = "Other images over the parent, and layers in between, read differently afterwards.  It may be stopped at any time: IMG "
	         "reads the same, and the same command finishes the work.",
	.domain = DOMAIN_FILE,
	.args_bytes = sizeof(struct commit_args),
	.groups = {
		{ options, 0 },
		{ source_options, offsetof(struct commit_args, source) },
		{ progress_options, offsetof(struct commit_args, progress) },
		{ common_options, 0 },
	},
	.run = run,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk compare: do two images hold the same disk?  0: yes, 1: no, 2: trouble. */
#include "job.h"
#include "output.h"
#include "source.h"

#include <inttypes.h>
#include <string.h>

struct compare_args {
	struct common_args common;
	struct source_args source, second;
	struct content_args content;
	struct job_args job;
	bool strict;
};

#define AT(member) .field = offsetof(struct compare_args, member)
static const struct opt options[] = {
	{ .letter = 's', .name = "strict", .kind = OPT_FLAG, AT(strict),
	  .help = "images of different sizes differ, even if the rest is zeros" },
	{ .letter = 'F', .name = "second-format", .kind = OPT_TEXT, AT(second.format), .arg = "FMT", .domain = DOMAIN_FORMAT,
	  .help = "format of B (-f, --open-opt, --vhd-size, --key-file and --snapshot are for A)" },
	{ .name = "second-open-opt", .kind = OPT_PAIRS, AT(second.open_opts), .arg = "K=V", .help = "option for opening B" },
	{ 0 },
};
#undef AT

static int compare(const struct compare_args *a, vdisk_image *one, vdisk_image *two)
{
	struct progress progress;
	struct vdisk_job_options o = job_begin(&progress, &a->job, a->common.quiet, "comparing");
	struct vdisk_compare_result r = { 0 };
	vdisk_error err = { 0 };
	int failed = vdisk_compare(one, two, a->strict, &o, &r, &err);
	progress_end(&progress);
	if (failed)
		return fail_vdisk(&err);
	if (a->common.json) {
		struct json_object *j = json_report();
		json_put_bool(j, "equal", r.equal);
		if (r.equal)
			json_put(j, "offset", NULL);
		else
			json_put_u64(j, "offset", r.offset);
		json_put_bool(j, "size-differs", r.size_differs);
		json_put_u64(j, "size-a", vdisk_size(one));
		json_put_u64(j, "size-b", vdisk_size(two));
		json_print(j);
	} else if (!r.equal && a->strict && r.size_differs) {
		remark("the disks differ: %" PRIu64 " and %" PRIu64 " bytes\n", vdisk_size(one), vdisk_size(two));
	} else if (!r.equal) {
		remark("the disks differ, first at offset %" PRIu64 "\n", r.offset);
	} else if (r.size_differs) {
		remark("the disks are equal, but for zeros at the end: %" PRIu64 " and %" PRIu64 " bytes\n", vdisk_size(one),
		       vdisk_size(two));
	} else {
		remark("the disks are equal\n");
	}
	return r.equal ? EXIT_YES : EXIT_NO;
}

static int run(const void *args, char **operands, unsigned n)
{
	const struct compare_args *a = args;
	struct source_args second = a->second;
	vdisk_image *one, *two;
	(void)n;
	if (!strcmp(operands[0], "-") && !strcmp(operands[1], "-"))
		return fail_usage("only one of the two can be standard input");
	/* What says where parents lie, and the lock's waiver, hold for both. */
	second.allow_dirs = a->source.allow_dirs;
	second.parents = a->source.parents;
	second.share = a->source.share;
	struct content_args second_content = { .salvage = a->content.salvage };
	if (source_open(operands[0], &a->source, &a->content, 0, true, &one))
		return EXIT_TROUBLE;
	if (source_open(operands[1], &second, &second_content, 0, true, &two)) {
		source_close(one);
		return EXIT_TROUBLE;
	}
	int status = compare(a, one, two);
	source_close(two);
	source_close(one);
	return status;
}

const struct command cmd_compare = {
	.name = "compare",
	.operands = "A B",
	.min = 2,
	.max = 2,
	.summary = "tell whether two images hold the same disk",
	.notes = "Exit status: 0 equal, 1 different, 2 trouble.  One of the two may be \"-\", standard input, where its format "
	         "can stream.",
	.domain = DOMAIN_FILE,
	.args_bytes = sizeof(struct compare_args),
	.groups = {
		{ options, 0 },
		{ job_options, offsetof(struct compare_args, job) },
		{ source_options, offsetof(struct compare_args, source) },
		{ content_options, offsetof(struct compare_args, content) },
		{ progress_options, offsetof(struct compare_args, job.progress) },
		{ common_options, 0 },
	},
	.run = run,
};

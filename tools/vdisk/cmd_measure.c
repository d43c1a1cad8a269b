/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk measure: how much room would a conversion take? */
#include "output.h"
#include "sizes.h"
#include "source.h"
#include "target.h"

#include <inttypes.h>

struct measure_args {
	struct common_args common;
	struct source_args source;
	struct content_args content;
	const char *format;
	struct opt_list opts;
	struct opt_number size;
};

#define AT(member) .field = offsetof(struct measure_args, member)
static const struct opt options[] = {
	{ .letter = 'O', .name = "to", .kind = OPT_TEXT, AT(format), .arg = "FMT", .domain = DOMAIN_FORMAT,
	  .help = "format of the image to be made; required" },
	{ .letter = 'o', .name = "option", .kind = OPT_PAIRS, AT(opts), .arg = "K=V",
	  .help = "options of that format, joined by commas; \"-o help\" lists them; repeatable" },
	{ .name = "size", .kind = OPT_SIZE, AT(size), .arg = "SIZE",
	  .help = "measure for an empty disk of this size, without SRC" },
	{ 0 },
};
#undef AT

static int measure(const struct measure_args *a, vdisk_image *src, const char *format)
{
	struct vdisk_measure_result r = { 0 };
	vdisk_error err = { 0 };
	char required[SIZE_TEXT], full[SIZE_TEXT];
	if (vdisk_measure(src, a->size.value, format, a->opts.v, &r, &err))
		return fail_vdisk(&err);
	if (a->common.json) {
		struct json_object *o = json_report();
		json_put_text(o, "format", format);
		json_put_u64(o, "virtual-size", src ? vdisk_size(src) : a->size.value);
		json_put_u64(o, "required", r.required);
		json_put_u64(o, "fully-allocated", r.fully_allocated);
		json_print(o);
		return EXIT_YES;
	}
	say("required size: %" PRIu64 " (%s)\n", r.required, size_human(required, r.required));
	say("fully allocated size: %" PRIu64 " (%s)\n", r.fully_allocated, size_human(full, r.fully_allocated));
	return EXIT_YES;
}

static int run(const void *args, char **operands, unsigned n)
{
	const struct measure_args *a = args;
	if (!a->format)
		return fail_usage("measured for which format? -O FMT says");
	const struct vdisk_format_info *f = target_format("", a->format, "-O");
	if (!f)
		return EXIT_TROUBLE;
	if (target_help(f, &a->opts))
		return EXIT_YES;
	if (a->size.given == (n == 1))
		return fail_usage("either SRC or --size SIZE is wanted%s", n ? ", not both" : "");
	if (!n && (a->source.format || a->source.open_opts.n || a->content.snapshot))
		return fail_usage("without SRC nothing is opened: -f, --open-opt and --snapshot have no meaning");
	if (!n)
		return measure(a, NULL, f->name);
	vdisk_image *src;
	if (source_open(operands[0], &a->source, &a->content, 0, false, &src))
		return EXIT_TROUBLE;
	int status = measure(a, src, f->name);
	source_close(src);
	return status;
}

const struct command cmd_measure = {
	.name = "measure",
	.operands = "[SRC]",
	.min = 0,
	.max = 1,
	.summary = "tell how much room a conversion would take",
	.domain = DOMAIN_FILE,
	.args_bytes = sizeof(struct measure_args),
	.groups = {
		{ options, 0 },
		{ source_options, offsetof(struct measure_args, source) },
		{ content_options, offsetof(struct measure_args, content) },
		{ common_options, 0 },
	},
	.run = run,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk resize: another virtual size, in place. */
#include "output.h"
#include "sizes.h"
#include "source.h"

#include <inttypes.h>

struct resize_args {
	struct common_args common;
	struct source_args source;
	struct change_args change;
	bool shrink, dry_run;
};

static const struct opt options[] = {
	{ .name = "shrink", .kind = OPT_FLAG, .field = offsetof(struct resize_args, shrink),
	  .help = "a smaller size, which cuts off the disk's end, is meant" },
	{ .name = "dry-run", .kind = OPT_FLAG, .field = offsetof(struct resize_args, dry_run),
	  .help = "say what would be done, but write nothing" },
	{ 0 },
};

static int size_wanted(const char *text, uint64_t from, uint64_t *to)
{
	uint64_t n;
	bool plus = *text == '+', minus = *text == '-';
	if (!size_parse(text + (plus || minus), &n))
		return fail_usage("\"%s\" is no size (a number, with K M G T P E for powers of 1,024, or + or - and one)", text);
	if (minus && n > from)
		return fail("the disk has %" PRIu64 " bytes, %" PRIu64 " cannot be cut off", from, n);
	if (plus && n > UINT64_MAX - from)
		return fail("%s is too large", text);
	*to = plus ? from + n : minus ? from - n : n;
	return 0;
}

static int resize(const struct resize_args *a, vdisk_image *img, const char *text)
{
	uint64_t from = vdisk_size(img), to = from;
	vdisk_error err = { 0 };
	if (size_wanted(text, from, &to))
		return EXIT_TROUBLE;
	if (to < from && !a->shrink)
		return fail("from %" PRIu64 " to %" PRIu64 " bytes cuts off its end: --shrink says that this is meant", from, to);
	if (!a->dry_run && vdisk_resize(img, to, a->shrink ? VDISK_RESIZE_SHRINK : 0, &err))
		return fail_vdisk(&err);
	if (a->common.json) {
		struct json_object *o = json_report();
		json_put_text(o, "path", vdisk_path(img));
		json_put_text(o, "format", vdisk_format_name(img));
		json_put_u64(o, "old-size", from);
		json_put_u64(o, "new-size", to);
		json_put_bool(o, "dry-run", a->dry_run);
		json_print(o);
	} else if (a->dry_run) {
		say("would resize %s from %" PRIu64 " to %" PRIu64 " bytes\n", shown(vdisk_path(img)), from, to);
	} else if (a->common.verbose) {
		remark("resized %s from %" PRIu64 " to %" PRIu64 " bytes\n", shown(vdisk_path(img)), from, to);
	}
	return EXIT_YES;
}

static int run(const void *args, char **operands, unsigned n)
{
	const struct resize_args *a = args;
	vdisk_image *img;
	vdisk_error err = { 0 };
	(void)n;
	if (source_open(operands[0], &a->source, NULL, a->dry_run ? VDISK_OPEN_NO_PARENT : change_flags(&a->change), false, &img))
		return EXIT_TROUBLE;
	int status = resize(a, img, operands[1]);
	if (vdisk_close(img, &err))
		return fail_vdisk(&err);
	return status;
}

const struct command cmd_resize = {
	.name = "resize",
	.operands = "IMG [+|-]SIZE",
	.min = 2,
	.max = 2,
	.summary = "give a disk another size, in place",
	.notes = "Make room for partitions and file systems first (to shrink) or grow them afterwards: they are not touched.",
	.domain = DOMAIN_FILE,
	.args_bytes = sizeof(struct resize_args),
	.groups = {
		{ options, 0 },
		{ source_options, offsetof(struct resize_args, source) },
		{ change_options, offsetof(struct resize_args, change) },
		{ common_options, 0 },
	},
	.run = run,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk amend: other properties, in place. */
#include "output.h"
#include "sizes.h"
#include "source.h"
#include "target.h"

#include <string.h>

struct amend_args {
	struct common_args common;
	struct source_args source;
	struct change_args change;
	struct opt_list opts;
	bool dry_run;
};

static const struct opt options[] = {
	{ .letter = 'o', .name = "option", .kind = OPT_PAIRS, .field = offsetof(struct amend_args, opts), .arg = "K=V",
	  .help = "properties to change, joined by commas; \"-o help\" lists those of IMG's format; repeatable" },
	{ .name = "dry-run", .kind = OPT_FLAG, .field = offsetof(struct amend_args, dry_run),
	  .help = "judge the properties, but write nothing" },
	{ 0 },
};

static const struct vdisk_option_info *property_find(const struct vdisk_format_info *f, const char *pair)
{
	size_t len = strcspn(pair, "=");
	for (const struct vdisk_option_info *o = f->options; o && o->name; o++)
		if ((o->use & VDISK_OPT_FOR_AMEND) && strlen(o->name) == len && !strncmp(o->name, pair, len))
			return o;
	return NULL;
}

/* What can be said of a value without writing; the format judges the rest. */
static int pair_judge(const struct vdisk_format_info *f, const char *pair)
{
	const struct vdisk_option_info *o = property_find(f, pair);
	int len = (int)strcspn(pair, "=");
	uint64_t number;
	if (!o)
		return fail_usage("format %s has no property \"%.*s\" to amend", f->name, len, pair);
	if (!pair[len])
		return fail_usage("\"%s\" is not K=V", pair);
	const char *value = pair + len + 1, *choices = o->type == VDISK_OPT_BOOL ? "on|off" : o->values;
	if ((o->type == VDISK_OPT_ENUM || o->type == VDISK_OPT_BOOL) && !choice_has(choices, value))
		return fail_usage("%s: \"%s\" is none of %s", o->name, value, choices);
	if ((o->type == VDISK_OPT_SIZE || o->type == VDISK_OPT_UINT) && !size_parse(value, &number))
		return fail_usage("%s: \"%s\" is no number", o->name, value);
	return 0;
}

static int amend(const struct amend_args *a, vdisk_image *img)
{
	const struct vdisk_format_info *f = vdisk_format_find(vdisk_format_name(img));
	vdisk_error err = { 0 };
	if (a->opts.n == 1 && !strcmp(a->opts.v[0], "help")) {
		if (!format_options_print(f, VDISK_OPT_FOR_AMEND, ""))
			say("format %s has nothing to amend\n", f->name);
		return EXIT_YES;
	}
	for (size_t i = 0; i < a->opts.n; i++)
		if (pair_judge(f, a->opts.v[i]))
			return EXIT_TROUBLE;
	if (!a->dry_run && vdisk_amend(img, a->opts.v, &err))
		return fail_vdisk(&err);
	if (a->common.json) {
		struct json_object *o = json_report(), *list = json_must(json_object_new_array());
		json_put_text(o, "path", vdisk_path(img));
		json_put_text(o, "format", f->name);
		for (size_t i = 0; i < a->opts.n; i++)
			json_object_array_add(list, json_must(json_object_new_string(a->opts.v[i])));
		json_put(o, "options", list);
		json_put_bool(o, "dry-run", a->dry_run);
		json_print(o);
	} else if (a->dry_run) {
		say("would amend %s\n", shown(vdisk_path(img)));
	}
	return EXIT_YES;
}

static int run(const void *args, char **operands, unsigned n)
{
	const struct amend_args *a = args;
	vdisk_image *img;
	vdisk_error err = { 0 };
	(void)n;
	if (!a->opts.n)
		return fail_usage("amend what? -o K=V says");
	bool read_only = a->dry_run || !strcmp(a->opts.v[0], "help");
	if (source_open(operands[0], &a->source, NULL, read_only ? VDISK_OPEN_NO_PARENT : change_flags(&a->change), false, &img))
		return EXIT_TROUBLE;
	int status = amend(a, img);
	if (vdisk_close(img, &err))
		return fail_vdisk(&err);
	return status;
}

const struct command cmd_amend = {
	.name = "amend",
	.operands = "IMG",
	.min = 1,
	.max = 1,
	.summary = "change properties of an image, in place",
	.domain = DOMAIN_FILE,
	.args_bytes = sizeof(struct amend_args),
	.groups = {
		{ options, 0 },
		{ source_options, offsetof(struct amend_args, source) },
		{ change_options, offsetof(struct amend_args, change) },
		{ common_options, 0 },
	},
	.run = run,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk bitmap: which parts of a disk were changed, as its image records it (qcow2): listed, made, removed, cleared, merged,
   switched. */
#include "bitmap_show.h"
#include "output.h"
#include "sizes.h"
#include "source.h"

#include <string.h>

struct bitmap_args {
	struct common_args common;
	struct source_args source;
	struct opt_number granularity;
	bool disabled, force;
	const char *from;
};

#define AT(member) .field = offsetof(struct bitmap_args, member)
static const struct opt options[] = {
	{ .letter = 'g', .name = "granularity", .kind = OPT_SIZE, AT(granularity), .arg = "SIZE", .min = 512,
	  .max = UINT64_C(1) << 31,
	  .help = "create: how much of the disk each bit tells of, a power of two from 512 to 2G; by default a cluster, "
	          "but 4K to 64K" },
	{ .name = "disabled", .kind = OPT_FLAG, AT(disabled), .help = "create: one that follows no changes until it is enabled" },
	{ .name = "from", .kind = OPT_TEXT, AT(from), .arg = "FILE", .domain = DOMAIN_IMAGE,
	  .help = "merge: the other bitmap is in this image, of a disk of the same size" },
	{ .name = "force", .kind = OPT_FLAG, AT(force),
	  .help = "change IMG although it is marked as the parent of others, or as corrupt" },
	{ 0 },
};
#undef AT

static int merge(const struct bitmap_args *a, vdisk_image *img, char **names)
{
	vdisk_error err = { 0 };
	vdisk_image *from = NULL;
	if (a->from && source_open(a->from, &(struct source_args){ .format = "qcow2" }, NULL, VDISK_OPEN_NO_PARENT, false, &from))
		return EXIT_TROUBLE;
	int r = vdisk_bitmap_merge(img, names[0], from, names[1], &err);
	if (from)
		source_close(from);
	return r ? fail_vdisk(&err) : 0;
}

static int change(const struct bitmap_args *a, vdisk_image *img, const char *verb, char **names)
{
	vdisk_error err = { 0 };
	int r;
	if (!strcmp(verb, "merge"))
		return merge(a, img, names);
	if (!strcmp(verb, "create"))
		r = vdisk_bitmap_create(img, names[0], a->granularity.value, a->disabled ? VDISK_BITMAP_DISABLED : 0, &err);
	else if (!strcmp(verb, "delete"))
		r = vdisk_bitmap_delete(img, names[0], &err);
	else if (!strcmp(verb, "clear"))
		r = vdisk_bitmap_clear(img, names[0], &err);
	else
		r = vdisk_bitmap_enable(img, names[0], !strcmp(verb, "enable"), &err);
	return r ? fail_vdisk(&err) : 0;
}

static int change_run(const struct bitmap_args *a, const char *verb, const char *path, char **names)
{
	vdisk_error err = { 0 };
	vdisk_image *img;
	/* Nothing of the content is looked at, nor is it changed: the parent is not needed, and keeps its children. */
	uint32_t flags = VDISK_OPEN_RW | VDISK_OPEN_NO_PARENT | VDISK_OPEN_KEEP_ID | (a->force ? VDISK_OPEN_FORCE : 0);
	if (source_open(path, &a->source, NULL, flags, false, &img))
		return EXIT_TROUBLE;
	int status = change(a, img, verb, names);
	if (vdisk_close(img, &err) && !status)
		return fail_vdisk(&err);
	if (!status && a->common.json) {
		struct json_object *o = json_report();
		json_put_text(o, "action", verb);
		json_put_text(o, "path", path);
		json_put_text(o, "name", names[0]);
		json_print(o);
	}
	return status;
}

static int list_run(const struct bitmap_args *a, const char *path)
{
	vdisk_image *img;
	if (source_open(path, &a->source, NULL, VDISK_OPEN_NO_PARENT, false, &img))
		return EXIT_TROUBLE;
	int status = bitmaps_show(img, a->common.json);
	source_close(img);
	return status;
}

static int run(const void *args, char **operands, unsigned n)
{
	const struct bitmap_args *a = args;
	const char *verb = operands[0];
	bool list = !strcmp(verb, "list"), create = !strcmp(verb, "create"), merges = !strcmp(verb, "merge");
	if (!choice_has("create|delete|clear|merge|enable|disable|list", verb))
		return fail_usage("\"%s\" is not one of create, delete, clear, merge, enable, disable and list", verb);
	unsigned wanted = list ? 2 : merges ? 4 : 3;
	if (n < wanted)
		return fail_usage("%s: which bitmap? %s name is missing", verb, n < 3 ? "Its" : "The other's");
	if (n > wanted)
		return fail_usage("\"%s\" is one word too many", operands[wanted]);
	if (!create && (a->granularity.given || a->disabled))
		return fail_usage("--granularity and --disabled are for create");
	if (!merges && a->from)
		return fail_usage("--from is for merge");
	if (list && a->force)
		return fail_usage("list only looks: --force is for the others");
	return list ? list_run(a, operands[1]) : change_run(a, verb, operands[1], operands + 2);
}

const struct command cmd_bitmap = {
	.name = "bitmap",
	.operands = "create|delete|clear|merge|enable|disable|list IMG [NAME [OTHER]]",
	.min = 2,
	.max = 4,
	.summary = "records of what was changed on a disk, kept in its image",
	.notes = "\"merge IMG NAME OTHER\" adds what OTHER records to NAME.  \"map --since bitmap:NAME\" and \"convert --since "
	         "bitmap:NAME\" use one.  Each change may be stopped at any time: it was made or was not.",
	.domain = DOMAIN_FILE,
	.args_bytes = sizeof(struct bitmap_args),
	.groups = {
		{ options, 0 },
		{ source_options, offsetof(struct bitmap_args, source) },
		{ common_options, 0 },
	},
	.run = run,
};

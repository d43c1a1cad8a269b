/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk check: is an image's own structure sound?  0: yes (leaked space alone is no damage), 1: corrupt, 2: could not be judged. */
#include "output.h"
#include "sizes.h"
#include "source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct check_args {
	struct common_args common;
	struct source_args source;
	struct change_args change;
	const char *repair;
	struct opt_number most;
};

static const struct opt options[] = {
	{ .letter = 'r', .name = "repair", .kind = OPT_CHOICE, .field = offsetof(struct check_args, repair), .arg = "WHAT",
	  .choices = "leaks|all", .bare = "all",
	  .help = "mend leaked space only, or (all, and --repair alone) metadata that can be rebuilt, too" },
	{ .name = "max-problems", .kind = OPT_UINT, .field = offsetof(struct check_args, most), .arg = "N", .max = 1000000,
	  .help = "list this many problems, the rest is only counted; by default 100" },
	{ 0 },
};

struct problem {
	bool leak;
	uint64_t offset;
	char *message;
};
struct problems { /* one thread */
	struct problem *v;
	size_t n, most;
	uint64_t unlisted;
};

static void problem_add(void *ctx, bool is_leak, uint64_t offset, const char *message)
{
	struct problems *p = ctx;
	if (p->n == p->most) {
		p->unlisted++;
		return;
	}
	if (!(p->n & (p->n - 1)))
		p->v = tool_realloc(p->v, (p->n ? p->n * 2 : 1) * sizeof(*p->v));
	char *copy = tool_realloc(NULL, strlen(message) + 1);
	strcpy(copy, message);
	p->v[p->n++] = (struct problem){ is_leak, offset, copy };
}

static void print_json(vdisk_image *img, const struct vdisk_check_result *r, const struct problems *p)
{
	struct json_object *o = json_report(), *list = json_must(json_object_new_array());
	json_put_text(o, "path", vdisk_path(img));
	json_put_text(o, "format", vdisk_format_name(img));
	json_put_u64(o, "corruptions", r->corruptions);
	json_put_u64(o, "leaks", r->leaks);
	json_put_u64(o, "corruptions-fixed", r->corruptions_fixed);
	json_put_u64(o, "leaks-fixed", r->leaks_fixed);
	json_put_u64(o, "allocated-units", r->allocated_units);
	json_put_u64(o, "compressed-units", r->compressed_units);
	json_put_u64(o, "total-units", r->total_units);
	json_put_u64(o, "image-end", r->image_end);
	for (size_t i = 0; i < p->n; i++) {
		struct json_object *e = json_must(json_object_new_object());
		json_put_text(e, "kind", p->v[i].leak ? "leak" : "corruption");
		if (p->v[i].offset == VDISK_NO_OFFSET)
			json_put(e, "offset", NULL);
		else
			json_put_u64(e, "offset", p->v[i].offset);
		json_put_text(e, "message", p->v[i].message);
		json_object_array_add(list, e);
	}
	json_put(o, "problems", list);
	json_put_u64(o, "problems-unlisted", p->unlisted);
	json_print(o);
}

static void print_text(const struct vdisk_check_result *r, const struct problems *p)
{
	char end[SIZE_TEXT];
	for (size_t i = 0; i < p->n; i++) {
		if (p->v[i].offset == VDISK_NO_OFFSET)
			remark("%s: %s\n", p->v[i].leak ? "leak" : "corrupt", shown(p->v[i].message));
		else
			remark("%s: at %#" PRIx64 ": %s\n", p->v[i].leak ? "leak" : "corrupt", p->v[i].offset,
			       shown(p->v[i].message));
	}
	if (p->unlisted)
		remark("and %" PRIu64 " more\n", p->unlisted);
	if (!r->corruptions && !r->leaks)
		remark("no errors found\n");
	else
		remark("%" PRIu64 " corruptions, %" PRIu64 " leaks found; %" PRIu64 " and %" PRIu64 " mended\n", r->corruptions,
		       r->leaks, r->corruptions_fixed, r->leaks_fixed);
	if (r->total_units)
		remark("%" PRIu64 " of %" PRIu64 " units allocated (%.1f %%), %" PRIu64 " of them compressed; the image ends at "
		       "%" PRIu64 " (%s)\n",
		       r->allocated_units, r->total_units, (double)r->allocated_units * 100 / (double)r->total_units,
		       r->compressed_units, r->image_end, size_human(end, r->image_end));
}

static int check(const struct check_args *a, vdisk_image *img)
{
	uint32_t flags = a->repair ? VDISK_CHECK_REPAIR_LEAKS : 0;
	if (a->repair && !strcmp(a->repair, "all"))
		flags |= VDISK_CHECK_REPAIR_ALL;
	struct problems p = { .most = a->most.given ? a->most.value : 100 };
	struct vdisk_check_result r = { 0 };
	vdisk_error err = { 0 };
	int status;
	if (vdisk_check(img, flags, problem_add, &p, &r, &err)) {
		status = fail_vdisk(&err);
	} else {
		if (a->common.json)
			print_json(img, &r, &p);
		else
			print_text(&r, &p);
		status = r.corruptions > r.corruptions_fixed ? EXIT_NO : EXIT_YES;
	}
	for (size_t i = 0; i < p.n; i++)
		free(p.v[i].message);
	free(p.v);
	return status;
}

static int run(const void *args, char **operands, unsigned n)
{
	const struct check_args *a = args;
	vdisk_image *img;
	vdisk_error err = { 0 };
	(void)n;
	if ((a->change.force || a->change.keep_id) && !a->repair)
		return fail_usage("--force and --keep-id are for --repair");
	uint32_t flags = VDISK_OPEN_CHECK | VDISK_OPEN_NO_PARENT | (a->repair ? change_flags(&a->change) : 0);
	if (source_open(operands[0], &a->source, NULL, flags, false, &img))
		return EXIT_TROUBLE;
	int status = check(a, img);
	/* A repair is done when it is on the disk. */
	if (vdisk_close(img, &err))
		return fail_vdisk(&err);
	return status;
}

const struct command cmd_check = {
	.name = "check",
	.operands = "IMG",
	.min = 1,
	.max = 1,
	.summary = "look for damage in an image's own structure, and mend it",
	.notes = "Exit status: 0 sound (perhaps with leaked space), 1 corrupt, 2 trouble; after a repair, of what is left.",
	.domain = DOMAIN_FILE,
	.args_bytes = sizeof(struct check_args),
	.groups = {
		{ options, 0 },
		{ source_options, offsetof(struct check_args, source) },
		{ change_options, offsetof(struct check_args, change) },
		{ common_options, 0 },
	},
	.run = run,
};

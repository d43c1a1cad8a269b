/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk map: where each guest range lies.  The map is walked twice, first without a word: an image whose tables turn out damaged
 * gives an error and no half answer, and a long map needs no memory.
 */
#include "free_show.h"
#include "output.h"
#include "source.h"
#include "state.h"

#include <inttypes.h>
#include <string.h>

struct map_args {
	struct common_args common;
	struct source_args source;
	struct content_args content;
	struct opt_number start, length;
	const char *since, *free;
};

static const struct opt options[] = {
	{ .letter = 's', .name = "start-offset", .kind = OPT_SIZE, .field = offsetof(struct map_args, start), .arg = "SIZE",
	  .help = "begin at this guest offset; by default 0" },
	{ .letter = 'l', .name = "max-length", .kind = OPT_SIZE, .field = offsetof(struct map_args, length), .arg = "SIZE",
	  .min = 1,
	  .help = "map this much; by default to the end" },
	{ .name = "since", .kind = OPT_TEXT, .field = offsetof(struct map_args, since), .arg = "NAME",
	  .help = "only what has changed since this snapshot, from what the \"parent\" holds, or as \"bitmap:NAME\" records" },
	{ .name = "free", .kind = OPT_CHOICE, .field = offsetof(struct map_args, free), .arg = "STATE", .choices = "rest|live",
	  .bare = "rest",
	  .help = "only what its file systems call free: those at rest (the default), or live, whatever state they are in" },
	{ 0 },
};

static const char *const kind_names[] = { [VDISK_ABSENT] = "absent", [VDISK_ZERO] = "zero", [VDISK_DATA] = "data" };
static const struct { uint32_t bit; const char *name; } flag_names[] = {
	{ VDISK_EXT_COMPRESSED, "compressed" }, { VDISK_EXT_CIPHERED, "encrypted" }, { VDISK_EXT_LOST, "lost" },
};

static const char *file_of(vdisk_image *img, const struct vdisk_extent *x)
{
	return x->flags & (VDISK_EXT_MAPPED | VDISK_EXT_COMPRESSED) ? vdisk_layer_file(img, x->depth, x->file) : NULL;
}

static void print_json(vdisk_image *img, const struct vdisk_extent *x)
{
	struct json_object *o = json_must(json_object_new_object());
	json_put_u64(o, "offset", x->off);
	json_put_u64(o, "length", x->len);
	json_put_text(o, "kind", kind_names[x->kind]);
	for (size_t i = 0; i < sizeof(flag_names) / sizeof(*flag_names); i++)
		json_put_bool(o, flag_names[i].name, x->flags & flag_names[i].bit);
	if (x->kind != VDISK_ABSENT)
		json_put_u64(o, "depth", x->depth);
	if (file_of(img, x)) {
		json_put_text(o, "file", file_of(img, x));
		json_put_u64(o, "host-offset", x->host);
		json_put_u64(o, "host-length", x->host_len);
	}
	json_array_element(o);
}

static void print_text(vdisk_image *img, const struct vdisk_extent *x)
{
	char kind[48], depth[8] = "-", host[32] = "-", off[32], len[32];
	size_t n = (size_t)snprintf(kind, sizeof(kind), "%s", kind_names[x->kind]);
	for (size_t i = 0; i < sizeof(flag_names) / sizeof(*flag_names); i++)
		if (x->flags & flag_names[i].bit)
			n += (size_t)snprintf(kind + n, sizeof(kind) - n, ",%s", flag_names[i].name);
	if (x->kind != VDISK_ABSENT)
		snprintf(depth, sizeof(depth), "%u", x->depth);
	if (file_of(img, x))
		snprintf(host, sizeof(host), "0x%" PRIx64, x->host);
	snprintf(off, sizeof(off), "0x%" PRIx64, x->off);
	snprintf(len, sizeof(len), "0x%" PRIx64, x->len);
	say("%-18s %-16s %-16s %5s  %-18s %s\n", off, len, kind, depth, host, file_of(img, x) ? shown(file_of(img, x)) : "-");
}

static bool joins(const struct vdisk_extent *a, const struct vdisk_extent *b)
{
	if (a->kind != b->kind || a->flags != b->flags || a->depth != b->depth || a->file != b->file ||
	    (a->flags & VDISK_EXT_COMPRESSED))
		return false;
	return !(a->flags & VDISK_EXT_MAPPED) || a->host + a->len == b->host;
}

/* With print NULL, only judges. */
static int walk(vdisk_image *img, uint64_t off, uint64_t end, void (*print)(vdisk_image *, const struct vdisk_extent *))
{
	struct vdisk_extent x[256], held = { 0 };
	vdisk_error err = { 0 };
	while (off < end) {
		size_t n = 0;
		if (vdisk_map(img, off, end - off, x, sizeof(x) / sizeof(*x), &n, &err))
			return fail_vdisk(&err);
		for (size_t i = 0; i < n; i++) {
			off = x[i].off + x[i].len;
			if (held.len && joins(&held, &x[i])) {
				held.len += x[i].len;
				held.host_len += x[i].host_len;
				continue;
			}
			if (held.len && print)
				print(img, &held);
			held = x[i];
		}
	}
	if (held.len && print)
		print(img, &held);
	return 0;
}

/* The parts of [off, end) that are listed; all of it without a list. */
static int walk_parts(vdisk_image *img, const struct ranges *only, uint64_t off, uint64_t end,
                      void (*print)(vdisk_image *, const struct vdisk_extent *))
{
	if (!only)
		return walk(img, off, end, print);
	for (size_t i = 0; i < only->n; i++) {
		uint64_t from = only->v[i].off, to = from + only->v[i].len;
		from = from < off ? off : from;
		to = to > end ? end : to;
		if (from < to && walk(img, from, to, print))
			return EXIT_TROUBLE;
	}
	return 0;
}

static int map(const struct map_args *a, vdisk_image *img, const struct ranges *only)
{
	uint64_t size = vdisk_size(img), start = a->start.value;
	if (start > size)
		return fail("the start, %" PRIu64 ", lies behind the disk's end, %" PRIu64, start, size);
	uint64_t end = a->length.given && a->length.value < size - start ? start + a->length.value : size;
	if (walk_parts(img, only, start, end, NULL))
		return EXIT_TROUBLE;
	if (a->common.json) {
		struct json_object *o = json_report();
		json_put_text(o, "path", vdisk_path(img));
		json_put_text(o, "format", vdisk_format_name(img));
		json_put_u64(o, "virtual-size", size);
		json_put_text(o, "since", a->since);
		json_array_begin(o, "extents");
		int r = walk_parts(img, only, start, end, print_json);
		json_array_end();
		return r;
	}
	say("%-18s %-16s %-16s %5s  %-18s %s\n", "offset", "length", "kind", "depth", "host offset", "file");
	return walk_parts(img, only, start, end, print_text);
}

static int run(const void *args, char **operands, unsigned n)
{
	const struct map_args *a = args;
	vdisk_image *img;
	(void)n;
	if (a->free && (a->since || a->start.given || a->length.given))
		return fail_usage("--free goes with neither --since nor a part of the disk");
	if (source_open(operands[0], &a->source, &a->content, 0, false, &img))
		return EXIT_TROUBLE;
	if (a->free) {
		int shown_status = free_show(img, &a->source, &a->content, !strcmp(a->free, "live"), a->common.json);
		source_close(img);
		return shown_status;
	}
	struct ranges changed = { 0 };
	int status = a->since ? state_changes(operands[0], &a->source, a->since, img, false, &changed) : 0;
	if (!status)
		status = map(a, img, a->since ? &changed : NULL);
	ranges_free(&changed);
	source_close(img);
	return status;
}

const struct command cmd_map = {
	.name = "map",
	.operands = "IMG",
	.min = 1,
	.max = 1,
	.summary = "list where the bytes of a disk lie",
	.domain = DOMAIN_FILE,
	.args_bytes = sizeof(struct map_args),
	.groups = {
		{ options, 0 },
		{ source_options, offsetof(struct map_args, source) },
		{ content_options, offsetof(struct map_args, content) },
		{ common_options, 0 },
	},
	.run = run,
};

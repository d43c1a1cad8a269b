/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk convert: SRC, of whatever format, to a new image DST. */
#include "again.h"
#include "inplace.h"
#include "keep.h"
#include "output.h"
#include "progress.h"
#include "sizes.h"
#include "snapshots_left.h"
#include "source.h"
#include "state.h"
#include "target.h"
#include "used.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct convert_args {
	struct common_args common;
	struct source_args source;
	struct content_args content;
	struct target_args target;
	struct progress_args progress;
	const char *format, *manifest, *punch, *cache, *snapshots, *machine, *since, *sectors;
	bool compress, verify, digest, no_reflink, resume, used_only, in_place;
	struct opt_number level, jobs, sparse, memory;
};

#define AT(member) .field = offsetof(struct convert_args, member)
static const struct opt options[] = {
	{ .letter = 'O', .name = "to", .kind = OPT_TEXT, AT(format), .arg = "FMT", .domain = DOMAIN_FORMAT,
	  .help = "format of the new image; without it, its suffix tells" },
	{ .letter = 'c', .name = "compress", .kind = OPT_FLAG, AT(compress), .help = "compress the content" },
	{ .name = "level", .kind = OPT_UINT, AT(level), .arg = "N", .min = 1, .max = 19,
	  .help = "with -c: how hard to compress, 1 to 12 for zlib, 1 to 19 for zstd; below 7, zlib does not try what looks packed or encrypted" },
	{ .letter = 'j', .name = "jobs", .kind = OPT_UINT, AT(jobs), .arg = "N", .min = 1, .max = 1024,
	  .help = "threads that read, compress and write; by default one for each processor, from and to other machines 8 at least" },
	{ .letter = 'S', .name = "sparse-size", .kind = OPT_SIZE, AT(sparse), .arg = "SIZE", .min = 512, .max = 1u << 30,
	  .help = "shortest run of zeros that is left out, a power of two; by default 4K" },
	{ .name = "memory", .kind = OPT_SIZE, AT(memory), .arg = "SIZE", .min = 1u << 20,
	  .help = "budget for data in flight; by default 32M" },
	{ .name = "no-reflink", .kind = OPT_FLAG, AT(no_reflink),
	  .help = "never let the host's file system share blocks of source and destination" },
	{ .name = "cache", .kind = OPT_CHOICE, AT(cache), .arg = "MODE", .choices = "auto|keep|spare",
	  .help = "the host's page cache: spare, what is copied does not stay in it; keep, the kernel decides; auto (the default), spare "
	          "where more than 1 GiB is copied" },
	{ .name = "snapshots", .kind = OPT_CHOICE, AT(snapshots), .arg = "HOW", .choices = "flatten|keep|inside|layers",
	  .help = "the source's snapshots: flatten, the disk as it is alone; keep, with names and dates, inside (qcow2) or as layers below the new "
	          "image; inside and layers say which" },
	{ .name = "machine", .kind = OPT_TEXT, AT(machine), .arg = "FILE", .domain = DOMAIN_FILE,
	  .help = "with --snapshots: what the images below SRC are, and what the snapshots are called, is told by this description of the machine, "
	          "VirtualBox's .vbox or Hyper-V's .xml" },
	{ .name = "since", .kind = OPT_TEXT, AT(since), .arg = "NAME",
	  .help = "with -b, which holds the disk as it was at this snapshot, as its \"parent\" has it, or when \"bitmap:NAME\" was cleared: write "
	          "only what has changed since" },
	{ .name = "sector-size", .kind = OPT_CHOICE, AT(sectors), .arg = "N", .choices = "512|4096",
	  .help = "for a disk with logical sectors of that length: count its GPT anew, or say what stands in the way" },
	{ .name = "used-only", .kind = OPT_FLAG, AT(used_only),
	  .help = "leave out what the guest's file systems call free; it is zeros in the new image" },
	{ .name = "verify", .kind = OPT_FLAG, AT(verify),
	  .help = "read the new image back and compare digests before it gets its name" },
	{ .name = "digest", .kind = OPT_FLAG, AT(digest), .help = "print the content's digest, as \"vdisk digest\" does" },
	{ .name = "manifest", .kind = OPT_TEXT, AT(manifest), .arg = "FILE", .domain = DOMAIN_FILE,
	  .help = "leave the digests of all pieces in FILE, for \"vdisk verify-manifest\"" },
	{ .name = "resume", .kind = OPT_FLAG, AT(resume),
	  .help = "go on with what an earlier run of the same conversion left unfinished, if one did" },
	{ .name = "in-place", .kind = OPT_FLAG, AT(in_place),
	  .help = "leave the bytes where they are, and make SRC into DST: raw, fixed VHD, flat VMDK; to qcow2, with a raw data file" },
	{ .name = "punch-source", .kind = OPT_CHOICE, AT(punch), .arg = "WORD", .choices = "destroy-source",
	  .help = "move: give the source's space back as the new image becomes durable, and remove it at the end; WORD confirms it" },
	{ 0 },
};
#undef AT

struct lost { /* ranges that salvage gave up */
	uint64_t (*v)[2];
	size_t n;
};

static void lost_add(void *ctx, uint64_t off, uint64_t len)
{
	struct lost *lost = ctx;
	if (lost->n && lost->v[lost->n - 1][0] + lost->v[lost->n - 1][1] == off) {
		lost->v[lost->n - 1][1] += len;
		return;
	}
	lost->v = tool_realloc(lost->v, (lost->n + 1) * sizeof(*lost->v));
	lost->v[lost->n][0] = off;
	lost->v[lost->n++][1] = len;
}

/* Of a conversion that was resumed: all of it. */
static int lost_find(vdisk_image *src, struct lost *lost)
{
	vdisk_error err = { 0 };
	for (uint64_t off = 0, size = vdisk_size(src); off < size;) {
		struct vdisk_extent x[256];
		size_t n = 0;
		if (vdisk_map(src, off, size - off, x, sizeof(x) / sizeof(*x), &n, &err))
			return fail_vdisk(&err);
		for (size_t i = 0; i < n; off = x[i].off + x[i].len, i++)
			if (x[i].flags & VDISK_EXT_LOST)
				lost_add(lost, x[i].off, x[i].len);
	}
	return 0;
}

static void report_json(const struct convert_args *a, vdisk_image *src, const char *source_format, const char *dst,
                        const char *format, const struct vdisk_convert_report *rep, const struct lost *lost,
                        const struct used *used)
{
	char text[DIGEST_TEXT];
	struct json_object *o = json_report(), *s = json_must(json_object_new_object()), *d = json_must(json_object_new_object());
	json_put_text(s, "path", vdisk_path(src));
	json_put_text(s, "format", source_format);
	json_put_u64(s, "virtual-size", vdisk_size(src));
	json_put(o, "source", s);
	json_put_text(d, "path", dst);
	json_put_text(d, "format", format);
	json_put_u64(d, "virtual-size", rep->size);
	json_put(o, "destination", d);
	json_put_bool(o, "dry-run", a->target.dry_run);
	json_put(o, "regions", used_json(used));
	if (!a->target.dry_run) {
		json_put_u64(o, "data", rep->data);
		json_put_u64(o, "zero", rep->zero);
		json_put_u64(o, "skipped", rep->skipped);
		json_put_u64(o, "offloaded", rep->offloaded);
		json_put_u64(o, "packed-in", rep->packed_in);
		json_put_u64(o, "packed-out", rep->packed_out);
		json_put_u64(o, "lost", rep->lost);
		struct json_object *ranges = json_must(json_object_new_array());
		for (size_t i = 0; i < lost->n; i++) {
			struct json_object *r = json_must(json_object_new_object());
			json_put_u64(r, "offset", lost->v[i][0]);
			json_put_u64(r, "length", lost->v[i][1]);
			json_object_array_add(ranges, r);
		}
		json_put(o, "lost-ranges", ranges);
		json_put_text(o, "digest", rep->has_digest ? digest_text(text, rep->digest) : NULL);
		json_put_text(o, "manifest", a->manifest);
		json_put_bool(o, "verified", a->verify);
		json_put_u64(o, "resumed", rep->resumed);
		json_put_double(o, "seconds", rep->seconds);
	}
	json_print(o);
}

static void report_text(const struct convert_args *a, const char *dst, const char *format, bool bar,
                        const struct vdisk_convert_report *rep, const struct lost *lost)
{
	char text[DIGEST_TEXT], size[SIZE_TEXT], data[SIZE_TEXT], zero[SIZE_TEXT], rate[SIZE_TEXT];
	if (a->target.dry_run) {
		say("would make %s: %s, %" PRIu64 " bytes\n", shown(dst), format, rep->size);
		return;
	}
	for (size_t i = 0; i < lost->n; i++)
		warn("lost: %" PRIu64 " bytes at offset %" PRIu64 " are zeros now", lost->v[i][1], lost->v[i][0]);
	if (bar || a->common.verbose) {
		fprintf(stderr, "%s: %s of data, %s of zeros, in %.2f s (%s/s)%s\n", size_human(size, rep->size),
		        size_human(data, rep->data), size_human(zero, rep->zero), rep->seconds,
		        size_human(rate, (uint64_t)((double)rep->size / (rep->seconds > 0.001 ? rep->seconds : 0.001))),
		        a->verify ? ", verified" : "");
		if (rep->skipped)
			fprintf(stderr, "left out as free: %s\n", size_human(data, rep->skipped));
		if (rep->packed_in)
			fprintf(stderr, "compressed %s to %s (%.1f %%)\n", size_human(data, rep->packed_in),
			        size_human(zero, rep->packed_out), (double)rep->packed_out * 100 / (double)rep->packed_in);
	}
	if (a->digest)
		say("%s  %s\n", digest_text(text, rep->digest), shown(dst));
}

/* What a failure left behind, and how to go on with it. */
static int fail_convert(const vdisk_error *err, const struct vdisk_convert_report *rep)
{
	char *again = rep->resumable ? command_again("--resume") : NULL;
	const char *what = err->kind == VDISK_CANCELLED ? "interrupted" : err->message;
	if (!rep->resumable)
		return fail_vdisk(err);
	fail("%s; to go on: %s", what, again ? again : "the same with --resume");
	free(again);
	return EXIT_TROUBLE;
}

static enum vdisk_cache cache_mode(const char *word)
{
	if (!word || !strcmp(word, "auto"))
		return VDISK_CACHE_AUTO;
	return strcmp(word, "keep") ? VDISK_CACHE_SPARE : VDISK_CACHE_KEEP;
}

struct made { /* what is made, with --for considered */
	const struct vdisk_format_info *f;
	struct target_profile profile;
	struct opt_list opts;
	const char *source_format;
};

static uint32_t convert_flags(const struct convert_args *a)
{
	return (a->compress ? VDISK_CONVERT_COMPRESS : 0) | (a->target.force ? VDISK_CONVERT_OVERWRITE : 0) |
	       (a->target.dry_run ? VDISK_CONVERT_DRY_RUN : 0) | (target_rounds_up(&a->target) ? VDISK_CONVERT_ROUND_UP : 0) |
	       (a->verify ? VDISK_CONVERT_VERIFY : 0) | (a->digest ? VDISK_CONVERT_DIGEST : 0) |
	       (a->no_reflink ? VDISK_CONVERT_NO_REFLINK : 0) | (a->since || a->sectors ? 0 : VDISK_CONVERT_CHECKPOINT) |
	       (a->resume ? VDISK_CONVERT_RESUME : 0) | (a->punch ? VDISK_CONVERT_PUNCH_SOURCE : 0);
}

/* What a run before this one lost stands in no list, but in the result. */
static int lost_again(vdisk_image *src, const struct vdisk_convert_report *rep, struct lost *lost)
{
	if (!rep->resumed || !rep->lost)
		return 0;
	lost->n = 0;
	return lost_find(src, lost);
}

static int convert(const struct convert_args *a, vdisk_image *src, const char *dst, const struct made *m, const struct used *used,
                   const struct ranges *same)
{
	const struct vdisk_format_info *f = m->f;
	const char *backing_format;
	uint64_t size = vdisk_size(src);
	if (target_backing_format(&a->target, &backing_format) || target_size(&a->target, &m->profile, &size))
		return EXIT_TROUBLE;
	if (!a->content.snapshot && !a->snapshots)
		snapshots_left_warn(&a->source, src);
	struct progress progress;
	progress_begin(&progress, &a->progress, a->common.quiet, "converting");
	struct lost lost = { 0 };
	struct vdisk_convert_options o = {
		.format = f->name,
		.options = m->opts.v,
		.size = size > vdisk_size(src) ? size : 0,
		.backing = a->target.backing,
		.backing_format = backing_format,
		.flags = convert_flags(a),
		.level = (int)a->level.value,
		.threads = (unsigned)a->jobs.value,
		.memory_bytes = a->memory.value,
		.sparse_bytes = (uint32_t)a->sparse.value,
		.manifest = a->manifest,
		.cache = cache_mode(a->cache),
		.skip = used->free.v,
		.n_skip = used->free.n,
		.same = same->v,
		.n_same = same->n,
		.allow_dirs = a->source.allow_dirs.v,
		.progress = progress_tick,
		.progress_ctx = &progress,
		.cancel = cancel_by_signals(),
		.lost = lost_add,
		.lost_ctx = &lost,
		.log = output_log,
	};
	struct vdisk_convert_report rep = { 0 };
	vdisk_error err = { 0 };
	int r = vdisk_convert(src, dst, &o, &rep, &err);
	progress_end(&progress);
	if (r || lost_again(src, &rep, &lost)) {
		free(lost.v);
		return r ? fail_convert(&err, &rep) : EXIT_TROUBLE;
	}
	if (a->common.json)
		report_json(a, src, m->source_format, dst, f->name, &rep, &lost, used);
	else
		report_text(a, dst, f->name, progress.mode == PROGRESS_BAR, &rep, &lost);
	if (!a->common.json && a->common.verbose)
		used_tell(used);
	used_warn(used);
	free(lost.v);
	return EXIT_YES;
}

/* Snapshots are converted, too. */
static int run_keep(const struct convert_args *a, const char *src, const char *dst, const struct vdisk_format_info *f)
{
	if (a->digest || a->resume || a->used_only || a->punch || a->manifest || a->in_place || a->since || a->target.backing ||
	    a->target.dry_run || a->content.snapshot || !strcmp(src, "-") || !strcmp(dst, "-"))
		return fail_usage(
			"--snapshots %s goes together with -f, -O, -o, -c, -j, -S, --level, --verify and --force only, from file to file",
			a->snapshots);
	struct progress progress;
	progress_begin(&progress, &a->progress, a->common.quiet, "converting");
	const struct vdisk_convert_options o = {
		.format = f->name,
		.options = a->target.opts.v,
		.flags = (a->compress ? VDISK_CONVERT_COMPRESS : 0) | (a->target.force ? VDISK_CONVERT_OVERWRITE : 0) |
		         (target_rounds_up(&a->target) ? VDISK_CONVERT_ROUND_UP : 0) | (a->verify ? VDISK_CONVERT_VERIFY : 0) |
		         (a->no_reflink ? VDISK_CONVERT_NO_REFLINK : 0),
		.level = (int)a->level.value,
		.threads = (unsigned)a->jobs.value,
		.memory_bytes = a->memory.value,
		.sparse_bytes = (uint32_t)a->sparse.value,
		.cache = cache_mode(a->cache),
		.allow_dirs = a->source.allow_dirs.v,
		.progress = progress_tick,
		.progress_ctx = &progress,
		.cancel = cancel_by_signals(),
		.log = output_log,
	};
	return convert_keep(src, &a->source, &a->content, dst, a->snapshots, a->machine, &o, &progress, a->common.json);
}

static int run_in_place(const struct convert_args *a, const char *src, const char *dst, const struct vdisk_format_info *f)
{
	if (a->compress || a->verify || a->digest || a->resume || a->used_only || a->punch || a->manifest || a->target.backing ||
	    a->target.force || a->content.snapshot || a->content.salvage)
		return fail_usage(
			"--in-place reads and replaces nothing: it goes together with -f, -O, -o, --dry-run and options of opening only");
	const struct vdisk_convert_options o = {
		.format = f->name,
		.options = a->target.opts.v,
		.flags = a->target.dry_run ? VDISK_CONVERT_DRY_RUN : 0,
		.log = output_log,
	};
	return convert_in_place(src, &a->source, dst, &o, a->common.json);
}

/* What cannot have changed since the state that the backing image is said to hold; the conversion compares the rest. */
static int same_find(const struct convert_args *a, const char *path, vdisk_image *src, struct ranges *same)
{
	struct ranges changed = { 0 };
	uint64_t at = 0, size = vdisk_size(src);
	int status = state_changes(path, &a->source, a->since, src, true, &changed);
	for (size_t i = 0; !status && i < changed.n && changed.v[i].off < size; i++) {
		if (ranges_add(same, at, changed.v[i].off))
			status = fail("out of memory");
		at = changed.v[i].off + changed.v[i].len;
	}
	if (!status && ranges_add(same, at, size))
		status = fail("out of memory");
	ranges_free(&changed);
	return status;
}

/* Words that --sector-size has to agree with; a format that knows its disk's sectors is told them. */
static int sectors_judge(const struct convert_args *a, struct made *m)
{
	if (a->resume || a->used_only || a->punch || a->in_place || a->since || a->target.backing ||
	    (a->snapshots && strcmp(a->snapshots, "flatten")))
		return fail_usage(
			"--sector-size goes together with none of -b, --resume, --used-only, --punch-source, --in-place, --since, --snapshots");
	if (m->profile.profile && !(m->profile.profile->sectors & (strcmp(a->sectors, "512") ? 4096 : 512)))
		return fail("--sector-size %s contradicts --for %s, whose machines show sectors of 512 bytes", a->sectors,
		            m->profile.profile->name);
	for (const struct vdisk_option_info *o = m->f->options; o && o->name; o++) {
		const char *key = "logical_sector_size=";
		size_t len = strlen(key);
		bool given = false;
		if (strlen(o->name) + 1 != len || strncmp(o->name, key, len - 1))
			continue;
		for (size_t i = 0; i < m->opts.n; i++) {
			if (strncmp(m->opts.v[i], key, len))
				continue;
			given = true;
			if (strcmp(m->opts.v[i] + len, a->sectors))
				return fail("--sector-size %s contradicts -o %s", a->sectors, m->opts.v[i]);
		}
		if (!given)
			opt_list_add_pair(&m->opts, o->name, a->sectors);
	}
	return 0;
}

static int sectors_view(const struct convert_args *a, vdisk_image **src)
{
	vdisk_error err = { 0 };
	if (vdisk_sector_view(*src, strcmp(a->sectors, "512") ? 4096 : 512, target_rounds_up(&a->target), src, &err))
		return fail_vdisk(&err);
	return 0;
}

static int convert_made(const struct convert_args *a, char **operands, unsigned n, struct made *m)
{
	const struct vdisk_format_info *f = m->f;
	const char *dst = operands[n - 1];
	if (target_help(f, &a->target.opts))
		return EXIT_YES;
	if (m->profile.profile && (a->in_place || (a->snapshots && strcmp(a->snapshots, "flatten"))))
		return fail_usage("--for goes together with neither --in-place nor --snapshots %s",
		                  a->snapshots ? a->snapshots : "keep");
	if (n == 1)
		return fail_usage("an operand is missing, SRC DST wanted");
	if (a->sectors && sectors_judge(a, m))
		return EXIT_TROUBLE;
	if (a->sparse.given && (a->sparse.value & (a->sparse.value - 1)))
		return fail_usage("-S: %" PRIu64 " is no power of two", a->sparse.value);
	if (a->level.given && !a->compress)
		return fail_usage("--level is for -c");
	if (a->snapshots && strcmp(a->snapshots, "flatten"))
		return run_keep(a, operands[0], dst, f);
	if (a->machine)
		return fail_usage("--machine is for --snapshots keep, inside and layers");
	if (a->since && (!a->target.backing || a->resume || a->punch || a->in_place || !strcmp(operands[0], "-")))
		return fail_usage("--since wants -b, and goes together with neither --resume, --punch-source nor --in-place");
	if (a->in_place)
		return run_in_place(a, operands[0], dst, f);
	if (a->used_only && a->punch)
		return fail_usage("--used-only and --punch-source do not go together");
	if (a->used_only && !strcmp(operands[0], "-"))
		return fail_usage("--used-only wants to look at the source beforehand, which standard input does not allow");
	if (a->used_only && (path_is_url(operands[0]) || path_is_export(operands[0])))
		return fail_usage(
			"--used-only looks at files of this machine: convert the image from the server first, and then its copy");
	if (!strcmp(dst, "-")) {
		output_to_stderr();
		if (isatty(STDOUT_FILENO))
			return fail("standard output is a terminal: an image will not go there");
	}
	vdisk_image *src;
	uint32_t flags = a->punch ? VDISK_OPEN_RW | VDISK_OPEN_KEEP_ID | (a->resume ? VDISK_OPEN_MOVED : 0) : 0;
	if (source_open(operands[0], &a->source, &a->content, flags, true, &src))
		return EXIT_TROUBLE;
	m->source_format = vdisk_format_name(src);
	if (a->sectors && sectors_view(a, &src))
		return EXIT_TROUBLE;
	struct used used = { 0 };
	struct ranges same = { 0 };
	int status = EXIT_TROUBLE;
	if ((!a->used_only || !used_find(src, &a->source, &a->content, USED_REFUSE, cancel_by_signals(), &used)) &&
	    (!a->since || !same_find(a, operands[0], src, &same)))
		status = convert(a, src, dst, m, &used, &same);
	ranges_free(&same);
	used_free(&used);
	source_close(src);
	return status;
}

static int run(const void *args, char **operands, unsigned n)
{
	const struct convert_args *a = args;
	struct made m;
	if (n == 1 && !a->target.opts.n)
		return fail_usage("an operand is missing, SRC DST wanted");
	m.f = target_choose(&a->target, operands[n - 1], a->format, "-O", &m.profile, &m.opts);
	if (!m.f)
		return EXIT_TROUBLE;
	int status = convert_made(a, operands, n, &m);
	opt_list_free(&m.opts);
	return status;
}

const struct command cmd_convert = {
	.name = "convert",
	.operands = "SRC DST",
	.min = 1,
	.max = 2,
	.summary = "copy a disk to a new image of another format",
	.notes = "SRC and DST may be \"-\", where the format can stream; what is printed then goes to standard error.  DST may be an NBD server's export.",
	.domain = DOMAIN_FILE,
	.args_bytes = sizeof(struct convert_args),
	.groups = {
		{ options, 0 },
		{ target_options, offsetof(struct convert_args, target) },
		{ source_options, offsetof(struct convert_args, source) },
		{ content_options, offsetof(struct convert_args, content) },
		{ progress_options, offsetof(struct convert_args, progress) },
		{ common_options, 0 },
	},
	.run = run,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk compact: space that holds nothing goes back to the host, in place. */
#include "output.h"
#include "progress.h"
#include "sizes.h"
#include "source.h"
#include "used.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct compact_args {
	struct common_args common;
	struct source_args source;
	struct change_args change;
	struct progress_args progress;
	struct opt_number jobs;
	bool zeros_only, dry_run;
};

#define AT(member) .field = offsetof(struct compact_args, member)
static const struct opt options[] = {
	{ .name = "zeros-only", .kind = OPT_FLAG, AT(zeros_only),
	  .help = "do not look at the guest's file systems: only what is zeros goes" },
	{ .name = "dry-run", .kind = OPT_FLAG, AT(dry_run),
	  .help = "tell what the guest's file systems call free, and change nothing" },
	{ .letter = 'j', .name = "jobs", .kind = OPT_UINT, AT(jobs), .arg = "N", .min = 1, .max = 1024,
	  .help = "threads; by default one for each processor" },
	{ 0 },
};
#undef AT

/* What tells that nobody wrote to an image: of every file of its chain. */
struct stamp {
	struct stat *v;
	size_t n;
};

static void stamp_take(vdisk_image *img, struct stamp *s)
{
	const char *path;
	for (unsigned depth = 0; depth < vdisk_depth(img); depth++)
		for (unsigned i = 0; (path = vdisk_layer_file(img, depth, i)); i++) {
			s->v = tool_realloc(s->v, (s->n + 1) * sizeof(*s->v));
			if (stat(path, &s->v[s->n++]))
				memset(&s->v[s->n - 1], 0, sizeof(*s->v));
		}
}

static bool stamp_same(const struct stamp *a, const struct stamp *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const struct stat *x = &a->v[i], *y = &b->v[i];
		if (!x->st_nlink || x->st_dev != y->st_dev || x->st_ino != y->st_ino || x->st_size != y->st_size ||
		    x->st_mtim.tv_sec != y->st_mtim.tv_sec || x->st_mtim.tv_nsec != y->st_mtim.tv_nsec)
			return false;
	}
	return true;
}

static void report(const struct compact_args *a, const char *path, const struct used *used, const struct vdisk_compact_report *r)
{
	char before[SIZE_TEXT], after[SIZE_TEXT];
	if (a->common.json) {
		struct json_object *o = json_report();
		json_put_text(o, "path", path);
		json_put_bool(o, "dry-run", a->dry_run);
		json_put(o, "regions", used_json(used));
		if (!a->dry_run) {
			json_put_u64(o, "free", r->free);
			json_put_u64(o, "zero", r->zero);
			json_put_u64(o, "allocated-before", r->allocated_before);
			json_put_u64(o, "allocated-after", r->allocated_after);
		}
		json_print(o);
	} else {
		if (a->common.verbose || a->dry_run)
			used_tell(used);
		if (!a->dry_run)
			remark("%s: takes %s, took %s\n", shown(path), size_human(after, r->allocated_after),
			       size_human(before, r->allocated_before));
	}
	used_warn(used);
}

/* Read-only: the file systems are looked at while others may read as well. */
static int look(const struct compact_args *a, const char *path, struct used *used, struct stamp *stamp)
{
	vdisk_image *img;
	if (source_open(path, &a->source, NULL, 0, false, &img))
		return EXIT_TROUBLE;
	int status = used_find(img, &a->source, NULL, USED_REFUSE, cancel_by_signals(), used);
	if (!status)
		stamp_take(img, stamp);
	source_close(img);
	return status;
}

static int compact(const struct compact_args *a, vdisk_image *img, const struct used *used, const struct stamp *then)
{
	struct progress p;
	struct stamp now = { 0 };
	struct vdisk_compact_options o = {
		.skip = used->free.v,
		.n_skip = used->free.n,
		.job = { .threads = (unsigned)a->jobs.value,
		         .progress = progress_tick,
		         .progress_ctx = &p,
		         .cancel = cancel_by_signals() },
	};
	struct vdisk_compact_report r;
	vdisk_error err = { 0 };
	stamp_take(img, &now);
	bool same = a->zeros_only || stamp_same(then, &now);
	free(now.v);
	if (!same)
		return fail("%s: was written to by another program in between", shown(vdisk_path(img)));
	progress_begin(&p, &a->progress, a->common.quiet, "compacting");
	int failed = vdisk_compact(img, &o, &r, &err);
	progress_end(&p);
	if (failed)
		return fail_vdisk(&err);
	report(a, vdisk_path(img), used, &r);
	return EXIT_YES;
}

static int change(const struct compact_args *a, const char *path, const struct used *used, const struct stamp *stamp)
{
	vdisk_image *img;
	vdisk_error err = { 0 };
	if (source_open(path, &a->source, NULL, change_flags(&a->change), false, &img))
		return EXIT_TROUBLE;
	int status = compact(a, img, used, stamp);
	if (vdisk_close(img, &err) && !status)
		return fail_vdisk(&err);
	return status;
}

static int run(const void *args, char **operands, unsigned n)
{
	const struct compact_args *a = args;
	struct used used = { 0 };
	struct stamp stamp = { 0 };
	int status = EXIT_YES;
	(void)n;
	if (a->zeros_only && a->dry_run)
		return fail_usage("--dry-run tells of file systems, which --zeros-only does not look at");
	if (!a->zeros_only)
		status = look(a, operands[0], &used, &stamp);
	if (!status && a->dry_run)
		report(a, operands[0], &used, NULL);
	else if (!status)
		status = change(a, operands[0], &used, &stamp);
	free(stamp.v);
	used_free(&used);
	return status;
}

const struct command cmd_compact = {
	.name = "compact",
	.operands = "IMG",
	.min = 1,
	.max = 1,
	.summary = "give space back to the host that holds zeros, or what the guest's file systems call free",
	.notes = "The image stays where it is; its files get holes.  It may be stopped at any time.",
	.domain = DOMAIN_FILE,
	.args_bytes = sizeof(struct compact_args),
	.groups = {
		{ options, 0 },
		{ change_options, offsetof(struct compact_args, change) },
		{ source_options, offsetof(struct compact_args, source) },
		{ progress_options, offsetof(struct compact_args, progress) },
		{ common_options, 0 },
	},
	.run = run,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk digest: a number for the disk's content, whatever image it is in. */
#include "job.h"
#include "output.h"
#include "source.h"

#include <string.h>

struct digest_args {
	struct common_args common;
	struct source_args source;
	struct content_args content;
	struct job_args job;
	const char *manifest;
	bool sha256, force;
};

#define AT(member) .field = offsetof(struct digest_args, member)
static const struct opt options[] = {
	{ .name = "sha256", .kind = OPT_FLAG, AT(sha256),
	  .help = "the plain SHA-256 of the flat content (what sha256sum says of the raw image)" },
	{ .name = "manifest", .kind = OPT_TEXT, AT(manifest), .arg = "FILE", .domain = DOMAIN_FILE,
	  .help = "leave the digests of all pieces in FILE, for \"vdisk verify-manifest\"" },
	{ .name = "force", .kind = OPT_FLAG, AT(force), .help = "replace a FILE that exists" },
	{ 0 },
};
#undef AT

static int compute(const struct digest_args *a, vdisk_image *img, const struct vdisk_job_options *o, uint8_t bytes[32],
                   vdisk_error *err)
{
	if (a->sha256)
		return vdisk_sha256(img, o, bytes, err);
	return a->manifest ? vdisk_manifest_make(img, a->manifest, a->force, o, bytes, err) : vdisk_digest(img, o, bytes, err);
}

static int digest(const struct digest_args *a, vdisk_image *img)
{
	struct progress progress;
	struct vdisk_job_options o = job_begin(&progress, &a->job, a->common.quiet, "reading");
	uint8_t bytes[32];
	char text[DIGEST_TEXT];
	vdisk_error err = { 0 };
	int failed = compute(a, img, &o, bytes, &err);
	progress_end(&progress);
	if (failed)
		return fail_vdisk(&err);
	if (a->common.json) {
		struct json_object *j = json_report();
		json_put_text(j, "path", vdisk_path(img));
		json_put_text(j, "format", vdisk_format_name(img));
		json_put_u64(j, "virtual-size", vdisk_size(img));
		json_put_text(j, "method", a->sha256 ? "sha256" : "tree");
		json_put_text(j, "digest", digest_text(text, bytes));
		json_put_text(j, "manifest", a->manifest);
		json_print(j);
	} else {
		say("%s  %s\n", digest_text(text, bytes), shown(vdisk_path(img)));
	}
	return EXIT_YES;
}

static int run(const void *args, char **operands, unsigned n)
{
	const struct digest_args *a = args;
	vdisk_image *img;
	(void)n;
	if (a->sha256 && a->manifest)
		return fail_usage("--manifest holds the tree digest, so it does not go with --sha256");
	if (source_open(operands[0], &a->source, &a->content, 0, true, &img))
		return EXIT_TROUBLE;
	int status = digest(a, img);
	source_close(img);
	return status;
}

const struct command cmd_digest = {
	.name = "digest",
	.operands = "IMG",
	.min = 1,
	.max = 1,
	.summary = "print a digest of a disk's content, the same in whatever format it lies",
	.notes = "IMG may be \"-\", standard input, where its format can stream.",
	.domain = DOMAIN_FILE,
	.args_bytes = sizeof(struct digest_args),
	.groups = {
		{ options, 0 },
		{ job_options, offsetof(struct digest_args, job) },
		{ source_options, offsetof(struct digest_args, source) },
		{ content_options, offsetof(struct digest_args, content) },
		{ progress_options, offsetof(struct digest_args, job.progress) },
		{ common_options, 0 },
	},
	.run = run,
};

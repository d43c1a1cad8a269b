/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk verify-manifest: is this the disk that the manifest was made of?  0: yes, 1: no, 2: trouble. */
#include "job.h"
#include "output.h"
#include "source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RANGES_TOLD 20 /* as text; --json has all of them */

struct verify_args {
	struct common_args common;
	struct source_args source;
	struct content_args content;
	struct job_args job;
};

struct ranges {
	uint64_t (*v)[2];
	size_t n, cap;
};

static void range_add(void *ctx, uint64_t off, uint64_t len)
{
	struct ranges *r = ctx;
	if (r->n == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 64;
		r->v = tool_realloc(r->v, r->cap * sizeof(*r->v));
	}
	r->v[r->n][0] = off;
	r->v[r->n++][1] = len;
}

static void report_json(vdisk_image *img, const struct vdisk_manifest_result *m, const struct ranges *ranges)
{
	char text[DIGEST_TEXT];
	struct json_object *j = json_report();
	json_put_text(j, "path", vdisk_path(img));
	json_put_text(j, "format", vdisk_format_name(img));
	json_put_u64(j, "virtual-size", vdisk_size(img));
	json_put_bool(j, "equal", m->equal);
	json_put_bool(j, "size-differs", m->size_differs);
	json_put_u64(j, "manifest-size", m->size);
	json_put_text(j, "manifest-digest", digest_text(text, m->digest));
	json_put_u64(j, "differing", m->differing);
	json_array_begin(j, "differences");
	for (size_t i = 0; i < ranges->n; i++) {
		struct json_object *r = json_must(json_object_new_object());
		json_put_u64(r, "offset", ranges->v[i][0]);
		json_put_u64(r, "length", ranges->v[i][1]);
		json_array_element(r);
	}
	json_array_end();
}

static void report_text(vdisk_image *img, const char *manifest, const struct vdisk_manifest_result *m, const struct ranges *ranges)
{
	if (m->equal) {
		remark("%s: the disk is the one of %s\n", shown(vdisk_path(img)), shown(manifest));
		return;
	}
	if (m->size_differs) {
		remark("%s: another disk than that of %s: %" PRIu64 " bytes, not %" PRIu64 "\n", shown(vdisk_path(img)),
		       shown(manifest), vdisk_size(img), m->size);
		return;
	}
	remark("%s: not the disk of %s: %" PRIu64 " bytes are in pieces that differ, the first at offset %" PRIu64 "\n",
	       shown(vdisk_path(img)), shown(manifest), m->differing, m->offset);
	for (size_t i = 0; i < ranges->n && i < RANGES_TOLD; i++)
		remark("%" PRIu64 " bytes at offset %" PRIu64 "\n", ranges->v[i][1], ranges->v[i][0]);
	if (ranges->n > RANGES_TOLD)
		remark("and %zu more ranges\n", ranges->n - RANGES_TOLD);
}

static int verify(const struct verify_args *a, vdisk_image *img, const char *manifest)
{
	struct progress progress;
	struct vdisk_job_options o = job_begin(&progress, &a->job, a->common.quiet, "verifying");
	struct vdisk_manifest_result m;
	struct ranges ranges = { 0 };
	vdisk_error err = { 0 };
	int failed = vdisk_manifest_verify(img, manifest, &o, range_add, &ranges, &m, &err);
	progress_end(&progress);
	int status = failed ? fail_vdisk(&err) : m.equal ? EXIT_YES : EXIT_NO;
	if (!failed && a->common.json)
		report_json(img, &m, &ranges);
	else if (!failed)
		report_text(img, manifest, &m, &ranges);
	free(ranges.v);
	return status;
}

static int run(const void *args, char **operands, unsigned n)
{
	const struct verify_args *a = args;
	vdisk_image *img;
	(void)n;
	if (source_open(operands[0], &a->source, &a->content, 0, true, &img))
		return EXIT_TROUBLE;
	int status = verify(a, img, operands[1]);
	source_close(img);
	return status;
}

const struct command cmd_verify_manifest = {
	.name = "verify-manifest",
	.operands = "IMG FILE",
	.min = 2,
	.max = 2,
	.summary = "tell whether an image holds the disk that a manifest was made of",
	.notes = "FILE is what \"vdisk convert --manifest\" or \"vdisk digest --manifest\" left.  Exit status: 0 it does, 1 it does not, 2 "
	         "trouble.  IMG may be \"-\", standard input, where its format can stream.",
	.domain = DOMAIN_FILE,
	.args_bytes = sizeof(struct verify_args),
	.groups = {
		{ job_options, offsetof(struct verify_args, job) },
		{ source_options, offsetof(struct verify_args, source) },
		{ content_options, offsetof(struct verify_args, content) },
		{ progress_options, offsetof(struct verify_args, job.progress) },
		{ common_options, 0 },
	},
	.run = run,
};

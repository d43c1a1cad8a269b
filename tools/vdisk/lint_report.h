/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What vdisk lint found, kept until all sources are judged. */
#ifndef VDISK_TOOL_LINT_REPORT_H
#define VDISK_TOOL_LINT_REPORT_H

#include "source.h"

#include <vdisk/vdisk.h>

struct lint_item {
	enum vdisk_finding_kind kind;
	char *code, *where, *why, *mend; /* mend NULL: none */
};

struct lint_source {
	char *path, *format; /* format NULL: a machine's description */
	uint64_t size;
	struct lint_item *v;
	size_t n;
};

struct lint_report {
	const struct vdisk_profile *profile;
	struct lint_source **v;
	size_t n;
};

/* The report owns it. */
struct lint_source *lint_source_new(struct lint_report *r, const char *path);
void lint_source_image(struct lint_source *s, vdisk_image *img);
void lint_add(struct lint_source *s, const struct vdisk_finding *f);
/* vdisk_finding_fn; ctx: struct lint_source. */
void lint_finding(void *ctx, const struct vdisk_finding *f);
/* EXIT_NO if anything would be refused or not boot. */
int lint_report_print(const struct lint_report *r, bool json, bool quiet);
void lint_report_free(struct lint_report *r);

/* 0, or EXIT_TROUBLE after a message. */
int lint_image(const char *path, const struct source_args *s, const struct vdisk_profile *p, struct lint_source *to);
/* The machines that a description tells of, and those of their disks that lie in its folder. */
int lint_machine(const char *path, const struct source_args *s, struct lint_report *r);

#endif

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
	char *path, *format; /* format NULL: a machine's description, or not known */
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
/* The same for what is not open here; format NULL: none is known. */
void lint_source_facts(struct lint_source *s, const char *format, uint64_t size);
void lint_add(struct lint_source *s, const struct vdisk_finding *f);
/* vdisk_finding_fn; ctx: struct lint_source. */
void lint_finding(void *ctx, const struct vdisk_finding *f);
/* EXIT_NO if anything would be refused or not boot. */
int lint_report_print(const struct lint_report *r, bool json, bool quiet);
void lint_report_free(struct lint_report *r);

/* 0, or EXIT_TROUBLE after a message. */
int lint_image(const char *path, const struct source_args *s, const struct vdisk_profile *p, struct lint_source *to);
/* By its name. */
bool lint_is_archive(const char *path);
/* The machine in an archive, and those of its disks that lie there to be looked into. */
int lint_archive(const char *path, struct lint_report *r);
/* The machines that a description tells of, and those of their disks that lie in its folder. */
int lint_machine(const char *path, const struct source_args *s, struct lint_report *r);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk lint: would a system take these disks, and boot from them?  Everything is judged before anything is said, so that a source
 * which cannot be read gives an error and no half answer.
 */
#include "lint_report.h"
#include "output.h"
#include "source.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct lint_args {
	struct common_args common;
	struct source_args source;
	const char *profile;
};

static const struct opt options[] = {
	{ .name = "for", .kind = OPT_CHOICE, .field = offsetof(struct lint_args, profile), .arg = "SYSTEM",
	  .choices = "esxi|workstation|hyperv-gen1|hyperv-gen2|azure|xcp-ng|virtualbox|openstack|proxmox|kvm",
	  .help = "which system the disks are meant for (required; see vdisk-formats(7))" },
	{ 0 },
};

enum source_kind { IMAGE, DESCRIPTION, ARCHIVE };

/* By its name; a URL's query is no part of that, and an export is always an image. */
static enum source_kind kind_of(const char *path)
{
	static const char *const suffixes[] = { ".vmx", ".ovf", ".vbox", ".xml", ".vmc", ".conf", ".cfg", ".json", NULL };
	char name[4096];
	snprintf(name, sizeof(name), "%s", path);
	if (path_is_url(path))
		name[strcspn(name, "?#")] = '\0';
	const char *dot = path_is_export(path) ? NULL : strrchr(name, '.');
	if (dot && lint_is_archive(name))
		return ARCHIVE;
	for (size_t i = 0; dot && suffixes[i]; i++)
		if (!strcasecmp(dot, suffixes[i]))
			return DESCRIPTION;
	return IMAGE;
}

/* An image that cannot be opened as a disk may still tell what it is: then that is the finding. */
static int image_open(const char *path, const struct source_args *s, vdisk_image **img, vdisk_error *why)
{
	struct opt_list opts = { 0 };
	source_options_collect(s, &opts);
	struct vdisk_open_options o = {
		.format = s->format,
		.flags = s->share ? VDISK_OPEN_NO_LOCK : 0,
		.options = opts.v,
		.allow_dirs = s->allow_dirs.v,
		.parent_map = s->parents.v,
		.remote = &s->remote,
		.log = output_log,
	};
	vdisk_error facts = { 0 };
	int r = vdisk_open(path, &o, img, why);
	if (r && why->kind != VDISK_NOMEM && why->kind != VDISK_BUSY) {
		o.flags |= VDISK_OPEN_INFO | VDISK_OPEN_NO_PARENT;
		r = vdisk_open(path, &o, img, &facts);
	} else {
		why->message[0] = r ? why->message[0] : '\0';
	}
	opt_list_free(&opts);
	return r ? fail_vdisk(why) : 0;
}

int lint_image(const char *path, const struct source_args *s, const struct vdisk_profile *p, struct lint_source *to)
{
	vdisk_error why = { 0 }, err = { 0 };
	vdisk_image *img;
	if (source_judge(path, s) || image_open(path, s, &img, &why))
		return EXIT_TROUBLE;
	lint_source_image(to, img);
	if (why.message[0])
		lint_add(to, &(struct vdisk_finding){
				     .kind = VDISK_FINDING_REFUSED,
				     .code = "content",
				     .where = "file",
				     .why = why.message,
				     .mend = "what cannot be read here will not be there: see vdisk check, vdisk info --chain" });
	int r = vdisk_lint(img, p, lint_finding, to, &err);
	source_close(img);
	return r ? fail_vdisk(&err) : 0;
}

static int run(const void *args, char **operands, unsigned n)
{
	const struct lint_args *a = args;
	struct lint_report report = { 0 };
	int status = EXIT_YES;
	if (!a->profile)
		return fail_usage("--for says which system the disks are meant for");
	report.profile = vdisk_profile_find(a->profile);
	if (!report.profile)
		return fail_usage("there is no system \"%s\"", a->profile);
	for (unsigned i = 0; i < n && status != EXIT_TROUBLE; i++) {
		enum source_kind kind = a->source.format ? IMAGE : kind_of(operands[i]);
		if (kind != IMAGE && path_is_url(operands[i]))
			status = fail("%s: images are read from web servers, machines from files: download it first",
			              shown(operands[i]));
		else if (kind == ARCHIVE)
			status = lint_archive(operands[i], &report);
		else if (kind == DESCRIPTION)
			status = lint_machine(operands[i], &a->source, &report);
		else
			status = lint_image(operands[i], &a->source, report.profile, lint_source_new(&report, operands[i]));
	}
	if (status != EXIT_TROUBLE)
		status = lint_report_print(&report, a->common.json, a->common.quiet);
	lint_report_free(&report);
	return status;
}

const struct command cmd_lint = {
	.name = "lint",
	.operands = "SRC...",
	.min = 1,
	.max = 1024,
	.summary = "tell what another system would refuse of a disk or machine, and why",
	.notes = "SRC is an image, or a machine, whose disks are judged: a description (.vmx, .ovf, .vbox, .xml and so on) or archive (.ova, .xva, .vma).",
	.domain = DOMAIN_FILE,
	.args_bytes = sizeof(struct lint_args),
	.groups = {
		{ options, 0 },
		{ source_options, offsetof(struct lint_args, source) },
		{ common_options, 0 },
	},
	.run = run,
};

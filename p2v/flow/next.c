/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What becomes of the result: whether its importer would take it and boot from it, as vdisk lint judges, and how it is imported. */
#include "flow/flow.h"

#include "common/fail.h"
#include "common/say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- would it boot? */

struct judging {
	struct flow *f;
	const struct flow_disk *d;
};

static void finding_note(void *ctx, const struct vdisk_finding *x)
{
	const struct judging *j = ctx;
	const char *whom = j->f->a->profile->long_name;

	if (x->kind == VDISK_FINDING_NOTE || (j->f->a->ova && !strcmp(x->where, "file")))
		return;
	flow_note(j->f, "%s %s %s: %s %s%s%s", flow_disk_label(j->d),
		  x->kind == VDISK_FINDING_REFUSED ? "would be refused by" : "would not boot on", whom, x->where, x->why,
		  x->mend ? "; " : "", x->mend ? x->mend : "");
	if (j->f->n_remarks) { /* the one that there is reason not to read the report for */
		progress_wipe(&j->f->progress);
		say(LOG_WARNING, "%s", j->f->remarks[j->f->n_remarks - 1]);
	}
}

int flow_lint_result(struct flow *f, vdisk_error *err)
{
	const struct vdisk_open_options o = {.format = flow_work_format(f)};
	vdisk_image *img;

	for (size_t i = 0; f->a->profile && flow_works(f) && i < f->n_disks; i++) {
		struct judging j = {.f = f, .d = &f->disks[i]};
		int rc = vdisk_open(f->disks[i].work, &o, &img, err);

		if (!rc) {
			rc = vdisk_lint(img, f->a->profile, finding_note, &j, err);
			vdisk_close(img, NULL);
		}
		if (rc)
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- what to do next */

static bool is_packed(const struct flow *f)
{
	for (size_t i = 0; i < f->n_options; i++)
		if (!strcmp(f->options[i], "subformat=streamOptimized"))
			return true;
	return false;
}

/* Of the profile, where its system does not read the description of the target's kind. */
static char *next_of_profile(const struct flow *f, const char *disk)
{
	const char *name = f->a->profile ? f->a->profile->name : "";
	char *text = NULL;
	int n = 0;

	if (!strcmp(name, "azure"))
		n = asprintf(
		    &text,
		    "upload the disks as page blobs (azcopy copy %s URL --blob-type PageBlob); %s is for a Hyper-V of one's own",
		    disk, f->target_file);
	else if (!strcmp(name, "openstack"))
		n = asprintf(&text,
			     "openstack image create --disk-format %s --container-format bare --file %s NAME; %s is for libvirt",
			     f->format, disk, f->target_file);
	else if (!strcmp(name, "proxmox"))
		n = asprintf(&text,
			     "make a machine like the one in %s (qm create ID), then qm importdisk ID %s STORAGE for each disk",
			     f->target_file, disk);
	else if (!strcmp(name, "xcp-ng"))
		n = asprintf(
		    &text,
		    "make a machine like the one in %s and its disks, then xe vdi-import uuid=UUID filename=%s format=vhd for each",
		    f->target_file, disk);
	else if (!strcmp(name, "esxi") && is_packed(f))
		n = asprintf(
		    &text,
		    "ESXi runs no packed VMDK: there, vmkfstools -i %s -d thin NEW.vmdk for each disk; or make an OVA (--ova)",
		    disk);
	return n < 0 ? NULL : text;
}

char *flow_next(const struct flow *f)
{
	char *text = NULL;
	int n = 0;

	if (f->a->dry_run || !f->target_file)
		return NULL;
	if (!f->a->ova && (text = next_of_profile(f, f->disks[0].file)))
		return text;
	switch (f->a->target) {
	case TARGET_KVM:
		n = asprintf(&text, "virsh define %s", f->target_file);
		break;
	case TARGET_XEN:
		n = asprintf(&text, "xl create %s", f->target_file);
		break;
	case TARGET_HYPERV:
		n = asprintf(&text, "as an administrator, in PowerShell: .\\%s", f->target_file);
		break;
	case TARGET_VMWARE:
		n = asprintf(&text,
			     f->a->ova ? "ovftool %s, or the client's Deploy OVF Template"
				       : "copy the folder to a datastore and register %s there, or open it in Workstation",
			     f->target_file);
		break;
	case TARGET_VIRTUALBOX:
		n = asprintf(&text, f->a->ova ? "VBoxManage import %s" : "VBoxManage registervm %s", f->target_file);
		break;
	case TARGET_NONE:
		break;
	}
	return n < 0 ? NULL : text;
}

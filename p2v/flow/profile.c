/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the disks are made as: the target's way, or with --for as the importer of one system takes them. */
#include "flow/flow.h"

#include "common/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *profile;
	enum flow_target target;
} systems[] = {
	{ "esxi", TARGET_VMWARE }, { "workstation", TARGET_VMWARE }, { "hyperv-gen1", TARGET_HYPERV },
	{ "hyperv-gen2", TARGET_HYPERV }, { "azure", TARGET_HYPERV }, { "xcp-ng", TARGET_XEN },
	{ "virtualbox", TARGET_VIRTUALBOX }, { "openstack", TARGET_KVM }, { "proxmox", TARGET_KVM },
	{ "kvm", TARGET_KVM },
};

enum flow_target flow_profile_target(const struct vdisk_profile *p)
{
	for (size_t i = 0; i < sizeof(systems) / sizeof(systems[0]); i++)
		if (!strcmp(systems[i].profile, p->name))
			return systems[i].target;
	return TARGET_NONE;
}

/* The first kind that is taken and can be written to, as "subformat=KIND"; NULL with the error: there is none. */
static const char *kind_writable(struct flow *f, const struct vdisk_profile_form *form, vdisk_error *err)
{
	static const char packed[] = "streamOptimized";

	for (const struct vdisk_profile_option *o = form->options; o && o->name; o++) {
		const char *at = o->takes, *end = at + strlen(at);

		if (strcmp(o->name, "subformat"))
			continue;
		for (; at < end; at += strcspn(at, "|") + 1) {
			size_t n = strcspn(at, "|");

			if (n == strlen(packed) && !strncmp(at, packed, n))
				continue;
			snprintf(f->subformat, sizeof(f->subformat), "subformat=%.*s", (int)n, at);
			flow_note(f, "the disks are %.*s, as the guest in a packed VMDK cannot be changed; --ova packs them",
			          (int)n, at);
			return f->subformat;
		}
	}
	fail(err, VDISK_UNSUPPORTED,
	     "--for %s: a packed VMDK cannot be written to, so the guest cannot be adapted: --no-adapt leaves it as it is",
	     f->a->profile->name);
	return NULL;
}

static int profile_take(struct flow *f, vdisk_error *err)
{
	static const char *const packed[] = { "subformat=streamOptimized", NULL };
	const struct vdisk_profile *p = f->a->profile;
	struct vdisk_profile_choice choice;

	if (f->m->firmware == MACHINE_FIRMWARE_UEFI && !(p->firmware & VDISK_FIRMWARE_UEFI))
		return fail(err, VDISK_INVALID, "--for %s: the machine has UEFI, which the machines of %s have not", p->name,
		            p->long_name);
	if (f->m->firmware == MACHINE_FIRMWARE_BIOS && !(p->firmware & VDISK_FIRMWARE_BIOS))
		return fail(err, VDISK_INVALID, "--for %s: the machine has a BIOS, which the machines of %s have not", p->name,
		            p->long_name);
	if (!f->m->firmware && (p->firmware == VDISK_FIRMWARE_UEFI || p->firmware == VDISK_FIRMWARE_BIOS)) {
		f->m->firmware = p->firmware == VDISK_FIRMWARE_UEFI ? MACHINE_FIRMWARE_UEFI : MACHINE_FIRMWARE_BIOS;
		flow_note(f, "nothing says what firmware the machine has: it gets %s, as those of %s",
		          p->firmware == VDISK_FIRMWARE_UEFI ? "UEFI" : "a BIOS", p->long_name);
	}
	if (vdisk_profile_choose(p, f->a->ova ? "vmdk" : f->a->format, f->a->ova ? packed : f->a->options, &choice, err))
		return -1;
	f->form = choice.form;
	f->format = choice.form->format;
	for (size_t i = 0; !f->a->ova && choice.options[i]; i++) {
		const char *o = choice.options[i];

		if (!f->a->no_adapt && !f->a->compress && !strcmp(o, packed[0]) && !(o = kind_writable(f, f->form, err)))
			return -1;
		f->options[f->n_options++] = o;
	}
	return 0;
}

int flow_format_choose(struct flow *f, vdisk_error *err)
{
	memcpy(f->options, f->a->options, f->a->n_options * sizeof(f->options[0]));
	f->n_options = f->a->n_options;
	if (f->a->profile)
		return profile_take(f, err);
	f->format = f->a->format ? f->a->format : flow_target_format(f);
	if (f->a->keep_snapshots && f->a->target == TARGET_VIRTUALBOX && strcmp(f->format, "vdi") && strcmp(f->format, "vhd"))
		return fail(err, VDISK_UNSUPPORTED,
		            "--snapshots keep -O %s: VirtualBox opens layers by the UUIDs in VDIs and VHDs, not these: -O vdi",
		            f->format);
	return 0;
}

int flow_size(struct flow *f, const char *disk, uint64_t size, uint64_t *made, vdisk_error *err)
{
	char why[sizeof(err->message)];

	*made = size;
	if (!f->form || !vdisk_profile_size(f->a->profile, f->form, size, made, err))
		return 0;
	if (err) {
		snprintf(why, sizeof(why), "%s", err->message);
		fail(err, err->kind, "%.200s: %.500s", disk, why);
	}
	return -1;
}

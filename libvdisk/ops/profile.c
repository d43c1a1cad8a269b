/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the importers of other systems take: one table of facts, and what follows from it for an image that is made.  The table is
 * constant; vdisk-formats(7) shows it with the sources of each row.  Formats are looked for among those of the build when they are
 * asked for.
 */
#include "base/bytes.h"
#include "base/error.h"

#include <stdio.h>
#include <string.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)

#define BOTH (VDISK_FIRMWARE_BIOS | VDISK_FIRMWARE_UEFI)

static const struct vdisk_profile_option vhd_fixed[] = {
	{ "subformat", "subformat=fixed", "fixed" }, { "force_size", "force_size=on", "on" }, { 0 },
};
static const struct vdisk_profile_option vhd_dynamic[] = {
	{ "subformat", "subformat=dynamic", "dynamic" }, { 0 },
};
static const struct vdisk_profile_option vhd_any[] = {
	{ "subformat", NULL, "dynamic|fixed|differencing" }, { 0 },
};
static const struct vdisk_profile_option vhdx_512[] = {
	{ "subformat", NULL, "dynamic|fixed|differencing" }, { "logical_sector_size", "logical_sector_size=512", "512" }, { 0 },
};
static const struct vdisk_profile_option vhdx_any[] = {
	{ "subformat", NULL, "dynamic|fixed|differencing" }, { "logical_sector_size", NULL, "512|4096" }, { 0 },
};
static const struct vdisk_profile_option vmdk_esxi[] = {
	{ "subformat", "subformat=streamOptimized", "streamOptimized|vmfs|vmfsThin" },
	{ "adapter_type", "adapter_type=lsilogic", "lsilogic|buslogic|pvscsi|ide|legacyESX" }, { 0 },
};
static const struct vdisk_profile_option vmdk_hosted[] = {
	{ "subformat", "subformat=monolithicSparse",
	  "monolithicSparse|monolithicFlat|twoGbMaxExtentSparse|twoGbMaxExtentFlat|streamOptimized" }, { 0 },
};
static const struct vdisk_profile_option vmdk_one_file[] = {
	{ "subformat", "subformat=streamOptimized", "streamOptimized|monolithicSparse" }, { 0 },
};
static const struct vdisk_profile_option qcow2_alone[] = {
	{ "compat", "compat=1.1", "1.1|v3|0.10|v2" }, { "data_file", NULL, "" }, { "encrypt.format", NULL, "" }, { 0 },
};

static const struct vdisk_profile_form esxi[] = {
	{ .format = "vmdk", .options = vmdk_esxi, .size_max = 62 * TIB, .stream_version = 3 }, { 0 },
};
static const struct vdisk_profile_form workstation[] = {
	{ .format = "vmdk", .options = vmdk_hosted, .size_max = 8 * TIB }, { 0 },
};
static const struct vdisk_profile_form hyperv_gen1[] = {
	{ .format = "vhdx", .options = vhdx_512, .size_max = 64 * TIB, .boot_max = 2 * TIB },
	{ .format = "vhd", .options = vhd_any, .size_max = 2040 * GIB }, { 0 },
};
static const struct vdisk_profile_form hyperv_gen2[] = {
	{ .format = "vhdx", .options = vhdx_any, .size_max = 64 * TIB }, { 0 },
};
static const struct vdisk_profile_form azure[] = {
	{ .format = "vhd", .options = vhd_fixed, .size_max = 32 * TIB, .footer_bytes = 512 }, { 0 },
};
static const struct vdisk_profile_form xcp_ng[] = {
	{ .format = "vhd", .options = vhd_dynamic, .size_max = 2040 * GIB }, { 0 },
};
static const struct vdisk_profile_form virtualbox[] = {
	{ .format = "vdi" },
	{ .format = "vmdk", .options = vmdk_hosted },
	{ .format = "vhd", .options = vhd_any, .size_max = 2040 * GIB },
	{ .format = "parallels" }, { 0 },
};
static const struct vdisk_profile_form openstack[] = {
	{ .format = "qcow2", .options = qcow2_alone },
	{ .format = "raw" },
	{ .format = "vmdk", .options = vmdk_one_file }, { 0 },
};
static const struct vdisk_profile_form proxmox[] = {
	{ .format = "qcow2", .options = qcow2_alone },
	{ .format = "raw" },
	{ .format = "vmdk", .options = vmdk_hosted }, { 0 },
};
static const struct vdisk_profile_form kvm[] = {
	{ .format = "qcow2" }, { .format = "raw" }, { 0 },
};

static const struct vdisk_profile profiles[] = {
	{ .name = "esxi", .long_name = "VMware ESXi", .forms = esxi, .size_multiple = 512, .firmware = BOTH, .sectors = 512 },
	{ .name = "workstation", .long_name = "VMware Workstation", .forms = workstation, .size_multiple = 512, .firmware = BOTH,
	  .sectors = 512, .parents = true },
	{ .name = "hyperv-gen1", .long_name = "Hyper-V, generation 1", .forms = hyperv_gen1, .size_multiple = 512,
	  .firmware = VDISK_FIRMWARE_BIOS, .sectors = 512, .parents = true },
	{ .name = "hyperv-gen2", .long_name = "Hyper-V, generation 2", .forms = hyperv_gen2, .size_multiple = 512,
	  .firmware = VDISK_FIRMWARE_UEFI, .sectors = 512 | 4096, .parents = true },
	{ .name = "azure", .long_name = "Microsoft Azure", .forms = azure, .size_multiple = MIB, .size_min = 20 * MIB,
	  .firmware = BOTH, .sectors = 512 },
	{ .name = "xcp-ng", .long_name = "XCP-ng and XenServer", .forms = xcp_ng, .size_multiple = 512, .firmware = BOTH,
	  .sectors = 512 },
	{ .name = "virtualbox", .long_name = "VirtualBox", .forms = virtualbox, .size_multiple = 512, .firmware = BOTH,
	  .sectors = 512, .parents = true },
	{ .name = "openstack", .long_name = "OpenStack", .forms = openstack, .size_multiple = 512, .firmware = BOTH, .sectors = 512 },
	{ .name = "proxmox", .long_name = "Proxmox VE", .forms = proxmox, .size_multiple = 512, .firmware = BOTH, .sectors = 512 },
	{ .name = "kvm", .long_name = "QEMU and KVM by libvirt", .forms = kvm, .size_multiple = 512, .firmware = BOTH,
	  .sectors = 512 | 4096, .parents = true },
};

#define N_PROFILES (sizeof(profiles) / sizeof(*profiles))

const struct vdisk_profile *vdisk_profile_get(size_t i) { return i < N_PROFILES ? &profiles[i] : NULL; }

const struct vdisk_profile *vdisk_profile_find(const char *name)
{
	for (size_t i = 0; i < N_PROFILES; i++)
		if (!strcmp(profiles[i].name, name))
			return &profiles[i];
	return NULL;
}

bool vdisk_profile_takes(const char *takes, const char *value)
{
	size_t len = strlen(value);

	for (const char *p = takes; *p;) {
		size_t word = strcspn(p, "|");

		if (word == len && !memcmp(p, value, len))
			return true;
		p += word + (p[word] == '|');
	}
	return false;
}

const struct vdisk_profile_form *vdisk_profile_form(const struct vdisk_profile *p, const char *format)
{
	for (const struct vdisk_profile_form *f = p->forms; f->format; f++)
		if (!strcmp(f->format, format))
			return f;
	return NULL;
}

const char *vdisk_profile_formats(const struct vdisk_profile *p, char *buf, size_t cap)
{
	size_t n = 0;

	*buf = '\0';
	for (const struct vdisk_profile_form *f = p->forms; f->format && n < cap; f++)
		n += (size_t)snprintf(buf + n, cap - n, "%s%s", n ? ", " : "", f->format);
	return buf;
}

static int form_choose(const struct vdisk_profile *p, const char *format, const struct vdisk_profile_form **form, vd_error *err)
{
	const struct vdisk_format_info *info = vdisk_format_find(format ? format : p->forms->format);
	char names[64];

	if (!info)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "profile %s: this build has no format \"%s\"", p->name,
		               format ? format : p->forms->format);
	*form = vdisk_profile_form(p, info->name);
	if (!*form)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "format %s contradicts the profile %s: %s takes %s", info->name,
		               p->name, p->long_name, vdisk_profile_formats(p, names, sizeof(names)));
	if (!(info->caps & VDISK_FORMAT_CREATE))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "profile %s: format %s can be read, but not made", p->name,
		               info->name);
	return 0;
}

/* The value that the caller's options give to `name`; NULL: none.  The last one counts. */
static const char *value_given(const char *const *options, const char *name)
{
	size_t len = strlen(name);
	const char *value = NULL;

	for (; options && *options; options++)
		if (!strncmp(*options, name, len) && (*options)[len] == '=')
			value = *options + len + 1;
	return value;
}

int vdisk_profile_choose(const struct vdisk_profile *p, const char *format, const char *const *options,
                         struct vdisk_profile_choice *out, vd_error *err)
{
	size_t n = 0;

	memset(out, 0, sizeof(*out));
	if (form_choose(p, format, &out->form, err))
		return -1;
	for (const struct vdisk_profile_option *o = out->form->options; o && o->name; o++) {
		const char *given = value_given(options, o->name);

		if (given && !vdisk_profile_takes(o->takes, given))
			return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
			               "option %s=%s contradicts the profile %s, which takes %s%s", o->name, given, p->name,
			               *o->takes ? "" : "none", o->takes);
		if (!given && o->set && n < VDISK_PROFILE_OPTIONS_MAX)
			out->options[n++] = o->set;
	}
	return 0;
}

int vdisk_profile_size(const struct vdisk_profile *p, const struct vdisk_profile_form *form, uint64_t size, uint64_t *made,
                       vd_error *err)
{
	uint64_t max = form->size_max ? form->size_max : UINT64_C(1) << 62;

	if (size > max)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "a disk of %" PRIu64 " bytes is past what %s takes as %s, %" PRIu64 " GiB", size, p->long_name,
		               form->format, max / GIB);
	*made = vd_up(vd_max(size, p->size_min), p->size_multiple);
	return 0;
}

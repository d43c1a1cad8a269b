/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What each hypervisor wants: format of disks, kind of description, hardware. */
#include "flow/flow.h"

#include <string.h>

#define VHD_SIZE_MOST (UINT64_C(2040) << 30)

static const struct {
	const char *name, *title, *format, *suffix;
	enum describe_kind description;
} targets[] = {
	[TARGET_KVM] = { "kvm", "libvirt", "qcow2", ".xml", DESCRIBE_LIBVIRT },
	[TARGET_VMWARE] = { "vmware", "VMware", "vmdk", ".vmx", DESCRIBE_VMX },
	[TARGET_HYPERV] = { "hyperv", "Hyper-V", "vhd", ".ps1", DESCRIBE_HYPERV },
	[TARGET_XEN] = { "xen", "Xen", "qcow2", ".cfg", DESCRIBE_XL },
	[TARGET_VIRTUALBOX] = { "virtualbox", "VirtualBox", "vmdk", ".vbox", DESCRIBE_VBOX },
};

const char *flow_target_name(enum flow_target t) { return targets[t].name; }

const char *flow_target_title(enum flow_target t) { return targets[t].title; }

enum flow_target flow_target_parse(const char *text)
{
	for (enum flow_target t = TARGET_KVM; t <= TARGET_VIRTUALBOX; t++)
		if (!strcmp(targets[t].name, text))
			return t;
	return TARGET_NONE;
}

const char *flow_target_format(const struct flow *f)
{
	enum flow_target t = f->a->target;
	const struct machine *m = f->m;
	const struct vdisk_format_info *vhdx = vdisk_format_find("vhdx");
	bool large = false;

	for (size_t i = 0; i < m->disks_n; i++)
		large = large || m->disks[i].size > VHD_SIZE_MOST;
	/* A machine of the second generation, which is what has UEFI, takes no other. */
	if (t == TARGET_HYPERV && (m->firmware == MACHINE_FIRMWARE_UEFI || large) && vhdx && vhdx->caps & VDISK_FORMAT_CREATE)
		return "vhdx";
	/* VirtualBox finds an image's parent by the UUID that stands in it, and VMDKs of ours name theirs by its file alone. */
	if (t == TARGET_VIRTUALBOX && f->a->keep_snapshots)
		return "vdi";
	return targets[t].format;
}

bool flow_target_sectors(const struct flow *f, unsigned n)
{
	if (n == 512 || (f->a->profile && !(f->a->profile->sectors & n)))
		return n == 512;
	return !f->a->ova && (f->a->target == TARGET_KVM || (f->a->target == TARGET_HYPERV && !strcmp(f->format, "vhdx")));
}

enum describe_kind flow_target_description(enum flow_target t, const char **suffix)
{
	*suffix = targets[t].suffix;
	return targets[t].description;
}

/*
 * A guest that was adapted has the drivers for what the target does best; but a Windows for which nobody gave virtio's drivers
 * boots from SATA.  One that was not adapted gets the hardware that it had, or what comes nearest.
 */
void flow_target_fit(const struct flow *f, struct describe_write *how)
{
	*how = (struct describe_write){ .snapshots_told = true };
	if (!f->adapted)
		return;
	switch (f->a->target) {
	case TARGET_KVM:
		how->disk_bus = f->virtio ? MACHINE_BUS_VIRTIO : MACHINE_BUS_SATA;
		how->nic_model = f->virtio ? MACHINE_NIC_VIRTIO : MACHINE_NIC_E1000E;
		break;
	case TARGET_VMWARE:
		how->disk_bus = f->windows ? MACHINE_BUS_SATA : MACHINE_BUS_SCSI;
		how->scsi = f->windows ? MACHINE_SCSI_UNKNOWN : MACHINE_SCSI_PVSCSI;
		how->nic_model = f->windows ? MACHINE_NIC_E1000E : MACHINE_NIC_VMXNET3;
		break;
	case TARGET_HYPERV: /* its first generation boots from IDE alone */
		how->disk_bus = f->m->firmware == MACHINE_FIRMWARE_UEFI ? MACHINE_BUS_SCSI : MACHINE_BUS_IDE;
		how->scsi = f->m->firmware == MACHINE_FIRMWARE_UEFI ? MACHINE_SCSI_HYPERV : MACHINE_SCSI_UNKNOWN;
		how->nic_model = MACHINE_NIC_HYPERV;
		break;
	case TARGET_XEN:
		how->disk_bus = MACHINE_BUS_XEN;
		how->nic_model = MACHINE_NIC_XEN;
		break;
	case TARGET_VIRTUALBOX:
		how->disk_bus = MACHINE_BUS_SATA;
		how->nic_model = MACHINE_NIC_E1000;
		break;
	case TARGET_NONE:
		break;
	}
}

const char *flow_target_bus(const struct flow *f, bool *qemu)
{
	enum machine_bus first = f->n_disks ? f->disks[0].d->bus : MACHINE_BUS_UNKNOWN;

	*qemu = false;
	if (f->adapted && f->a->target == TARGET_KVM && f->virtio)
		return "virtio-blk";
	if (f->adapted && f->a->target == TARGET_HYPERV) {
		*qemu = true;
		return "ide";
	}
	if (f->adapted)
		return "ahci";
	if (first == MACHINE_BUS_IDE) {
		*qemu = true;
		return "ide";
	}
	return first == MACHINE_BUS_SATA ? "ahci" : NULL;
}

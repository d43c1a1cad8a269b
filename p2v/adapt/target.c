/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What each hypervisor shows a guest, as Linux modules.  Storage: the paravirtual first, then what it emulates besides; disks
 * behind a SCSI or ATA controller need sd_mod, and sr_mod is for the CD.  What a kernel has built in, or never had, is seen later
 * (linux/modules.c).
 */
#include "target.h"

#include <string.h>

#define LIST(...) (const char *const[]) { __VA_ARGS__, NULL }

const struct target_info target_infos[TARGET_N] = {
	{
		TARGET_KVM,
		"kvm",
		LIST("virtio_blk", "virtio_scsi", "sd_mod", "sr_mod", "nvme", "ahci", "ata_piix", "ata_generic"),
		LIST("virtio_net", "e1000", "e1000e", "8139cp"),
		LIST("virtio", "virtio_ring", "virtio_pci"),
		LIST("virtio_console"),
	},
	{
		TARGET_VMWARE,
		"vmware",
		LIST("vmw_pvscsi", "mptspi", "mptsas", "sd_mod", "sr_mod", "ahci", "nvme", "ata_piix", "ata_generic"),
		LIST("vmxnet3", "e1000e", "e1000", "pcnet32"),
		LIST("mptbase", "mptscsih", "scsi_transport_spi", "scsi_transport_sas"),
		LIST(NULL),
	},
	{
		TARGET_HYPERV,
		"hyperv",
		LIST("hv_storvsc", "sd_mod", "sr_mod", "ata_piix", "ata_generic"),
		LIST("hv_netvsc", "tulip"),
		LIST("hv_vmbus", "scsi_transport_fc"),
		LIST("hyperv_keyboard"),
	},
	{
		TARGET_XEN,
		"xen",
		LIST("xen_blkfront", "xen_scsifront", "sd_mod", "sr_mod", "ata_piix", "ata_generic", "ahci"),
		LIST("xen_netfront", "8139cp", "e1000"),
		LIST("xen_platform_pci", "xenbus_probe_frontend"),
		LIST("xen_kbdfront"),
	},
	{
		TARGET_VIRTUALBOX,
		"virtualbox",
		LIST("ahci", "sd_mod", "sr_mod", "ata_piix", "ata_generic", "mptspi", "mptsas", "nvme", "virtio_scsi",
	             "virtio_blk"),
		LIST("e1000", "virtio_net", "pcnet32"),
		LIST("mptbase", "mptscsih", "scsi_transport_spi", "scsi_transport_sas", "virtio", "virtio_ring", "virtio_pci"),
		LIST(NULL),
	},
};

static unsigned target_of(const char *name, size_t len)
{
	for (size_t i = 0; i < TARGET_N; i++)
		if (strlen(target_infos[i].name) == len && !memcmp(target_infos[i].name, name, len))
			return target_infos[i].target;
	return 0;
}

unsigned target_parse(const char *list, const char **bad)
{
	unsigned set = 0, one;
	size_t len;

	for (const char *at = list;; at += len + 1) {
		len = strcspn(at, ",");
		one = target_of(at, len);
		if (!one) {
			if (bad)
				*bad = at;
			return 0;
		}
		set |= one;
		if (!at[len])
			return set;
	}
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table.  Windows' own storage drivers are there in every installation, whatever it runs on, but those that it did not need
   while it was set up do not start at boot; that is all that keeps it from booting on another machine's disks.  Vendors' services:
   agents are turned off; drivers of devices that are gone may stay, since nothing loads them, except those that start at boot or
   filter others' devices. */
#include "known.h"

#include <strings.h>

#define EVERYBODY (TARGET_KVM | TARGET_VMWARE | TARGET_HYPERV | TARGET_XEN | TARGET_VIRTUALBOX)

#define INBOX(name, targets) { name, 0, "", WINDOWS_STORAGE, LEAVE_ALONE, targets }
#define NET(name, of) { name, of, "", WINDOWS_NETWORK, LEAVE_ALONE, 0 }
#define STORAGE(name, of, leave) { name, of, "", WINDOWS_STORAGE, leave, of }
#define BUS(name, of, leave) { name, of, "", WINDOWS_STORAGE, leave, 0 }
#define AGENT(name, of) { name, of, "", WINDOWS_AGENT, LEAVE_OFF, 0 }
#define PARALLELS(name) { name, 0, "parallels", WINDOWS_AGENT, LEAVE_OFF, 0 }

const struct windows_known windows_known[] = {
	INBOX("storahci", EVERYBODY),
	INBOX("msahci", EVERYBODY),
	INBOX("atapi", EVERYBODY),
	INBOX("intelide", EVERYBODY),
	INBOX("pciide", EVERYBODY),
	INBOX("stornvme", TARGET_KVM | TARGET_VMWARE | TARGET_VIRTUALBOX),
	INBOX("LSI_SAS", TARGET_VMWARE | TARGET_VIRTUALBOX),
	INBOX("LSI_SCSI", TARGET_VMWARE | TARGET_VIRTUALBOX),
	INBOX("iaStorV", 0),
	INBOX("iaStorAV", 0),
	INBOX("megasas", 0),
	INBOX("LSI_SAS2", 0),
	INBOX("LSI_SAS2i", 0),
	INBOX("LSI_SAS3i", 0),
	NET("E1G60", 0),
	NET("e1express", 0),
	NET("e1iexpress", 0),
	NET("rtl8139", 0),

	STORAGE("viostor", TARGET_KVM, LEAVE_DEMAND),
	STORAGE("vioscsi", TARGET_KVM, LEAVE_DEMAND),
	NET("netkvm", TARGET_KVM),
	AGENT("QEMU-GA", TARGET_KVM),
	AGENT("QEMU Guest Agent VSS Provider", TARGET_KVM),
	AGENT("BalloonService", TARGET_KVM),
	AGENT("spice-agent", TARGET_KVM),
	AGENT("vdservice", TARGET_KVM),

	STORAGE("pvscsi", TARGET_VMWARE, LEAVE_DEMAND),
	STORAGE("pvscsii", TARGET_VMWARE, LEAVE_DEMAND),
	NET("vmxnet3ndis6", TARGET_VMWARE),
	NET("vmxnet3", TARGET_VMWARE),
	NET("vmxnet", TARGET_VMWARE),
	AGENT("VMTools", TARGET_VMWARE),
	AGENT("VGAuthService", TARGET_VMWARE),
	AGENT("vmvss", TARGET_VMWARE),
	AGENT("VMMemCtl", TARGET_VMWARE),
	AGENT("vmrawdsk", TARGET_VMWARE),
	AGENT("vmhgfs", TARGET_VMWARE),
	AGENT("vsepflt", TARGET_VMWARE),
	AGENT("vnetflt", TARGET_VMWARE),
	AGENT("vnetWFP", TARGET_VMWARE),
	AGENT("giappdef", TARGET_VMWARE),
	AGENT("VMware Physical Disk Helper Service", TARGET_VMWARE),
	AGENT("VMUpgradeHelper", TARGET_VMWARE),
	AGENT("VMwareCAFCommAmqpListener", TARGET_VMWARE),
	AGENT("VMwareCAFManagementAgentHost", TARGET_VMWARE),
	AGENT("TPAutoConnSvc", TARGET_VMWARE),
	AGENT("TPVCGateway", TARGET_VMWARE),
	AGENT("vm3dservice", TARGET_VMWARE),
	AGENT("vmci", TARGET_VMWARE),

	STORAGE("vmbus", TARGET_HYPERV, LEAVE_ALONE),
	STORAGE("winhv", TARGET_HYPERV, LEAVE_ALONE),
	STORAGE("storvsc", TARGET_HYPERV, LEAVE_ALONE),
	STORAGE("storflt", TARGET_HYPERV, LEAVE_ALONE),
	NET("netvsc", TARGET_HYPERV),
	{ "vmicheartbeat", TARGET_HYPERV, "", WINDOWS_AGENT, LEAVE_DEMAND, 0 },
	{ "vmickvpexchange", TARGET_HYPERV, "", WINDOWS_AGENT, LEAVE_DEMAND, 0 },
	{ "vmicshutdown", TARGET_HYPERV, "", WINDOWS_AGENT, LEAVE_DEMAND, 0 },
	{ "vmictimesync", TARGET_HYPERV, "", WINDOWS_AGENT, LEAVE_DEMAND, 0 },
	{ "vmicvss", TARGET_HYPERV, "", WINDOWS_AGENT, LEAVE_DEMAND, 0 },
	{ "vmicrdv", TARGET_HYPERV, "", WINDOWS_AGENT, LEAVE_DEMAND, 0 },
	{ "vmicguestinterface", TARGET_HYPERV, "", WINDOWS_AGENT, LEAVE_DEMAND, 0 },
	{ "vmicvmsession", TARGET_HYPERV, "", WINDOWS_AGENT, LEAVE_DEMAND, 0 },

	/* xenfilt and xenbus filter whole classes: without Xen below they keep Windows from its disks. */
	BUS("xenbus", TARGET_XEN, LEAVE_OFF),
	BUS("xenfilt", TARGET_XEN, LEAVE_OFF),
	BUS("xencrsh", TARGET_XEN, LEAVE_OFF),
	STORAGE("xenvbd", TARGET_XEN, LEAVE_OFF),
	STORAGE("xendisk", TARGET_XEN, LEAVE_OFF),
	STORAGE("rhelscsi", TARGET_XEN, LEAVE_OFF),
	{ "rhelfltr", TARGET_XEN, "", WINDOWS_AGENT, LEAVE_OFF, 0 },
	{ "xeniface", TARGET_XEN, "", WINDOWS_AGENT, LEAVE_OFF, 0 },
	NET("xenvif", TARGET_XEN),
	NET("xennet", TARGET_XEN),
	NET("rhelnet", TARGET_XEN),
	AGENT("xenagent", TARGET_XEN),
	AGENT("xensvc", TARGET_XEN),
	AGENT("xenbus_monitor", TARGET_XEN),
	AGENT("XenInstall", TARGET_XEN),
	AGENT("InstallAgent", TARGET_XEN),
	AGENT("Citrix Xen Guest Agent", TARGET_XEN),
	AGENT("Citrix XenServer Windows Management Agent", TARGET_XEN),

	AGENT("VBoxService", TARGET_VIRTUALBOX),
	AGENT("VBoxGuest", TARGET_VIRTUALBOX),
	AGENT("VBoxSF", TARGET_VIRTUALBOX),
	AGENT("VBoxMouse", TARGET_VIRTUALBOX),
	AGENT("VBoxVideo", TARGET_VIRTUALBOX),
	AGENT("VBoxWddm", TARGET_VIRTUALBOX),

	PARALLELS("prl_boot"),
	PARALLELS("prl_dd"),
	PARALLELS("prl_eth5"),
	PARALLELS("prl_fs"),
	PARALLELS("prl_memdev"),
	PARALLELS("prl_mouf"),
	PARALLELS("prl_pv32"),
	PARALLELS("prl_pv64"),
	PARALLELS("prl_scsi"),
	PARALLELS("prl_sound"),
	PARALLELS("prl_strg"),
	PARALLELS("prl_tg"),
	PARALLELS("prl_time"),
	PARALLELS("prl_uprof"),
	PARALLELS("prl_va"),
};

const unsigned windows_known_n = sizeof(windows_known) / sizeof(*windows_known);

const struct windows_known *windows_known_find(const char *name)
{
	for (unsigned i = 0; i < windows_known_n; i++) {
		if (!strcasecmp(windows_known[i].name, name))
			return &windows_known[i];
	}
	return NULL;
}

const char *windows_known_of(const struct windows_known *k)
{
	if (!k->of)
		return k->vendor;
	for (unsigned i = 0; i < TARGET_N; i++) {
		if (target_infos[i].target == k->of)
			return target_infos[i].name;
	}
	return "";
}

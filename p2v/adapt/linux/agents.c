/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Services that belong to the machine that was left: guest agents of its hypervisor, or what watches the sensors, controllers and
 * disks of a real machine, which on a virtual one fails, or worse, waits.  A table of names, with all their spellings; service.c
 * finds out which are there.
 */
#include "agents.h"

#include <stdio.h>

struct agent {
	unsigned of;              /* enum target; 0: real hardware */
	const char *what;
	const char *services[12]; /* NULL ends */
};

static const struct agent agents[] = {
	{ TARGET_VMWARE,
	  "VMware",
	  { "open-vm-tools", "vmtoolsd", "vgauth", "vgauthd", "open-vm-tools.socket", "run-vmblock\\x2dfuse.mount" } },
	{ TARGET_VMWARE, "VMware", { "vmware-tools", "vmware-tools-thinprint", "vmware-tools-services", "vmware-guestd" } },
	{ TARGET_XEN, "Xen", { "xe-linux-distribution", "xe-daemon", "xe-guest-utilities", "xenstore-guest" } },
	{ TARGET_VIRTUALBOX,
	  "VirtualBox",
	  { "vboxadd", "vboxadd-service", "vboxadd-x11", "virtualbox-guest-utils", "virtualbox-guest-x11", "vboxservice",
	    "vboxguest" } },
	{ TARGET_HYPERV,
	  "Hyper-V",
	  { "hv-kvp-daemon", "hv-vss-daemon", "hv-fcopy-daemon", "hypervkvpd", "hypervvssd", "hypervfcopyd" } },
	{ TARGET_HYPERV,
	  "Hyper-V",
	  { "hv_kvp_daemon", "hv_vss_daemon", "hv_fcopy_daemon", "hv_fcopy_uio_daemon", "walinuxagent", "waagent" } },
	{ TARGET_KVM, "KVM", { "qemu-guest-agent", "qemu-ga", "spice-vdagentd", "spice-vdagentd.socket", "spice-vdagent" } },
	{ 0, "Parallels", { "prltoolsd", "prltools", "prltools_updater" } },
	{ 0,
	  "real hardware",
	  { "mcelog", "edac", "rasdaemon", "ras-mc-ctl", "smartd", "smartmontools", "hdparm", "hddtemp", "lm_sensors", "lm-sensors",
	    "fancontrol" } },
	{ 0,
	  "real hardware",
	  { "thermald", "ipmi", "openipmi", "ipmievd", "bmc-snmp-proxy", "cpuspeed", "nvidia-persistenced",
	    "nvidia-fabricmanager" } },
	{ 0,
	  "HP's machines",
	  { "hp-health", "hp-asrd", "hp-snmp-agents", "hpsmhd", "hp-ams", "amsd", "ahslog", "smad", "hpasmlited", "cpqiScsi" } },
	{ 0,
	  "Dell's machines",
	  { "dataeng", "dsm_sa_datamgrd", "dsm_sa_eventmgrd", "dsm_sa_snmpd", "dsm_om_connsvc", "dsm_om_shrsvc", "instsvcdrv",
	    "racsvc", "mptctl" } },
	{ 0, "its RAID controller", { "mrmonitor", "lsi_mrdsnmpd", "vivaldiframeworkd", "3dm2", "stor_agent", "aacraid-agent" } },
};

int agents_off(struct plan *p, const struct adapt_options *o, vdisk_error *err)
{
	char why[128];

	for (size_t i = 0; i < sizeof(agents) / sizeof(agents[0]); i++) {
		const struct agent *a = &agents[i];

		if (a->of & o->targets)
			continue;
		snprintf(why, sizeof(why), "a service for %s, which the new machine is not", a->what);
		if (!a->of && a->what[0] == 'r')
			snprintf(why, sizeof(why), "a service for real hardware, which a virtual machine has not");
		for (const char *const *s = a->services; *s; s++)
			if (service_off(p, *s, err, why))
				return -1;
	}
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Hypervisors' agents and drivers, by a file that each brings. */
#include "facts_parts.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name, *of;
	const char *paths[5]; /* any of these; NULL ends */
} agents[] = {
	{ "open-vm-tools", "vmware", { "/usr/bin/vmtoolsd", "/usr/sbin/vmtoolsd" } },
	{ "vmware-tools",
	  "vmware",
	  { "/etc/vmware-tools/locations", "/usr/lib/vmware-tools/sbin64/vmware-guestd", "/usr/sbin/vmware-guestd" } },
	{ "xe-guest-utilities", "xen", { "/usr/sbin/xe-daemon", "/usr/sbin/xe-linux-distribution" } },
	{ "virtualbox-guest",
	  "virtualbox",
	  { "/usr/sbin/VBoxService", "/usr/bin/VBoxClient", "/sbin/rcvboxadd", "/etc/init.d/vboxadd" } },
	{ "hyperv-daemons", "hyperv", { "/usr/sbin/hv_kvp_daemon", "/usr/sbin/hypervkvpd", "/usr/lib/linux-tools/hv_kvp_daemon" } },
	{ "walinuxagent", "hyperv", { "/usr/sbin/waagent", "/usr/bin/waagent" } },
	{ "qemu-guest-agent", "kvm", { "/usr/sbin/qemu-ga", "/usr/bin/qemu-ga" } },
	{ "spice-vdagent", "kvm", { "/usr/sbin/spice-vdagentd", "/usr/bin/spice-vdagentd" } },
	{ "parallels-tools", "parallels", { "/usr/bin/prltoolsd", "/usr/lib/parallels-tools" } },
};

int facts_agents(struct look *l)
{
	struct facts *f = l->f;

	for (size_t i = 0; i < sizeof(agents) / sizeof(*agents); i++) {
		const char *path;
		struct fact_agent *v;
		int rc = look_first(l, agents[i].paths, &path);

		if (rc < 0)
			return -1;
		if (!rc)
			continue;
		v = look_grow(l, f->agents, f->agents_n, sizeof(*v));
		if (!v)
			return 0;
		f->agents = v;
		v += f->agents_n++;
		v->name = look_dup(l, agents[i].name);
		v->of = look_dup(l, agents[i].of);
		v->source = look_dup(l, path);
	}
	return 0;
}

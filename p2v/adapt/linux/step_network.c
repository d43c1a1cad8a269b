/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The step that keeps the network: first every configuration is read for names and what ties them to cards, then the ties are taken
   out, and the names are given by a rule of ours (net.h). */
#include "net.h"

#include "common/fail.h"

#include <string.h>

/* cloud-init writes the network's configuration anew where it finds itself on another machine: DHCP on the first card, where it
 * knows no better. */
static int cloud_off(struct net *n, vdisk_error *err)
{
	static const char off[] =
		"# Made by vdisk adapt: the network is configured as it was; cloud-init would write it anew on another machine.\n"
		"network: {config: disabled}\n";
	struct tree *t = &n->plan->view;
	int has = tree_exists(t, "/etc/cloud/cloud.cfg", err), rc;

	if (has <= 0 || !n->n)
		return has < 0 ? -1 : 0;
	rc = tree_exists(t, "/etc/cloud/cloud-init.disabled", err);
	if (rc)
		return rc < 0 ? -1 : 0;
	return plan_write(n->plan, "/etc/cloud/cloud.cfg.d/99-vdisk-network.cfg", off, strlen(off), 0644, err,
	                  "cloud-init leaves the network's configuration alone on the new machine");
}

/* SUSE's wicked may be configured in XML of its own, by anything. */
static int wicked_xml(void *to, const char *path, vdisk_error *err)
{
	struct net *n = to;
	struct text t;
	int rc = text_open(&t, n->plan, path, err);

	if (rc > 0 && strstr(t.in.at, "permanent-address"))
		remark_once(n->plan, "%s: matches cards by what the old machine's had; name them there instead", path);
	text_close(&t);
	return rc < 0 ? -1 : 0;
}

static int round_of(struct net *n, vdisk_error *err)
{
	/* Rules and links first: they say which MAC had which name. */
	static int (*const parts[])(struct net *, vdisk_error *) = { net_udev,     net_links,   net_ifcfg,   net_manager,
		                                                     net_networkd, net_netplan, net_ifupdown };

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (parts[i](n, err))
			return -1;
	return 0;
}

int step_network(struct plan *p, const struct facts *f, const struct adapt_options *o, vdisk_error *err)
{
	struct net n = { .plan = p, .facts = f, .options = o, .collecting = true };

	if (net_names_read(&n, err) || round_of(&n, err))
		return -1;
	n.collecting = false;
	if (round_of(&n, err) || net_names_write(&n, err) || cloud_off(&n, err))
		return -1;
	return files_each(p, "/etc/wicked/ifconfig", "*.xml", wicked_xml, &n, err);
}

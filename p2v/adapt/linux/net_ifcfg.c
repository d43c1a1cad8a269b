/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Configurations that go by the card's name: ifupdown's, which needs nothing but that, and ifcfg files (RHEL, SUSE), whose HWADDR
 * would refuse another card. */
#include "net.h"

#include "common/fail.h"

#include <stdio.h>
#include <string.h>

/* ---------------------------------------------------------------- ifupdown */

static int interfaces_file(void *to, const char *path, vdisk_error *err)
{
	static const char *const members[] = { "bridge_ports", "bridge-ports", "bond-slaves", "bond_slaves", "slaves", NULL };
	struct net *n = to;
	struct text t;
	int rc = text_open(&t, n->plan, path, err);

	while (rc > 0 && text_next(&t)) {
		const char *at = t.line.at, *end = at + t.line.len;
		struct span word, name;
		bool list = false;

		if (!word_next(&at, end, &word) || *word.at == '#')
			continue;
		for (const char *const *m = members; *m; m++)
			list = list || span_is(word, *m);
		list = list || span_is(word, "auto") || span_starts(word, "allow-");
		if ((list || span_is(word, "iface")) && word_next(&at, end, &name))
			do {
				if (nic_name_physical(nic_name_base(name)))
					net_note(n, nic_name_base(name), "", true);
				else if (span_starts(name, "mac/") || span_starts(name, "/mac/"))
					remark_once(n->plan, "%s: %.*s goes by a MAC of the old machine", path, (int)name.len,
					            name.at);
			} while (list && word_next(&at, end, &name));
		if (span_is(word, "rename"))
			remark_once(n->plan, "%s: cards are renamed there by what the old machine's had: %.*s", path,
			            (int)t.line.len, t.line.at);
	}
	/* A name of one's own making is a card's where something tied it to a MAC. */
	for (t.next = 0; rc > 0 && text_next(&t);) {
		const char *at = t.line.at, *end = at + t.line.len;
		struct span word, name;

		if (!word_next(&at, end, &word) || !span_is(word, "iface") || !word_next(&at, end, &name))
			continue;
		for (size_t i = 0; i < n->n; i++)
			if (span_is(name, n->v[i].name))
				n->v[i].configured = true;
	}
	text_close(&t);
	return rc < 0 ? -1 : 0;
}

int net_ifupdown(struct net *n, vdisk_error *err)
{
	if (interfaces_file(n, "/etc/network/interfaces", err))
		return -1;
	return files_each(n->plan, "/etc/network/interfaces.d", "*", interfaces_file, n, err);
}

/* ---------------------------------------------------------------- ifcfg */

struct ifcfg {
	struct span device, mac, type;
};

static void ifcfg_read(const struct text *t, struct ifcfg *c)
{
	struct text look = { .in = t->in };
	struct span name, value;

	*c = (struct ifcfg){ 0 };
	while (text_next(&look)) {
		struct span line = span_trim(look.line);

		if (!line.len || *line.at == '#' || !assignment(look.line, &name, &value))
			continue;
		if (span_is(name, "DEVICE"))
			c->device = value;
		else if (span_is(name, "HWADDR"))
			c->mac = value;
		else if (span_is(name, "TYPE"))
			c->type = value;
	}
}

static bool is_backup(const char *name)
{
	size_t n = strlen(name);

	return strchr(name, '~') || strstr(name, ".bak") || strstr(name, ".orig") || strstr(name, ".rpm") || strstr(name, ".old") ||
	       (n && name[n - 1] == '#');
}

static int ifcfg_file(void *to, const char *path, vdisk_error *err)
{
	struct net *n = to;
	const char *file = strstr(path, "/ifcfg-") + strlen("/ifcfg-");
	struct span suffix = { file, strlen(file) }, name, value;
	char mac[NIC_MAC_MAX], device[NIC_NAME_MAX];
	struct ifcfg c;
	struct text t;
	bool tied;
	int rc = is_backup(file) ? 0 : text_open(&t, n->plan, path, err);

	if (is_backup(file))
		return 0;
	if (rc <= 0)
		return rc;
	ifcfg_read(&t, &c);
	tied = mac_read(c.mac, mac);
	name = nic_name_base(c.device.len ? c.device : suffix);
	if (!(c.type.len && !span_is_nocase(c.type, "Ethernet")) && nic_name_ok(name) && (tied || nic_name_physical(name)))
		net_note(n, name, tied ? mac : "", true);
	if (n->collecting || !tied) {
		text_close(&t);
		return 0;
	}
	snprintf(device, sizeof(device), "%s", "");
	if (!c.device.len && !nic_name_ok(suffix))
		snprintf(device, sizeof(device), "%s", net_name_of(n, mac));
	else if (!c.device.len)
		span_copy(suffix, device, sizeof(device));
	while (text_next(&t)) {
		struct span line = span_trim(t.line);

		if (line.len && *line.at != '#' && assignment(t.line, &name, &value) && span_is(name, "HWADDR"))
			text_add(&t, "# vdisk: %.*s", (int)t.line.len, t.line.at);
		else
			text_keep(&t);
	}
	if (*device)
		text_add(&t, "DEVICE=%s", device);
	return text_write(&t, err, "the card is told by its name, since its MAC may be another");
}

/* SUSE 9 and 10: ifcfg-eth-id-00:11:22:33:44:55 is the card with that MAC; ifcfg-eth-bus-pci-… the one in that slot. */
static int ifcfg_id(void *to, const char *path, vdisk_error *err)
{
	struct net *n = to;
	const char *id = strstr(path, "/ifcfg-eth-id-");
	char mac[NIC_MAC_MAX], to_path[128];
	const char *name;
	int rc;

	if (!id || !mac_read((struct span){ id + strlen("/ifcfg-eth-id-"), strlen(id + strlen("/ifcfg-eth-id-")) }, mac)) {
		remark_once(n->plan, "%s: is for a card in a slot of the old machine; rename it after the card's name", path);
		return 0;
	}
	if (n->collecting)
		return 0;
	name = net_name_of(n, mac);
	snprintf(to_path, sizeof(to_path), "/etc/sysconfig/network/ifcfg-%s", name);
	rc = *name ? tree_exists(&n->plan->view, to_path, err) : 1;
	if (rc)
		return rc < 0 ? -1 : (remark_once(n->plan, "%s: stays, since %s is there already", path, to_path), 0);
	return plan_move(n->plan, path, to_path, err, "the card is told by its name, since its MAC may be another");
}

static int suse_file(void *to, const char *path, vdisk_error *err)
{
	return strstr(path, "/ifcfg-eth-id-") || strstr(path, "/ifcfg-eth-bus-") ? ifcfg_id(to, path, err)
	                                                                         : ifcfg_file(to, path, err);
}

int net_ifcfg(struct net *n, vdisk_error *err)
{
	if (files_each(n->plan, "/etc/sysconfig/network-scripts", "ifcfg-*", ifcfg_file, n, err))
		return -1;
	return files_each(n->plan, "/etc/sysconfig/network", "ifcfg-*", suse_file, n, err);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * NICs are what has a device behind it.  Addresses may stand on what lies over them (a bridge, a bond, a VLAN): they are told of
 * the NIC below, since that is where the new machine's network hangs.
 */
#include "find.h"
#include "find_text.h"
#include "transfer/transfer.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct { const char *driver; enum machine_nic_model model;
} models[] = {
	{ "e1000", MACHINE_NIC_E1000 },       { "e1000e", MACHINE_NIC_E1000E },    { "8139cp", MACHINE_NIC_RTL8139 },
	{ "8139too", MACHINE_NIC_RTL8139 },   { "pcnet32", MACHINE_NIC_PCNET },    { "ne2k-pci", MACHINE_NIC_NE2000 },
	{ "tulip", MACHINE_NIC_TULIP },       { "vmxnet", MACHINE_NIC_VMXNET },    { "vmxnet3", MACHINE_NIC_VMXNET3 },
	{ "virtio_net", MACHINE_NIC_VIRTIO }, { "hv_netvsc", MACHINE_NIC_HYPERV }, { "vif", MACHINE_NIC_XEN },
};

static struct machine_nic *nic_named(struct machine *m, const char *name)
{
	for (size_t i = 0; i < m->nics_n; i++)
		if (m->nics[i].name && !strcmp(m->nics[i].name, name))
			return &m->nics[i];
	return NULL;
}

/* The NIC below an interface: the first one that is found. */
static struct machine_nic *nic_below(struct machine *m, const char *root, const char *name, unsigned depth)
{
	struct machine_nic *nic = nic_named(m, name);
	char **names;
	size_t n;

	if (nic || depth > 4)
		return nic;
	names = find_names(root, &n, "/sys/class/net/%s", name);
	for (size_t i = 0; !nic && i < n; i++)
		if (!strncmp(names[i], "lower_", 6))
			nic = nic_below(m, root, names[i] + 6, depth + 1);
	find_names_free(names, n);
	return nic;
}

static void nic_add(struct machine *m, const char *root, const char *name)
{
	struct machine_nic *nic = machine_nic_add(m);
	char text[256];

	if (!nic)
		return;
	nic->name = machine_text(m, name);
	/* In a bond all cards show one address; the card's own stands elsewhere. */
	if (find_text(text, sizeof(text), root, "/sys/class/net/%s/bonding_slave/perm_hwaddr", name) ||
	    find_text(text, sizeof(text), root, "/sys/class/net/%s/address", name))
		nic->mac = machine_mac(m, text);
	if (find_link(text, sizeof(text), root, "/sys/class/net/%s/device/driver", name))
		nic->driver = machine_text(m, text);
	for (size_t i = 0; nic->driver && i < sizeof(models) / sizeof(*models); i++)
		if (!strcmp(models[i].driver, nic->driver))
			nic->model = models[i].model;
	nic->mtu = (unsigned)find_number(0, root, "/sys/class/net/%s/mtu", name);
	nic->disconnected = find_number(1, root, "/sys/class/net/%s/carrier", name) == 0;
	if (find_link(text, sizeof(text), root, "/sys/class/net/%s/master", name) &&
	    find_there(root, "/sys/class/net/%s/bridge", text)) {
		nic->net = MACHINE_NET_BRIDGE;
		nic->network = machine_text(m, text);
	}
}

static unsigned prefix_of(const struct sockaddr *mask)
{
	const uint8_t *p;
	size_t n;
	unsigned bits = 0;

	if (!mask)
		return 0;
	p = mask->sa_family == AF_INET ? (const uint8_t *)&((const struct sockaddr_in *)(const void *)mask)->sin_addr
	                               : (const uint8_t *)&((const struct sockaddr_in6 *)(const void *)mask)->sin6_addr;
	n = mask->sa_family == AF_INET ? 4 : 16;
	for (size_t i = 0; i < n; i++)
		bits += (unsigned)__builtin_popcount(p[i]);
	return bits;
}

static void addresses_find(struct machine *m)
{
	struct ifaddrs *list, *a;
	char text[INET6_ADDRSTRLEN + 8];

	if (getifaddrs(&list))
		return;
	for (a = list; a; a = a->ifa_next) {
		int family = a->ifa_addr ? a->ifa_addr->sa_family : 0;
		const void *bytes = family == AF_INET ? (const void *)&((struct sockaddr_in *)(void *)a->ifa_addr)->sin_addr
		                                      : (const void *)&((struct sockaddr_in6 *)(void *)a->ifa_addr)->sin6_addr;
		struct machine_nic *nic;

		if ((family != AF_INET && family != AF_INET6) ||
		    (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL((const struct in6_addr *)bytes)))
			continue;
		nic = nic_below(m, "", a->ifa_name, 0);
		if (!nic || !inet_ntop(family, bytes, text, INET6_ADDRSTRLEN))
			continue;
		snprintf(text + strlen(text), 8, "/%u", prefix_of(a->ifa_netmask));
		machine_list_add(m, &nic->addresses, &nic->addresses_n, text);
	}
	freeifaddrs(list);
}

static bool in_list(const char **v, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i], text))
			return true;
	return false;
}

/* /proc/net/route: Iface Destination Gateway Flags RefCnt Use Metric Mask, numbers in the host's order of bytes as they lie in
   memory. */
static void gateways_find(struct machine *m, const char *root)
{
	char text[65536], name[64], out[INET_ADDRSTRLEN];
	unsigned destination, gateway, flags, mask;

	find_text(text, sizeof(text), root, "/proc/net/route");
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		struct machine_nic *nic;
		struct in_addr a;

		if (sscanf(line, "%63s %x %x %x %*d %*d %*d %x", name, &destination, &gateway, &flags, &mask) != 5 || destination ||
		    mask || !gateway)
			continue;
		nic = nic_below(m, root, name, 0);
		a.s_addr = gateway;
		if (nic && inet_ntop(AF_INET, &a, out, sizeof(out)) && !in_list(nic->gateways, nic->gateways_n, out))
			machine_list_add(m, &nic->gateways, &nic->gateways_n, out);
	}
}

/* /proc/net/ipv6_route: destination, prefix, source, prefix, next hop, metric, references, use, flags, interface. */
static void gateways6_find(struct machine *m, const char *root)
{
	char text[65536], destination[33], hop[33], name[64], out[INET6_ADDRSTRLEN];
	unsigned prefix;

	find_text(text, sizeof(text), root, "/proc/net/ipv6_route");
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		struct machine_nic *nic;
		uint8_t bytes[16];

		if (sscanf(line, "%32s %x %*s %*x %32s %*x %*x %*x %*x %63s", destination, &prefix, hop, name) != 4 || prefix ||
		    strspn(hop, "0") == 32 || !transfer_unhex(hop, false, bytes, 16))
			continue;
		nic = nic_below(m, root, name, 0);
		if (nic && inet_ntop(AF_INET6, bytes, out, sizeof(out)) && !in_list(nic->gateways, nic->gateways_n, out))
			machine_list_add(m, &nic->gateways, &nic->gateways_n, out);
	}
}

/* systemd-resolved's own address is of no use anywhere else; what it asks stands in its file. */
static void dns_find(struct machine *m, const char *root)
{
	char text[16384], address[64];

	if (!find_text(text, sizeof(text), root, "/run/systemd/resolve/resolv.conf"))
		find_text(text, sizeof(text), root, "/etc/resolv.conf");
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		uint8_t bytes[16];

		if (sscanf(line, " nameserver %63s", address) != 1 || !strncmp(address, "127.", 4) ||
		    (inet_pton(AF_INET, address, bytes) != 1 && inet_pton(AF_INET6, address, bytes) != 1))
			continue;
		for (size_t i = 0; i < m->nics_n; i++)
			if (m->nics[i].gateways_n && !in_list(m->nics[i].dns, m->nics[i].dns_n, address))
				machine_list_add(m, &m->nics[i].dns, &m->nics[i].dns_n, address);
	}
}

void find_nics(struct machine *m, const char *root)
{
	size_t n;
	char **names = find_names(root, &n, "/sys/class/net");

	for (size_t i = 0; i < n; i++)
		if (find_there(root, "/sys/class/net/%s/device", names[i]) &&
		    find_number(0, root, "/sys/class/net/%s/type", names[i]) == ARPHRD_ETHER)
			nic_add(m, root, names[i]);
	find_names_free(names, n);
	if (!*root)
		addresses_find(m);
	gateways_find(m, root);
	gateways6_find(m, root);
	dns_find(m, root);
}

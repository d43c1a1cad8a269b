/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Network connections: TCP/IP's settings by interface, joined with the connection's name and the adapter behind it.  Every text is
   a guest's and ends up in a script that the guest runs: so addresses are parsed and written anew, and nothing else of them is
   kept. */
#include "common/fail.h"
#include "windows_read.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NICS_MAX 64
#define ADDRESSES_MAX 64
#define CLASS_NET "{4D36E972-E325-11CE-BFC1-08002BE10318}"

struct reader {
	struct windows_facts *w;
	const struct hive *system;
	unsigned set;
	bool failed;
};

/* Bits of a mask, or -1. */
static int mask_bits(const char *mask)
{
	struct in_addr a;
	uint32_t m;
	int n = 0;

	if (inet_pton(AF_INET, mask, &a) != 1)
		return -1;
	m = ntohl(a.s_addr);
	while (n < 32 && (m & 0x80000000u >> n))
		n++;
	return n == 32 || !(m << n) ? n : -1;
}

static bool address_add(struct bytes *out, const char *text, int bits)
{
	unsigned char a[16];
	char clean[INET6_ADDRSTRLEN];
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;

	if (inet_pton(family, text, a) != 1 || !inet_ntop(family, a, clean, sizeof(clean)) || !strcmp(clean, "0.0.0.0"))
		return false;
	bytes_format(out, out->len ? " %s" : "%s", clean);
	if (bits >= 0)
		bytes_format(out, "/%d", bits);
	return true;
}

static void addresses_read(const struct hive *h, hive_node_h key, struct bytes *out)
{
	struct bytes ip = { 0 }, mask = { 0 };
	size_t m = 0;
	unsigned n = 0;

	hive_list(h, key, "IPAddress", &ip);
	hive_list(h, key, "SubnetMask", &mask);
	for (size_t i = 0; i < ip.len && n++ < ADDRESSES_MAX; i += strlen(ip.at + i) + 1) {
		int bits = m < mask.len ? mask_bits(mask.at + m) : -1;

		if (m < mask.len)
			m += strlen(mask.at + m) + 1;
		if (bits >= 0)
			address_add(out, ip.at + i, bits);
	}
	bytes_destroy(&ip);
	bytes_destroy(&mask);
}

/* Addresses of a value that is a list, or one text with blanks or commas between. */
static void list_add(const struct hive *h, hive_node_h key, const char *name, struct bytes *out)
{
	struct bytes all = { 0 };
	char *save = NULL;
	unsigned n = 0;

	hive_list(h, key, name, &all);
	for (size_t i = 0; i + 1 < all.len; i++) {
		if (!all.at[i])
			all.at[i] = ' ';
	}
	for (char *s = all.at ? strtok_r(all.at, " ,;", &save) : NULL; s && n++ < ADDRESSES_MAX; s = strtok_r(NULL, " ,;", &save))
		address_add(out, s, -1);
	bytes_destroy(&all);
}

/* Owned; empties it. */
static char *text_take(struct bytes *b)
{
	char *text = b->failed ? NULL : strdup(b->at ? b->at : "");

	bytes_destroy(b);
	return text;
}

static char *list_read(const struct hive *h, hive_node_h key, const char *name)
{
	struct bytes out = { 0 };

	list_add(h, key, name, &out);
	return text_take(&out);
}

static bool guid_fits(const char *s)
{
	return strlen(s) == 38 && s[0] == '{' && s[37] == '}' && strspn(s + 1, "0123456789abcdefABCDEF-") == 36;
}

/* ---------------------------------------------------------------- the adapter */

struct adapter {
	const struct hive *system;
	const char *guid;
	hive_node_h found;
};

static int adapter_is(void *to, const char *name, hive_node_h node)
{
	struct adapter *a = to;
	char *guid = hive_text(a->system, node, "NetCfgInstanceId");

	(void)name;
	if (guid && !strcasecmp(guid, a->guid))
		a->found = node;
	free(guid);
	return a->found != 0;
}

static char *mac_format(const unsigned char *b)
{
	char s[18];

	snprintf(s, sizeof(s), "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
	return strdup(s);
}

/* The address that somebody gave the adapter, else the one it was born with (Windows 8 and later keep it). */
static char *mac_read(const struct reader *r, const char *guid, hive_node_h class_key)
{
	char *given = hive_text(r->system, class_key, "NetworkAddress"), path[128];
	struct bytes born = { 0 };
	unsigned char b[6];
	unsigned n = 0;
	char *mac = NULL;

	for (const char *s = given; s && *s && n < 12; s++) {
		if (isxdigit((unsigned char)*s)) {
			unsigned v = (unsigned)(isdigit((unsigned char)*s) ? *s - '0' : tolower((unsigned char)*s) - 'a' + 10);

			b[n / 2] = (unsigned char)(n % 2 ? b[n / 2] << 4 | v : v);
			n++;
		}
	}
	free(given);
	if (n == 12)
		return mac_format(b);
	snprintf(path, sizeof(path), "Control\\NetworkSetup2\\Interfaces\\%s\\Kernel", guid);
	if (hive_bytes(r->system, windows_set_find(r->system, r->set, path), "PermanentAddress", &born) && born.len == 6)
		mac = mac_format((unsigned char *)born.at);
	bytes_destroy(&born);
	return mac ? mac : strdup("");
}

/* Its name, its adapter's driver, and whether that is a device that was there when Windows ran last; the adapter's class key, or
   0. */
static hive_node_h connection_read(const struct reader *r, struct windows_nic *n)
{
	struct adapter a = { .system = r->system, .guid = n->guid };
	char path[512], *device;
	hive_node_h key, device_key;

	snprintf(path, sizeof(path), "Control\\Network\\" CLASS_NET "\\%s\\Connection", n->guid);
	key = windows_set_find(r->system, r->set, path);
	n->name = hive_text(r->system, key, "Name");
	device = hive_text(r->system, key, "PnpInstanceID");
	hive_each(r->system, windows_set_find(r->system, r->set, "Control\\Class\\" CLASS_NET), adapter_is, &a);
	n->mac = mac_read(r, n->guid, a.found);
	snprintf(path, sizeof(path), "Enum\\%.400s", device ? device : "");
	device_key = device && *device ? windows_set_find(r->system, r->set, path) : 0;
	n->driver = hive_text(r->system, device_key, "Service");
	n->present = device_key != 0;
	free(device);
	if (!n->name)
		n->name = strdup("");
	if (!n->driver)
		n->driver = strdup("");
	return a.found;
}

/* The name servers of IPv4, and of IPv6, which has settings of its own. */
static char *dns_read(const struct reader *r, const char *guid, hive_node_h key)
{
	struct bytes out = { 0 };
	char path[128];

	list_add(r->system, key, "NameServer", &out);
	snprintf(path, sizeof(path), "Services\\Tcpip6\\Parameters\\Interfaces\\%s", guid);
	list_add(r->system, windows_set_find(r->system, r->set, path), "NameServer", &out);
	return text_take(&out);
}

static int nic_take(void *to, const char *name, hive_node_h node)
{
	struct reader *r = to;
	struct windows_nic n = { 0 }, *more;
	struct bytes metric = { 0 }, addresses = { 0 };
	hive_node_h class_key = 0;
	uint32_t dhcp = 0;

	if (!guid_fits(name) || r->w->nics_n == NICS_MAX)
		return 0;
	hive_number(r->system, node, "EnableDHCP", &dhcp);
	n.guid = strdup(name);
	if (dhcp)
		bytes_text(&addresses, "dhcp");
	else
		addresses_read(r->system, node, &addresses);
	n.gateways = dhcp ? strdup("") : list_read(r->system, node, "DefaultGateway");
	n.dns = dns_read(r, name, node);
	hive_list(r->system, node, "DefaultGatewayMetric", &metric);
	n.metric = metric.len ? (uint32_t)strtoul(metric.at, NULL, 10) % 10000 : 0;
	bytes_destroy(&metric);
	if (n.guid)
		class_key = connection_read(r, &n);
	windows_ipv6_read(r->system, r->set, class_key, &addresses);
	n.addresses = text_take(&addresses);
	more = realloc(r->w->nics, (r->w->nics_n + 1) * sizeof(*more));
	if (more)
		r->w->nics = more;
	r->failed |= !more || !n.guid || !n.addresses || !n.gateways || !n.dns || !n.name || !n.mac || !n.driver;
	/* Tunnels and the like, which nobody named and which have no address, are left out. */
	if (!r->failed && (*n.name || (*n.addresses && strcmp(n.addresses, "dhcp")))) {
		r->w->nics[r->w->nics_n++] = n;
		return 0;
	}
	free(n.guid);
	free(n.addresses);
	free(n.gateways);
	free(n.dns);
	free(n.name);
	free(n.mac);
	free(n.driver);
	return r->failed;
}

int windows_nics_read(struct windows_facts *w, const struct hive *system, vdisk_error *err)
{
	struct reader r = { .w = w, .system = system, .set = windows_set(w) };

	hive_each(system, windows_set_find(system, r.set, "Services\\Tcpip\\Parameters\\Interfaces"), nic_take, &r);
	return r.failed ? fail_nomem(err) : 0;
}

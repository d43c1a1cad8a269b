/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Network connections, by the files of ifupdown, netplan, NetworkManager, ifcfg (RHEL's and SUSE's) and systemd-networkd; and what
   ties a name to a card: udev's rules and systemd's .link files.  The loopback is none, nor are bridges' and bonds' settings. */
#include "facts_network.h"
#include "lines.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NICS_MAX 256
#define ADDRESSES_MAX 64 /* of one card */

/* ---------------------------------------------------------------- NICs */

struct fact_nic *nic_get(struct look *l, const char *name, const char *source)
{
	struct facts *f = l->f;
	struct fact_nic *v, *n;
	char **texts[5];

	for (size_t i = 0; i < f->nics_n; i++)
		if (!strcmp(f->nics[i].name, name))
			return &f->nics[i];
	v = f->nics_n < NICS_MAX ? look_grow(l, f->nics, f->nics_n, sizeof(*v)) : NULL;
	if (!v)
		return NULL;
	f->nics = v;
	n = &v[f->nics_n++];
	texts[0] = &n->name;
	texts[1] = &n->source;
	texts[2] = &n->mac;
	texts[3] = &n->driver;
	texts[4] = &n->addresses;
	for (size_t i = 0; i < 5; i++)
		*texts[i] = look_dup(l, i == 0 ? name : i == 1 ? source : "");
	return l->nomem ? NULL : n;
}

void nic_mac(struct look *l, struct fact_nic *n, const char *text)
{
	char mac[18];
	size_t i;

	for (i = 0; i < 17 && text[i]; i++) {
		char c = (char)tolower((unsigned char)text[i]);

		if (i % 3 == 2 ? c != ':' && c != '-' : !isxdigit((unsigned char)c))
			return;
		mac[i] = c == '-' ? ':' : c;
	}
	mac[i] = '\0';
	if (i == 17)
		look_set(l, &n->mac, mac);
}

/* 255.255.255.0 is /24; what is no mask (24) is its number.  -1: neither. */
static int mask_bits(const char *mask)
{
	struct in_addr a;
	uint32_t m;
	char *end;
	long bits = strtol(mask, &end, 10);

	if (*mask && !*end)
		return bits >= 0 && bits <= 128 ? (int)bits : -1;
	if (inet_pton(AF_INET, mask, &a) != 1)
		return -1;
	m = ntohl(a.s_addr);
	return ~m & (~m + 1) ? -1 : __builtin_popcount(m);
}

static unsigned words_of(const char *list)
{
	const char *at = list, *end = list + strlen(list), *word;
	unsigned n = 0;
	size_t len;

	while (lines_word(&at, end, &word, &len))
		n++;
	return n;
}

void nic_address(struct look *l, struct fact_nic *n, const char *address, const char *mask)
{
	struct bytes list = { 0 }, one = { 0 };
	int bits = mask && *mask && !strchr(address, '/') ? mask_bits(mask) : -1;

	if (words_of(n->addresses) >= ADDRESSES_MAX)
		return;
	bytes_text(&list, n->addresses);
	bytes_text(&one, address);
	if (bits >= 0)
		bytes_format(&one, "/%d", bits);
	if (!one.failed)
		words_add(&list, one.at, one.len);
	if (list.failed || one.failed)
		l->nomem = true;
	else
		look_set(l, &n->addresses, list.at);
	bytes_destroy(&list);
	bytes_destroy(&one);
}

/* ---------------------------------------------------------------- ifupdown */

struct stanza {
	struct fact_nic *nic; /* NULL: of no card */
	struct bytes address, mask;
};

static void stanza_end(struct look *l, struct stanza *s)
{
	if (s->nic && s->address.len)
		nic_address(l, s->nic, s->address.at, s->mask.at);
	bytes_clear(&s->address);
	bytes_clear(&s->mask);
	s->nic = NULL;
}

static void stanza_begin(struct look *l, struct stanza *s, const char *at, const char *end, const char *path)
{
	struct bytes name = { 0 };
	const char *family, *method, *word;
	size_t n, fn, mn;

	if (!lines_word(&at, end, &word, &n) || chars_are(word, n, "lo"))
		return;
	bytes_add(&name, word, n);
	s->nic = name.failed ? NULL : nic_get(l, name.at, path);
	if (s->nic && lines_word(&at, end, &family, &fn) && lines_word(&at, end, &method, &mn) &&
	    (chars_are(method, mn, "dhcp") || chars_are(method, mn, "auto")))
		nic_address(l, s->nic, "dhcp", NULL);
	bytes_destroy(&name);
}

static int ifupdown_take(void *to, const char *path)
{
	struct look *l = to;
	struct bytes b = { 0 };
	struct stanza s = { 0 };
	int rc = look_text(l, path, &b);
	struct lines t = lines_of(&b);
	const char *line, *word;
	size_t len, n;

	while (rc > 0 && lines_entry(&t, &line, &len)) {
		const char *at = line, *end = line + len;

		lines_word(&at, end, &word, &n);
		if (chars_are(word, n, "iface") || chars_are(word, n, "auto") || chars_begin(word, n, "allow-") ||
		    chars_are(word, n, "mapping") || chars_are(word, n, "source") || chars_are(word, n, "source-directory")) {
			stanza_end(l, &s);
			if (chars_are(word, n, "iface"))
				stanza_begin(l, &s, at, end, path);
		} else if (s.nic && (chars_are(word, n, "address") || chars_are(word, n, "netmask"))) {
			struct bytes *value = *word == 'a' ? &s.address : &s.mask;

			if (lines_word(&at, end, &word, &n)) {
				bytes_clear(value);
				bytes_add(value, word, n);
			}
		} else if (s.nic && chars_are(word, n, "hwaddress") && lines_word(&at, end, &word, &n)) {
			if (chars_are(word, n, "ether") && !lines_word(&at, end, &word, &n))
				continue;
			if (n == 17)
				nic_mac(l, s.nic, word);
		}
	}
	stanza_end(l, &s);
	bytes_destroy(&s.address);
	bytes_destroy(&s.mask);
	bytes_destroy(&b);
	return rc < 0 ? -1 : 0;
}

/* ---------------------------------------------------------------- ifcfg */

static void ifcfg_addresses(struct look *l, struct fact_nic *n, const struct bytes *b, struct bytes *value)
{
	struct bytes mask = { 0 };

	for (int i = -1; i < 64; i++) { /* IPADDR, IPADDR0, IPADDR1 … */
		char name[32], number[12] = "";

		if (i >= 0)
			snprintf(number, sizeof(number), "%d", i);
		snprintf(name, sizeof(name), "IPADDR%s", number);
		if (!setting_find(b, name, value) || !value->len) {
			if (i > 1)
				break;
			continue;
		}
		snprintf(name, sizeof(name), "PREFIX%s", number);
		if (!setting_find(b, name, &mask)) {
			snprintf(name, sizeof(name), "PREFIXLEN%s", number);
			if (!setting_find(b, name, &mask)) {
				snprintf(name, sizeof(name), "NETMASK%s", number);
				if (!setting_find(b, name, &mask))
					bytes_clear(&mask);
			}
		}
		nic_address(l, n, value->at, mask.at);
	}
	bytes_destroy(&mask);
}

static int ifcfg_take(void *to, const char *path)
{
	struct look *l = to;
	const char *name = strrchr(path, '/') + 1 + strlen("ifcfg-");
	struct bytes b = { 0 }, value = { 0 };
	struct fact_nic *n = NULL;
	int rc = 0;

	if (strcmp(name, "lo") && !strpbrk(name, "~") && !strstr(name, ".bak") && !strstr(name, ".orig") && !strstr(name, ".rpm"))
		rc = look_text(l, path, &b);
	if (rc > 0 && !(setting_find(&b, "TYPE", &value) && strcasecmp(value.at, "Ethernet")))
		n = nic_get(l, setting_find(&b, "DEVICE", &value) && value.len ? value.at : name, path);
	if (n) {
		if ((setting_find(&b, "HWADDR", &value) || setting_find(&b, "LLADDR", &value)) && value.len)
			nic_mac(l, n, value.at);
		if (setting_find(&b, "BOOTPROTO", &value) && strstr(value.at, "dhcp"))
			nic_address(l, n, "dhcp", NULL);
		ifcfg_addresses(l, n, &b, &value);
		if (setting_find(&b, "IPV6ADDR", &value) && value.len)
			nic_address(l, n, value.at, NULL);
	}
	bytes_destroy(&b);
	bytes_destroy(&value);
	return rc < 0 ? -1 : 0;
}

/* ---------------------------------------------------------------- NetworkManager */

static void manager_addresses(struct look *l, struct fact_nic *n, const struct bytes *b, const char *section, struct bytes *value)
{
	if (ini_find(b, section, "method", 0, value) && !strcmp(value->at, "auto"))
		nic_address(l, n, "dhcp", NULL);
	for (int i = 0; i <= 64; i++) { /* addresses=, address1=192.0.2.5/24,192.0.2.1 */
		char key[24];

		snprintf(key, sizeof(key), i ? "address%d" : "addresses", i);
		if (!ini_find(b, section, key, 0, value)) {
			if (i > 1)
				break;
			continue;
		}
		for (char *at = value->at, *next; at && *at; at = next) {
			next = strchr(at, ';');
			if (next)
				*next++ = '\0';
			at[strcspn(at, ", ")] = '\0';
			if (*at)
				nic_address(l, n, at, NULL);
		}
	}
}

static int manager_take(void *to, const char *path)
{
	struct look *l = to;
	struct bytes b = { 0 }, value = { 0 }, name = { 0 };
	struct fact_nic *n = NULL;
	int rc = look_text(l, path, &b);

	if (rc > 0 && ini_find(&b, "connection", "type", 0, &value) &&
	    (!strcmp(value.at, "ethernet") || !strcmp(value.at, "802-3-ethernet"))) {
		if (!ini_find(&b, "connection", "interface-name", 0, &name) && !ini_find(&b, "connection", "id", 0, &name))
			bytes_text(&name, strrchr(path, '/') + 1);
		n = name.failed ? NULL : nic_get(l, name.at, path);
	}
	if (n) {
		if (ini_find(&b, "ethernet", "mac-address", 0, &value) || ini_find(&b, "802-3-ethernet", "mac-address", 0, &value))
			nic_mac(l, n, value.at);
		manager_addresses(l, n, &b, "ipv4", &value);
		manager_addresses(l, n, &b, "ipv6", &value);
	}
	l->nomem |= name.failed;
	bytes_destroy(&b);
	bytes_destroy(&value);
	bytes_destroy(&name);
	return rc < 0 ? -1 : 0;
}

/* ---------------------------------------------------------------- systemd */

static int networkd_take(void *to, const char *path)
{
	struct look *l = to;
	struct bytes b = { 0 }, name = { 0 }, mac = { 0 }, value = { 0 };
	struct fact_nic *n = NULL;
	int rc = look_text(l, path, &b);

	if (rc > 0) {
		bool named = ini_find(&b, "Match", "Name", 0, &name),
		     tied = ini_find(&b, "Match", "MACAddress", 0, &mac) || ini_find(&b, "Match", "PermanentMACAddress", 0, &mac);

		if ((named || tied) && strcmp(named ? name.at : "", "lo"))
			n = nic_get(l, named ? name.at : mac.at, path);
		if (n && tied)
			nic_mac(l, n, mac.at);
		if (n && ini_find(&b, "Match", "Driver", 0, &value))
			look_set(l, &n->driver, value.at);
	}
	if (n) {
		if (ini_find(&b, "Network", "DHCP", 0, &value) && strcasecmp(value.at, "no") && strcasecmp(value.at, "false"))
			nic_address(l, n, "dhcp", NULL);
		for (unsigned i = 0; i < 64 && ini_find(&b, "Network", "Address", i, &value); i++)
			nic_address(l, n, value.at, NULL);
		for (unsigned i = 0; i < 64 && ini_find(&b, "Address", "Address", i, &value); i++)
			nic_address(l, n, value.at, NULL);
	}
	bytes_destroy(&b);
	bytes_destroy(&name);
	bytes_destroy(&mac);
	bytes_destroy(&value);
	return rc < 0 ? -1 : 0;
}

/* A .link file that gives a card its name. */
static int link_take(void *to, const char *path)
{
	struct look *l = to;
	struct bytes b = { 0 }, name = { 0 }, value = { 0 };
	int rc = look_text(l, path, &b);
	struct fact_nic *n = rc > 0 && ini_find(&b, "Link", "Name", 0, &name) ? nic_get(l, name.at, path) : NULL;

	if (n && (ini_find(&b, "Match", "MACAddress", 0, &value) || ini_find(&b, "Match", "PermanentMACAddress", 0, &value)))
		nic_mac(l, n, value.at);
	if (n && ini_find(&b, "Match", "Driver", 0, &value))
		look_set(l, &n->driver, value.at);
	bytes_destroy(&b);
	bytes_destroy(&name);
	bytes_destroy(&value);
	return rc < 0 ? -1 : 0;
}

/* ---------------------------------------------------------------- udev */

/* The value of KEY=="…" or KEY="…" in a rule. */
static bool rule_value(const char *line, size_t len, const char *key, struct bytes *out)
{
	size_t n = strlen(key);

	for (size_t i = 0; i + n < len; i++) {
		const char *at = line + i + n, *end = line + len, *close;

		if (memcmp(line + i, key, n) || (i && line[i - 1] != ',' && line[i - 1] != ' ' && line[i - 1] != '\t'))
			continue;
		while (at < end && (*at == '=' || *at == ':' || *at == ' '))
			at++;
		if (at == end || *at != '"')
			continue;
		close = memchr(at + 1, '"', (size_t)(end - at - 1));
		if (!close)
			return false;
		bytes_clear(out);
		bytes_add(out, at + 1, (size_t)(close - at - 1));
		return out->len > 0;
	}
	return false;
}

static int rules_take(void *to, const char *path)
{
	struct look *l = to;
	struct bytes b = { 0 }, name = { 0 }, value = { 0 };
	int rc = look_text(l, path, &b);
	struct lines t = lines_of(&b);
	const char *line;
	size_t len;

	while (rc > 0 && lines_entry(&t, &line, &len)) {
		struct fact_nic *n;

		if (!rule_value(line, len, "NAME", &name) || strpbrk(name.at, "$%/") ||
		    !(rule_value(line, len, "ATTR{address}", &value) || rule_value(line, len, "SYSFS{address}", &value) ||
		      rule_value(line, len, "ATTRS{address}", &value)))
			continue;
		n = nic_get(l, name.at, path);
		if (n)
			nic_mac(l, n, value.at);
		if (n && rule_value(line, len, "DRIVERS", &value) && !strpbrk(value.at, "?*"))
			look_set(l, &n->driver, value.at);
	}
	bytes_destroy(&b);
	bytes_destroy(&name);
	bytes_destroy(&value);
	return rc < 0 ? -1 : 0;
}

int facts_network(struct look *l)
{
	static const struct {
		const char *folder, *pattern;
		int (*take)(void *, const char *);
	} v[] = {
		{ "/etc/network", "interfaces", ifupdown_take }, { "/etc/network/interfaces.d", "*", ifupdown_take },
		{ "/etc/netplan", "*.yaml", netplan_take }, { "/etc/netplan", "*.yml", netplan_take },
		{ "/etc/NetworkManager/system-connections", "*", manager_take },
		{ "/etc/sysconfig/network-scripts", "ifcfg-*", ifcfg_take }, { "/etc/sysconfig/network", "ifcfg-*", ifcfg_take },
		{ "/etc/systemd/network", "*.network", networkd_take }, { "/etc/systemd/network", "*.link", link_take },
		{ "/etc/udev/rules.d", "*net*.rules", rules_take },
	};
	int rc = 0;

	for (size_t i = 0; !rc && i < sizeof(v) / sizeof(*v); i++)
		rc = tree_match(l->t, v[i].folder, v[i].pattern, v[i].take, l, l->err);
	return rc ? -1 : 0;
}

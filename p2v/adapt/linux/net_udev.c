/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What named cards on the old machine: udev's rules (70-persistent-net.rules and others), systemd's .link files, mactab and iftab.
 * Rules that give a fixed name are commented out after it was noted, since a rule by slot or driver could name the wrong card now.
 * A .link file by MAC stays: it says the same as ours or nothing.
 */
#include "net.h"

#include <stdio.h>
#include <string.h>

/* The value of KEY<op>"value" in a rule. */
static bool rule_value(struct span line, const char *key, bool assigns, struct span *value)
{
	size_t n = strlen(key);

	for (const char *s = line.at, *end = line.at + line.len; (size_t)(end - s) > n + 2; s++) {
		const char *op = s + n, *close;

		if (memcmp(s, key, n) || (s > line.at && !strchr(" \t,", s[-1])))
			continue;
		while (op < end && strchr(" \t", *op))
			op++;
		if (end - op > 2 && !memcmp(op, "==", 2) && !assigns)
			op += 2;
		else if (end - op > 2 && !memcmp(op, ":=", 2) && assigns)
			op += 2;
		else if (end - op > 1 && *op == '=' && op[1] != '=' && assigns)
			op++;
		else
			continue;
		while (op < end && strchr(" \t", *op))
			op++;
		if (op == end || *op != '"' || !(close = memchr(op + 1, '"', (size_t)(end - op - 1))))
			continue;
		*value = (struct span){ op + 1, (size_t)(close - op - 1) };
		return true;
	}
	return false;
}

static bool rule_mac(struct span line, char mac[NIC_MAC_MAX])
{
	static const char *const keys[] = { "ATTR{address}", "ATTRS{address}", "SYSFS{address}", NULL };
	struct span value;

	for (const char *const *k = keys; *k; k++)
		if (rule_value(line, *k, false, &value))
			return mac_read(value, mac);
	mac[0] = '\0';
	return false;
}

/* Gives this rule a card a fixed name? */
static bool naming_rule(struct span line, struct span *name, char mac[NIC_MAC_MAX])
{
	struct span value, trimmed = span_trim(line);
	bool tied = rule_mac(line, mac),
	     net = rule_value(line, "SUBSYSTEM", false, &value) || rule_value(line, "SUBSYSTEMS", false, &value);

	if (!trimmed.len || *trimmed.at == '#' || (net ? !span_is(value, "net") : !tied))
		return false;
	return rule_value(line, "NAME", true, name) && nic_name_ok(*name);
}

static int rules_file(void *to, const char *path, vdisk_error *err)
{
	struct net *n = to;
	char mac[NIC_MAC_MAX];
	struct span name;
	struct text t;
	bool inside = false; /* of a rule that goes on over the lines' ends */
	int rc = strstr(path, "/69-vdisk-net.rules") ? 0 : text_open(&t, n->plan, path, err);

	if (strstr(path, "/69-vdisk-net.rules"))
		return 0;
	if (rc <= 0)
		return rc;
	while (text_next(&t)) {
		bool more = t.line.len && t.line.at[t.line.len - 1] == '\\';

		if (!inside && naming_rule(t.line, &name, mac)) {
			net_note(n, name, mac, false);
			if (!more) {
				text_add(&t, "# vdisk: %.*s", (int)t.line.len, t.line.at);
				continue;
			}
			remark_once(n->plan, "%s: a rule over several lines names the card %.*s; it is left as it is", path,
			            (int)name.len, name.at);
		}
		inside = more;
		text_keep(&t);
	}
	if (n->collecting) {
		text_close(&t);
		return 0;
	}
	return text_write(&t, err, "the names of network cards are told by %s now, for cards with other MACs and slots",
	                  "/etc/udev/vdisk-net-names");
}

int net_udev(struct net *n, vdisk_error *err) { return files_each(n->plan, "/etc/udev/rules.d", "*.rules", rules_file, n, err); }

/* ---------------------------------------------------------------- .link */

static int link_file(void *to, const char *path, vdisk_error *err)
{
	struct net *n = to;
	char mac[NIC_MAC_MAX] = "";
	struct span name = { 0 }, key, value;
	bool in_match = false, by_place = false, more = false;
	struct text t;
	int rc = text_open(&t, n->plan, path, err);

	if (rc <= 0)
		return rc;
	for (struct text look = { .in = t.in }; text_next(&look);) {
		struct span line = span_trim(look.line);

		if (line.len && *line.at == '[')
			in_match = span_is(line, "[Match]");
		if (!line.len || strchr("#;[", *line.at) || !assignment(look.line, &key, &value))
			continue;
		if (in_match && (span_is(key, "MACAddress") || span_is(key, "PermanentMACAddress")))
			mac_read(value, mac);
		else if (in_match)
			by_place = by_place || span_is(key, "Path") || span_is(key, "Driver") || span_is(key, "Property");
		else if (span_is(key, "Name"))
			name = value;
		else
			more = more || !(span_is(key, "NamePolicy") || span_is(key, "MACAddressPolicy") ||
			                 span_is(key, "Description") || span_is(key, "AlternativeNamesPolicy"));
	}
	if (nic_name_ok(name))
		net_note(n, name, mac, false);
	if (n->collecting) {
		text_close(&t);
		return 0;
	}
	if (more && (*mac || by_place))
		remark_once(n->plan, "%s: its settings are for a card with the old machine's %s, and will reach no other", path,
		            *mac ? "MAC" : "slot or driver");
	while (text_next(&t)) {
		if (t.line.len && *t.line.at == '[')
			in_match = span_is(span_trim(t.line), "[Match]");
		if (by_place && !*mac && !in_match && assignment(t.line, &key, &value) && span_is(key, "Name"))
			text_add(&t, "# vdisk: %.*s", (int)t.line.len, t.line.at);
		else
			text_keep(&t);
	}
	return text_write(&t, err, "a slot or driver of the old machine names no card any more");
}

/* Alpine's and old Debian's tables: eth0 00:11:22:33:44:55, and eth0 mac 00:11:…  */
static int tab_file(struct net *n, const char *path, vdisk_error *err)
{
	struct text t;
	int rc = text_open(&t, n->plan, path, err);

	if (rc <= 0)
		return rc;
	while (text_next(&t)) {
		const char *at = t.line.at, *end = at + t.line.len;
		struct span name, word;
		char mac[NIC_MAC_MAX] = "";

		if (!word_next(&at, end, &name) || *name.at == '#') {
			text_keep(&t);
			continue;
		}
		while (!*mac && word_next(&at, end, &word))
			mac_read(word, mac);
		if (*mac) {
			net_note(n, name, mac, false);
			text_add(&t, "# vdisk: %.*s", (int)t.line.len, t.line.at);
		} else {
			text_keep(&t);
		}
	}
	if (n->collecting) {
		text_close(&t);
		return 0;
	}
	return text_write(&t, err, "it ties names to MACs of the old machine");
}

int net_links(struct net *n, vdisk_error *err)
{
	if (files_each(n->plan, "/etc/systemd/network", "*.link", link_file, n, err))
		return -1;
	return tab_file(n, "/etc/mactab", err) || tab_file(n, "/etc/iftab", err) ? -1 : 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Configurations in sections: NetworkManager's keyfiles and systemd-networkd's .network files.  What ties one to a MAC, a driver or
 * a slot is commented out, and where no name stands, one is put in its place.
 */
#include "net.h"

#include <stdio.h>
#include <string.h>

struct ini {
	struct span section;
	struct span key, value;
};

/* The next setting; false: this line is none (a section's head sets ini->section). */
static bool ini_line(struct ini *i, struct span line)
{
	struct span trimmed = span_trim(line);
	const char *equals;

	if (!trimmed.len || *trimmed.at == '#' || *trimmed.at == ';')
		return false;
	if (*trimmed.at == '[') {
		i->section = trimmed;
		return false;
	}
	equals = memchr(trimmed.at, '=', trimmed.len);
	if (!equals)
		return false;
	i->key = span_trim((struct span){ trimmed.at, (size_t)(equals - trimmed.at) });
	i->value = span_trim((struct span){ equals + 1, (size_t)(trimmed.at + trimmed.len - equals - 1) });
	return true;
}

static bool is_pattern(struct span s)
{
	return memchr(s.at, '*', s.len) || memchr(s.at, '?', s.len) || memchr(s.at, '[', s.len) || memchr(s.at, '!', s.len) ||
	       memchr(s.at, ' ', s.len);
}

/* ---------------------------------------------------------------- NetworkManager */

struct keyfile {
	struct span name, parent; /* of a VLAN */
	char mac[NIC_MAC_MAX];
	bool ethernet, place;
};

static bool is_wired(struct span section)
{
	return span_is(section, "[ethernet]") || span_is(section, "[802-3-ethernet]") || span_is(section, "[wired]");
}

static void keyfile_read(const struct text *t, struct keyfile *k)
{
	struct text look = { .in = t->in };
	struct ini i = { 0 };

	*k = (struct keyfile){ 0 };
	while (text_next(&look)) {
		if (!ini_line(&i, look.line))
			continue;
		if (span_is(i.section, "[connection]") && span_is(i.key, "interface-name"))
			k->name = i.value;
		else if (span_is(i.section, "[connection]") && span_is(i.key, "type"))
			k->ethernet = span_is(i.value, "ethernet") || span_is(i.value, "802-3-ethernet");
		else if (is_wired(i.section) && span_is(i.key, "mac-address"))
			mac_read(i.value, k->mac);
		else if (span_is(i.section, "[vlan]") && span_is(i.key, "parent"))
			k->parent = i.value;
		else if (span_is(i.section, "[match]"))
			k->place = k->place || span_is(i.key, "path") || span_is(i.key, "driver");
	}
}

static bool keyfile_tie(const struct ini *i)
{
	return (is_wired(i->section) && span_is(i->key, "mac-address")) ||
	       (span_is(i->section, "[match]") && (span_is(i->key, "path") || span_is(i->key, "driver")));
}

static int keyfile(void *to, const char *path, vdisk_error *err)
{
	struct net *n = to;
	size_t len = strlen(path);
	struct ini i = { 0 };
	struct keyfile k;
	const char *name;
	struct text t;
	int rc;

	if (path[len - 1] == '~' || strstr(path, ".bak") || strstr(path, ".orig"))
		return 0;
	rc = text_open(&t, n->plan, path, err);
	if (rc <= 0)
		return rc;
	keyfile_read(&t, &k);
	if (nic_name_physical(k.parent))
		net_note(n, k.parent, "", true);
	if (k.ethernet && k.name.len)
		net_note(n, k.name, k.mac, true);
	if (n->collecting || !k.ethernet || !(*k.mac || k.place)) {
		text_close(&t);
		return 0;
	}
	name = k.name.len || !*k.mac ? "" : net_name_of(n, k.mac);
	while (text_next(&t)) {
		bool setting = ini_line(&i, t.line);

		if (setting && keyfile_tie(&i)) {
			text_add(&t, "#vdisk: %.*s", (int)t.line.len, t.line.at);
			continue;
		}
		text_keep(&t);
		if (!setting && *name && span_is(span_trim(t.line), "[connection]"))
			text_add(&t, "interface-name=%s", name);
	}
	return text_write(&t, err, "the card is told by its name, since its MAC, driver and slot may be others");
}

int net_manager(struct net *n, vdisk_error *err)
{
	return files_each(n->plan, "/etc/NetworkManager/system-connections", "*", keyfile, n, err);
}

/* ---------------------------------------------------------------- systemd-networkd */

struct match {
	struct span name;
	char mac[NIC_MAC_MAX];
	bool several; /* MACs */
	bool place;   /* a slot or driver */
	bool other;   /* a kind of virtual device */
};

static void match_read(const struct text *t, struct match *m)
{
	struct text look = { .in = t->in };
	struct ini i = { 0 };

	*m = (struct match){ 0 };
	while (text_next(&look)) {
		if (!ini_line(&i, look.line) || !span_is(i.section, "[Match]"))
			continue;
		if (span_is(i.key, "Name"))
			m->name = i.value;
		else if (span_is(i.key, "MACAddress") || span_is(i.key, "PermanentMACAddress"))
			m->several = !mac_read(i.value, m->mac) || m->several;
		else if (span_is(i.key, "Path") || span_is(i.key, "Driver") || span_is(i.key, "Property"))
			m->place = true;
		else if (span_is(i.key, "Kind"))
			m->other = true;
	}
}

static bool match_tie(const struct ini *i)
{
	static const char *const keys[] = { "MACAddress", "PermanentMACAddress", "Path", "Driver", "Property", NULL };

	for (const char *const *k = keys; *k; k++)
		if (span_is(i->key, *k))
			return span_is(i->section, "[Match]");
	return false;
}

static int network_file(void *to, const char *path, vdisk_error *err)
{
	struct net *n = to;
	struct ini i = { 0 };
	struct match m;
	const char *name = "";
	struct text t;
	int rc = text_open(&t, n->plan, path, err);

	if (rc <= 0)
		return rc;
	match_read(&t, &m);
	if (m.name.len && !is_pattern(m.name) && !m.other && (*m.mac || nic_name_physical(m.name)))
		net_note(n, m.name, m.mac, true);
	if (n->collecting || m.other || !(*m.mac || m.several || m.place)) {
		text_close(&t);
		return 0;
	}
	if (m.several) {
		remark_once(n->plan, "%s: is for cards by several MACs of the old machine; name the cards there instead", path);
		text_close(&t);
		return 0;
	}
	if (!m.name.len && *m.mac)
		name = net_name_of(n, m.mac);
	else if (!m.name.len)
		remark_once(n->plan,
		            "%s: was for cards in a slot or with a driver of the old machine, and is for every wired card now",
		            path);
	while (text_next(&t)) {
		bool setting = ini_line(&i, t.line), head = !setting && span_is(span_trim(t.line), "[Match]");

		if (setting && match_tie(&i)) {
			text_add(&t, "# vdisk: %.*s", (int)t.line.len, t.line.at);
			continue;
		}
		text_keep(&t);
		if (head && *name)
			text_add(&t, "Name=%s", name);
		else if (head && !m.name.len && !*m.mac)
			text_add(&t, "Name=en* eth*");
	}
	return text_write(&t, err, "the card is told by its name, since its MAC, driver and slot may be others");
}

int net_networkd(struct net *n, vdisk_error *err)
{
	return files_each(n->plan, "/etc/systemd/network", "*.network", network_file, n, err);
}

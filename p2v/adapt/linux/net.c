/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of cards' names. */
#include "net.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

bool mac_read(struct span text, char out[NIC_MAC_MAX])
{
	text = span_trim(text);
	if (text.len >= 2 && strchr("\"'", *text.at) && text.at[text.len - 1] == *text.at)
		text = (struct span){ text.at + 1, text.len - 2 };
	out[0] = '\0';
	if (text.len != 17)
		return false;
	for (size_t i = 0; i < 17; i++) {
		char c = text.at[i];

		if (i % 3 == 2 ? c != ':' && c != '-' : !isxdigit((unsigned char)c))
			return out[0] = '\0', false;
		out[i] = i % 3 == 2 ? ':' : (char)tolower((unsigned char)c);
	}
	out[17] = '\0';
	return true;
}

bool nic_name_ok(struct span name)
{
	if (!name.len || name.len >= NIC_NAME_MAX || span_is(name, "lo") || span_is(name, "all") || span_is(name, "default"))
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (!isalnum((unsigned char)name.at[i]) && !strchr("_-", name.at[i]))
			return false;
	return true;
}

struct span nic_name_base(struct span name)
{
	size_t n = 0;

	while (n < name.len && name.at[n] != '.' && name.at[n] != ':')
		n++;
	return (struct span){ name.at, n };
}

static size_t digits(struct span s, size_t from)
{
	size_t n = 0;

	while (from + n < s.len && isdigit((unsigned char)s.at[from + n]))
		n++;
	return n;
}

bool nic_name_physical(struct span s)
{
	if (!nic_name_ok(s))
		return false;
	if (span_starts(s, "eth") || span_starts(s, "lan") || span_starts(s, "net") || span_starts(s, "nic"))
		return digits(s, 3) && 3 + digits(s, 3) == s.len;
	if (span_starts(s, "em"))
		return digits(s, 2) > 0;
	if (span_starts(s, "en") && s.len > 3)
		return strchr("opsxPX", s.at[2]) && isxdigit((unsigned char)s.at[3]);
	if (s.len >= 4 && *s.at == 'p' && digits(s, 1)) /* p2p1 */
		return s.at[1 + digits(s, 1)] == 'p' && digits(s, 2 + digits(s, 1));
	return false;
}

static struct nic *by_name(struct net *n, struct span name)
{
	for (size_t i = 0; i < n->n; i++)
		if (span_is(name, n->v[i].name))
			return &n->v[i];
	return NULL;
}

static struct nic *by_mac(struct net *n, const char *mac)
{
	for (size_t i = 0; *mac && i < n->n; i++)
		if (!strcmp(n->v[i].mac, mac))
			return &n->v[i];
	return NULL;
}

void net_note(struct net *n, struct span name, const char *mac, bool configured)
{
	struct nic *nic;

	if (!nic_name_ok(name))
		return;
	nic = by_name(n, name);
	if (!nic) {
		if (n->n == NICS_MAX)
			return;
		nic = &n->v[n->n++];
		*nic = (struct nic){ 0 };
		span_copy(name, nic->name, sizeof(nic->name));
	}
	nic->configured = nic->configured || configured;
	if (!*nic->mac && !by_mac(n, mac))
		snprintf(nic->mac, sizeof(nic->mac), "%s", mac);
}

const char *net_name_of(struct net *n, const char *mac)
{
	struct nic *nic = by_mac(n, mac);
	char name[NIC_NAME_MAX];

	if (nic) {
		nic->configured = true;
		return nic->name;
	}
	for (unsigned i = 0; i < NICS_MAX; i++) {
		struct span s = { name, (size_t)snprintf(name, sizeof(name), "nic%u", i) };

		if (by_name(n, s))
			continue;
		net_note(n, s, mac, true);
		nic = by_name(n, s);
		return nic ? nic->name : "";
	}
	return "";
}

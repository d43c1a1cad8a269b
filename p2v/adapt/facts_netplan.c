/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* netplan's YAML, as people and installers write it: maps by indentation, lists by dashes or in brackets.  Anchors, multi-line
   strings and maps in braces over several lines are not understood, and say nothing. */
#include "facts_network.h"
#include "lines.h"

#include <string.h>

#define DEPTH 8

struct plan_place { /* where we are: the keys above this line, with their indentation */
	size_t indent[DEPTH];
	char key[DEPTH][64];
	int depth;
};

static size_t indent_of(const char *line, size_t len)
{
	size_t n = 0;

	while (n < len && line[n] == ' ')
		n++;
	return n;
}

/* A value without quotes, blanks and a comment behind it. */
static void plain(const char *at, size_t len, struct bytes *out)
{
	char quote = 0;

	bytes_clear(out);
	bytes_add(out, "", 0);
	while (len && (*at == ' ' || *at == '\t')) {
		at++;
		len--;
	}
	if (len && (*at == '"' || *at == '\'')) {
		quote = *at++;
		len--;
	}
	for (size_t i = 0; i < len && (quote ? at[i] != quote : at[i] != '#' && at[i] != ','); i++)
		bytes_add(out, at + i, 1);
	while (!quote && out->len && (out->at[out->len - 1] == ' ' || out->at[out->len - 1] == '\t'))
		out->at[--out->len] = '\0';
}

static void place_enter(struct plan_place *p, size_t indent, const char *key, size_t len)
{
	while (p->depth && p->indent[p->depth - 1] >= indent)
		p->depth--;
	if (p->depth == DEPTH)
		return;
	p->indent[p->depth] = indent;
	if (len && (*key == '"' || *key == '\'')) {
		key++;
		len -= len > 1 ? 2 : 1;
	}
	len = len < sizeof(p->key[0]) - 1 ? len : sizeof(p->key[0]) - 1;
	memcpy(p->key[p->depth], key, len);
	p->key[p->depth++][len] = '\0';
}

static bool at_key(const struct plan_place *p, int depth, const char *key)
{
	return p->depth > depth && !strcmp(p->key[depth], key);
}

static void list_take(struct look *l, struct fact_nic *n, const char *at, size_t len, struct bytes *value)
{
	const char *end = at + len;

	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		size_t part = (size_t)((comma ? comma : end) - at);

		plain(at, part, value);
		if (value->len)
			nic_address(l, n, value->at, NULL);
		at += part + (comma != NULL);
	}
}

static void value_take(struct look *l, struct fact_nic *n, const struct plan_place *p, const char *at, size_t len,
		       struct bytes *value)
{
	const char *open, *close;

	plain(at, len, value);
	if (p->depth == 4 && (at_key(p, 3, "dhcp4") || at_key(p, 3, "dhcp6")) &&
	    (!strcmp(value->at, "true") || !strcmp(value->at, "yes") || !strcmp(value->at, "on")))
		nic_address(l, n, "dhcp", NULL);
	open = p->depth == 4 && at_key(p, 3, "addresses") ? memchr(at, '[', len) : NULL;
	close = open ? memchr(open, ']', len - (size_t)(open - at)) : NULL;
	if (close)
		list_take(l, n, open + 1, (size_t)(close - open - 1), value);
	if (p->depth == 5 && at_key(p, 3, "match") && at_key(p, 4, "macaddress"))
		nic_mac(l, n, value->at);
	if (p->depth == 5 && at_key(p, 3, "match") && at_key(p, 4, "driver"))
		look_set(l, &n->driver, value->at);
	if (p->depth == 4 && at_key(p, 3, "set-name") && value->len)
		look_set(l, &n->name, value->at);
}

static void line_take(struct look *l, struct plan_place *p, const char *path, const char *line, size_t len, struct bytes *value,
		      struct fact_nic **nic)
{
	size_t indent = indent_of(line, len), key;
	const char *at = line + indent, *colon;

	len -= indent;
	if (!len || *at == '#')
		return;
	if (*at == '-') { /* an item of a list: of the key above it, at its indentation or further in */
		while (p->depth && p->indent[p->depth - 1] > indent)
			p->depth--;
		if (*nic && p->depth == 4 && at_key(p, 3, "addresses")) {
			plain(at + 1, len - 1, value);
			if (value->len && value->at[value->len - 1] == ':') /* settings of the address follow */
				value->at[--value->len] = '\0';
			if (*value->at)
				nic_address(l, *nic, value->at, NULL);
		}
		return;
	}
	colon = memchr(at, ':', len);
	if (!colon)
		return;
	key = (size_t)(colon - at);
	place_enter(p, indent, at, key);
	if (!at_key(p, 0, "network") || !at_key(p, 1, "ethernets")) {
		*nic = NULL;
		return;
	}
	if (p->depth == 3)
		*nic = nic_get(l, p->key[2], path);
	if (*nic && p->depth > 3)
		value_take(l, *nic, p, colon + 1, len - key - 1, value);
}

int netplan_take(void *to, const char *path)
{
	struct look *l = to;
	struct bytes b = { 0 }, value = { 0 };
	struct plan_place place = { 0 };
	struct fact_nic *nic = NULL;
	int rc = look_text(l, path, &b);
	struct lines t = lines_of(&b);
	const char *line;
	size_t len;

	bytes_add(&value, "", 0);
	while (rc > 0 && !value.failed && lines_next(&t, &line, &len))
		line_take(l, &place, path, line, len, &value, &nic);
	l->nomem |= value.failed;
	bytes_destroy(&b);
	bytes_destroy(&value);
	return rc < 0 ? -1 : 0;
}

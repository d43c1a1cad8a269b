/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * netplan's YAML, edited line by line: no library writes YAML back with its comments and its order.  Read are block mappings, as
 * netplan's own examples, the installers and cloud-init write them; `match:` may be a flow mapping on one line.  Anything else
 * under a card (anchors, flow mappings of whole cards, tabs) is left alone with a remark.
 */
#include "net.h"

#include <stdio.h>
#include <string.h>

struct yaml_line {
	struct span key, value; /* without quotes */
	size_t indent;
	bool blank;             /* nothing but blanks or a comment */
};

static struct span unquote(struct span s)
{
	s = span_trim(s);
	if (s.len >= 2 && strchr("\"'", *s.at) && s.at[s.len - 1] == *s.at)
		return (struct span){ s.at + 1, s.len - 2 };
	return s;
}

static struct yaml_line yaml_read(struct span line)
{
	struct yaml_line y = { 0 };
	const char *s = line.at, *end = line.at + line.len, *colon = NULL;

	while (s < end && *s == ' ')
		s++;
	y.indent = (size_t)(s - line.at);
	if (s == end || *s == '#' || *s == '\r') {
		y.blank = true;
		return y;
	}
	for (const char *c = s; c < end && !colon; c++)
		if (*c == ':' && (c + 1 == end || strchr(" \t\r", c[1])))
			colon = c;
	if (!colon)
		return y;
	y.key = unquote((struct span){ s, (size_t)(colon - s) });
	for (const char *c = colon + 1; c < end; c++)
		if (*c == '#' && strchr(" \t", c[-1]))
			end = c;
	y.value = unquote((struct span){ colon + 1, (size_t)(end - colon - 1) });
	return y;
}

/* One card, while its lines pass. */
struct card {
	struct span id, set_name, match_name, flow;
	char mac[NIC_MAC_MAX];
	bool match, driver, odd;
	size_t from, to; /* of its lines in the text, behind its own */
};

static bool is_literal(struct span s) { return s.len && nic_name_ok(s); }

/* {macaddress: "…", driver: x} */
static void flow_read(struct span flow, struct card *c)
{
	const char *at = flow.at + 1, *end = flow.at + flow.len - 1;

	while (at < end) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		struct span one = { at, (size_t)((comma ? comma : end) - at) }, value;
		const char *colon = memchr(one.at, ':', one.len);

		at += one.len + 1;
		if (!colon) {
			c->odd = true;
			return;
		}
		value = unquote((struct span){ colon + 1, (size_t)(one.at + one.len - colon - 1) });
		one = unquote((struct span){ one.at, (size_t)(colon - one.at) });
		if (span_is(one, "macaddress"))
			c->odd = !mac_read(value, c->mac) || c->odd;
		else if (span_is(one, "driver"))
			c->driver = true;
		else if (span_is(one, "name"))
			c->match_name = value;
		else
			c->odd = true;
	}
}

static void card_read(const struct text *t, struct card *c)
{
	struct text look = { .in = t->in, .next = c->from };
	size_t match_indent = 0, own = 0;

	while (look.next < c->to && text_next(&look)) {
		struct yaml_line y = yaml_read(look.line);

		if (y.blank)
			continue;
		if (memchr(look.line.at, '\t', y.indent + 1 < look.line.len ? y.indent + 1 : look.line.len))
			c->odd = true;
		own = own ? own : y.indent;
		if (match_indent && y.indent <= match_indent)
			match_indent = 0;
		if (match_indent) {
			if (span_is(y.key, "macaddress"))
				c->odd = !mac_read(y.value, c->mac) || c->odd;
			else if (span_is(y.key, "driver"))
				c->driver = true;
			else if (span_is(y.key, "name"))
				c->match_name = y.value;
			else if (!y.key.len)
				c->driver = c->driver || true; /* - e1000: an entry of a list of drivers */
		} else if (y.indent == own && span_is(y.key, "match")) {
			c->odd = c->odd || c->match; /* twice: which one counts depends on who reads it */
			c->match = true;
			if (!y.value.len)
				match_indent = y.indent;
			else if (*y.value.at == '{' && y.value.at[y.value.len - 1] == '}')
				flow_read(c->flow = y.value, c);
			else
				c->odd = true;
		} else if (y.indent == own && span_is(y.key, "set-name")) {
			c->set_name = y.value;
		}
	}
}

static void card_note(struct net *n, const struct card *c)
{
	if (is_literal(c->set_name))
		net_note(n, c->set_name, c->mac, true);
	else if (is_literal(c->match_name))
		net_note(n, c->match_name, c->mac, true);
	else if (!c->match && is_literal(c->id))
		net_note(n, c->id, "", true);
}

/* The card's lines with its match by name. */
static void card_write(struct net *n, struct text *t, const struct card *c)
{
	char name[NIC_NAME_MAX] = "";
	size_t match_indent = 0, own = 0;
	bool put = false;

	if (is_literal(c->set_name))
		span_copy(c->set_name, name, sizeof(name));
	else if (is_literal(c->match_name))
		span_copy(c->match_name, name, sizeof(name));
	else if (*c->mac)
		snprintf(name, sizeof(name), "%s", net_name_of(n, c->mac));
	while (t->next < c->to && text_next(t)) {
		struct yaml_line y = yaml_read(t->line);
		struct span indent = { t->line.at, y.indent };

		if (y.blank) {
			text_keep(t);
			continue;
		}
		own = own ? own : y.indent;
		if (match_indent && y.indent <= match_indent)
			match_indent = 0;
		if (match_indent || (y.indent == own && span_is(y.key, "set-name"))) {
			if (match_indent && !put && *name)
				text_add(t, "%.*sname: %s", (int)indent.len, indent.at, name);
			else if (match_indent && !put)
				text_add(t, "%.*sname: \"e*\"", (int)indent.len, indent.at);
			put = put || match_indent;
			text_add(t, "%.*s# vdisk: %.*s", (int)indent.len, indent.at, (int)(t->line.len - y.indent),
			         t->line.at + y.indent);
			continue;
		}
		if (y.indent == own && span_is(y.key, "match") && !y.value.len) {
			match_indent = y.indent;
		} else if (y.indent == own && span_is(y.key, "match")) {
			struct bytes line = { 0 }, with = { 0 };

			bytes_format(&with, *name ? "{name: %s}" : "{name: \"e*\"}", name);
			bytes_replaced(&line, t->line, c->flow, with.at ? with.at : "");
			text_put(t, &line);
			bytes_destroy(&line);
			bytes_destroy(&with);
			continue;
		}
		text_keep(t);
	}
}

/* Where the lines of a block end that began at `from` with less indentation than `indent` + 1. */
static size_t block_end(const struct text *t, size_t from, size_t indent)
{
	struct text look = { .in = t->in, .next = from };
	size_t end = from;

	while (text_next(&look)) {
		struct yaml_line y = yaml_read(look.line);

		if (!y.blank && y.indent <= indent)
			return end;
		end = look.next;
	}
	return end;
}

static void card_handle(struct net *n, struct text *t, const struct yaml_line *head)
{
	struct card c = { .id = head->key, .from = t->next, .to = block_end(t, t->next, head->indent) };

	if (head->value.len) {
		if (!n->collecting)
			remark_once(n->plan,
			            "%s: %.*s is written in a way that is not understood here; see to it that it goes by the "
			            "card's name",
			            t->path, (int)c.id.len, c.id.at);
		text_keep(t);
		return;
	}
	card_read(t, &c);
	card_note(n, &c);
	text_keep(t);
	if (n->collecting || !c.match || (!*c.mac && !c.driver && !(c.set_name.len && !is_literal(c.match_name)) && !c.odd))
		return;
	if (c.odd) {
		remark_once(n->plan,
		            "%s: %.*s is matched in a way that is not understood here; see to it that it goes by the card's name",
		            t->path, (int)c.id.len, c.id.at);
		return;
	}
	if (!*c.mac && c.driver && !is_literal(c.set_name) && !is_literal(c.match_name))
		remark_once(n->plan, "%s: %.*s was for cards with a driver of the old machine, and is for every wired card now",
		            t->path, (int)c.id.len, c.id.at);
	card_write(n, t, &c);
}

static int netplan_file(void *to, const char *path, vdisk_error *err)
{
	struct net *n = to;
	size_t cards = 0, indent = 0; /* of `ethernets:`, plus one; of a card's own line */
	struct text t;
	int rc = text_open(&t, n->plan, path, err);

	if (rc <= 0)
		return rc;
	while (text_next(&t)) {
		struct yaml_line y = yaml_read(t.line);

		if (y.blank) {
			text_keep(&t);
			continue;
		}
		if (cards && y.indent < cards)
			cards = indent = 0;
		if (!cards) {
			if (span_is(y.key, "ethernets"))
				cards = y.indent + 1;
			if (span_is(y.key, "ethernets") && y.value.len && !n->collecting)
				remark_once(n->plan,
				            "%s: cards are written there in a way that is not understood here; see to it that they "
				            "go by name",
				            path);
			text_keep(&t);
			continue;
		}
		indent = indent ? indent : y.indent;
		if (y.indent == indent && y.key.len)
			card_handle(n, &t, &y);
		else
			text_keep(&t);
	}
	if (n->collecting) {
		text_close(&t);
		return 0;
	}
	return text_write(&t, err, "the card is told by its name, since its MAC and driver may be others");
}

int net_netplan(struct net *n, vdisk_error *err)
{
	return files_each(n->plan, "/etc/netplan", "*.yaml", netplan_file, n, err)
	               ? -1
	               : files_each(n->plan, "/etc/netplan", "*.yml", netplan_file, n, err);
}

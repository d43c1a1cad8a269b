/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading of XML, by libxml2 with its doors shut: a document type stops the parser before any entity is declared, nothing is
 * loaded, and elements and attributes are counted while they come, so that no input makes a tree much larger than itself.
 */
#include "xml.h"

#include "common/fail.h"
#include "text.h"

#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEPTH_MAX  240 /* libxml2 has a limit of 256 */
#define NODES_MAX  300000
#define TAG_MAX    2000 /* attributes of one element: the parser compares each with each */
#define UNUSED_MAX 200  /* entries of one description */

struct limits {
	startDocumentSAXFunc document;
	startElementNsSAX2Func start;
	endElementNsSAX2Func end;
	size_t nodes;
	unsigned depth;
	const char *broken;
};

static void stop(xmlParserCtxt *ctxt, const char *why)
{
	struct limits *l = ctxt->_private;

	if (!l->broken)
		l->broken = why;
	xmlStopParser(ctxt);
}

static void on_start(void *arg, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri, int namespaces_n,
                     const xmlChar **namespaces, int attributes_n, int defaulted_n, const xmlChar **attributes)
{
	xmlParserCtxt *ctxt = arg;
	struct limits *l = ctxt->_private;

	l->nodes += 1 + (size_t)namespaces_n + (size_t)attributes_n;
	if (l->nodes > NODES_MAX) {
		stop(ctxt, "it has more than 300,000 elements and attributes");
		return;
	}
	if (++l->depth > DEPTH_MAX) {
		stop(ctxt, "its elements lie more than 240 deep");
		return;
	}
	l->start(ctxt, name, prefix, uri, namespaces_n, namespaces, attributes_n, defaulted_n, attributes);
}

static void on_end(void *arg, const xmlChar *name, const xmlChar *prefix, const xmlChar *uri)
{
	xmlParserCtxt *ctxt = arg;
	struct limits *l = ctxt->_private;

	l->depth--;
	l->end(ctxt, name, prefix, uri);
}

static void on_subset(void *arg, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
	(void)name;
	(void)external;
	(void)system;
	stop(arg, "it has a document type (<!DOCTYPE), which no description of a machine needs");
}

/* Only encodings in which tags_judge() sees what the parser sees. */
static void on_document(void *arg)
{
	static const char *const known[] = { "UTF-8",    "UTF8",  "UTF-16",    "UTF-16LE",   "UTF-16BE",
		                             "US-ASCII", "ASCII", "ISO-8859-", "windows-125" };
	xmlParserCtxt *ctxt = arg;
	struct limits *l = ctxt->_private;
	const char *encoding =
		ctxt->input && ctxt->input->encoding ? (const char *)ctxt->input->encoding : (const char *)ctxt->encoding;

	for (size_t i = 0; encoding && i < sizeof(known) / sizeof(*known); i++) {
		size_t n = strlen(known[i]);

		if (!strcasecmp(encoding, known[i]) || (i >= 7 && !strncasecmp(encoding, known[i], n)))
			encoding = NULL;
	}
	if (encoding)
		stop(ctxt, "its encoding is neither Unicode's nor one that extends ASCII");
	else
		l->document(ctxt);
}

/* What begins attributes (an equals sign, then a quote) from one '<' to the next, in UTF-16 as well; there can be no '<' in a
   value. */
static bool tags_judge(const unsigned char *p, size_t len)
{
	size_t n = 0;
	bool equals = false;

	for (size_t i = 0; i < len; i++)
		if (p[i] == '<')
			n = 0;
		else if (p[i] == '=')
			equals = true;
		else if (p[i] && !strchr(" \t\r\n", p[i])) {
			n += equals && (p[i] == '"' || p[i] == '\'');
			equals = false;
			if (n > TAG_MAX)
				return false;
		}
	return true;
}

static int broken_say(xmlParserCtxt *ctxt, const struct limits *l, vdisk_error *err)
{
	const xmlError *e = xmlCtxtGetLastError(ctxt);
	char text[256] = "malformed";

	if (l->broken)
		return fail(err, VDISK_REFUSED, "this XML is refused: %s", l->broken);
	if (e && e->code == XML_ERR_NO_MEMORY)
		return fail_nomem(err);
	if (e && e->message)
		text_clean(text, sizeof(text) - 1, e->message, false);
	text[strcspn(text, "?")] = '\0'; /* its messages end in a newline */
	return fail(err, VDISK_CORRUPT, "this is no XML, line %d: %s", e ? e->line : 0, text);
}

int xml_parse(struct xml *x, const void *bytes, size_t len, vdisk_error *err)
{
	struct limits l = { 0 };
	xmlParserCtxt *ctxt;
	int rc;

	*x = (struct xml){ 0 };
	if (len > INT32_MAX)
		return fail(err, VDISK_UNSUPPORTED, "this XML has %zu bytes", len);
	if (len >= 4 && !memcmp(bytes, "\x4c\x6f\xa7\x94", 4))
		return fail(err, VDISK_REFUSED, "this XML is refused: it is in EBCDIC");
	if (!tags_judge(bytes, len))
		return fail(err, VDISK_REFUSED, "this XML is refused: an element has more than %d attributes", TAG_MAX);
	ctxt = xmlNewParserCtxt();
	if (!ctxt)
		return fail_nomem(err);
	ctxt->_private = &l;
	l.document = ctxt->sax->startDocument;
	l.start = ctxt->sax->startElementNs;
	l.end = ctxt->sax->endElementNs;
	ctxt->sax->startDocument = on_document;
	ctxt->sax->startElementNs = on_start;
	ctxt->sax->endElementNs = on_end;
	ctxt->sax->internalSubset = on_subset;
	ctxt->sax->comment = NULL;
	ctxt->sax->processingInstruction = NULL;
	x->doc = xmlCtxtReadMemory(ctxt, bytes, (int)len, NULL, NULL,
	                           XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA |
	                                   XML_PARSE_NOBLANKS);
	x->root = x->doc && !l.broken ? xmlDocGetRootElement(x->doc) : NULL;
	rc = x->root ? 0 : broken_say(ctxt, &l, err);
	if (rc)
		xml_free(x);
	xmlFreeParserCtxt(ctxt);
	return rc;
}

void xml_free(struct xml *x)
{
	for (size_t i = 0; i < x->texts_n; i++)
		xmlFree(x->texts[i]);
	free(x->texts);
	if (x->doc)
		xmlFreeDoc(x->doc);
	*x = (struct xml){ 0 };
}

static void mark(void *private_at) { *(void **)private_at = (void *)1; }

bool xml_is(const xmlNode *node, const char *name)
{
	return node && node->type == XML_ELEMENT_NODE && (!name || !strcmp((const char *)node->name, name));
}

static xmlNode *find(xmlNode *node, const char *name)
{
	while (node && !xml_is(node, name))
		node = node->next;
	if (node && name)
		mark(&node->_private);
	return node;
}

xmlNode *xml_child(xmlNode *parent, const char *name) { return parent ? find(parent->children, name) : NULL; }
xmlNode *xml_next(xmlNode *node, const char *name) { return find(node->next, name); }

void xml_seen(xmlNode *node)
{
	if (!node)
		return;
	mark(&node->_private);
	for (xmlAttr *a = node->properties; a; a = a->next)
		mark(&a->_private);
	for (xmlNode *c = node->children; c; c = c->next)
		if (c->type == XML_ELEMENT_NODE)
			xml_seen(c);
}

/* Takes the text, which is libxml2's. */
static const char *keep(struct xml *x, xmlChar *text)
{
	char *at = (char *)text, **grown;
	size_t n;

	if (!text) {
		x->nomem = true;
		return NULL;
	}
	if (!(x->texts_n & (x->texts_n - 1))) {
		grown = realloc(x->texts, (x->texts_n ? x->texts_n * 2 : 1) * sizeof(*grown));
		if (!grown) {
			x->nomem = true;
			xmlFree(text);
			return NULL;
		}
		x->texts = grown;
	}
	x->texts[x->texts_n++] = at;
	while (*at && strchr(" \t\r\n", *at))
		at++;
	n = strlen(at);
	while (n && strchr(" \t\r\n", at[n - 1]))
		at[--n] = '\0';
	return at;
}

const char *xml_attr(struct xml *x, xmlNode *node, const char *name)
{
	for (xmlAttr *a = node ? node->properties : NULL; a; a = a->next)
		if (!strcmp((const char *)a->name, name)) {
			mark(&a->_private);
			return keep(x, a->children ? xmlNodeListGetString(x->doc, a->children, 1) : xmlStrdup((const xmlChar *)""));
		}
	return NULL;
}

const char *xml_peek(const xmlNode *node, const char *name)
{
	for (const xmlAttr *a = node->properties; a; a = a->next)
		if (!strcmp((const char *)a->name, name))
			return a->children && a->children->type == XML_TEXT_NODE ? (const char *)a->children->content : NULL;
	return NULL;
}

const char *xml_text(struct xml *x, xmlNode *node)
{
	if (!node)
		return NULL;
	mark(&node->_private);
	return keep(x, xmlNodeGetContent(node));
}

const char *xml_child_text(struct xml *x, xmlNode *parent, const char *name) { return xml_text(x, xml_child(parent, name)); }

const char *xml_child_attr(struct xml *x, xmlNode *parent, const char *child, const char *name)
{
	return xml_attr(x, xml_child(parent, child), name);
}

struct unused {
	struct xml *x;
	const char *const *harmless;
	const char *why;
	struct machine_lost_list *lost;
	unsigned left;
};

static bool is_harmless(const struct unused *u, const char *name, bool attr)
{
	for (const char *const *h = u->harmless; h && *h; h++)
		if (attr ? **h == '@' && !strcmp(*h + 1, name) : !strcmp(*h, name))
			return true;
	return false;
}

static bool lost_one(struct unused *u, const char *value, xmlNode *node, const char *attr)
{
	char path[256] = "", longer[512];

	for (const xmlNode *n = node; n && n->type == XML_ELEMENT_NODE; n = n->parent) {
		snprintf(longer, sizeof(longer), "%s%s%.200s", (const char *)n->name, *path ? "/" : "", path);
		snprintf(path, sizeof(path), "%.255s", longer);
	}
	if (!u->left) {
		u->lost->more = true;
		return false;
	}
	u->left--;
	machine_lost_add(u->lost, value && *value ? value : NULL, u->why, "%s%s%s, line %ld", path, attr ? " " : "",
	                 attr ? attr : "", xmlGetLineNo(node));
	return true;
}

/* What an element says in short, when the whole is not understood: its attributes and its text. */
static void summary(struct unused *u, xmlNode *node, char *out, size_t room)
{
	size_t n = 0;
	const char *text = xml_text(u->x, node);

	*out = '\0';
	for (xmlAttr *a = node->properties; a && n + 2 < room; a = a->next) {
		const char *value = xml_attr(u->x, node, (const char *)a->name);
		int k = snprintf(out + n, room - n, "%s%.64s=\"%.128s\"", n ? " " : "", (const char *)a->name, value ? value : "");

		n = k < 0 || (size_t)k >= room - n ? room - 1 : n + (size_t)k;
	}
	if (text && *text && n + 2 < room)
		snprintf(out + n, room - n, "%s%.200s", n ? " " : "", text);
}

static bool unused_walk(struct unused *u, xmlNode *node)
{
	char text[512];

	for (xmlAttr *a = node->properties; a; a = a->next)
		if (!a->_private && !is_harmless(u, (const char *)a->name, true) &&
		    !lost_one(u, xml_attr(u->x, node, (const char *)a->name), node, (const char *)a->name))
			return false;
	for (xmlNode *c = node->children; c; c = c->next) {
		if (c->type != XML_ELEMENT_NODE || is_harmless(u, (const char *)c->name, false))
			continue;
		if (c->_private) {
			if (!unused_walk(u, c))
				return false;
			continue;
		}
		summary(u, c, text, sizeof(text));
		if (!lost_one(u, text, c, NULL))
			return false;
	}
	return true;
}

void xml_unused(struct xml *x, xmlNode *node, const char *const *harmless, const char *why, struct machine_lost_list *lost)
{
	struct unused u = { x, harmless, why, lost, UNUSED_MAX };

	if (node)
		unused_walk(&u, node);
}

bool xml_yes(const char *text)
{
	return text && (!strcasecmp(text, "true") || !strcasecmp(text, "yes") || !strcasecmp(text, "on") || !strcmp(text, "1"));
}

bool xml_number(const char *text, uint64_t max, uint64_t *out)
{
	uint64_t n = 0;

	if (!text || !*text)
		return false;
	for (; *text; text++) {
		unsigned d = (unsigned)*text - '0';

		if (d > 9 || __builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, d, &n))
			return false;
	}
	*out = n;
	return n <= max;
}

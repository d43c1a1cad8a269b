/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * XML from anywhere, as a tree; and XML that is written.
 *
 * In reading, names are local ones: descriptions differ in prefixes and even in namespaces, never in what a name means beside its
 * neighbours.  Whatever is asked for is marked; what never was is listed by xml_unused(), so that nothing is dropped in silence.
 */
#ifndef MACHINE_XML_H
#define MACHINE_XML_H

#include "machine.h"

#include <libxml/tree.h>
#include <libxml/xmlwriter.h>

struct xml {
	xmlDoc *doc;
	xmlNode *root;
	char **texts; /* contents that were asked for */
	size_t texts_n;
	bool nomem;
};

/* Refuses document types (entities and the network with them), more than 240 levels, more than 300,000 elements and attributes, and
   encodings in which these would not be seen. */
int xml_parse(struct xml *x, const void *bytes, size_t len, vdisk_error *err);
void xml_free(struct xml *x);

/* The first child with this name, or any (NULL); then the next one behind it.  NULL: none. */
xmlNode *xml_child(xmlNode *parent, const char *name);
xmlNode *xml_next(xmlNode *node, const char *name);
#define XML_EACH(node, parent, name) for (xmlNode *node = xml_child(parent, name); node; node = xml_next(node, name))
bool xml_is(const xmlNode *node, const char *name);
/* Marks all below as seen. */
void xml_seen(xmlNode *node);
/* Of NULL nodes, and where there is none: NULL.  Without blanks at both ends; lives as long as the xml. */
const char *xml_attr(struct xml *x, xmlNode *node, const char *name);
/* The same as it stands, not marked and not copied, for looks that are taken many times. */
const char *xml_peek(const xmlNode *node, const char *name);
const char *xml_text(struct xml *x, xmlNode *node);
const char *xml_child_text(struct xml *x, xmlNode *parent, const char *name);
/* The child's attribute. */
const char *xml_child_attr(struct xml *x, xmlNode *parent, const char *child, const char *name);
/* Lists elements below `node` and attributes that were not asked for; those with a name in `harmless` (NULL-terminated; "@name" for
   attributes) say nothing worth it. */
void xml_unused(struct xml *x, xmlNode *node, const char *const *harmless, const char *why, struct machine_lost_list *lost);

/* true, yes, on, 1. */
bool xml_yes(const char *text);
/* A plain decimal number; false: it is none, or larger. */
bool xml_number(const char *text, uint64_t max, uint64_t *out);

struct writer {
	xmlTextWriter *w;
	xmlBuffer *buffer;
	bool failed;
};

int writer_begin(struct writer *w);
/* The text to be freed, or NULL: out of memory.  Ends the writer in any case. */
char *writer_end(struct writer *w, size_t *len);
void writer_open(struct writer *w, const char *name);
void writer_close(struct writer *w);
void writer_attr(struct writer *w, const char *name, const char *value); /* nothing where value is NULL */
void writer_attrf(struct writer *w, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
void writer_text(struct writer *w, const char *name, const char *value); /* <name>value</name>; nothing where value is NULL */
void writer_textf(struct writer *w, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* <name a="v" …/>, attributes as pairs that a NULL name ends; pairs with a NULL value are left out. */
void writer_empty(struct writer *w, const char *name, ...) __attribute__((sentinel));
void writer_comment(struct writer *w, const char *text);

#endif

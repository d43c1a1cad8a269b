/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writing of XML, indented.  The first failure is kept; there is none but memory. */
#include "xml.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void look(struct writer *w, int rc) { w->failed |= rc < 0; }
static const xmlChar *chars(const char *text) { return (const xmlChar *)text; }

int writer_begin(struct writer *w)
{
	*w = (struct writer){ .buffer = xmlBufferCreate() };
	w->w = w->buffer ? xmlNewTextWriterMemory(w->buffer, 0) : NULL;
	if (!w->w) {
		if (w->buffer)
			xmlBufferFree(w->buffer);
		return -1;
	}
	look(w, xmlTextWriterSetIndent(w->w, 1));
	look(w, xmlTextWriterSetIndentString(w->w, chars("  ")));
	return 0;
}

char *writer_end(struct writer *w, size_t *len)
{
	char *text = NULL;

	look(w, xmlTextWriterEndDocument(w->w));
	xmlFreeTextWriter(w->w);
	if (!w->failed && w->buffer->content) {
		*len = w->buffer->use;
		text = malloc(*len + 1);
		if (text)
			memcpy(text, w->buffer->content, *len + 1);
	}
	xmlBufferFree(w->buffer);
	return text;
}

/* NULL: there is no memory, which is noted. */
static char *formatted(struct writer *w, const char *format, va_list args)
{
	char *text;
	int n = vasprintf(&text, format, args);

	look(w, n);
	return n < 0 ? NULL : text;
}

void writer_open(struct writer *w, const char *name) { look(w, xmlTextWriterStartElement(w->w, chars(name))); }
void writer_close(struct writer *w) { look(w, xmlTextWriterEndElement(w->w)); }

void writer_attr(struct writer *w, const char *name, const char *value)
{
	if (value)
		look(w, xmlTextWriterWriteAttribute(w->w, chars(name), chars(value)));
}

void writer_attrf(struct writer *w, const char *name, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = formatted(w, format, args);
	va_end(args);
	writer_attr(w, name, text);
	free(text);
}

void writer_text(struct writer *w, const char *name, const char *value)
{
	if (value)
		look(w, xmlTextWriterWriteElement(w->w, chars(name), chars(value)));
}

void writer_textf(struct writer *w, const char *name, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	text = formatted(w, format, args);
	va_end(args);
	writer_text(w, name, text);
	free(text);
}

void writer_empty(struct writer *w, const char *name, ...)
{
	const char *attr, *value;
	va_list args;

	writer_open(w, name);
	va_start(args, name);
	while ((attr = va_arg(args, const char *))) {
		value = va_arg(args, const char *);
		writer_attr(w, attr, value);
	}
	va_end(args);
	writer_close(w);
}

void writer_comment(struct writer *w, const char *text)
{
	if (!strstr(text, "--"))
		look(w, xmlTextWriterWriteComment(w->w, chars(text)));
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A terminal without a screen.  Where the cursor is sent elsewhere (boot loaders draw so), a new line begins: what stands on one
 * row of such a screen was written in one go.  Sequences after ECMA-48 and xterm's control sequences; nothing a guest sends can
 * make the state larger than it is.
 */
#include "transcript.h"

#include <stdbool.h>
#include <string.h>

enum {
	PLAIN,
	RETURNED,     /* after CR: a line end, or the line is written anew */
	ESCAPE,       /* after ESC */
	INTERMEDIATE, /* ESC and a byte from 0x20 to 0x2f: one final byte follows */
	CONTROL,      /* ESC [ … up to a byte from 0x40 on */
	STRING,       /* ESC ] P X ^ _ … up to BEL or ESC \ */
	STRING_ESCAPE,
};

#define ESC 0x1b

void transcript_init(struct transcript *t, transcript_fn fn, void *ctx)
{
	*t = (struct transcript){ .fn = fn, .ctx = ctx };
}

/* The length of the UTF-8 character at p, which is complete and printable; 0: it is none. */
static size_t character(const uint8_t *p, size_t n)
{
	size_t len = p[0] < 0x80                   ? 1
	             : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
	             : (p[0] & 0xf0) == 0xe0       ? 3
	             : p[0] >= 0xf0 && p[0] < 0xf5 ? 4
	                                           : 0;

	if (!len || len > n || (len == 1 && (p[0] < 0x20 || p[0] == 0x7f)))
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong ones, surrogates, beyond Unicode; and the C1 controls. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f) || (p[0] == 0xc2 && p[1] < 0xa0))
		return 0;
	return len;
}

void transcript_clean(char *out, size_t room, const uint8_t *bytes, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < n;) {
		size_t len = character(bytes + i, n - i);

		if (at + (len ? len : 1) >= room)
			break;
		if (len)
			memcpy(out + at, bytes + i, len);
		else
			out[at] = '?';
		at += len ? len : 1;
		i += len ? len : 1;
	}
	while (at && out[at - 1] == ' ')
		at--;
	out[at] = '\0';
}

const char *transcript_partial(const struct transcript *t, char out[TRANSCRIPT_LINE_MAX + 1])
{
	transcript_clean(out, TRANSCRIPT_LINE_MAX + 1, t->line, t->n);
	return out;
}

void transcript_end(struct transcript *t)
{
	char line[TRANSCRIPT_LINE_MAX + 1];

	if (t->n && *transcript_partial(t, line))
		t->fn(t->ctx, line);
	t->n = 0;
}

static void put(struct transcript *t, uint8_t byte)
{
	if (t->n == sizeof(t->line))
		transcript_end(t);
	t->line[t->n++] = byte;
}

static void plain(struct transcript *t, uint8_t byte)
{
	switch (byte) {
	case '\n':
	case '\f':
	case '\v':
		transcript_end(t);
		break;
	case '\r':
		t->state = RETURNED;
		break;
	case '\b':
		t->n -= t->n > 0;
		break;
	case '\t':
		put(t, ' ');
		break;
	case ESC:
		t->state = ESCAPE;
		break;
	default:
		if (byte >= 0x20 && byte != 0x7f)
			put(t, byte);
	}
}

static void escape(struct transcript *t, uint8_t byte)
{
	if (byte == '[')
		t->state = CONTROL;
	else if (strchr("]PX^_", byte) && byte)
		t->state = STRING;
	else if (byte >= 0x20 && byte < 0x30)
		t->state = INTERMEDIATE;
	else {
		t->state = PLAIN;
		if (byte == 'c' || byte == 'D' || byte == 'E' || byte == 'M') /* reset, index, next line, reverse index */
			transcript_end(t);
		else if (byte == ESC)
			t->state = ESCAPE;
	}
}

static void control(struct transcript *t, uint8_t byte)
{
	if (byte == ESC) {
		t->state = ESCAPE;
		return;
	}
	if (byte < 0x40)
		return;
	t->state = PLAIN;
	if (strchr("ABEFHJSTdf", byte))
		transcript_end(t);
	else if (byte == 'C' && t->n)
		put(t, ' ');
}

void transcript_feed(struct transcript *t, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t byte = bytes[i];

		switch (t->state) {
		case PLAIN:
			plain(t, byte);
			break;
		case RETURNED:
			if (byte == '\r')
				break;
			t->state = PLAIN;
			/* A sequence may come before the line feed, and erases at most what was written already. */
			if (byte == ESC)
				t->state = ESCAPE;
			transcript_end(t);
			if (byte != '\n' && byte != ESC)
				plain(t, byte);
			break;
		case ESCAPE:
			escape(t, byte);
			break;
		case INTERMEDIATE:
			t->state = byte >= 0x20 && byte < 0x30 ? INTERMEDIATE : PLAIN;
			break;
		case CONTROL:
			control(t, byte);
			break;
		case STRING:
			t->state = byte == '\a' ? PLAIN : byte == ESC ? STRING_ESCAPE : STRING;
			break;
		case STRING_ESCAPE:
			t->state = byte == '\\' ? PLAIN : byte == ESC ? STRING_ESCAPE : STRING;
			break;
		}
	}
}

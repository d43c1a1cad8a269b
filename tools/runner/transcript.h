/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a terminal is sent, as lines of text: escape sequences, colours and cursor movements taken out.  Pure. */
#ifndef RUNNER_TRANSCRIPT_H
#define RUNNER_TRANSCRIPT_H

#include <stddef.h>
#include <stdint.h>

#define TRANSCRIPT_LINE_MAX 1024

/* A line that is complete, without its end and trailing blanks; blank ones are not told.  NUL-terminated; UTF-8, with '?' for
   what is none. */
typedef void (*transcript_fn)(void *ctx, const char *line);

struct transcript {
	uint8_t line[TRANSCRIPT_LINE_MAX];
	size_t n;
	uint8_t state;
	transcript_fn fn;
	void *ctx;
};

void transcript_init(struct transcript *t, transcript_fn fn, void *ctx);
/* The lines do not depend on how the bytes are cut into calls. */
void transcript_feed(struct transcript *t, const uint8_t *bytes, size_t n);
/* The line that is not complete yet, as it stands; "" if it is blank. */
const char *transcript_partial(const struct transcript *t, char out[TRANSCRIPT_LINE_MAX + 1]);
/* Tells the line that is not complete, too. */
void transcript_end(struct transcript *t);

/* Copies printable UTF-8 text; other bytes become '?', blanks at the end are dropped.  `n` bytes, at most room - 1 of them. */
void transcript_clean(char *out, size_t room, const uint8_t *bytes, size_t n);

#endif

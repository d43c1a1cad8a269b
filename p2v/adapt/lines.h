/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lines, words and settings in a guest's text files. */
#ifndef ADAPT_LINES_H
#define ADAPT_LINES_H

#include "bytes.h"

struct lines { /* goes through lines; does not change them */
	const char *at, *end;
};

struct lines lines_of(const struct bytes *b);
/* The next line without its end and without a CR before that; false: no more. */
bool lines_next(struct lines *t, const char **line, size_t *len);
/* The same, without blanks around it, and without lines that are empty or begin with #. */
bool lines_entry(struct lines *t, const char **line, size_t *len);
/* The next word of [*at, end), which moves *at behind it; false: no more. */
bool lines_word(const char **at, const char *end, const char **word, size_t *len);
bool chars_are(const char *at, size_t len, const char *what);
/* Without letters' case. */
bool chars_are_nocase(const char *at, size_t len, const char *what);
bool chars_begin(const char *at, size_t len, const char *what);

/* The value of NAME=value as a shell reads it (os-release, /etc/default/…): quotes taken off, the last one counts, `export` may
   stand before.  What follows a $ stays as it stands.  Replaces *out; false: there is none. */
bool setting_find(const struct bytes *file, const char *name, struct bytes *out);
/* The nth value (from 0) of "key = value" below [section] of an ini file (NetworkManager, systemd); section NULL: before any. */
bool ini_find(const struct bytes *file, const char *section, const char *key, unsigned nth, struct bytes *out);
/* Adds `word` to a list with blanks between, if it is not there yet. */
void words_add(struct bytes *list, const char *word, size_t len);
/* fstab's \040 and the like, into `out`. */
void fstab_unescape(const char *at, size_t len, struct bytes *out);

#endif

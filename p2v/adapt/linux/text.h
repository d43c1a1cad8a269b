/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A text file of the guest, gone through line by line and written again: what nobody asks to change stays byte for byte. */
#ifndef ADAPT_LINUX_TEXT_H
#define ADAPT_LINUX_TEXT_H

#include "plan.h"

struct span {
	const char *at;
	size_t len;
};

struct text {
	struct plan *plan;
	char *path;
	struct bytes in, out;
	size_t next;        /* in `in`: the line after this one */
	struct span line;   /* without its newline */
	bool ended;         /* it has one */
};

/* 1, 0 (not there, or no text: that is remarked), -1.  text_close() or text_write() ends it; unless it says 1, it is closed already
   (and empty). */
int text_open(struct text *t, struct plan *p, const char *path, vdisk_error *err);
/* As the guest has it, whatever the plan makes of it: for reading. */
int text_open_old(struct text *t, struct plan *p, const char *path, vdisk_error *err);
/* One that is not there yet. */
int text_new(struct text *t, struct plan *p, const char *path, vdisk_error *err);
void text_close(struct text *t);
bool text_next(struct text *t);
/* The line as it is, or another in its place; what is added beside it is a line of its own. */
void text_keep(struct text *t);
void text_put(struct text *t, const struct bytes *line);
void text_add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The rest as it is; the plan takes the whole if it has become another.  Closes it. */
int text_write(struct text *t, vdisk_error *err, const char *why, ...) __attribute__((format(printf, 3, 4)));

/* What the first words of the lines behind this one say; at the end: no. */
enum text_ahead { AHEAD_ON, AHEAD_YES, AHEAD_NO };
bool text_look_ahead(const struct text *t, enum text_ahead (*judge)(struct span first));

/* The next run of what is no blank in [*at, end), moving *at behind it; false: none. */
bool word_next(const char **at, const char *end, struct span *word);
/* A word with its quotes in one piece ("a b"=c is one). */
bool word_quoted(const char **at, const char *end, struct span *word);
bool span_is(struct span s, const char *text);
bool span_is_nocase(struct span s, const char *text);
bool span_starts(struct span s, const char *text);
struct span span_trim(struct span s);
/* NUL-ended; false, and "" in `out`, where it does not fit. */
bool span_copy(struct span s, char *out, size_t cap);
void bytes_span(struct bytes *b, struct span s);
/* The line [line.at, …) with the part `old` of it replaced. */
void bytes_replaced(struct bytes *b, struct span line, struct span old, const char *with);

/* "NAME=value", "NAME = 'value'": shell assignments and what looks like them (with `export` before).  `value` is without its
 * quotes. */
bool assignment(struct span line, struct span *name, struct span *value);

/* Each matching file of a folder in turn: 0, or what `each` said first that is not 0. */
typedef int (*file_fn)(void *to, const char *path, vdisk_error *err);
int files_each(struct plan *p, const char *folder, const char *pattern, file_fn each, void *to, vdisk_error *err);

#endif

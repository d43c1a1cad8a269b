/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Assignments and commands in files that a shell reads, or GRUB's, which reads as one: what is quoted, what goes on in the next
   line, where a word ends. */
#ifndef ADAPT_LINUX_SHELL_H
#define ADAPT_LINUX_SHELL_H

#include "text.h"

struct shell_value {
	struct span name;
	struct span word;  /* the value as it is written, to the first blank that no quote holds; it may have newlines in it */
	struct span inner; /* without the quotes, where one pair of them holds all of it */
	char quote;        /* that pair's; 0: there is none */
	bool plain;        /* it can be changed at its end: it is held by one pair of quotes, or has no quote at all */
};

/* NAME=value, `export` may stand before, from `at` in the text's line on.  The line becomes all that the value goes over.  False: it
   is none, or (that is remarked) its quotes never end. */
bool shell_value(struct text *t, const char *at, struct shell_value *v);
/* The line with `with` for the value's inner part, in quotes where it needs them now. */
void shell_value_put(struct text *t, const struct shell_value *v, const struct bytes *with);
/* The line as it is, with a remark that nobody changes what is not plain. */
void shell_value_keep(struct text *t, const struct shell_value *v);
/* Where the command ends: at ; and the like, or at a comment; else `end`. */
const char *shell_command_end(const char *at, const char *end);
/* The line becomes all that its command goes over: those behind a backslash at the end. */
void shell_line_join(struct text *t);
/* Does the text end in a backslash that no other one takes the meaning of? */
bool shell_goes_on(const char *at, const char *end);

#endif

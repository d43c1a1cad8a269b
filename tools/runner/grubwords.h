/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GRUB's script language, word by word: quoting, expansion, comments. */
#ifndef RUNNER_GRUBWORDS_H
#define RUNNER_GRUBWORDS_H

#include "grubvars.h"

#define GRUB_WORDS_MAX 128

/* Where a script is read. */
struct grub_cursor {
	const char *p;
	unsigned line;
};

/* What "$1", "$#" and so on stand for. */
struct grub_args {
	char *const *v;
	size_t n;
};

enum grub_end { GRUB_END_LINE, GRUB_END_OPEN, GRUB_END_CLOSE, GRUB_END_TEXT }; /* newline or ';', '{', '}', the end */

struct grub_command {
	char *words[GRUB_WORDS_MAX]; /* owned */
	size_t n;
	bool bare;                   /* the first word was written without quotes and expansions: it may be a keyword */
	enum grub_end end;
};

/* Reads one command.  `expand`: NULL to skip over it, where words are as written.  *expanded: how many characters came from
   variables, and how many were looked through to find them.  -1: too long, or no memory. */
int grub_command_read(struct grub_cursor *c, const struct grub_vars *expand, const struct grub_args *args, int status,
                      struct grub_command *out, size_t *expanded);
void grub_command_destroy(struct grub_command *cmd);

#endif

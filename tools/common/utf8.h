/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Characters of UTF-8, as table 3-7 of the Unicode standard has them: none is longer than it need be, none a surrogate. */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include <stddef.h>

/* Bytes of the character at `at`, of which there are `n` > 0 bytes; 0: it is none. */
size_t utf8_len(const void *at, size_t n);
/* The same of what a terminal only shows; 0: it is a control (C1 ones, too), or none. */
size_t utf8_shown(const void *at, size_t n);
/* How much of `text` fits into `room` bytes without cutting a character. */
size_t utf8_fit(const char *text, size_t room);
/* Makes `text` one line that a terminal only shows: controls (C1 ones, too), and bytes of no character, become '?'. */
void utf8_clean(char *text);

#endif

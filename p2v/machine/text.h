/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is a text, and what is made of bytes that are none. */
#ifndef MACHINE_TEXT_H
#define MACHINE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Of the character at `at`, of text that a NUL ends: C0, DEL, and C1, which are two bytes in UTF-8. */
static inline bool text_is_control(const char *at)
{
	const unsigned char *p = (const unsigned char *)at;

	return p[0] < 0x20 || p[0] == 0x7f || (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0);
}

/* Length of the UTF-8 character at `at`, of which at most n bytes are there; 0: it is none, or one that XML cannot hold. */
size_t text_utf8_len(const char *at, size_t n);
/* Copies to `out`, which has room for max + 1 bytes: control characters and what is no UTF-8 become '?' (the first ones but
   newlines and tabs with `lines`, and carriage returns are left out), what is too much is cut between characters.  Returns the
   length. */
size_t text_clean(char *out, size_t max, const char *text, bool lines);

#endif

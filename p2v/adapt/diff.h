/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The difference of two texts, as diff -u shows it. */
#ifndef ADAPT_DIFF_H
#define ADAPT_DIFF_H

#include "bytes.h"

/* Appends hunks ("@@ …" and lines with ' ', '-' or '+' before them, three lines of context) to *out; nothing where the texts are
   the same. */
void diff_unified(const char *a, size_t a_len, const char *b, size_t b_len, struct bytes *out);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The page at "/": page.html. */
#ifndef RECEIVE_PAGE_H
#define RECEIVE_PAGE_H

#include <stddef.h>

extern const char page_html[];
extern const size_t page_html_len;

#endif

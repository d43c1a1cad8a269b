/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small files of /sys and /proc, below a root folder that tests make up ("" is the real one). */
#ifndef CAPTURE_FIND_TEXT_H
#define CAPTURE_FIND_TEXT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "ROOT/…" made of a format; false: too long. */
bool find_path(char out[PATH_MAX], const char *root, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool find_there(const char *root, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The file's text, cut to room - 1 bytes, without blanks at its end; "" where there is none.  Returns whether there is any. */
bool find_text(char *out, size_t room, const char *root, const char *format, ...) __attribute__((format(printf, 4, 5)));
/* A decimal number, or `otherwise`. */
uint64_t find_number(uint64_t otherwise, const char *root, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The last part of what a link leads to. */
bool find_link(char *out, size_t room, const char *root, const char *format, ...) __attribute__((format(printf, 4, 5)));
/* All of a link's target with every link resolved, below the root; "" where it is none. */
bool find_real(char out[PATH_MAX], const char *root, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A line's value in "KEY<sep>VALUE" text. */
bool find_value(const char *text, const char *key, char sep, char *out, size_t room);

/* Names in a folder, sorted as people count (sda2 before sda10); NULL with *n 0: none.  find_names_free(). */
char **find_names(const char *root, size_t *n, const char *format, ...) __attribute__((format(printf, 3, 4)));
void find_names_free(char **names, size_t n);

#endif

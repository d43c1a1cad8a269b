/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What programs with an image take alike on the command line, by getopt_long(), and how they say no: a line on standard error. */
#ifndef COMMON_OPTION_H
#define COMMON_OPTION_H

#include "common/source.h"

#include <getopt.h>

enum { OPTION_RW = 1000, OPTION_OVERLAY, OPTION_FORMAT, OPTION_ALLOW_PARENT, OPTION_FORCE };

/* Rows of a table of struct option; -U is to stand among the short ones. */
#define OPTION_SOURCE_ROWS                                            \
	{ "rw", no_argument, NULL, OPTION_RW },                       \
	{ "overlay", required_argument, NULL, OPTION_OVERLAY },       \
	{ "format", required_argument, NULL, OPTION_FORMAT },         \
	{ "allow-parent", required_argument, NULL, OPTION_ALLOW_PARENT }, \
	{ "force", no_argument, NULL, OPTION_FORCE },                 \
	{ "force-share", no_argument, NULL, 'U' }

/* As getopt_long(), but that what it complains of ('?') is a line that begins with `program`. */
int option_next(const char *program, int argc, char **argv, const char *shorts, const struct option *longs);
/* The usage, in one part or two (`more` NULL), on standard output: 1, or -1 when it was said that this fails. */
int option_help(const char *program, const char *usage, const char *more);

/* All return 0, or -1 when it was said; `program` is what the line begins with. */
int option_bad(const char *program, const char *what, const char *value); /* always -1; value may be NULL */
int option_text(const char *program, const char *name, const char *value, const char **out);
/* A file or folder of this host. */
int option_path(const char *program, const char *name, const char *value, const char **out);
int option_number(const char *program, const char *name, const char *value, unsigned long max, unsigned *out); /* from 1 */
/* `value` (may be NULL) is a file to be written anew: none of `images`, and no block device. */
int option_output(const char *program, const char *name, const char *value, const char *const *images, size_t n);
/* One of the rows above; 1: it is none of them. */
int option_source(const char *program, int c, const char *value, struct source_options *o);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the program says while it works: a bar, JSON lines, warnings.  One for the process; notes come from any thread. */
#ifndef CAPTURE_MAIN_SHOW_H
#define CAPTURE_MAIN_SHOW_H

#include "main_options.h"
#include "pass.h"

void show_open(const struct options *o);
/* A pass begins. */
void show_pass(unsigned pass, unsigned passes, const char *phase);
/* Fits struct pass. */
void show_tick(void *ctx, struct pass *p, const struct pass_counts *now);
/* The bar's line is left. */
void show_end(void);
/* A warning, at once. */
void show_warning(const char *message);
/* What is worth knowing with -v, or to a program that reads the JSON lines. */
void show_note(const char *message);
void show_bad(const char *path, uint64_t off, uint64_t len);
/* Returns -1. */
int show_error(const vdisk_error *err);

/* "1.50 GiB". */
#define SHOW_SIZE 32
const char *show_size(char buf[SHOW_SIZE], uint64_t bytes);

#endif

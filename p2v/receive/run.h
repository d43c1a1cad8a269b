/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Another program of this package, run to its end. */
#ifndef RECEIVE_RUN_H
#define RECEIVE_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <vdisk/vdisk.h>

struct run {
	int status;     /* its exit status; 128 and more: a signal */
	char *out;      /* what it printed, owned, NUL-terminated; at most 4 MiB */
	size_t len;
	char last[768]; /* the last line of its standard error */
};

/* Path of the program beside this one, or by PATH; false: there is none. */
bool run_find(const char *name, char path[4096]);
/* argv[0] is its path.  Each line of its standard error, cut to 4 KiB, goes to `line` (may be NULL), which returns whether it was
   something said, and may become `last`.  Ends it when *stop becomes true.  0, or -1 with *err. */
int run_program(char *const argv[], bool (*line)(void *ctx, const char *text), void *ctx, const volatile bool *stop,
                struct run *out, vdisk_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Other programs, run from this one: without a shell, in English, out of the terminal's reach, and gone when this program is. */
#ifndef VDISK_TOOL_RUN_H
#define VDISK_TOOL_RUN_H

#include <limits.h>
#include <stddef.h>
#include <sys/types.h>

#define RUN_MISSING 127 /* there is no such program */
#define RUN_STOPPED (-1) /* *cancel was set, or it could not be started, or it died of a signal */

#define RUN_PATH PATH_MAX
/* One of our programs: beside this one if it is there (then its path, in `path`), or else by PATH. */
const char *run_sibling(const char *name, char path[RUN_PATH]);

/* Starts argv[0], looked for in PATH and the sbin folders; standard input is empty, err -1: standard error goes nowhere.  -1: not
   started. */
pid_t run_start(const char *const argv[], int out, int err);
/* Runs it until it ends, or has said cap - 1 bytes on standard output: these are in `text`, NUL-terminated, *len of them (NULL: not
   told).  Its exit status, 0 where it had more to say, or RUN_*. */
int run_capture(const char *const argv[], char *text, size_t cap, size_t *len, const volatile int *cancel);
/* Ends a child that run_start() started, gently, and waits for it. */
void run_stop(pid_t pid);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Running other programs to their end. */
#ifndef RUNNER_PROGRAM_H
#define RUNNER_PROGRAM_H

#include "common/fail.h"

/* Runs argv[0], found by PATH, with nothing on its standard input; its output goes to `fd` (at most `most` bytes), its messages
   into `said` (256 bytes, the last line; may be NULL).  Returns its exit status; -1: it could not be run, wrote too much, or took
   more than `seconds`, after which it was killed. */
int program_run(char *const argv[], int fd, uint64_t most, unsigned seconds, char *said, vdisk_error *err);
/* The same, into memory: owned, NUL-terminated.  NULL: it failed, in whatever way. */
char *program_read(char *const argv[], size_t most, unsigned seconds);
/* Our own program of this name: beside this one, else by PATH. */
void program_own(const char *name, char path[4096]);

#endif

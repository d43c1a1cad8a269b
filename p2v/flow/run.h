/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Another program of the package: what it says, and what it complains of. */
#ifndef FLOW_RUN_H
#define FLOW_RUN_H

#include <vdisk/vdisk.h>

#define RUN_ARGS 128

struct run {
	const char *argv[RUN_ARGS + 1]; /* [0] its name; NULL-terminated by run_add() */
	int n;
	unsigned grace_ms; /* how long it may take to end after a SIGTERM; 0: half a minute */
	int status;     /* as child_wait() has it */
	char *out;      /* to be freed */
	char *complaint; /* its last line on standard error, without its own name; to be freed */
};

void run_add(struct run *r, const char *arg);
/* Runs it to its end, or until *cancel, when it gets a SIGTERM, and a SIGKILL if that does not end it in time.  -1: it could not be
   run, or was cancelled. */
int run_program(struct run *r, const volatile int *cancel, vdisk_error *err);
void run_free(struct run *r);

#endif

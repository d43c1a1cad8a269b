/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Progress on standard error: a bar on a terminal, a line each tenth elsewhere, or JSON lines for programs; stopping by signal. */
#ifndef VDISK_TOOL_PROGRESS_H
#define VDISK_TOOL_PROGRESS_H

#include "options.h"

#include <time.h>
#include <vdisk/vdisk.h>

struct progress_args {
	bool bar;         /* -p */
	const char *mode; /* --progress */
};
extern const struct opt progress_options[];

enum progress_mode { PROGRESS_NONE, PROGRESS_BAR, PROGRESS_LINES, PROGRESS_JSON };
struct progress {
	enum progress_mode mode;
	const char *verb;            /* "converting" */
	struct timespec start, last;
	uint64_t last_done;
	double rate;                 /* bytes a second, smoothed */
	unsigned tenths;             /* already told, for PROGRESS_LINES */
	bool verifying;
};

void progress_begin(struct progress *p, const struct progress_args *args, bool quiet, const char *verb);
/* A vdisk_progress_fn; ctx is the struct progress. */
void progress_tick(void *ctx, const struct vdisk_progress *now);
/* Leaves the bar's line, if there is one. */
void progress_end(struct progress *p);
/* Wipes the bar for the sake of another line; it comes back with the next tick.  From any thread. */
void progress_wipe(void);

/* From here on SIGINT, SIGTERM and SIGHUP set the flag returned; a second one, half a second later or more, ends
   the program at once. */
const volatile int *cancel_by_signals(void);
/* The flag alone: never set unless one of these two is called. */
const volatile int *cancel_asked(void);
/* For calls of the library that take no such flag: the signal makes the next write fail, so that they clean up and return. */
const volatile int *cancel_writes_by_signals(void);

#endif

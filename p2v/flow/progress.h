/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How far the whole is: which step of how many, and how far that one is.  On standard error. */
#ifndef FLOW_PROGRESS_H
#define FLOW_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <vdisk/vdisk.h>

enum progress_mode { PROGRESS_AUTO, PROGRESS_BAR, PROGRESS_LINES, PROGRESS_JSON, PROGRESS_NONE };

struct progress {
	enum progress_mode mode;
	const char *command;         /* "migrate" */
	unsigned step, steps;
	const char *phase;           /* "converting" */
	char subject[128];           /* the disk; may be "" */
	struct timespec start, last; /* of the step; when something was shown */
	unsigned tenths;
	bool shown;                  /* a bar stands on the line */
};

/* -1: there is no such mode. */
int progress_mode_parse(const char *text, enum progress_mode *out);
void progress_begin(struct progress *p, enum progress_mode mode, const char *command, unsigned steps);
void progress_step(struct progress *p, const char *phase, const char *subject);
/* Fits vdisk_progress_fn; ctx: the struct. */
void progress_tick(void *ctx, const struct vdisk_progress *now);
/* Before anything else is written on standard error. */
void progress_wipe(struct progress *p);

#endif

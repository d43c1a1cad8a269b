/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How far the whole is: which step of how many, and how far that one is.  On standard error. */
#ifndef FLOW_PROGRESS_H
#define FLOW_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <vdisk/vdisk.h>

enum progress_mode { PROGRESS_AUTO, PROGRESS_BAR, PROGRESS_LINES, PROGRESS_JSON, PROGRESS_NONE };

#define PROGRESS_PHASES 8

struct progress_phase {
	const char *name;            /* "converting" */
	unsigned steps;              /* one for each disk, most times */
};

struct progress {
	enum progress_mode mode;
	const char *command;         /* "migrate" */
	struct progress_phase phases[PROGRESS_PHASES]; /* what is to be done, in its order */
	unsigned n_phases;
	unsigned step, steps;
	const char *phase;           /* "converting" */
	char subject[128];           /* the disk; may be "" */
	struct timespec start, last; /* of the step; when something was shown */
	unsigned tenths;
	bool shown;                  /* a bar stands on the line */
};

/* -1: there is no such mode. */
int progress_mode_parse(const char *text, enum progress_mode *out);
void progress_begin(struct progress *p, enum progress_mode mode, const char *command);
/* So many steps (0: none) are to come after those of before. */
void progress_expect(struct progress *p, const char *phase, unsigned steps);
/* Nothing more is to be expected: tells programs what is. */
void progress_plan(struct progress *p);
void progress_step(struct progress *p, const char *phase, const char *subject);
/* Fits vdisk_progress_fn; ctx: the struct. */
void progress_tick(void *ctx, const struct vdisk_progress *now);
/* Before anything else is written on standard error. */
void progress_wipe(struct progress *p);

#endif

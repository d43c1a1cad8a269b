/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How far a capture's follow-up work is, by what its program says (--progress json of vdisk-p2v).  Belongs to whoever holds the
 * capture's lock. */
#ifndef RECEIVE_STEPS_H
#define RECEIVE_STEPS_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#define STEPS_MAX 16u

struct steps { /* {0}: nothing is known */
	struct {
		char name[24]; /* "converting" */
		unsigned of;   /* so many times: once for each disk */
	} v[STEPS_MAX];
	unsigned n;
	unsigned now, at;     /* the one that runs, n: none yet; which time, from 1 */
	uint64_t done, total; /* bytes of it; total 0: not known */
	uint64_t rate;        /* bytes a second; 0: not known */
	char disk[72];        /* "": none of them in particular */
};

/* A line that the program wrote; false: it is no word of progress, but for the log. */
bool steps_hear(struct steps *s, const char *line);
/* For a program that tells nothing: one step, which runs. */
void steps_single(struct steps *s, const char *name);
/* The name of the one that runs; NULL: none is known to. */
const char *steps_now(const struct steps *s);
/* As views show them; NULL: nothing is known, or memory lacks. */
json_object *steps_json(const struct steps *s);

#endif

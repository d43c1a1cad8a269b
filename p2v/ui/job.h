/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A capture under way: the program vdisk-capture as a child, and what its lines say.
 *
 * Its errors and log come as lines of text, its progress as JSON lines (`vdisk capture --progress json`).  The token reaches it by
 * a file that only this user can read, not by the command line, which everybody can.  One thread.
 */
#ifndef UI_JOB_H
#define UI_JOB_H

#include "settings.h"

#include <stdio.h>
#include <sys/types.h>

#define JOB_LINES 200u     /* of its log that are kept */
#define JOB_LINE_MAX 240u  /* bytes of one */

struct job_disk {
	char name[80];
	unsigned pass;       /* 0: not begun */
	uint64_t done, total; /* bytes of this pass */
	bool moving;          /* it was the last to say something */
};

struct job {
	pid_t pid;               /* 0: none */
	int fd;                  /* its output */
	char folder[4096];       /* of the token */
	int lock;                /* one capture at a time on this machine */
	struct job_disk disks[SETTINGS_DISKS_MAX];
	size_t disks_n;
	char phase[64];
	double rate, left;       /* bytes a second; seconds, below 0: not known */
	char log[JOB_LINES][JOB_LINE_MAX]; /* a ring */
	size_t log_n;            /* lines that there were */
	char error[JOB_LINE_MAX]; /* the last line that the program said by its name */
	char line[4096];
	size_t line_n;
	bool line_cut;
	bool stopped;            /* we stopped it */
	int status;              /* its exit status, once job_read() returned 0 */
};

/* Starts `program` for these disks (names or paths); expects[i] bytes each for the bars before it says more. */
int job_start(struct job *j, const char *program, const struct settings *s, const char *const disks[], const uint64_t expects[],
              size_t n, vdisk_error *err);
/* Takes what can be read from j->fd.  1: it goes on; 0: it has ended, j->status. */
int job_read(struct job *j);
/* Asks it to end; job_read() tells when it has. */
void job_stop(struct job *j);
/* One line of its output, without the end of line; for tests, too. */
void job_line(struct job *j, const char *line);
/* All that was read and will be, over all disks. */
void job_total(const struct job *j, uint64_t *done, uint64_t *total);
/* Line i of the log, 0 being the oldest that is kept; NULL: there are no more. */
const char *job_log(const struct job *j, size_t i);

/* The words of its command line that are the same whoever types them, for showing. */
void job_command(const struct settings *s, const char *const disks[], size_t n, char *out, size_t room);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A job of the library's that reads whole disks: its threads, its memory, its progress, how it is stopped. */
#ifndef VDISK_TOOL_JOB_H
#define VDISK_TOOL_JOB_H

#include "progress.h"

struct job_args {
	struct progress_args progress;
	struct opt_number jobs, memory;
};
extern const struct opt job_options[]; /* `progress` takes progress_options */

/* Begins to show progress; progress_end(p) when the job is done. */
struct vdisk_job_options job_begin(struct progress *p, const struct job_args *a, bool quiet, const char *verb);

#endif

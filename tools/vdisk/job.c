/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job.h"

#define AT(member) .field = offsetof(struct job_args, member)
const struct opt job_options[] = {
	{ .letter = 'j', .name = "jobs", .kind = OPT_UINT, AT(jobs), .arg = "N", .min = 1, .max = 1024,
	  .help = "threads; by default one for each processor" },
	{ .name = "memory", .kind = OPT_SIZE, AT(memory), .arg = "SIZE", .min = 1u << 20,
	  .help = "budget for data in flight; by default 32M" },
	{ 0 },
};
#undef AT

struct vdisk_job_options job_begin(struct progress *p, const struct job_args *a, bool quiet, const char *verb)
{
	progress_begin(p, &a->progress, quiet, verb);
	return (struct vdisk_job_options){
		.threads = (unsigned)a->jobs.value,
		.memory_bytes = a->memory.value,
		.progress = progress_tick,
		.progress_ctx = p,
		.cancel = cancel_by_signals(),
	};
}

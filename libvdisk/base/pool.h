/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A pool of threads that runs jobs, in the order they were put in, completing in any.  With one thread it is serial: vd_pool_put()
 * runs the job before it returns, under the same code.
 */
#ifndef VD_BASE_POOL_H
#define VD_BASE_POOL_H

#include "base/error.h"

struct vd_job {
	void (*run)(struct vd_job *job, unsigned worker); /* worker: 0 … threads-1, for per-thread scratch; must not fail: keeps its
	                                                     own result */
	struct vd_job *next; /* the pool's */
};

struct vd_pool;
/* threads 0: one for each processor that this process may use.  1: serial. */
int vd_pool_new(unsigned threads, struct vd_pool **out, vd_error *err);
unsigned vd_pool_threads(const struct vd_pool *p);
/* Processors that this process may use, at least 1. */
unsigned vd_pool_processors(void);
/* The job's memory is the caller's, untouched by the pool after run() returned. */
void vd_pool_put(struct vd_pool *p, struct vd_job *job);
/* Jobs put in but not started are dropped without run(); those that run are waited for.  Then frees. */
void vd_pool_free(struct vd_pool *p);

#endif

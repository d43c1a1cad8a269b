/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The pool: one queue, first in first out, and threads that take from it.  `lock` guards the queue, `idle` and `stop`; `wake` is
 * signalled when a job comes in while somebody is idle, and at the stop.  No job runs under the lock.
 */
#include "base/pool.h"
#include "base/alloc.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#define THREADS_MAX 1024

struct worker {
	struct vd_pool *pool;
	unsigned idx;
	pthread_t thread;
};

struct vd_pool {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct vd_job *first, **last;
	unsigned idle;
	bool stop;
	unsigned threads, started; /* threads == 1: none is started, jobs run in vd_pool_put() */
	struct worker worker[];
};

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct vd_pool *p = w->pool;

	pthread_mutex_lock(&p->lock);
	for (;;) {
		struct vd_job *job = p->first;

		if (p->stop)
			break;
		if (!job) {
			p->idle++;
			pthread_cond_wait(&p->wake, &p->lock);
			p->idle--;
			continue;
		}
		p->first = job->next;
		if (!p->first)
			p->last = &p->first;
		pthread_mutex_unlock(&p->lock);
		job->run(job, w->idx);
		pthread_mutex_lock(&p->lock);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

unsigned vd_pool_processors(void)
{
	unsigned n = 0;

	for (int cpus = 1024; cpus <= 1 << 20; cpus *= 4) { /* more than 1,024 processors want a larger set */
		size_t size = CPU_ALLOC_SIZE(cpus);
		cpu_set_t *set = vd_calloc(1, size);

		if (set && !sched_getaffinity(0, size, set))
			n = (unsigned)CPU_COUNT_S(size, set);
		vd_free(set);
		if (n || !set)
			break;
	}
	return n ? n : 1;
}

/* The caller's signal handlers must run in the caller's threads. */
static int workers_start(struct vd_pool *p)
{
	sigset_t all, old;
	int r = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (!r && p->started < p->threads) {
		struct worker *w = &p->worker[p->started];

		w->pool = p;
		w->idx = p->started;
		r = pthread_create(&w->thread, NULL, worker_main, w);
		p->started += !r;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

int vd_pool_new(unsigned threads, struct vd_pool **out, vd_error *err)
{
	struct vd_pool *p;
	int r;

	if (threads > THREADS_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%u threads are more than %u", threads, THREADS_MAX);
	if (!threads)
		threads = vd_pool_processors();
	if (threads > THREADS_MAX)
		threads = THREADS_MAX;
	p = vd_calloc(1, sizeof(*p) + threads * sizeof(p->worker[0]));
	if (!p)
		return vd_fail_nomem(err, sizeof(*p) + threads * sizeof(p->worker[0]));
	p->threads = threads;
	p->last = &p->first;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	r = threads > 1 ? workers_start(p) : 0;
	if (r) {
		vd_pool_free(p);
		return vd_fail_errno(err, r, VDISK_NO_OFFSET, "cannot start %u threads", threads);
	}
	*out = p;
	return 0;
}

unsigned vd_pool_threads(const struct vd_pool *p)
{
	return p->threads;
}

void vd_pool_put(struct vd_pool *p, struct vd_job *job)
{
	bool wake;

	if (p->threads == 1) {
		job->run(job, 0);
		return;
	}
	job->next = NULL;
	pthread_mutex_lock(&p->lock);
	*p->last = job;
	p->last = &job->next;
	wake = p->idle > 0;
	pthread_mutex_unlock(&p->lock);
	if (wake)
		pthread_cond_signal(&p->wake);
}

void vd_pool_free(struct vd_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->started; i++)
		pthread_join(p->worker[i].thread, NULL);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	vd_free(p);
}

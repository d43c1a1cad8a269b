/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "alloc_fail.h"
#include "base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define JOBS 5000

struct shared {
	_Atomic unsigned started, done;
	unsigned threads;
	_Atomic bool wrong;
	_Atomic bool gate;
};

struct job {
	struct vd_job head;
	struct shared *s;
	unsigned idx, at; /* at: place in the order of starting */
	unsigned runs;
};

static void count(struct vd_job *j, unsigned worker)
{
	struct job *x = (struct job *)j;

	x->at = atomic_fetch_add(&x->s->started, 1);
	x->runs++;
	if (worker >= x->s->threads)
		atomic_store(&x->s->wrong, true);
	atomic_fetch_add(&x->s->done, 1);
}

static void all_once(unsigned threads)
{
	static struct job jobs[JOBS];
	struct shared s = {0};
	struct vd_pool *p;

	assert_int_equal(vd_pool_new(threads, &p, NULL), 0);
	s.threads = vd_pool_threads(p);
	assert_true(threads ? s.threads == threads : s.threads >= 1);
	for (unsigned i = 0; i < JOBS; i++) {
		jobs[i] = (struct job){.head.run = count, .s = &s, .idx = i};
		vd_pool_put(p, &jobs[i].head);
		if (threads == 1)
			assert_int_equal(jobs[i].runs, 1);
	}
	while (atomic_load(&s.done) < JOBS)
		usleep(100);
	vd_pool_free(p);
	for (unsigned i = 0; i < JOBS; i++) {
		assert_int_equal(jobs[i].runs, 1);
		/* Taken in order; between the taking and the counting others may pass. */
		if (jobs[i].at > i + s.threads - 1 && threads == 1)
			fail_msg("job %u started as number %u", i, jobs[i].at);
	}
	assert_false(atomic_load(&s.wrong));
}

static void serial(void **state)
{
	(void)state;
	all_once(1);
}

static void parallel(void **state)
{
	(void)state;
	all_once(2);
	all_once(7);
	all_once(0);
}

static void block(struct vd_job *j, unsigned worker)
{
	struct job *x = (struct job *)j;

	(void)worker;
	atomic_fetch_add(&x->s->started, 1);
	while (!atomic_load(&x->s->gate))
		usleep(100);
	x->runs++;
}

static void *gate_open(void *arg)
{
	struct shared *s = arg;

	usleep(30000);
	atomic_store(&s->gate, true);
	return NULL;
}

/* Those that run are waited for, those that wait are dropped. */
static void free_in_mid_work(void **state)
{
	struct shared s = {.threads = 2};
	struct job jobs[50];
	struct vd_pool *p;
	pthread_t t;
	unsigned ran = 0;

	(void)state;
	assert_int_equal(vd_pool_new(2, &p, NULL), 0);
	for (unsigned i = 0; i < 50; i++) {
		jobs[i] = (struct job){.head.run = block, .s = &s};
		vd_pool_put(p, &jobs[i].head);
	}
	while (atomic_load(&s.started) < 2)
		usleep(100);
	pthread_create(&t, NULL, gate_open, &s);
	vd_pool_free(p);
	pthread_join(t, NULL);
	for (unsigned i = 0; i < 50; i++)
		ran += jobs[i].runs;
	assert_int_equal(ran, 2);
	assert_int_equal(jobs[0].runs, 1);
	assert_int_equal(jobs[1].runs, 1);
	vd_pool_free(NULL);
}

/* First in, first out: with one worker busy and the other held, the rest goes strictly in order. */
static void order(void **state)
{
	struct shared held = {.threads = 2}, s = {.threads = 2};
	struct job hold = {.head.run = block, .s = &held}, jobs[100];
	struct vd_pool *p;

	(void)state;
	assert_int_equal(vd_pool_new(2, &p, NULL), 0);
	vd_pool_put(p, &hold.head);
	while (!atomic_load(&held.started))
		usleep(100);
	for (unsigned i = 0; i < 100; i++) {
		jobs[i] = (struct job){.head.run = count, .s = &s};
		vd_pool_put(p, &jobs[i].head);
	}
	while (atomic_load(&s.done) < 100)
		usleep(100);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(jobs[i].at, i);
	atomic_store(&held.gate, true);
	vd_pool_free(p);
}

struct chain {
	struct vd_job head;
	struct vd_pool *pool;
	_Atomic int left;
};

static void again(struct vd_job *j, unsigned worker)
{
	struct chain *c = (struct chain *)j;

	(void)worker;
	if (atomic_fetch_sub(&c->left, 1) > 1)
		vd_pool_put(c->pool, j);
}

/* A job may put in others, itself too. */
static void from_inside(void **state)
{
	struct chain c = {.head.run = again, .left = 1000};
	struct vd_pool *p;

	(void)state;
	assert_int_equal(vd_pool_new(3, &p, NULL), 0);
	c.pool = p;
	vd_pool_put(p, &c.head);
	while (atomic_load(&c.left) > 0)
		usleep(100);
	vd_pool_free(p);
}

static void refusals(void **state)
{
	struct vd_pool *p;
	vd_error err;

	(void)state;
	assert_int_equal(vd_pool_new(100000, &p, &err), -1);
	assert_int_equal(err.kind, VDISK_INVALID);
	alloc_fail_at(0);
	assert_int_equal(vd_pool_new(2, &p, &err), -1);
	assert_int_equal(err.kind, VDISK_NOMEM);
	alloc_fail_at(-1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(serial), cmocka_unit_test(parallel),    cmocka_unit_test(free_in_mid_work),
		cmocka_unit_test(order),  cmocka_unit_test(from_inside), cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

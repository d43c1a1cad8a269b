/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owns the ring of tickets in flight and its cursors.  The coordinator alone moves cursors and reads `dead`; workers touch their
 * ticket until they set `done` under f->lock.  A worker wakes the coordinator only for the ticket that a cursor stands at, so that
 * work done ahead of order costs no switch.
 */
#include "ops/flow.h"

#include <assert.h>
#include <string.h>

static void flow_fail(struct vd_flow *f, uint64_t seq, const vd_error *e)
{
	pthread_mutex_lock(&f->lock);
	if (seq < f->fail_seq) {
		f->err = *e;
		f->fail_seq = seq;
	}
	pthread_mutex_unlock(&f->lock);
}

static void flow_work(struct vd_job *job, unsigned worker)
{
	struct vd_ticket *t = (struct vd_ticket *)job;
	struct vd_flow *f = t->flow;
	bool failed = false;

	(void)worker;
	if (t->seq < f->fail_seq)
		failed = f->ops->work(t, t->stage, &t->err) != 0;
	if (failed)
		flow_fail(f, t->seq, &t->err);
	pthread_mutex_lock(&f->lock);
	t->done = true;
	if (t->seq == f->cursor[t->stage])
		pthread_cond_signal(&f->wake);
	pthread_mutex_unlock(&f->lock);
}

static struct vd_ticket *flow_at(struct vd_flow *f, uint64_t seq)
{
	return f->ring[seq % f->n_ring];
}

static bool flow_failed(const struct vd_flow *f)
{
	return f->fail_seq != UINT64_MAX;
}

static void flow_put(struct vd_flow *f, struct vd_ticket *t)
{
	pthread_mutex_lock(&f->lock);
	t->done = false;
	pthread_mutex_unlock(&f->lock);
	vd_pool_put(f->pool, &t->job);
}

static void flow_advance(struct vd_flow *f, unsigned stage)
{
	pthread_mutex_lock(&f->lock);
	f->cursor[stage]++;
	pthread_mutex_unlock(&f->lock);
}

/* Steps the ticket at one stage's cursor, if it is ready. */
static bool flow_step(struct vd_flow *f, unsigned stage)
{
	uint64_t seq = f->cursor[stage];
	struct vd_ticket *t = flow_at(f, seq);
	bool ready;

	if (seq == (stage ? f->cursor[stage - 1] : f->issued))
		return false;
	if (!stage && f->one_by_one && f->cursor[f->n_stages - 1] != seq && !flow_failed(f))
		return false;
	if (!t->dead) {
		pthread_mutex_lock(&f->lock);
		ready = t->done;
		pthread_mutex_unlock(&f->lock);
		if (!ready)
			return false;
		if (seq >= f->fail_seq) {
			t->dead = true;
			if (f->ops->drop)
				f->ops->drop(t, stage);
		} else if (f->ops->step(t, stage, &t->err)) {
			flow_fail(f, seq, &t->err);
			t->dead = true;
			if (f->ops->drop)
				f->ops->drop(t, stage);
		}
	}
	if (t->dead || stage + 1 == f->n_stages) {
		flow_advance(f, stage);
		return true;
	}
	t->stage = stage + 1;
	flow_advance(f, stage);
	flow_put(f, t);
	return true;
}

static bool flow_issue(struct vd_flow *f)
{
	struct vd_ticket *t;
	vd_error err = { 0 };
	bool more = true;

	if (f->planned_out || flow_failed(f) || f->issued - f->cursor[f->n_stages - 1] >= f->n_ring)
		return false;
	t = flow_at(f, f->issued);
	if (f->ops->plan(f, t, &more, &err)) {
		flow_fail(f, f->issued, &err);
		return true;
	}
	if (!more) {
		f->planned_out = true;
		return true;
	}
	t->job.run = flow_work;
	t->flow = f;
	t->seq = f->issued;
	t->stage = 0;
	t->dead = false;
	f->issued++;
	flow_put(f, t);
	return true;
}

static bool flow_wanted(struct vd_flow *f)
{
	for (unsigned s = 0; s < f->n_stages; s++) {
		uint64_t seq = f->cursor[s];

		if (seq == (s ? f->cursor[s - 1] : f->issued))
			continue;
		if (!s && f->one_by_one && f->cursor[f->n_stages - 1] != seq && !flow_failed(f))
			continue;
		if (flow_at(f, seq)->dead || flow_at(f, seq)->done)
			return true;
	}
	return false;
}

static void flow_wait(struct vd_flow *f)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += 100 * 1000 * 1000;
	if (until.tv_nsec >= 1000 * 1000 * 1000) {
		until.tv_sec++;
		until.tv_nsec -= 1000 * 1000 * 1000;
	}
	pthread_mutex_lock(&f->lock);
	if (!flow_wanted(f))
		pthread_cond_timedwait(&f->wake, &f->lock, &until);
	pthread_mutex_unlock(&f->lock);
}

static void flow_poll_cancel(struct vd_flow *f)
{
	vd_error e = { 0 };

	if (!f->cancel || !*f->cancel || flow_failed(f))
		return;
	vd_fail(&e, VDISK_CANCELLED, VDISK_NO_OFFSET, "stopped on request");
	flow_fail(f, f->cursor[f->n_stages - 1], &e);
}

int vd_flow_run(struct vd_flow *f, struct vd_ticket **ring, unsigned n_ring, vd_error *err)
{
	assert(n_ring > 0 && f->n_stages >= 1 && f->n_stages <= sizeof(f->cursor) / sizeof(f->cursor[0]));
	f->ring = ring;
	f->n_ring = n_ring;
	f->issued = 0;
	memset(f->cursor, 0, sizeof(f->cursor));
	f->planned_out = false;
	f->fail_seq = UINT64_MAX;
	for (;;) {
		bool moved = false;

		flow_poll_cancel(f);
		for (unsigned s = f->n_stages; s-- > 0;)
			moved |= flow_step(f, s);
		/* Results first: a finished ticket's buffers are warm and its room is wanted. */
		if (!moved)
			moved = flow_issue(f);
		if (f->issued == f->cursor[f->n_stages - 1] && (f->planned_out || flow_failed(f)))
			break;
		if (f->ops->tick)
			f->ops->tick(f);
		if (!moved)
			flow_wait(f);
	}
	if (!flow_failed(f))
		return 0;
	if (err)
		*err = f->err;
	return -1;
}

int vd_flow_init(struct vd_flow *f, const struct vd_flow_ops *ops, void *ctx, unsigned threads, const volatile int *cancel,
                 vd_error *err)
{
	pthread_condattr_t attr;

	memset(f, 0, sizeof(*f));
	f->ops = ops;
	f->ctx = ctx;
	f->n_stages = 1;
	f->cancel = cancel;
	f->fail_seq = UINT64_MAX;
	if (vd_pool_new(threads, &f->pool, err))
		return -1;
	pthread_mutex_init(&f->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&f->wake, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

void vd_flow_free(struct vd_flow *f)
{
	if (!f->pool)
		return;
	vd_pool_free(f->pool);
	pthread_cond_destroy(&f->wake);
	pthread_mutex_destroy(&f->lock);
	f->pool = NULL;
}

void vd_pacer_show(struct vd_pacer *p, const struct vdisk_progress *now, bool final)
{
	struct timespec t;
	long long ms;

	if (!p->fn)
		return;
	clock_gettime(CLOCK_MONOTONIC, &t);
	ms = (long long)(t.tv_sec - p->last.tv_sec) * 1000 + (t.tv_nsec - p->last.tv_nsec) / 1000000;
	if (!final && ms < 100)
		return;
	p->last = t;
	p->fn(p->ctx, now);
}

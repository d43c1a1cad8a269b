/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An ordered flow of tickets through a pool: the coordinator (the thread that calls vd_flow_run()) plans tickets, the pool works on
 * them in any order, the coordinator steps each stage's results in ticket order.
 *
 *   plan → [pool: work, stage 0] → step, stage 0 → [pool: work, stage 1] → step, stage 1 → …
 *
 *  F1. Everything that decides what the output looks like happens in plan() and step(), which run on one thread in ticket order:
 *      the number of threads and their timing change nothing.
 *  F2. The lowest failing ticket's error is the flow's: tickets below it run on to their end, those above are dropped unstepped.
 *  F3. vd_flow_run() returns with nothing in flight, whatever the result.
 *  F4. Each wait ends when a ticket is done, and after 100 ms at the latest, to see the cancel flag and show progress.
 */
#ifndef VD_OPS_FLOW_H
#define VD_OPS_FLOW_H

#include "base/error.h"
#include "base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

struct vd_flow;

/* Head of the user's own ticket, which embeds it first. */
struct vd_ticket {
	struct vd_job job;
	struct vd_flow *flow;
	uint64_t seq;
	unsigned stage;  /* being worked on or waiting for its step */
	bool done;       /* under the flow's lock: this stage's work is over */
	bool dead;       /* failed or dropped: no more work, no more steps */
	vd_error err;
};

struct vd_flow_ops {
	/* Fills in the next ticket; *more = false: there is none. */
	int (*plan)(struct vd_flow *, struct vd_ticket *, bool *more, vd_error *);
	int (*work)(struct vd_ticket *, unsigned stage, vd_error *); /* on a thread of the pool */
	int (*step)(struct vd_ticket *, unsigned stage, vd_error *);
	/* Called in place of the remaining steps of a ticket that died; may be NULL. */
	void (*drop)(struct vd_ticket *, unsigned stage);
	/* Now and then, from the coordinator: progress; may be NULL. */
	void (*tick)(struct vd_flow *);
};

struct vd_flow {
	/* Set by vd_flow_init() and the user: */
	const struct vd_flow_ops *ops;
	void *ctx;
	unsigned n_stages;
	bool one_by_one; /* a ticket's first step waits until the ticket before is through its last one */
	const volatile int *cancel;

	/* The flow's: */
	struct vd_pool *pool;
	struct vd_ticket **ring;
	unsigned n_ring;
	uint64_t issued;
	uint64_t cursor[2]; /* by stage: the ticket to step next */
	bool planned_out;
	pthread_mutex_t lock; /* guards done of all tickets, err, fail_seq being set */
	pthread_cond_t wake;
	vd_error err;         /* of fail_seq */
	_Atomic uint64_t fail_seq; /* UINT64_MAX: none */
};

/* `ring`: the tickets, n_ring ≥ 1 of them, the caller's.  threads: as for vd_pool_new().  Pair with vd_flow_free(). */
int vd_flow_init(struct vd_flow *f, const struct vd_flow_ops *ops, void *ctx, unsigned threads, const volatile int *cancel,
                 vd_error *err);
void vd_flow_free(struct vd_flow *f);
int vd_flow_run(struct vd_flow *f, struct vd_ticket **ring, unsigned n_ring, vd_error *err);

/* ---- progress, ten times a second at most */

struct vd_pacer {
	vdisk_progress_fn fn;
	void *ctx;
	struct timespec last;
};
void vd_pacer_show(struct vd_pacer *p, const struct vdisk_progress *now, bool final);

#endif

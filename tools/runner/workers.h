/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The threads that do a device's I/O, so that processors never wait for it. */
#ifndef RUNNER_WORKERS_H
#define RUNNER_WORKERS_H

#include "common/fail.h"

struct workers;

/* Takes one piece of work from queue `i` and does it; false: there was none.  Called by any of the threads, by several at once. */
typedef bool (*workers_serve_fn)(void *dev, unsigned i);

/* Starts `n_threads` threads; each write to the eventfd fds[i] (borrowed, never read) makes one of them serve queue `i` until it is
   empty.  Who finds more than one piece writes again, and so wakes another.  Returns owned in *out. */
int workers_create(const int *fds, unsigned n_fds, unsigned n_threads, workers_serve_fn serve, void *dev, struct workers **out,
                   vdisk_error *err);
/* What is under way ends first.  NULL is a no-op. */
void workers_destroy(struct workers *w);

#endif

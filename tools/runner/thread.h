/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The runner's threads. */
#ifndef RUNNER_THREAD_H
#define RUNNER_THREAD_H

#include "common/fail.h"

#include <pthread.h>

/* As pthread_create(), with a stack that is small enough not to be backed by huge pages, of which each thread would take one.  The
   error names `what`. */
int thread_start(pthread_t *thread, void *(*fn)(void *), void *arg, const char *what, vdisk_error *err);

#endif

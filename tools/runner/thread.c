/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One function. */
#include "thread.h"

#include <errno.h>

#define STACK_BYTES (512u << 10)

int thread_start(pthread_t *thread, void *(*fn)(void *), void *arg, const char *what, vdisk_error *err)
{
	pthread_attr_t attr;

	errno = pthread_attr_init(&attr);
	if (errno)
		return fail_errno(err, "%s", what);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	int r = pthread_create(thread, &attr, fn, arg);
	pthread_attr_destroy(&attr);
	errno = r;
	return r ? fail_errno(err, "%s", what) : 0;
}

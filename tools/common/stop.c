/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Async-signal-safe: clock_gettime(), signal() and raise() are. */
#include "common/stop.h"

#include <signal.h>
#include <time.h>

#define AT_ONCE_MS 500

static volatile long long asked_ms; /* when the first one came; written before *cancel is set, by the handler alone */

void stop_ask(volatile int *cancel, int number)
{
	struct timespec now;
	long long ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	if (!*cancel) {
		asked_ms = ms;
		*cancel = 1;
	} else if (ms - asked_ms >= AT_ONCE_MS) {
		signal(number, SIG_DFL);
		raise(number);
	}
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/stop.h"

#include <signal.h>
#include <stddef.h>
#include <time.h>

#define AT_ONCE_MS 500

static volatile long long asked_ms; /* when the first one came; written before *cancel is set, by the handler alone */

/* Async-signal-safe: clock_gettime(), signal() and raise() are. */
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

static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };

void stop_signals(void (*handler)(int))
{
	const struct sigaction act = { .sa_handler = handler, .sa_flags = SA_RESTART };

	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		struct sigaction old;

		if (!sigaction(numbers[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaction(numbers[i], &act, NULL);
	}
}

void stop_hold(sigset_t *before)
{
	sigset_t held;

	sigemptyset(&held);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		sigaddset(&held, numbers[i]);
	pthread_sigmask(SIG_BLOCK, &held, before);
}

void stop_release(const sigset_t *before) { pthread_sigmask(SIG_SETMASK, before, NULL); }

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of a program, not of a library: set before threads start; the counter of client_say is guarded by its lock. */
#include "say.h"

#include <pthread.h>
#include <stdio.h>
#include <syslog.h>
#include <time.h>

#define BURST 10u
#define BURST_SEC 10

static const char *program = "vdisk nbd";
static bool to_syslog;

void say_open(const char *name, bool background)
{
	program = name;
	if (background)
		openlog(name, LOG_PID, LOG_DAEMON);
	to_syslog = background;
}

void say(bool warning, const char *message)
{
	if (to_syslog)
		syslog(warning ? LOG_WARNING : LOG_ERR, "%s", message);
	else
		fprintf(stderr, "%s: %s%s\n", program, warning ? "warning: " : "", message);
}

void say_log(void *ctx, enum vdisk_log_level level, const char *message)
{
	(void)ctx;
	if (level == VDISK_LOG_WARNING)
		say(true, message);
}

void say_client(void *ctx, const char *message)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static unsigned said, kept_back;
	static time_t since;
	struct timespec t;

	(void)ctx;
	clock_gettime(CLOCK_MONOTONIC, &t);
	pthread_mutex_lock(&lock);
	if (t.tv_sec - since >= BURST_SEC) {
		char text[64];

		snprintf(text, sizeof(text), "%u more errors like these", kept_back);
		if (kept_back)
			say(false, text);
		since = t.tv_sec;
		said = kept_back = 0;
	}
	if (said++ < BURST)
		say(false, message);
	else
		kept_back++;
	pthread_mutex_unlock(&lock);
}

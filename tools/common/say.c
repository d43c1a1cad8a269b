/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state of a program, not of a library: set while it has one thread; the counters of say_few() are guarded by its lock. */
#include "common/say.h"
#include "common/utf8.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#define BURST 10u
#define BURST_SEC 10

static const char *program = "vdisk";
static _Atomic bool to_syslog;

void say_open(const char *name, bool background)
{
	program = name;
	if (background)
		openlog(name, LOG_PID, LOG_DAEMON);
	to_syslog = background;
}

void say(int priority, const char *format, ...)
{
	char text[VDISK_ERROR_MESSAGE_MAX + 64];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	utf8_clean(text); /* names and values come from whoever made the image */
	if (to_syslog)
		syslog(priority, "%s", text);
	else
		fprintf(stderr, "%s: %s%s\n", program, priority == LOG_WARNING ? "warning: " : "", text);
}

void say_log(void *ctx, enum vdisk_log_level level, const char *message)
{
	(void)ctx;
	if (level == VDISK_LOG_WARNING)
		say(LOG_WARNING, "%s", message);
}

void say_few(void *ctx, const char *message)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static unsigned said, kept_back;
	static time_t since;
	struct timespec t;

	(void)ctx;
	clock_gettime(CLOCK_MONOTONIC, &t);
	pthread_mutex_lock(&lock);
	if (t.tv_sec - since >= BURST_SEC) {
		if (kept_back)
			say(LOG_ERR, "%u more errors like these", kept_back);
		since = t.tv_sec;
		said = kept_back = 0;
	}
	if (said++ < BURST)
		say(LOG_ERR, "%s", message);
	else
		kept_back++;
	pthread_mutex_unlock(&lock);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Messages: standard error while somebody is there to read it, then the system's log. */
#include "source.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

static _Atomic bool to_syslog;

void say_open(bool background)
{
	if (background)
		openlog("vdisk-mount", LOG_PID, LOG_DAEMON);
	to_syslog = background;
}

void say(int priority, const char *fmt, ...)
{
	char text[VDISK_ERROR_MESSAGE_MAX + 64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (to_syslog)
		syslog(priority, "%s", text);
	else
		fprintf(stderr, "vdisk mount: %s%s\n", priority == LOG_WARNING ? "warning: " : "", text);
}

void say_log(void *ctx, enum vdisk_log_level level, const char *message)
{
	(void)ctx;
	if (level == VDISK_LOG_WARNING)
		say(LOG_WARNING, "%s", message);
}

static void error_set(vdisk_error *err, enum vdisk_error_kind kind, int e, const char *fmt, va_list ap)
{
	memset(err, 0, sizeof(*err));
	err->kind = kind;
	err->sys_errno = e;
	err->offset = VDISK_NO_OFFSET;
	vsnprintf(err->message, sizeof(err->message), fmt, ap);
}

int fail(vdisk_error *err, enum vdisk_error_kind kind, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	error_set(err, kind, 0, fmt, ap);
	va_end(ap);
	return -1;
}

int fail_errno(vdisk_error *err, const char *fmt, ...)
{
	int e = errno;
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	error_set(err, VDISK_IO, e, fmt, ap);
	va_end(ap);
	n = strlen(err->message);
	snprintf(err->message + n, sizeof(err->message) - n, ": %s", strerror(e));
	return -1;
}

int fail_nomem(vdisk_error *err) { return fail(err, VDISK_NOMEM, "out of memory"); }

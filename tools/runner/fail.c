/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Errors as the library makes them. */
#include "fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int fail(vdisk_error *err, enum vdisk_error_kind kind, const char *format, ...)
{
	va_list ap;

	err->kind = kind;
	err->sys_errno = 0;
	err->offset = VDISK_NO_OFFSET;
	va_start(ap, format);
	vsnprintf(err->message, sizeof(err->message), format, ap);
	va_end(ap);
	return -1;
}

int fail_errno(vdisk_error *err, const char *format, ...)
{
	int number = errno;
	va_list ap;

	err->kind = number == ENOMEM ? VDISK_NOMEM : VDISK_IO;
	err->sys_errno = number;
	err->offset = VDISK_NO_OFFSET;
	va_start(ap, format);
	int n = vsnprintf(err->message, sizeof(err->message), format, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(err->message))
		snprintf(err->message + n, sizeof(err->message) - (size_t)n, ": %s", strerror(number));
	return -1;
}

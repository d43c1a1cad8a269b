/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/fail.h"
#include "common/utf8.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One line, whatever goes into it: values come from whoever made the image. */
static void fill(vdisk_error *err, enum vdisk_error_kind kind, int sys_errno, const char *format, va_list args)
{
	err->kind = kind;
	err->sys_errno = sys_errno;
	err->offset = VDISK_NO_OFFSET;
	vsnprintf(err->message, sizeof(err->message), format, args);
	utf8_clean(err->message);
}

int fail(vdisk_error *err, enum vdisk_error_kind kind, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (err)
		fill(err, kind, 0, format, args);
	va_end(args);
	return -1;
}

int fail_errno(vdisk_error *err, const char *format, ...)
{
	int e = errno;
	va_list args;
	size_t n;

	if (!err)
		return -1;
	va_start(args, format);
	fill(err, e == ENOMEM ? VDISK_NOMEM : VDISK_IO, e, format, args);
	va_end(args);
	n = strlen(err->message);
	snprintf(err->message + n, sizeof(err->message) - n, ": %s", strerror(e));
	return -1;
}

int fail_nomem(vdisk_error *err) { return fail(err, VDISK_NOMEM, "out of memory"); }

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Copies of strings.  Apart from alloc.c, so that their calls of vd_malloc() cross an object file and a test's --wrap catches
   them. */
#include "base/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

char *vd_strndup(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *p = vd_malloc(len + 1);

	if (!p)
		return NULL;
	memcpy(p, s, len);
	p[len] = 0;
	return p;
}

char *vd_strdup(const char *s)
{
	size_t len = strlen(s);
	char *p = vd_malloc(len + 1);

	return p ? memcpy(p, s, len + 1) : NULL;
}

char *vd_asprintf(const char *fmt, ...)
{
	va_list ap, again;
	char *p = NULL;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	if (n >= 0)
		p = vd_malloc((size_t)n + 1);
	if (p)
		vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	va_end(ap);
	return p;
}

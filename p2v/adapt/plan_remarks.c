/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a plan tells: remarks and reasons.  Names and lines of the guest go into them, so each is made one line, in characters, and
   there are no more remarks than are read. */
#include "plan.h"
#include "plan_view.h"

#include "common/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *plan_line(const char *format, va_list args)
{
	char *line = NULL;

	if (vasprintf(&line, format, args) < 0)
		return NULL;
	for (char *s = line; (s = strchr(s, '\t'));)
		*s = ' '; /* as a line of a file has them */
	utf8_clean(line);
	return line;
}

static bool is_there(const struct plan *p, const char *line)
{
	const char *at = p->remarks.at, *end = at + p->remarks.len, *nl;
	size_t n = strlen(line);

	for (; at < end; at = nl + 1) {
		nl = memchr(at, '\n', (size_t)(end - at));
		if ((size_t)(nl - at) == n && !memcmp(at, line, n))
			return true;
	}
	return false;
}

static void remark_add(struct plan *p, bool once, const char *format, va_list args)
{
	char *line;

	if (p->remarks_n > PLAN_REMARKS_MAX)
		return;
	line = plan_line(format, args);
	if (!line)
		p->remarks.failed = true;
	else if (!(once && p->remarks.len && is_there(p, line)))
		bytes_format(&p->remarks, "%s\n", p->remarks_n++ < PLAN_REMARKS_MAX ? line : "and more like these");
	free(line);
}

void plan_remark(struct plan *p, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	remark_add(p, false, format, args);
	va_end(args);
}

void remark_once(struct plan *p, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	remark_add(p, true, format, args);
	va_end(args);
}

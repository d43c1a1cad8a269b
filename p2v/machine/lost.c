/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What could not be carried over.  A list that cannot grow says so in `more`, for nothing is to get lost in silence. */
#include "machine.h"

#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_MAX 512 /* bytes that are kept of a value */

static void lost_clear(struct machine_lost *l)
{
	free(l->where);
	free(l->value);
	free(l->why);
}

static char *copy_clean(const char *text)
{
	char clean[VALUE_MAX + 1];

	text_clean(clean, VALUE_MAX, text, true);
	for (char *c = clean; *c; c++)
		if (*c == '\n' || *c == '\t')
			*c = ' ';
	return strdup(clean);
}

void machine_lost_add(struct machine_lost_list *list, const char *value, const char *why, const char *where, ...)
{
	struct machine_lost l = { 0 }, *grown;
	char text[VALUE_MAX];
	va_list args;

	if (!list)
		return;
	if (list->n == MACHINE_LIST_MAX) {
		list->more = true;
		return;
	}
	va_start(args, where);
	vsnprintf(text, sizeof(text), where, args);
	va_end(args);
	l.where = copy_clean(text);
	l.value = value ? copy_clean(value) : NULL;
	l.why = why ? copy_clean(why) : NULL;
	grown = list->n & (list->n - 1) ? list->at : realloc(list->at, (list->n ? list->n * 2 : 1) * sizeof(*grown));
	if (grown)
		list->at = grown;
	if (!grown || !l.where || (value && !l.value) || (why && !l.why)) {
		list->more = true;
		lost_clear(&l);
		return;
	}
	list->at[list->n++] = l;
}

void machine_lost_free(struct machine_lost_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		lost_clear(&list->at[i]);
	free(list->at);
	*list = (struct machine_lost_list){ 0 };
}

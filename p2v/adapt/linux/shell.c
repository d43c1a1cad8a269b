/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Only as much of a shell's grammar as tells where a value ends.  What is put together from several pieces ("a"'b'\ c, $(…)) is
   told as not plain: nobody changes it. */
#include "shell.h"

#include <ctype.h>
#include <string.h>

/* The quote that ends what begins at `at`; NULL: none does. */
static const char *quote_end(const char *at, const char *end)
{
	const char *s = at + 1;

	while (s < end && *s != *at)
		s += *at == '"' && *s == '\\' && s + 1 < end ? 2 : 1;
	return s < end ? s : NULL;
}

/* The first character in `stops` that is neither quoted nor escaped, or `end`; NULL: a quote does not end.  *pieces: there are
   quotes, escapes, or commands whose output it is. */
static const char *word_end(const char *at, const char *end, const char *stops, bool *pieces)
{
	const char *s = at;

	for (*pieces = false; s < end && !strchr(stops, *s); s++) {
		*pieces = *pieces || strchr("\"'\\`()", *s);
		if (*s == '\\' && s + 1 < end)
			s++;
		else if ((*s == '"' || *s == '\'') && !(s = quote_end(s, end)))
			return NULL;
	}
	return s;
}

/* The line ends behind `at`, which may be in one of the next ones. */
static void line_reach(struct text *t, const char *at)
{
	const char *end = t->in.at + t->in.len, *nl;

	if (at <= t->line.at + t->line.len)
		return;
	nl = memchr(at, '\n', (size_t)(end - at));
	t->ended = nl != NULL;
	t->line.len = (size_t)((nl ? nl : end) - t->line.at);
	t->next = (size_t)((nl ? nl + 1 : end) - t->in.at);
}

bool shell_value(struct text *t, const char *at, struct shell_value *v)
{
	const char *end = t->line.at + t->line.len, *all = t->in.at + t->in.len, *s = at, *close;
	struct span word;
	bool pieces;

	if (word_next(&at, end, &word) && span_is(word, "export"))
		s = at;
	while (s < end && (*s == ' ' || *s == '\t'))
		s++;
	v->name.at = s;
	while (s < end && (isalnum((unsigned char)*s) || *s == '_'))
		s++;
	v->name.len = (size_t)(s - v->name.at);
	if (s < end && *s == '+')
		s++;
	if (!v->name.len || s == end || *s++ != '=')
		return false;
	close = word_end(s, all, " \t\r\n;&|<>", &pieces);
	if (!close) {
		remark_once(t->plan, "%s: left as it is: the quotes of %.*s do not end", t->path, (int)v->name.len, v->name.at);
		return false;
	}
	line_reach(t, close);
	v->word = v->inner = (struct span){ s, (size_t)(close - s) };
	v->quote = 0;
	v->plain = !pieces;
	if (s < close && (*s == '"' || *s == '\'') && quote_end(s, all) == close - 1) {
		v->inner = (struct span){ s + 1, (size_t)(close - s) - 2 };
		v->quote = *s;
		v->plain = true;
	}
	return true;
}

void shell_value_put(struct text *t, const struct shell_value *v, const struct bytes *with)
{
	const char *text = with->at ? with->at : "";
	struct bytes line = { 0 }, quoted = { 0 };

	if (!v->quote && strpbrk(text, " \t\n")) {
		bytes_format(&quoted, "\"%s\"", text);
		text = quoted.at ? quoted.at : "";
	}
	bytes_replaced(&line, t->line, v->inner, text);
	line.failed |= with->failed || quoted.failed;
	text_put(t, &line);
	bytes_destroy(&line);
	bytes_destroy(&quoted);
}

void shell_value_keep(struct text *t, const struct shell_value *v)
{
	remark_once(t->plan, "%s: %.*s stays as it is, since its value is put together in a way that is not understood here", t->path,
	            (int)v->name.len, v->name.at);
	text_keep(t);
}

const char *shell_command_end(const char *at, const char *end)
{
	const char *s = at;
	bool pieces;

	for (;;) {
		while (s < end && strchr(" \t\r\n", *s))
			s++;
		if (s == end || strchr("#;&|", *s))
			return s;
		s = word_end(s, end, " \t\r\n;&|", &pieces);
		if (!s)
			return end;
	}
}

bool shell_goes_on(const char *at, const char *end)
{
	const char *s = end;

	while (s > at && s[-1] == '\\')
		s--;
	return (end - s) & 1;
}

void shell_line_join(struct text *t)
{
	const char *from = t->line.at, *end = from + t->line.len;

	while (t->ended && t->next < t->in.len && shell_goes_on(from, end) && shell_command_end(from, end) == end) {
		from = t->in.at + t->next;
		line_reach(t, from);
		end = t->line.at + t->line.len;
	}
}

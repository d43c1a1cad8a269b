/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lines in, lines out.  A file that cannot be read as text (it is too long, has a NUL, is a device) is left alone with a remark: no
 * oddity of one file stops the adapting of a guest.
 */
#include "text.h"

#include "common/fail.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int text_new(struct text *t, struct plan *p, const char *path, vdisk_error *err)
{
	*t = (struct text){ .plan = p, .path = strdup(path) };
	return t->path ? 0 : fail_nomem(err);
}

static int open_in(struct text *t, struct plan *p, struct tree *tree, const char *path, vdisk_error *err)
{
	vdisk_error trouble = { 0 };
	int rc;

	if (text_new(t, p, path, err))
		return -1;
	rc = tree_text(tree, path, &t->in, &trouble);
	if (rc > 0)
		return rc;
	text_close(t);
	if (!rc)
		return 0;
	if (trouble.kind == VDISK_UNSUPPORTED || trouble.kind == VDISK_CORRUPT) {
		remark_once(p, "left as it is: %s", trouble.message);
		return 0;
	}
	if (err)
		*err = trouble;
	return -1;
}

int text_open(struct text *t, struct plan *p, const char *path, vdisk_error *err) { return open_in(t, p, &p->view, path, err); }
int text_open_old(struct text *t, struct plan *p, const char *path, vdisk_error *err) { return open_in(t, p, p->guest, path, err); }

void text_close(struct text *t)
{
	free(t->path);
	bytes_destroy(&t->in);
	bytes_destroy(&t->out);
	*t = (struct text){ 0 };
}

bool text_next(struct text *t)
{
	const char *end;

	if (t->next >= t->in.len)
		return false;
	t->line.at = t->in.at + t->next;
	end = memchr(t->line.at, '\n', t->in.len - t->next);
	t->ended = end != NULL;
	t->line.len = end ? (size_t)(end - t->line.at) : t->in.len - t->next;
	t->next += t->line.len + t->ended;
	return true;
}

bool text_look_ahead(const struct text *t, enum text_ahead (*judge)(struct span first))
{
	struct text look = { .in = t->in, .next = t->next };
	enum text_ahead said = AHEAD_ON;

	while (said == AHEAD_ON && text_next(&look)) {
		const char *at = look.line.at;
		struct span first;

		if (word_next(&at, at + look.line.len, &first))
			said = judge(first);
	}
	return said == AHEAD_YES;
}

static void line_end(struct text *t)
{
	if (t->ended)
		bytes_text(&t->out, "\n");
}

void text_keep(struct text *t)
{
	bytes_span(&t->out, t->line);
	line_end(t);
}

void text_put(struct text *t, const struct bytes *line)
{
	if (line->failed)
		t->out.failed = true;
	if (line->len)
		bytes_add(&t->out, line->at, line->len);
	line_end(t);
}

void text_add(struct text *t, const char *format, ...)
{
	char *line = NULL;
	va_list args;

	if (t->out.len && t->out.at[t->out.len - 1] != '\n')
		bytes_text(&t->out, "\n");
	va_start(args, format);
	if (vasprintf(&line, format, args) < 0)
		line = NULL;
	va_end(args);
	if (!line)
		t->out.failed = true;
	else
		bytes_format(&t->out, "%s\n", line);
	free(line);
}

int text_write(struct text *t, vdisk_error *err, const char *why, ...)
{
	char *reason = NULL;
	va_list args;
	int rc = 0;

	while (text_next(t))
		text_keep(t);
	va_start(args, why);
	if (vasprintf(&reason, why, args) < 0)
		reason = NULL;
	va_end(args);
	if (t->out.failed || !reason)
		rc = fail_nomem(err);
	else if (t->out.len != t->in.len || (t->in.len && memcmp(t->out.at, t->in.at, t->in.len)))
		rc = plan_write(t->plan, t->path, t->out.len ? t->out.at : "", t->out.len, 0644, err, "%s", reason);
	free(reason);
	text_close(t);
	return rc;
}

/* ---------------------------------------------------------------- words */

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

bool word_next(const char **at, const char *end, struct span *word)
{
	const char *s = *at;

	while (s < end && is_blank(*s))
		s++;
	word->at = s;
	while (s < end && !is_blank(*s))
		s++;
	word->len = (size_t)(s - word->at);
	*at = s;
	return word->len > 0;
}

bool word_quoted(const char **at, const char *end, struct span *word)
{
	const char *s = *at;
	char quote = 0;

	while (s < end && is_blank(*s))
		s++;
	word->at = s;
	for (; s < end && (quote || !is_blank(*s)); s++) {
		if (quote ? *s == quote : *s == '"' || *s == '\'')
			quote = quote ? 0 : *s;
	}
	if (quote) /* it never ends: no quote, then */
		return word_next(at, end, word);
	word->len = (size_t)(s - word->at);
	*at = s;
	return word->len > 0;
}

bool span_is(struct span s, const char *text) { return s.len == strlen(text) && !memcmp(s.at, text, s.len); }
bool span_is_nocase(struct span s, const char *text) { return s.len == strlen(text) && !strncasecmp(s.at, text, s.len); }
bool span_starts(struct span s, const char *text) { return s.len >= strlen(text) && !memcmp(s.at, text, strlen(text)); }

struct span span_trim(struct span s)
{
	while (s.len && is_blank(*s.at)) {
		s.at++;
		s.len--;
	}
	while (s.len && is_blank(s.at[s.len - 1]))
		s.len--;
	return s;
}

bool span_copy(struct span s, char *out, size_t cap)
{
	bool fits = s.len < cap;

	if (fits)
		memcpy(out, s.at, s.len);
	out[fits ? s.len : 0] = '\0';
	return fits;
}

void bytes_span(struct bytes *b, struct span s)
{
	if (s.len)
		bytes_add(b, s.at, s.len);
}

void bytes_replaced(struct bytes *b, struct span line, struct span old, const char *with)
{
	const char *behind = old.at + old.len;

	bytes_span(b, (struct span){ line.at, (size_t)(old.at - line.at) });
	bytes_text(b, with);
	bytes_span(b, (struct span){ behind, (size_t)(line.at + line.len - behind) });
}

bool assignment(struct span line, struct span *name, struct span *value)
{
	const char *s = line.at, *end = line.at + line.len, *close;

	while (s < end && is_blank(*s))
		s++;
	if (end - s > 7 && !memcmp(s, "export", 6) && is_blank(s[6]))
		for (s += 6; s < end && is_blank(*s);)
			s++;
	name->at = s;
	while (s < end && (isalnum((unsigned char)*s) || *s == '_' || *s == '-' || *s == '.'))
		s++;
	name->len = (size_t)(s - name->at);
	while (s < end && is_blank(*s))
		s++;
	if (s < end && *s == '+')
		s++;
	if (!name->len || s == end || *s != '=')
		return false;
	s++;
	while (s < end && is_blank(*s))
		s++;
	if (s < end && (*s == '"' || *s == '\'')) {
		value->at = s + 1;
		for (close = value->at; close < end && *close != *s; close++)
			close += *s == '"' && *close == '\\' && close + 1 < end; /* foo="a \"b\" c" */
		value->len = (size_t)((close < end ? close : end) - value->at);
		return true;
	}
	*value = span_trim((struct span){ s, (size_t)(end - s) });
	return true;
}

/* ---------------------------------------------------------------- files */

struct call {
	file_fn each;
	void *to;
	vdisk_error *err;
};

static int call_one(void *to, const char *path)
{
	struct call *c = to;

	return c->each(c->to, path, c->err);
}

int files_each(struct plan *p, const char *folder, const char *pattern, file_fn each, void *to, vdisk_error *err)
{
	struct call c = { each, to, err };

	return tree_match(&p->view, folder, pattern, call_one, &c, err);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lines.h"

#include <string.h>
#include <strings.h>

struct lines lines_of(const struct bytes *b) { return (struct lines){ b->at, b->at ? b->at + b->len : b->at }; }

bool lines_next(struct lines *t, const char **line, size_t *len)
{
	const char *nl;

	if (t->at == t->end)
		return false;
	nl = memchr(t->at, '\n', (size_t)(t->end - t->at));
	*line = t->at;
	*len = (size_t)((nl ? nl : t->end) - t->at);
	t->at = nl ? nl + 1 : t->end;
	if (*len && (*line)[*len - 1] == '\r')
		--*len;
	return true;
}

static bool is_blank(char c) { return c == ' ' || c == '\t'; }

static void trim(const char **at, size_t *len)
{
	while (*len && is_blank(**at)) {
		++*at;
		--*len;
	}
	while (*len && is_blank((*at)[*len - 1]))
		--*len;
}

bool lines_entry(struct lines *t, const char **line, size_t *len)
{
	while (lines_next(t, line, len)) {
		trim(line, len);
		if (*len && **line != '#')
			return true;
	}
	return false;
}

bool lines_word(const char **at, const char *end, const char **word, size_t *len)
{
	while (*at < end && is_blank(**at))
		++*at;
	*word = *at;
	while (*at < end && !is_blank(**at))
		++*at;
	*len = (size_t)(*at - *word);
	return *len > 0;
}

bool chars_are(const char *at, size_t len, const char *what) { return strlen(what) == len && !memcmp(at, what, len); }

bool chars_are_nocase(const char *at, size_t len, const char *what) { return strlen(what) == len && !strncasecmp(at, what, len); }

bool chars_begin(const char *at, size_t len, const char *what)
{
	size_t n = strlen(what);

	return len >= n && !memcmp(at, what, n);
}

/* A shell's word, up to a blank, a semicolon or a comment. */
static void shell_word(const char *at, size_t len, struct bytes *out)
{
	char quote = 0;

	for (size_t i = 0; i < len; i++) {
		char c = at[i];

		if (quote == '\'' ? c == '\'' : quote && c == '"')
			quote = 0;
		else if (!quote && (c == '"' || c == '\''))
			quote = c;
		else if (c == '\\' && quote != '\'' && i + 1 < len && (!quote || strchr("\"\\$`", at[i + 1])))
			bytes_add(out, &at[++i], 1);
		else if (!quote && (is_blank(c) || c == ';'))
			return;
		else
			bytes_add(out, &c, 1);
	}
}

bool setting_find(const struct bytes *file, const char *name, struct bytes *out)
{
	struct lines t = lines_of(file);
	size_t len, n = strlen(name);
	const char *line;
	bool found = false;

	while (lines_entry(&t, &line, &len)) {
		if (chars_begin(line, len, "export ")) {
			line += 7;
			len -= 7;
			trim(&line, &len);
		}
		if (len <= n || line[n] != '=' || memcmp(line, name, n))
			continue;
		bytes_clear(out);
		bytes_add(out, "", 0);
		shell_word(line + n + 1, len - n - 1, out);
		found = true;
	}
	return found && !out->failed;
}

bool ini_find(const struct bytes *file, const char *section, const char *key, unsigned nth, struct bytes *out)
{
	struct lines t = lines_of(file);
	bool inside = !section;
	const char *line;
	size_t len;

	while (lines_entry(&t, &line, &len)) {
		const char *eq = memchr(line, '=', len), *value;
		size_t k, v;

		if (*line == ';')
			continue;
		if (*line == '[') {
			inside = section && len > 2 && line[len - 1] == ']' && chars_are_nocase(line + 1, len - 2, section);
			continue;
		}
		if (!inside || !eq)
			continue;
		k = (size_t)(eq - line);
		value = eq + 1;
		v = len - k - 1;
		trim(&line, &k);
		trim(&value, &v);
		if (!chars_are_nocase(line, k, key) || nth--)
			continue;
		bytes_clear(out);
		bytes_add(out, value, v);
		return !out->failed;
	}
	return false;
}

void words_add(struct bytes *list, const char *word, size_t len)
{
	const char *at = list->at, *end = at ? at + list->len : at, *w;
	size_t n;

	if (!len)
		return;
	while (at && lines_word(&at, end, &w, &n))
		if (n == len && !memcmp(w, word, len))
			return;
	if (list->len)
		bytes_text(list, " ");
	bytes_add(list, word, len);
}

void fstab_unescape(const char *at, size_t len, struct bytes *out)
{
	bytes_add(out, "", 0);
	for (size_t i = 0; i < len; i++) {
		char c = at[i];

		if (c == '\\' && len - i > 3 && at[i + 1] >= '0' && at[i + 1] <= '3' && at[i + 2] >= '0' && at[i + 2] <= '7' &&
		    at[i + 3] >= '0' && at[i + 3] <= '7') {
			c = (char)((at[i + 1] - '0') << 6 | (at[i + 2] - '0') << 3 | (at[i + 3] - '0'));
			i += 3;
		}
		if (c) /* a name holds no NUL */
			bytes_add(out, &c, 1);
	}
}

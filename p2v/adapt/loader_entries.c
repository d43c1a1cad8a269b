/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loader_entries.h"

#include "lines.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ENTRIES_MAX 4096
#define DEPTH_MAX 32

void entries_destroy(struct boot_entries *e)
{
	for (size_t i = 0; i < e->n; i++) {
		free(e->v[i].title);
		free(e->v[i].id);
		free(e->v[i].kernel);
	}
	free(e->v);
	free(e->chosen);
	*e = (struct boot_entries){ 0 };
}

static char *dup(struct boot_entries *e, const char *at, size_t len)
{
	char *s = strndup(at, len);

	if (!s)
		e->failed = true;
	return s;
}

static void put(struct boot_entries *e, char **to, const char *at, size_t len)
{
	char *s = dup(e, at, len);

	if (s) {
		free(*to);
		*to = s;
	}
}

/* Its number; -1: no more are taken. */
static int entry_add(struct boot_entries *e, int parent, bool menu)
{
	struct boot_entry *v = e->n < ENTRIES_MAX && !e->failed ? reallocarray(e->v, e->n + 1, sizeof(*v)) : NULL;

	if (!v) {
		e->failed = e->failed || e->n < ENTRIES_MAX;
		return -1;
	}
	e->v = v;
	v[e->n] = (struct boot_entry){ .parent = parent, .menu = menu };
	v[e->n].title = dup(e, "", 0);
	v[e->n].id = dup(e, "", 0);
	v[e->n].kernel = dup(e, "", 0);
	return (int)e->n++;
}

void entries_choose(struct boot_entries *e, const char *chosen) { put(e, &e->chosen, chosen, strlen(chosen)); }

/* ---------------------------------------------------------------- GRUB 2 */

/* The next word of a script, quotes taken off; what stands behind { is no word. */
static bool script_word(const char **at, const char *end, struct bytes *word)
{
	char quote = 0;
	const char *p = *at;

	while (p < end && (*p == ' ' || *p == '\t'))
		p++;
	bytes_clear(word);
	bytes_add(word, "", 0);
	if (p == end)
		return false;
	for (; p < end && (quote || (*p != ' ' && *p != '\t')); p++) {
		if (quote ? *p == quote : *p == '"' || *p == '\'')
			quote = quote ? 0 : *p;
		else if (*p == '\\' && quote != '\'' && p + 1 < end)
			bytes_add(word, ++p, 1);
		else
			bytes_add(word, p, 1);
	}
	*at = p;
	return true;
}

/* menuentry 'Title' --class x --id Y {   or … $menuentry_id_option 'Y' { */
static int menu_begin(struct boot_entries *e, const char *at, const char *end, int parent, bool menu, struct bytes *word)
{
	int i = entry_add(e, parent, menu);

	if (i < 0 || !script_word(&at, end, word))
		return i;
	put(e, &e->v[i].title, word->at, word->len);
	while (script_word(&at, end, word)) {
		if (!strncmp(word->at, "--id=", 5))
			put(e, &e->v[i].id, word->at + 5, word->len - 5);
		else if ((!strcmp(word->at, "--id") || !strcmp(word->at, "$menuentry_id_option") ||
			  !strcmp(word->at, "${menuentry_id_option}")) &&
			 script_word(&at, end, word))
			put(e, &e->v[i].id, word->at, word->len);
	}
	return i;
}

static bool is_kernel_command(const char *word)
{
	static const char *const v[] = { "linux",  "linux16", "linuxefi", "linux$sfx", "linux${sfx}", "linux${LINUX_SUFFIX}",
					 "kernel", NULL };

	for (const char *const *p = v; *p; p++)
		if (!strcmp(word, *p))
			return true;
	return false;
}

/* set default="…": a plain value, or the saved one. */
static void default_take(struct boot_entries *e, const char *value)
{
	if (!strcmp(value, "${saved_entry}") || !strcmp(value, "$saved_entry"))
		e->saved = true;
	else if (*value && !strchr(value, '$'))
		entries_choose(e, value);
}

void entries_read_grub2(struct boot_entries *e, const struct bytes *config)
{
	struct lines t = lines_of(config);
	int stack[DEPTH_MAX] = { -1 }, depth = 0, now = -1; /* the entry that each { began */
	struct bytes word = { 0 };
	const char *line;
	size_t len;

	while (lines_entry(&t, &line, &len)) {
		const char *at = line, *end = line + len;
		bool opens = end[-1] == '{' && (len == 1 || end[-2] == ' ' || end[-2] == '\t' || end[-2] == ')');
		int began = now;

		if (!script_word(&at, end, &word))
			continue;
		if (chars_are(line, len, "}")) {
			if (depth)
				depth--;
			now = stack[depth];
			continue;
		}
		if (!strcmp(word.at, "menuentry") || !strcmp(word.at, "submenu"))
			began = menu_begin(e, at, end, now, word.at[0] == 's', &word);
		else if (!strcmp(word.at, "set") && script_word(&at, end, &word) && !strncmp(word.at, "default=", 8))
			default_take(e, word.at + 8);
		else if (!strcmp(word.at, "blscfg"))
			e->bls = true;
		else if (now >= 0 && !e->v[now].menu && is_kernel_command(word.at) && !*e->v[now].kernel &&
			 script_word(&at, end, &word))
			put(e, &e->v[now].kernel, word.at, word.len);
		if (opens && depth < DEPTH_MAX - 1) {
			stack[++depth] = began;
			now = began;
		}
	}
	e->failed |= word.failed;
	bytes_destroy(&word);
}

/* ---------------------------------------------------------------- the others */

void entries_read_legacy(struct boot_entries *e, const struct bytes *config)
{
	struct lines t = lines_of(config);
	const char *line, *word;
	size_t len, n;
	int now = -1;

	while (lines_entry(&t, &line, &len)) {
		const char *at = line, *end = line + len;

		word = line;
		while (at < end && *at != ' ' && *at != '\t' && *at != '=') /* default=1 as well as default 1 */
			at++;
		n = (size_t)(at - word);
		while (at < end && (*at == ' ' || *at == '\t' || *at == '='))
			at++;
		if (chars_are(word, n, "title")) {
			now = entry_add(e, -1, false);
			if (now >= 0)
				put(e, &e->v[now].title, at, (size_t)(end - at));
		} else if (chars_are(word, n, "default") && now < 0) {
			e->saved = chars_are(at, (size_t)(end - at), "saved");
			put(e, &e->chosen, at, (size_t)(end - at));
		} else if (chars_are(word, n, "kernel") && now >= 0 && !*e->v[now].kernel) {
			while (lines_word(&at, end, &word, &n)) /* kernel --no-mem-option /vmlinuz */
				if (*word != '-') {
					put(e, &e->v[now].kernel, word, n);
					break;
				}
		}
	}
}

void entries_read_extlinux(struct boot_entries *e, const struct bytes *config)
{
	struct lines t = lines_of(config);
	const char *line, *word, *value;
	size_t len, n, v;
	int now = -1;

	while (lines_entry(&t, &line, &len)) {
		const char *at = line, *end = line + len;

		lines_word(&at, end, &word, &n);
		if (!lines_word(&at, end, &value, &v))
			continue;
		if (chars_are_nocase(word, n, "label")) {
			now = entry_add(e, -1, false);
			if (now >= 0)
				put(e, &e->v[now].id, value, v);
		} else if (chars_are_nocase(word, n, "default") && now < 0) {
			put(e, &e->chosen, value, v);
		} else if (now >= 0 && chars_are_nocase(word, n, "menu") && chars_are_nocase(value, v, "default")) {
			entries_choose(e, e->v[now].id);
		} else if (now >= 0 && (chars_are_nocase(word, n, "kernel") || chars_are_nocase(word, n, "linux"))) {
			put(e, &e->v[now].kernel, value, v);
		}
	}
}

void entries_read_bls(struct boot_entries *e, const struct bytes *entry, const char *id)
{
	struct lines t = lines_of(entry);
	int now = entry_add(e, -1, false);
	const char *line, *word, *value;
	size_t len, n, v;

	if (now < 0)
		return;
	put(e, &e->v[now].id, id, strlen(id));
	while (lines_entry(&t, &line, &len)) {
		const char *at = line, *end = line + len;

		lines_word(&at, end, &word, &n);
		if (chars_are(word, n, "title")) {
			while (at < end && (*at == ' ' || *at == '\t'))
				at++;
			put(e, &e->v[now].title, at, (size_t)(end - at));
		} else if ((chars_are(word, n, "linux") || chars_are(word, n, "efi") || chars_are(word, n, "uki")) &&
			   lines_word(&at, end, &value, &v)) {
			put(e, &e->v[now].kernel, value, v);
		}
	}
}

/* ---------------------------------------------------------------- the default */

/* The part [at, at + len) of the default's name, among the children of `parent`. */
static int child_named(const struct boot_entries *e, int parent, const char *at, size_t len)
{
	bool number = len > 0;
	unsigned long want, i = 0;

	for (size_t k = 0; k < len; k++)
		number = number && isdigit((unsigned char)at[k]);
	want = number ? strtoul(at, NULL, 10) : 0;
	for (size_t k = 0; k < e->n; k++) {
		const struct boot_entry *b = &e->v[k];
		char pattern[512];

		if (b->parent != parent)
			continue;
		if (number ? i == want : chars_are(at, len, b->id) || chars_are(at, len, b->title))
			return (int)k;
		/* loader.conf takes a pattern, with or without .conf */
		if (!number && *b->id && len < sizeof(pattern)) {
			memcpy(pattern, at, len);
			pattern[len] = '\0';
			if (len > 5 && !strcasecmp(pattern + len - 5, ".conf"))
				pattern[len - 5] = '\0';
			if (!fnmatch(pattern, b->id, 0))
				return (int)k;
		}
		i++;
	}
	return -1;
}

const struct boot_entry *entries_default(const struct boot_entries *e)
{
	const char *at = e->chosen && *e->chosen ? e->chosen : "0";
	int i = -1;

	for (;;) { /* a title may hold > itself: then it stands as a whole */
		size_t len = strcspn(at, ">");
		int whole = child_named(e, i, at, strlen(at));

		if (whole >= 0) {
			i = whole;
			break;
		}
		i = at[len] ? child_named(e, i, at, len) : -1;
		if (i < 0)
			break;
		at += len + 1;
	}
	if (i < 0)
		i = child_named(e, -1, "0", 1); /* as GRUB does where there is no such entry */
	while (i >= 0 && e->v[i].menu)
		i = child_named(e, i, "0", 1);
	return i >= 0 ? &e->v[i] : NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * "Shell-like scripting" of GRUB's manual: single quotes keep all, double quotes expand; an expansion outside quotes is parted at
 * its blanks, and vanishes where it is empty.
 */
#include "grubwords.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct builder {
	struct grub_command *cmd;
	const struct grub_vars *vars;
	const struct grub_args *args;
	int status;
	size_t expanded;
	char word[GRUB_VALUE_MAX];
	size_t n;
	bool begun; /* a word that may be empty, as "" is */
	bool plain; /* without quotes and expansions so far */
	bool failed;
};

static void put(struct builder *b, char c)
{
	if (b->n + 1 >= sizeof(b->word))
		b->failed = true;
	else
		b->word[b->n++] = c;
	b->begun = true;
}

static void word_end(struct builder *b)
{
	struct grub_command *cmd = b->cmd;

	if (!b->begun)
		return;
	b->word[b->n] = '\0';
	if (cmd->n == GRUB_WORDS_MAX || !(cmd->words[cmd->n] = strdup(b->word)))
		b->failed = true;
	else {
		if (cmd->n == 0)
			cmd->bare = b->plain;
		cmd->n++;
	}
	b->n = 0;
	b->begun = false;
	b->plain = true;
}

static void text_put(struct builder *b, const char *text, bool quoted)
{
	b->expanded += strlen(text);
	for (; *text && !b->failed; text++)
		if (!quoted && isspace((unsigned char)*text))
			word_end(b);
		else
			put(b, *text);
}

/* The name behind a '$'; 0: there is none. */
static size_t name_length(const char *p)
{
	size_t n = 0;

	if (isalpha((unsigned char)*p) || *p == '_')
		while (isalnum((unsigned char)p[n]) || p[n] == '_')
			n++;
	else if (isdigit((unsigned char)*p))
		while (isdigit((unsigned char)p[n]))
			n++;
	else
		n = *p && strchr("?#@*", *p);
	return n;
}

static void value_put(struct builder *b, const char *name, size_t len, bool quoted)
{
	char number[16];

	b->plain = false;
	if (!b->vars)
		return;
	if (*name == '?') {
		snprintf(number, sizeof(number), "%d", b->status);
		text_put(b, number, quoted);
	} else if (*name == '#') {
		snprintf(number, sizeof(number), "%zu", b->args->n);
		text_put(b, number, quoted);
	} else if (*name == '@' || *name == '*') {
		for (size_t i = 0; i < b->args->n; i++) {
			if (i && quoted && *name == '*')
				put(b, ' ');
			else if (i)
				word_end(b);
			text_put(b, b->args->v[i], quoted);
		}
	} else if (isdigit((unsigned char)*name)) {
		unsigned long i = strtoul(name, NULL, 10);

		if (i >= 1 && i <= b->args->n)
			text_put(b, b->args->v[i - 1], quoted);
	} else {
		b->expanded += b->vars->n;
		text_put(b, grub_var(b->vars, name, len), quoted);
	}
}

/* At a '$'. */
static const char *expansion(struct builder *b, const char *p, bool quoted)
{
	bool braces = p[1] == '{';
	const char *name = p + 1 + braces;
	size_t len = name_length(name);

	if (!len || (braces && name[len] != '}')) {
		put(b, '$');
		return p + 1;
	}
	value_put(b, name, len, quoted);
	return name + len + braces;
}

static const char *quoted_double(struct builder *b, struct grub_cursor *c, const char *p)
{
	b->begun = true;
	b->plain = false;
	while (*p && *p != '"') {
		if (*p == '\\' && p[1] && strchr("\\\"$\n", p[1])) {
			if (p[1] != '\n')
				put(b, p[1]);
			p += 2;
		} else if (*p == '$')
			p = expansion(b, p, true);
		else {
			c->line += *p == '\n';
			put(b, *p++);
		}
	}
	return p + (*p == '"');
}

static const char *quoted_single(struct builder *b, struct grub_cursor *c, const char *p)
{
	b->begun = true;
	b->plain = false;
	for (; *p && *p != '\''; p++) {
		c->line += *p == '\n';
		put(b, *p);
	}
	return p + (*p == '\'');
}

static bool is_block(const char *p)
{
	return (*p == '{' || *p == '}') && (!p[1] || strchr(" \t\r\n;", p[1]));
}

/* One step; true: the command is at its end. */
static bool step(struct builder *b, struct grub_cursor *c)
{
	const char *p = c->p;

	if (!b->begun && is_block(p)) {
		b->cmd->end = *p == '{' ? GRUB_END_OPEN : GRUB_END_CLOSE;
		c->p = p + 1;
		return true;
	}
	switch (*p) {
	case '\0':
		b->cmd->end = GRUB_END_TEXT;
		return true;
	case '\n':
	case ';':
		c->line += *p == '\n';
		c->p = p + 1;
		b->cmd->end = GRUB_END_LINE;
		return true;
	case ' ':
	case '\t':
	case '\r':
		word_end(b);
		p++;
		break;
	case '#':
		if (b->begun)
			put(b, *p++);
		else
			p += strcspn(p, "\n");
		break;
	case '\\':
		if (p[1] == '\n')
			c->line++;
		else if (p[1])
			put(b, p[1]);
		b->plain = false;
		p += p[1] ? 2 : 1;
		break;
	case '\'':
		p = quoted_single(b, c, p + 1);
		break;
	case '"':
		p = quoted_double(b, c, p + 1);
		break;
	case '$':
		p = expansion(b, p, false);
		break;
	default:
		put(b, *p++);
	}
	c->p = p;
	return false;
}

int grub_command_read(struct grub_cursor *c, const struct grub_vars *expand, const struct grub_args *args, int status,
                      struct grub_command *out, size_t *expanded)
{
	struct builder *b = malloc(sizeof(*b)); /* too large to be cleared for each command */

	*out = (struct grub_command){ 0 };
	if (!b)
		return -1;
	b->cmd = out;
	b->vars = expand;
	b->args = args;
	b->status = status;
	b->n = b->expanded = 0;
	b->begun = b->failed = false;
	b->plain = true;
	while (!b->failed && !step(b, c))
		;
	if (!b->failed)
		word_end(b);
	bool failed = b->failed;
	*expanded = b->expanded;
	free(b);
	if (failed)
		grub_command_destroy(out);
	return failed ? -1 : 0;
}

void grub_command_destroy(struct grub_command *cmd)
{
	for (size_t i = 0; i < cmd->n; i++)
		free(cmd->words[i]);
	cmd->n = 0;
}

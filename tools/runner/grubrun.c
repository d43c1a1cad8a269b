/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The structure of scripts: if, while, until, for, functions, menu entries.  A part that is not to be run is read over with the
 * same functions.  Bounded by work, depth and files, so that no configuration keeps it busy.
 */
#include "grubrun.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void list_run(struct grub *g, struct grub_cursor *c, bool exec, char ender[8]);

void grub_fail(struct grub *g, enum vdisk_error_kind kind, const char *what, const char *value)
{
	if (g->stop)
		return; /* what is left after "boot", or after a failure, is of no interest */
	fail(g->err, kind, "%s%s%.200s", what, *value ? ": " : "", value);
	g->failed = g->stop = true;
}

bool grub_work(struct grub *g, size_t work)
{
	if (work > GRUB_WORK_MAX - g->work) {
		grub_fail(g, VDISK_INVALID, "a script that does not come to its end", "");
		return false;
	}
	g->work += work;
	return true;
}

static void block_destroy(struct grub_block *b)
{
	free(b->name);
	free(b->id);
	free(b->body);
	for (size_t i = 0; i < b->n_args; i++)
		free(b->title_args[i]);
}

void grub_menu_destroy(struct grub_menu *menu)
{
	for (size_t i = 0; i < menu->n; i++)
		block_destroy(&menu->entries[i]);
	free(menu->entries);
	*menu = (struct grub_menu){ 0 };
}

void grub_destroy(struct grub *g)
{
	grub_vars_destroy(&g->vars);
	for (size_t i = 0; i < g->n_functions; i++)
		block_destroy(&g->functions[i]);
	if (g->has_pending)
		grub_command_destroy(&g->pending);
}

bool grub_path(struct grub *g, char out[BOOT_PATH_MAX], const char *path)
{
	return boot_path(out, grub_var(&g->vars, "root", 4), path);
}

bool grub_entry_add(struct grub *g, const char *name, const char *id, const char *body, bool submenu, bool bls)
{
	struct grub_menu *menu = g->menu;
	struct grub_block *entries = menu->n < GRUB_ENTRIES_MAX ? realloc(menu->entries, (menu->n + 1) * sizeof(*entries)) : NULL;

	if (!entries) {
		grub_fail(g, VDISK_INVALID, "too many menu entries", "");
		return false;
	}
	menu->entries = entries;
	entries[menu->n] = (struct grub_block){ .name = strdup(name), .id = strdup(id), .body = strdup(body), .submenu = submenu,
		.bls = bls };
	menu->n++;
	if (!entries[menu->n - 1].name || !entries[menu->n - 1].id || !entries[menu->n - 1].body)
		grub_fail(g, VDISK_NOMEM, "out of memory", "");
	return !g->failed;
}

/* The text up to the matching "}", owned. */
static char *body_take(struct grub *g, struct grub_cursor *c)
{
	const char *begin = c->p;
	char ender[8];

	list_run(g, c, false, ender);
	if (strcmp(ender, "}")) {
		grub_fail(g, VDISK_CORRUPT, "a block has no end", "");
		return NULL;
	}
	return strndup(begin, (size_t)(c->p - begin) - 1);
}

static void function_define(struct grub *g, const char *name, char *body)
{
	size_t i = 0;

	while (i < g->n_functions && strcmp(g->functions[i].name, name))
		i++;
	char *copy = i == g->n_functions && i < GRUB_FUNCTIONS_MAX ? strdup(name) : NULL;
	if (copy)
		g->functions[g->n_functions++] = (struct grub_block){ .name = copy };
	if (i == g->n_functions) {
		free(body);
		grub_fail(g, VDISK_INVALID, "one function too many", name);
		return;
	}
	free(g->functions[i].body);
	g->functions[i].body = body;
}

/* menuentry TITLE [--id ID] [--class …] [--users …] [--hotkey …] [--unrestricted] [ARG…] */
static void entry_define(struct grub *g, struct grub_command *cmd, char *body)
{
	static const char *const valued[] = { "--class", "--users", "--hotkey", "--id", "--source", "--language" };
	const char *id = "", *rest[8];
	size_t n = 0;

	for (size_t i = 1; i < cmd->n; i++) {
		const char *word = cmd->words[i];
		bool takes = false;

		for (unsigned k = 0; k < sizeof(valued) / sizeof(*valued); k++)
			takes = takes || !strcmp(word, valued[k]);
		if (!strncmp(word, "--id=", 5))
			id = word + 5;
		else if (takes && i + 1 < cmd->n) {
			if (!strcmp(word, "--id"))
				id = cmd->words[i + 1];
			i++;
		} else if (strncmp(word, "--", 2) && n < 8)
			rest[n++] = word;
	}
	if (!grub_entry_add(g, n ? rest[0] : "", id, body, !strcmp(cmd->words[0], "submenu"), false))
		return;
	struct grub_block *b = &g->menu->entries[g->menu->n - 1];
	for (size_t i = 0; i < n; i++)
		if (!(b->title_args[b->n_args++] = strdup(rest[i])))
			grub_fail(g, VDISK_NOMEM, "out of memory", "");
}

static void block_define(struct grub *g, struct grub_cursor *c, struct grub_command *cmd, bool exec)
{
	char *body = body_take(g, c);

	if (!body)
		return;
	if (exec && !strcmp(cmd->words[0], "function") && cmd->n > 1) {
		function_define(g, cmd->words[1], body);
		return;
	}
	if (exec && strcmp(cmd->words[0], "function"))
		entry_define(g, cmd, body);
	free(body);
}

static void if_run(struct grub *g, struct grub_cursor *c, bool exec)
{
	bool done = false;
	char ender[8];

	for (;;) {
		list_run(g, c, exec && !done, ender);
		bool take = exec && !done && g->status == 0;
		if (strcmp(ender, "then")) {
			grub_fail(g, VDISK_CORRUPT, "\"if\" without \"then\"", "");
			return;
		}
		list_run(g, c, take, ender);
		done = done || take;
		if (!strcmp(ender, "else")) {
			list_run(g, c, exec && !done, ender);
			break;
		}
		if (strcmp(ender, "elif"))
			break;
	}
	if (strcmp(ender, "fi"))
		grub_fail(g, VDISK_CORRUPT, "\"if\" without \"fi\"", "");
	if (exec && !done)
		g->status = 0;
}

/* The commands of the condition, which stand behind the keyword, are pending at the first time. */
static void while_run(struct grub *g, struct grub_cursor *c, bool exec, bool until, const char *condition)
{
	char ender[8];

	list_run(g, c, exec, ender);
	for (;;) {
		bool take = exec && !g->stop && (g->status == 0) != until;

		if (strcmp(ender, "do"))
			break;
		list_run(g, c, take, ender);
		if (!take)
			break;
		/* Once more from the condition on: it is read anew. */
		c->p = condition;
		list_run(g, c, true, ender);
	}
	if (strcmp(ender, "done"))
		grub_fail(g, VDISK_CORRUPT, "a loop without \"done\"", "");
}

static void for_run(struct grub *g, struct grub_cursor *c, bool exec, struct grub_command *cmd)
{
	struct grub_cursor body;
	char ender[8];

	list_run(g, c, false, ender); /* up to "do" */
	body = *c;
	if (strcmp(ender, "do") || cmd->n < 3 || strcmp(cmd->words[2], "in")) {
		grub_fail(g, VDISK_CORRUPT, "\"for\" without \"in\" or \"do\"", "");
		return;
	}
	if (g->has_pending) { /* the body begins on the line of "do" */
		grub_fail(g, VDISK_UNSUPPORTED, "\"for\" with a command on the line of its \"do\"", "");
		return;
	}
	for (size_t i = 3; exec && i < cmd->n && !g->stop; i++) {
		grub_var_set(&g->vars, cmd->words[1], strlen(cmd->words[1]), cmd->words[i]);
		*c = body;
		list_run(g, c, true, ender);
	}
	*c = body;
	list_run(g, c, false, ender);
	if (strcmp(ender, "done"))
		grub_fail(g, VDISK_CORRUPT, "\"for\" without \"done\"", "");
}

static bool is_ender(const char *word)
{
	static const char *const enders[] = { "then", "elif", "else", "fi", "do", "done" };

	for (unsigned i = 0; i < sizeof(enders) / sizeof(*enders); i++)
		if (!strcmp(word, enders[i]))
			return true;
	return false;
}

/* Takes the first word away; what is left, if anything, is the next command. */
static void keyword_drop(struct grub *g, struct grub_command *cmd)
{
	free(cmd->words[0]);
	memmove(cmd->words, cmd->words + 1, (cmd->n - 1) * sizeof(*cmd->words));
	cmd->n--;
	cmd->bare = true;
	if (cmd->n || cmd->end == GRUB_END_CLOSE) {
		g->pending = *cmd;
		g->has_pending = true;
		cmd->n = 0;
		cmd->end = GRUB_END_LINE;
	}
}

static int command_next(struct grub *g, struct grub_cursor *c, bool exec, struct grub_command *cmd)
{
	if (g->has_pending) {
		*cmd = g->pending;
		g->has_pending = false;
		return 0;
	}
	const char *begin = c->p;
	size_t expanded = 0;

	if (grub_command_read(c, exec ? &g->vars : NULL, &g->args, g->status, cmd, &expanded)) {
		grub_fail(g, VDISK_INVALID, "a command is too long", "");
		return -1;
	}
	if (grub_work(g, GRUB_WORK_COMMAND + (size_t)(c->p - begin) + expanded))
		return 0;
	grub_command_destroy(cmd);
	return -1;
}

static void function_call(struct grub *g, const struct grub_block *f, char **words, size_t n)
{
	struct grub_args before = g->args;
	char *body = strdup(f->body); /* the function may define itself anew */

	g->args = (struct grub_args){ words + 1, n - 1 };
	if (body)
		grub_run(g, body);
	free(body);
	g->args = before;
}

static void simple_run(struct grub *g, char **words, size_t n)
{
	const char *equals = strchr(words[0], '=');

	if (!strcmp(words[0], "!") && n > 1) {
		simple_run(g, words + 1, n - 1);
		g->status = !g->status;
		return;
	}
	if (equals && equals > words[0]) {
		if (!grub_var_set(&g->vars, words[0], (size_t)(equals - words[0]), equals + 1))
			grub_fail(g, VDISK_INVALID, "a variable cannot be set", words[0]);
		g->status = 0;
		return;
	}
	for (size_t i = 0; i < g->n_functions; i++)
		if (!strcmp(g->functions[i].name, words[0])) {
			function_call(g, &g->functions[i], words, n);
			return;
		}
	g->status = grub_builtin(g, words, n);
}

/* One command, with all that belongs to it.  `begin`: where it was read; NULL: it was pending.  true: an ender came, and stands in
   `ender`. */
static bool command_run(struct grub *g, struct grub_cursor *c, bool exec, struct grub_command *cmd, const char *begin,
                        char ender[8])
{
	const char *word = cmd->n ? cmd->words[0] : "";
	bool bare = cmd->n && cmd->bare;

	if (bare && is_ender(word)) {
		snprintf(ender, 8, "%s", word);
		keyword_drop(g, cmd);
		return true;
	}
	if (bare && !strcmp(word, "if")) {
		keyword_drop(g, cmd);
		if_run(g, c, exec);
	} else if (bare && (!strcmp(word, "while") || !strcmp(word, "until"))) {
		bool until = *word == 'u';
		const char *condition = begin ? begin + strspn(begin, " \t\r\n;") + strlen(word) : NULL;

		if (!begin) {
			grub_fail(g, VDISK_UNSUPPORTED, "a loop behind another keyword on its line", word);
			return false;
		}
		keyword_drop(g, cmd);
		while_run(g, c, exec, until, condition);
	} else if (bare && !strcmp(word, "for"))
		for_run(g, c, exec, cmd);
	else if (cmd->n && cmd->end == GRUB_END_OPEN)
		block_define(g, c, cmd, exec);
	else if (cmd->n && exec && !g->stop)
		simple_run(g, cmd->words, cmd->n);
	if (cmd->end == GRUB_END_CLOSE) {
		strcpy(ender, "}");
		return true;
	}
	if (cmd->end == GRUB_END_TEXT) {
		ender[0] = '\0';
		return true;
	}
	return false;
}

/* Commands up to a word that ends them, "}" or the end of the text (""). */
static void list_run(struct grub *g, struct grub_cursor *c, bool exec, char ender[8])
{
	bool ended = false;

	ender[0] = '\0';
	if (g->depth++ >= GRUB_DEPTH_MAX)
		grub_fail(g, VDISK_INVALID, "a script is nested too deep", "");
	while (!ended && !g->stop) {
		const char *begin = g->has_pending ? NULL : c->p;
		struct grub_command cmd;

		if (command_next(g, c, exec, &cmd))
			break;
		ended = command_run(g, c, exec, &cmd, begin, ender);
		grub_command_destroy(&cmd);
	}
	g->depth--;
}

void grub_run(struct grub *g, const char *text)
{
	struct grub_cursor c = { text, 1 };
	struct grub_command before = g->pending;
	bool had = g->has_pending;
	char ender[8];

	g->has_pending = false;
	list_run(g, &c, true, ender);
	if (g->has_pending)
		grub_command_destroy(&g->pending);
	if (*ender && !g->stop)
		grub_fail(g, VDISK_CORRUPT, "a script has this out of its place", ender);
	g->pending = before;
	g->has_pending = had;
}

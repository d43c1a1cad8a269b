/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "external.h"
#include "help.h"
#include "output.h"
#include "target.h"

#include <string.h>

#define HELP_COLUMN 32
#define HELP_WIDTH 100

const struct program_option program_options[] = {
	{ 'h', "help", NULL, "print the list of commands and exit" },
	{ 'V', "version", NULL, "print the version and the features built in and exit" },
	{ 0, "completion", "bash", "print the completion script for that shell and exit" },
	{ 0, "mdoc", "NAME", "print the option section of a command's manual (or of \"formats\", \"program\") in mdoc and exit" },
	{ 0 },
};

/* Words of `text` from the given column on, wrapped. */
static void wrapped(const char *text, size_t column, size_t at)
{
	if (at + 1 >= column) {
		say("\n");
		at = 0;
	}
	say("%*s", (int)(column - at), "");
	size_t used = column;
	for (const char *p = text; *p;) {
		size_t len = strcspn(p, " "), gap = used > column;
		if (used + gap + len > HELP_WIDTH && gap) {
			say("\n%*s", (int)column, "");
			used = column;
			gap = 0;
		}
		say("%s%.*s", gap ? " " : "", (int)len, p);
		used += gap + len;
		p += len + (p[len] == ' ');
	}
	say("\n");
}

static size_t option_head(char *buf, size_t cap, const struct opt *o)
{
	size_t n = (size_t)snprintf(buf, cap, "  ");
	if (o->letter)
		n += (size_t)snprintf(buf + n, cap - n, "-%c%s%s", o->letter, o->bare ? " " : "", o->bare ? o->arg : "");
	else
		n += (size_t)snprintf(buf + n, cap - n, "  ");
	if (o->name)
		n += (size_t)snprintf(buf + n, cap - n, "%s--%s", o->letter ? ", " : "  ", o->name);
	if (opt_takes_arg(o)) {
		const char *arg = o->kind == OPT_CHOICE ? o->choices : o->arg;
		n += (size_t)snprintf(buf + n, cap - n, o->bare ? "[=%s]" : " %s", arg);
	}
	return n;
}

void help_command(const struct command *cmd)
{
	say("usage: vdisk %s [OPTION]... %s\n\n", cmd->name, cmd->operands);
	say("%c%s.\n", cmd->summary[0] - 'a' + 'A', cmd->summary + 1);
	if (cmd->notes)
		wrapped(cmd->notes, 0, 0);
	say("\n");
	for (const struct opt_group *g = cmd->groups; g->table; g++)
		for (const struct opt *o = g->table; !opt_is_end(o); o++) {
			char head[96];
			size_t n = option_head(head, sizeof(head), o);
			say("%s", head);
			wrapped(o->help, HELP_COLUMN, n);
		}
	say("\nThe manual: man vdisk-%s\n", cmd->name);
}

static bool externals_any;

static void external_say(const char *name, const char *summary)
{
	if (!externals_any)
		say("\nPrograms of their own that are installed here, as \"vdisk NAME\":\n\n");
	externals_any = true;
	say("  %-15s  %s\n", name, summary ? summary : "");
}

void help_program(void)
{
	say("usage: vdisk COMMAND [OPTION]... [OPERAND]...\n\nDisk images: convert them, look into them, make and mend them.\n\n");
	for (size_t i = 0; commands[i]; i++)
		say("  %-15s  %s\n", commands[i]->name, commands[i]->summary);
	say("  %-15s  %s\n", "help", "\"vdisk help COMMAND\", \"vdisk help formats\"");
	externals_list(external_say);
	say("\n");
	for (const struct program_option *o = program_options; o->name; o++) {
		char head[48];
		int n = o->letter ? snprintf(head, sizeof(head), "  -%c, ", o->letter) : snprintf(head, sizeof(head), "      ");
		n += snprintf(head + n, sizeof(head) - (size_t)n, "--%s", o->name);
		if (o->arg)
			n += snprintf(head + n, sizeof(head) - (size_t)n, " %s", o->arg);
		say("%s", head);
		wrapped(o->help, HELP_COLUMN, (size_t)n);
	}
	say("\nAny other COMMAND is the program vdisk-COMMAND.  The manual: man vdisk\n");
}

static void names_say(const char *const *names, const char *before)
{
	for (; names && *names; names++, before = ", ")
		say("%s%s", before, *names);
}

void help_formats(void)
{
	static const struct { uint32_t bit; const char *name; } caps[] = {
		{ VDISK_FORMAT_READ, "read" }, { VDISK_FORMAT_WRITE, "write" }, { VDISK_FORMAT_CREATE, "create" },
		{ VDISK_FORMAT_COMPRESS, "compress" }, { VDISK_FORMAT_BACKING, "layers" }, { VDISK_FORMAT_CHECK, "check" },
		{ VDISK_FORMAT_RESIZE, "resize" }, { VDISK_FORMAT_STREAM_IN, "standard input" },
		{ VDISK_FORMAT_STREAM_OUT, "standard output" },
	};
	static const struct { uint32_t use; const char *title; } uses[] = {
		{ VDISK_OPT_FOR_CREATE, "create -o, convert -o, measure -o" }, { VDISK_OPT_FOR_OPEN, "--open-opt" },
		{ VDISK_OPT_FOR_AMEND, "amend -o" },
	};
	const struct vdisk_format_info *f;
	for (size_t i = 0; (f = vdisk_format_get(i)); i++) {
		say("%s%s: %s", i ? "\n" : "", f->name, f->long_name);
		names_say(f->aliases, "\n  also called: ");
		names_say(f->suffixes, "\n  suffixes: ");
		const char *before = "\n  can: ";
		for (size_t k = 0; k < sizeof(caps) / sizeof(*caps); k++)
			if (f->caps & caps[k].bit) {
				say("%s%s", before, caps[k].name);
				before = ", ";
			}
		say("\n");
		for (size_t u = 0; u < sizeof(uses) / sizeof(*uses); u++) {
			bool any = false;
			for (const struct vdisk_option_info *o = f->options; o && o->name; o++)
				any = any || (o->use & uses[u].use);
			if (any) {
				say("  %s:\n", uses[u].title);
				format_options_print(f, uses[u].use, "    ");
			}
		}
	}
}

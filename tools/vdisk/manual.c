/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The option sections of the manual, in mdoc.  man/options.sh puts them into the pages; a test compares. */
#include "help.h"
#include "output.h"

#include <ctype.h>
#include <string.h>

/* One line of running text: no macro may start by chance, and a backslash is a backslash. */
static void mdoc_text(const char *text, const char *end)
{
	if (*text == '.' || *text == '\'')
		say("\\&");
	for (; *text; text++) {
		if (*text == '\\')
			say("\\e");
		else if (*text == '-' && text[1] == '-')
			say("\\-");
		else
			say("%c", *text);
	}
	say("%s\n", end);
}

static void sentence(const char *text, const char *end)
{
	char first[2] = { (char)toupper((unsigned char)text[0]), '\0' };
	bool lower = !strncmp(text, "vdisk", 5) || !isalpha((unsigned char)text[0]) || !islower((unsigned char)text[1]);
	say("%s", lower ? "" : first);
	mdoc_text(text + !lower, end);
}

static void option_item(const struct opt *o)
{
	say(".It");
	if (o->letter)
		say(" Fl %c%s%s%s", o->letter, o->bare ? " Ar " : "", o->bare ? o->arg : "", o->name ? " ," : "");
	if (o->name)
		say(" Fl \\-%s", o->name);
	if (opt_takes_arg(o)) {
		const char *arg = o->arg ? o->arg : "ARG";
		say(o->bare ? " Ns Op = Ns Ar %s" : " Ar %s", arg);
	}
	say("\n");
	sentence(o->help, ".");
	if (o->kind == OPT_CHOICE && !strstr(o->help, ":")) {
		say(".Ar %s\nis one of\n", o->arg);
		for (const char *p = o->choices; *p;) {
			size_t len = strcspn(p, "|");
			say(".Cm %.*s%s\n", (int)len, p, p[len] ? " ," : " .");
			p += len + (p[len] == '|');
		}
	}
}

void manual_options(const struct command *cmd)
{
	say(".Bl -tag -width Ds\n");
	for (const struct opt_group *g = cmd ? cmd->groups : NULL; g && g->table; g++)
		for (const struct opt *o = g->table; !opt_is_end(o); o++)
			option_item(o);
	for (const struct program_option *o = cmd ? NULL : program_options; o && o->name; o++) {
		say(".It");
		if (o->letter)
			say(" Fl %c ,", o->letter);
		say(" Fl \\-%s%s%s\n", o->name, o->arg ? " Ar " : "", o->arg ? o->arg : "");
		sentence(o->help, ".");
	}
	say(".El\n");
}

static void format_option_item(const struct vdisk_option_info *o)
{
	static const struct { uint32_t bit; const char *name; } uses[] = {
		{ VDISK_OPT_FOR_CREATE, "create" }, { VDISK_OPT_FOR_OPEN, "open" }, { VDISK_OPT_FOR_AMEND, "amend" },
	};
	static const char *const types[] = {
		[VDISK_OPT_STRING] = "TEXT", [VDISK_OPT_SIZE] = "SIZE", [VDISK_OPT_UINT] = "N", [VDISK_OPT_BOOL] = "on|off",
	};
	say(".It Cm %s Ns = Ns Ar %s\n(", o->name, o->type == VDISK_OPT_ENUM ? o->values : types[o->type]);
	const char *before = "";
	for (size_t i = 0; i < sizeof(uses) / sizeof(*uses); i++)
		if (o->use & uses[i].bit) {
			say("%s%s", before, uses[i].name);
			before = ", ";
		}
	say(")\n");
	sentence(o->help, ".");
	if (o->deflt && *o->deflt)
		say("Default:\n.Cm %s .\n", o->deflt);
}

void manual_formats(void)
{
	const struct vdisk_format_info *f;
	for (size_t i = 0; (f = vdisk_format_get(i)); i++) {
		say(".Ss %s\n", f->name);
		sentence(f->long_name, ".");
		if (f->aliases && *f->aliases) {
			say("Also called\n");
			for (const char *const *a = f->aliases; *a; a++)
				say(".Cm %s%s\n", *a, a[1] ? " ," : " .");
		}
		if (f->suffixes && *f->suffixes) {
			say("Suffixes:\n");
			for (const char *const *s = f->suffixes; *s; s++)
				say(".Pa .%s%s\n", *s, s[1] ? " ," : " .");
		}
		if (!f->options || !f->options->name)
			continue;
		say(".Bl -tag -width Ds\n");
		for (const struct vdisk_option_info *o = f->options; o->name; o++)
			format_option_item(o);
		say(".El\n");
	}
}

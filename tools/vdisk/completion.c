/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bash completion script, from the option table and the formats. */
#include "help.h"
#include "output.h"
#include "target.h"

#include <string.h>

static void option_words(const struct command *cmd)
{
	const char *before = "";
	for (const struct opt_group *g = cmd->groups; g->table; g++)
		for (const struct opt *o = g->table; !opt_is_end(o); o++) {
			if (o->letter)
				say("%s-%c", before, o->letter);
			if (o->letter)
				before = " ";
			if (o->name)
				say("%s--%s", before, o->name);
			before = " ";
		}
}

/* "-f|--format", as a case pattern behind the command's name. */
static void pattern(const struct command *cmd, const struct opt *o)
{
	say("\t");
	if (o->letter)
		say("%s:-%c%s", cmd->name, o->letter, o->name ? "|" : "");
	if (o->name)
		say("%s:--%s", cmd->name, o->name);
	say(") ");
}

static void choices_say(const char *choices)
{
	for (const char *p = choices; *p; p++)
		say("%c", *p == '|' ? ' ' : *p);
}

static void argument_cases(const struct command *cmd, const char *formats)
{
	for (const struct opt_group *g = cmd->groups; g->table; g++)
		for (const struct opt *o = g->table; !opt_is_end(o); o++) {
			if (!opt_takes_arg(o) || o->bare)
				continue;
			pattern(cmd, o);
			if (o->kind == OPT_CHOICE) {
				say("words='");
				choices_say(o->choices);
				say("' ;;\n");
			} else if (o->domain == DOMAIN_FORMAT) {
				say("words='%s' ;;\n", formats);
			} else {
				const char *files = o->domain == DOMAIN_FILE || o->domain == DOMAIN_IMAGE ? "f"
				                    : o->domain == DOMAIN_FOLDER                          ? "d"
				                                                                          : "none";
				say("files=%s ;;\n", files);
			}
		}
}

void completion_bash(void)
{
	char formats[256];
	format_names(formats, sizeof(formats), 0, " ");
	say("# bash completion for vdisk, made by \"vdisk --completion bash\"\n");
	say("_vdisk()\n{\n");
	say("\tlocal cur prev command words='' files='' IFS=$' \\t\\n'\n");
	say("\tcur=${COMP_WORDS[COMP_CWORD]}\n\tprev=${COMP_WORDS[COMP_CWORD-1]}\n\tcommand=${COMP_WORDS[1]}\n\tCOMPREPLY=()\n");
	say("\tif ((COMP_CWORD == 1)); then\n\t\tCOMPREPLY=($(compgen -W '");
	for (size_t i = 0; commands[i]; i++)
		say("%s ", commands[i]->name);
	say("help");
	for (const struct program_option *o = program_options; o->name; o++)
		say(" --%s", o->name);
	say("' -- \"$cur\"))\n\t\treturn\n\tfi\n");
	say("\tcase $command:$prev in\n");
	for (size_t i = 0; commands[i]; i++)
		argument_cases(commands[i], formats);
	say("\thelp:*) words='");
	for (size_t i = 0; commands[i]; i++)
		say("%s ", commands[i]->name);
	say("formats' ;;\n\t--completion:*) words=bash ;;\n\tesac\n");
	say("\tif [[ -z $words && -z $files ]]; then\n\t\tif [[ $cur == -* ]]; then\n\t\t\tcase $command in\n");
	for (size_t i = 0; commands[i]; i++) {
		say("\t\t\t%s) words='", commands[i]->name);
		option_words(commands[i]);
		say("' ;;\n");
	}
	say("\t\t\tesac\n\t\telse\n\t\t\tfiles=f\n\t\tfi\n\tfi\n");
	say("\tif [[ $files == f || $files == d ]]; then\n\t\tcompopt -o filenames\n");
	say("\t\tlocal IFS=$'\\n'\n\t\tCOMPREPLY=($(compgen -\"$files\" -- \"$cur\"))\n");
	say("\telif [[ $words ]]; then\n\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n\tfi\n}\n");
	say("complete -F _vdisk vdisk\n");
}

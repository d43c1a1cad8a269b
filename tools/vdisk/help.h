/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is made from the option table: help, the manual's option sections, bash completion. */
#ifndef VDISK_TOOL_HELP_H
#define VDISK_TOOL_HELP_H

#include "options.h"

void help_program(void);
void help_command(const struct command *cmd);
void help_formats(void);

/* The mdoc list of a command's options, or of the program's own ones (cmd NULL), as man/ holds it. */
void manual_options(const struct command *cmd);
/* The mdoc list of the formats and their options, as man/vdisk-formats.7 holds it. */
void manual_formats(void);
void completion_bash(void);

/* The program's own options: name, help. */
struct program_option {
	char letter;
	const char *name, *arg, *help;
};
extern const struct program_option program_options[]; /* ends with name == NULL */

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands that are programs of their own: vdisk-COMMAND, beside this program or in PATH. */
#ifndef VDISK_TOOL_EXTERNAL_H
#define VDISK_TOOL_EXTERNAL_H

#include <stddef.h>

#define EXTERNAL_PATH 4352

/* Becomes the program for this command; argv[0] is the command.  Returns if there is none. */
void external_run(const char *name, char **argv);
/* What to start for it, for run_start(): beside this program where it is there, else by its name alone. */
const char *external_path(const char *name, char path[EXTERNAL_PATH]);
/* The commands that can be started so, sorted, each once; summary NULL: none of ours. */
void externals_list(void (*fn)(const char *name, const char *summary));

#endif

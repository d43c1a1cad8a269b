/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk: finds the command, built in or the program vdisk-COMMAND, and runs it. */
#include "external.h"
#include "help.h"
#include "output.h"

#include "common/streams.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern const struct command cmd_convert, cmd_info, cmd_create, cmd_map, cmd_check, cmd_compare, cmd_digest, cmd_measure, cmd_resize,
	cmd_amend, cmd_flatten, cmd_rebase, cmd_commit, cmd_clone, cmd_snapshot, cmd_bitmap, cmd_verify_manifest, cmd_compact,
	cmd_lint;

const struct command *const commands[] = {
	&cmd_convert,         &cmd_info,    &cmd_create,   &cmd_map,     &cmd_check, &cmd_compare, &cmd_digest,
	&cmd_verify_manifest, &cmd_measure, &cmd_resize,   &cmd_compact, &cmd_amend, &cmd_flatten, &cmd_rebase,
	&cmd_commit,          &cmd_clone,   &cmd_snapshot, &cmd_bitmap,  &cmd_lint,  NULL,
};

const struct command *command_find(const char *name)
{
	for (size_t i = 0; commands[i]; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static int command_run(const struct command *cmd, char **argv, unsigned argc)
{
	struct common_args *args = tool_realloc(NULL, cmd->args_bytes);
	memset(args, 0, cmd->args_bytes);
	output_begin(cmd->name, args);
	unsigned n;
	int status = options_parse(cmd, args, argv, argc, &n);
	if (!status && args->help)
		help_command(cmd);
	else if (!status)
		status = cmd->run(args, argv, n);
	status = output_end(status);
	options_free(cmd, args);
	free(args);
	return status;
}

static int help(const char *topic)
{
	const struct command *cmd = topic ? command_find(topic) : NULL;
	if (!topic)
		help_program();
	else if (!strcmp(topic, "formats"))
		help_formats();
	else if (cmd)
		help_command(cmd);
	else {
		char *words[] = { (char *)topic, (char *)"--help", NULL };
		external_run(topic, words);
		return fail_usage("there is no help for \"%s\"", topic);
	}
	return EXIT_YES;
}

static int manual(const char *name)
{
	const struct command *cmd = command_find(name);
	if (!strcmp(name, "formats"))
		manual_formats();
	else if (!strcmp(name, "program") || cmd)
		manual_options(cmd);
	else
		return fail_usage("there is no command \"%s\"", name);
	return EXIT_YES;
}

/* The words that are no command. */
static int program_run(char **argv, int argc)
{
	const char *word = argv[1], *arg = argc > 2 ? argv[2] : NULL;
	bool is_help = !strcmp(word, "help") || !strcmp(word, "--help") || !strcmp(word, "-h");
	bool is_completion = !strcmp(word, "--completion"), is_manual = !strcmp(word, "--mdoc");
	if (argc > 3)
		return fail_usage("\"%s\" is one word too many", argv[3]);
	if (is_help)
		return help(arg);
	if ((!strcmp(word, "--version") || !strcmp(word, "-V")) && !arg) {
		say("vdisk %s\n", vdisk_version());
		return EXIT_YES;
	}
	if (is_completion && (!arg || strcmp(arg, "bash")))
		return fail_usage("--completion is made for bash only");
	if (is_completion) {
		completion_bash();
		return EXIT_YES;
	}
	if (is_manual)
		return arg ? manual(arg) : fail_usage("--mdoc wants a command's name");
	return fail_usage("there is no option \"%s\"", word);
}

int main(int argc, char **argv)
{
	streams_secure();
	signal(SIGPIPE, SIG_IGN); /* a reader that went away is a write error, told as such */
	if (argc < 2)
		return fail_usage("a command is missing");
	const struct command *cmd = command_find(argv[1]);
	if (cmd)
		return command_run(cmd, argv + 2, (unsigned)(argc - 2));
	if (argv[1][0] == '-' || !strcmp(argv[1], "help"))
		return output_end(program_run(argv, argc));
	external_run(argv[1], argv + 1);
	return fail_usage("unknown command \"%s\"", argv[1]);
}

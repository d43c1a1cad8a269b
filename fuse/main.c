/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk-mount: an image's disk, partitions, volumes and snapshots as files.  Called mount.fuse.vdisk, it takes what mount(8)
 * gives a helper.
 *
 * The parent waits until the child serves the mount and has looked at the partitions, or has said why it cannot; so the shell's
 * next command finds everything in place.
 */
#include "common/background.h"
#include "common/say.h"
#include "common/streams.h"
#include "daemon.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_helper(const char *argv0)
{
	const char *slash = argv0 ? strrchr(argv0, '/') : NULL;

	return argv0 && !strcmp(slash ? slash + 1 : argv0, "mount.fuse.vdisk");
}

/* --files, with or without a value: a program of its own, so that this one does not link libguestfs. */
static bool wants_files(char **argv)
{
	for (; *argv && strcmp(*argv, "--"); argv++)
		if (!strcmp(*argv, "--files") || !strncmp(*argv, "--files=", 8))
			return true;
	return false;
}

/* vdisk-files from this program's folder, else from PATH.  Returns the exit status if there is none. */
static int files_run(char **argv)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - sizeof("vdisk-files"));
	char *slash;

	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash) {
		strcpy(slash + 1, "vdisk-files");
		execv(path, argv);
	}
	execvp("vdisk-files", argv);
	fprintf(stderr, "vdisk mount: --files takes the program vdisk-files, which is not installed: %s\n", strerror(errno));
	return 2;
}

int main(int argc, char **argv)
{
	static struct args a;

	streams_secure();
	say_open("vdisk mount", false);
	if (!is_helper(argv[0]) && wants_files(argv))
		return files_run(argv);

	int rc = is_helper(argv[0]) ? args_parse_helper(&a, argc, argv) : args_parse(&a, argc, argv), ready_fd = -1;

	if (rc)
		return rc < 0 ? 2 : 0;
	if (!a.foreground && (rc = background_fork(&ready_fd)) >= 0)
		return rc;
	return daemon_serve(&a, ready_fd);
}

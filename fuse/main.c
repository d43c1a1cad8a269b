/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk-mount: an image's disk, partitions, volumes and snapshots as files.  Called mount.fuse.vdisk, it takes what mount(8)
 * gives a helper.
 *
 * The parent waits until the child serves the mount and has looked at the partitions, or has said why it cannot; so the shell's
 * next command finds everything in place.
 */
#include "common/say.h"
#include "common/streams.h"
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
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

	int rc = is_helper(argv[0]) ? args_parse_helper(&a, argc, argv) : args_parse(&a, argc, argv), fds[2], status;
	pid_t pid;
	char byte;

	if (rc)
		return rc < 0 ? 2 : 0;
	if (a.foreground)
		return daemon_serve(&a, -1);
	if (pipe2(fds, O_CLOEXEC) || (pid = fork()) < 0) {
		fprintf(stderr, "vdisk mount: %s\n", strerror(errno));
		return 2;
	}
	if (!pid) {
		close(fds[0]);
		setsid();
		return daemon_serve(&a, fds[1]);
	}
	close(fds[1]);
	if (read(fds[0], &byte, 1) == 1)
		return 0;
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 2;
}

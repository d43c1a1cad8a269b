/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Children get the C locale, a limit on memory and no descriptors but the three. */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MEMORY_MAX (UINT64_C(4) << 30)

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void child_exec(char *const argv[], int out, int messages)
{
	struct rlimit memory = { MEMORY_MAX, MEMORY_MAX };
	sigset_t none;

	int null = open("/dev/null", O_RDONLY);
	dup2(null, 0);
	dup2(out, 1);
	dup2(messages, 2);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_AS, &memory);
	execvp(argv[0], argv);
	_exit(127);
}

static int output_copy(int from, int to, uint64_t most, int64_t deadline, const char *name, vdisk_error *err)
{
	char buf[65536];
	uint64_t done = 0;

	for (;;) {
		struct pollfd p = { .fd = from, .events = POLLIN };
		int64_t left = deadline - now_ms();

		if (left <= 0)
			return fail(err, VDISK_IO, "%s: took too long", name);
		if (poll(&p, 1, (int)left) <= 0)
			continue;
		ssize_t n = read(from, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? fail_errno(err, "%s", name) : 0;
		done += (uint64_t)n;
		if (done > most)
			return fail(err, VDISK_INVALID, "%s: gives more than %llu bytes", name, (unsigned long long)most);
		for (ssize_t at = 0; at < n;) {
			ssize_t w = write(to, buf + at, (size_t)(n - at));

			if (w < 0 && errno != EINTR)
				return fail_errno(err, "a temporary file");
			at += w > 0 ? w : 0;
		}
	}
}

static void said_read(int messages, char *said)
{
	char text[4096];
	ssize_t n = pread(messages, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	while (n > 0 && text[n - 1] == '\n')
		text[--n] = '\0';
	char *line = strrchr(text, '\n');
	snprintf(said, 256, "%.255s", line ? line + 1 : text);
}

int program_run(char *const argv[], int fd, uint64_t most, unsigned seconds, char *said, vdisk_error *err)
{
	int pipes[2], status = 0;
	int messages = memfd_create("messages", MFD_CLOEXEC);

	if (said)
		said[0] = '\0';
	if (messages < 0)
		return fail_errno(err, "%s", argv[0]);
	if (pipe2(pipes, O_CLOEXEC)) {
		fail_errno(err, "%s", argv[0]);
		close(messages);
		return -1;
	}
	pid_t pid = fork();
	if (!pid)
		child_exec(argv, pipes[1], messages);
	close(pipes[1]);
	int64_t deadline = now_ms() + (int64_t)seconds * 1000;
	int r = pid < 0 ? fail_errno(err, "%s", argv[0]) : output_copy(pipes[0], fd, most, deadline, argv[0], err);
	close(pipes[0]);
	if (r && pid > 0)
		kill(pid, SIGKILL);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (said)
		said_read(messages, said);
	close(messages);
	if (r)
		return -1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return fail(err, VDISK_UNSUPPORTED, "%s cannot be run", argv[0]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : fail(err, VDISK_IO, "%s: killed by signal %d", argv[0], WTERMSIG(status));
}

char *program_read(char *const argv[], size_t most, unsigned seconds)
{
	vdisk_error err;
	int fd = memfd_create("output", MFD_CLOEXEC);
	char *text = NULL;

	if (fd < 0)
		return NULL;
	if (!program_run(argv, fd, most, seconds, NULL, &err)) {
		off_t len = lseek(fd, 0, SEEK_END);

		text = len >= 0 ? malloc((size_t)len + 1) : NULL;
		if (text && pread(fd, text, (size_t)len, 0) != len) {
			free(text);
			text = NULL;
		} else if (text)
			text[len] = '\0';
	}
	close(fd);
	return text;
}

void program_own(const char *name, char path[4096])
{
	ssize_t n = readlink("/proc/self/exe", path, 4000);

	if (n > 0) {
		path[n] = '\0';
		char *slash = strrchr(path, '/');
		snprintf(slash + 1, 4096 - (size_t)(slash + 1 - path), "%s", name);
		if (!access(path, X_OK))
			return;
	}
	snprintf(path, 4096, "%s", name);
}

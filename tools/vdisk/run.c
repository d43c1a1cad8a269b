/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STOP_SECONDS 10

const char *run_sibling(const char *name, char path[RUN_PATH])
{
	ssize_t n = readlink("/proc/self/exe", path, RUN_PATH - 1);
	char *slash = n > 0 ? memrchr(path, '/', (size_t)n) : NULL;
	if (slash && (size_t)(slash + 1 - path) + strlen(name) < RUN_PATH) {
		strcpy(slash + 1, name);
		if (!access(path, X_OK))
			return path;
	}
	return name;
}

static void child(const char *const argv[], int out, int err, pid_t parent)
{
	const char *path = getenv("PATH");
	char full[8192];
	int null = open("/dev/null", O_RDWR);
	setpgid(0, 0); /* the terminal's interrupt is for us, who pass on what has to be */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(126);
	signal(SIGPIPE, SIG_DFL);
	snprintf(full, sizeof(full), "%s:/usr/sbin:/sbin", path ? path : "/usr/bin:/bin");
	setenv("PATH", full, 1);
	setenv("LC_ALL", "C", 1);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(err < 0 ? null : err, STDERR_FILENO) < 0)
		_exit(126);
	execvp(argv[0], (char *const *)(void *)argv);
	_exit(errno == ENOENT ? RUN_MISSING : 126);
}

pid_t run_start(const char *const argv[], int out, int err)
{
	pid_t parent = getpid(), pid = fork();
	if (!pid)
		child(argv, out, err, parent);
	return pid;
}

void run_stop(pid_t pid)
{
	struct timespec nap = { .tv_nsec = 5 * 1000 * 1000 };
	kill(pid, SIGTERM);
	for (int i = 0; i < STOP_SECONDS * 200; i++) {
		pid_t r = waitpid(pid, NULL, WNOHANG);
		if (r == pid || (r < 0 && errno != EINTR))
			return;
		nanosleep(&nap, NULL);
	}
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

enum heard { HEARD_END, HEARD_ENOUGH, HEARD_CANCEL };

static enum heard listen_to(int fd, char *text, size_t cap, size_t *n, const volatile int *cancel)
{
	*n = 0;
	while (*n + 1 < cap) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		if (cancel && *cancel)
			return HEARD_CANCEL;
		if (poll(&p, 1, 100) <= 0)
			continue;
		ssize_t r = read(fd, text + *n, cap - 1 - *n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return HEARD_END;
		*n += (size_t)r;
		text[*n] = '\0';
	}
	return HEARD_ENOUGH;
}

int run_capture(const char *const argv[], char *text, size_t cap, size_t *len, const volatile int *cancel)
{
	int fds[2], status;
	size_t n;
	text[0] = '\0';
	if (pipe2(fds, O_CLOEXEC))
		return RUN_STOPPED;
	pid_t pid = run_start(argv, fds[1], -1);
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return RUN_STOPPED;
	}
	enum heard heard = listen_to(fds[0], text, cap, len ? len : &n, cancel);
	close(fds[0]);
	if (heard != HEARD_END) {
		run_stop(pid);
		return heard == HEARD_ENOUGH ? 0 : RUN_STOPPED;
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return RUN_STOPPED;
	return WIFEXITED(status) ? WEXITSTATUS(status) : RUN_STOPPED;
}

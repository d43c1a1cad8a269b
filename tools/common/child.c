/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/child.h"

#include "common/child_confine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAP_MS 20

bool child_find(const char *name, bool ours, char path[4096])
{
	const char *list = getenv("PATH");
	ssize_t n = ours ? readlink("/proc/self/exe", path, 4095) : 0;

	if (n > 0) {
		char *slash;

		path[n] = '\0';
		slash = strrchr(path, '/');
		if (slash && (size_t)(slash - path) + strlen(name) + 2 < 4096) {
			strcpy(slash + 1, name);
			if (!access(path, X_OK))
				return true;
		}
	}
	for (const char *p = list && *list ? list : "/usr/bin:/bin"; *p;) {
		size_t len = strcspn(p, ":");

		if (*p == '/' && len + strlen(name) + 2 < 4096) {
			snprintf(path, 4096, "%.*s/%s", (int)len, p, name);
			if (!access(path, X_OK))
				return true;
		}
		p += len + (p[len] == ':');
	}
	return false;
}

/* What the user wants ignored (nohup) stays so; what this process ignores for its own sake does not. */
static void child_be(const char *path, char *const argv[], bool confined, const int fds[3], pid_t parent)
{
	int null = open("/dev/null", O_RDWR);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGXFSZ, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent) /* it died before */
		_exit(127);
	for (int i = 0; i < 3; i++)
		if (dup2(fds[i] >= 0 ? fds[i] : null, i) < 0)
			_exit(127);
	if (confined && child_confine(path))
		_exit(127);
	execv(path, argv);
	_exit(127);
}

pid_t child_start_ends(const char *path, char *const argv[], bool confined, int in_fd, int out_fd, int err_fd)
{
	const int fds[3] = { in_fd, out_fd, err_fd };
	pid_t parent = getpid(), pid = fork();

	if (!pid)
		child_be(path, argv, confined, fds, parent);
	return pid;
}

pid_t child_start(const char *path, char *const argv[], bool confined, int out_fd)
{
	return child_start_ends(path, argv, confined, -1, out_fd, -1);
}

int child_feed(const void *text, size_t len)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return -1;
	if (write(fds[1], text, len) != (ssize_t)len) { /* a pipe takes a page at once */
		close(fds[0]);
		fds[0] = -1;
	}
	close(fds[1]);
	return fds[0];
}

static int status_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

int child_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) != pid)
		if (errno != EINTR)
			return 128;
	return status_of(status);
}

/* Until the child ends, or NAP_MS are over.  fd: a pidfd; -1: this kernel has none. */
static void nap(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	poll(&p, 1, NAP_MS);
}

static int wait_or_end(pid_t pid, int fd, const volatile int *cancel, unsigned grace_ms)
{
	unsigned left = grace_ms;
	bool told = false;
	int status;

	for (;;) {
		pid_t got = waitpid(pid, &status, WNOHANG);

		if (got == pid)
			return status_of(status);
		if (got < 0 && errno != EINTR)
			return 128;
		if (told && !left) {
			kill(pid, SIGKILL);
			return child_wait(pid);
		}
		if (told)
			left -= left < NAP_MS ? left : NAP_MS;
		else if (cancel && *cancel) {
			kill(pid, SIGTERM);
			told = true;
		}
		nap(fd);
	}
}

int child_wait_or_end(pid_t pid, const volatile int *cancel, unsigned grace_ms)
{
	int fd = pidfd_open(pid, 0), status = wait_or_end(pid, fd, cancel, grace_ms);

	if (fd >= 0)
		close(fd);
	return status;
}

int child_end(pid_t pid, unsigned grace_ms)
{
	static const volatile int now = 1;

	return child_wait_or_end(pid, &now, grace_ms);
}

int child_read(const char *path, char *const argv[], char *out, size_t room)
{
	size_t got = 0;
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return -1;
	pid = child_start(path, argv, true, fds[1]);
	close(fds[1]);
	while (pid > 0 && got < room - 1) {
		ssize_t n = read(fds[0], out + got, room - 1 - got);

		if (n <= 0)
			break;
		got += (size_t)n;
	}
	out[got] = '\0';
	close(fds[0]);
	return pid > 0 && !child_wait(pid) ? 0 : -1;
}

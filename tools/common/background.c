/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/background.h"
#include "common/say.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* 0: it is ready. */
static int child_wait(pid_t pid, int fd)
{
	int status;
	char byte;
	ssize_t n;

	while ((n = read(fd, &byte, 1)) < 0 && errno == EINTR)
		;
	if (n == 1)
		return 0;
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : 2;
}

int background_fork(int *ready_fd)
{
	pid_t parent = getpid(), pid;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) || (pid = fork()) < 0) {
		say(LOG_ERR, "%s", strerror(errno));
		return 2;
	}
	if (pid) {
		close(fds[1]);
		return child_wait(pid, fds[0]);
	}
	close(fds[0]);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent) /* it went before that was said */
		_exit(2);
	*ready_fd = fds[1];
	return -1;
}

void background_loose(void) { prctl(PR_SET_PDEATHSIG, 0); }

bool background_wanted(int ready_fd)
{
	struct pollfd p = { .fd = ready_fd };

	return ready_fd < 0 || poll(&p, 1, 0) <= 0; /* an error: nobody reads */
}

void background_ready(const char *program, int ready_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	say_open(program, true);
	setsid(); /* that of a session's leader fails, who has one */
	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	if (null > STDERR_FILENO)
		close(null);
	if (write(ready_fd, "", 1) != 1)
		say(LOG_WARNING, "who asked for it is gone");
	close(ready_fd);
}

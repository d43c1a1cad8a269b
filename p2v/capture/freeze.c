/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The keeper is forked while this program has one thread.  From the first freeze on it touches no file: its memory is locked, it
 * has a session of its own, and signals that end programs are blocked in it.
 */
#include "freeze.h"

#include "common/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FOLDERS_MAX 256

struct word { /* what the keeper says: first how freezing went, then how it ended */
	int32_t error; /* errno; 0: all are frozen */
	uint32_t which;
};

static void thaw(const int *fds, size_t from, size_t n)
{
	for (size_t i = from; i < n; i++)
		if (fds[i] >= 0)
			ioctl(fds[i], FITHAW, 0);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

/* True when it was told to, false when the time was over. */
static bool wait_told(int hold, unsigned seconds)
{
	int64_t until = now_ms() + seconds * INT64_C(1000);
	struct pollfd p = { .fd = hold, .events = POLLIN };

	for (;;) {
		int64_t left = until - now_ms();
		int n = left > 0 ? poll(&p, 1, (int)(left < 60000 ? left : 60000)) : 0;

		if (n > 0)
			return true; /* nothing is ever written to it: its other end was closed */
		if (!n && now_ms() >= until)
			return false;
	}
}

__attribute__((noreturn)) static void keep(int hold, int told, const char *const *folders, size_t n, unsigned seconds)
{
	struct word w = { 0 };
	int fds[FOLDERS_MAX];
	sigset_t all;
	size_t i;

	setsid();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	mlockall(MCL_CURRENT);
	for (i = 0; i < n; i++) {
		fds[i] = open(folders[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
		if (fds[i] < 0)
			w = (struct word){ errno, (uint32_t)i };
	}
	for (i = n; i-- && !w.error;)
		if (ioctl(fds[i], FIFREEZE, 0)) {
			w = (struct word){ errno, (uint32_t)i };
			thaw(fds, i + 1, n);
		}
	if (write(told, &w, sizeof(w)) != sizeof(w) || w.error) {
		if (!w.error)
			thaw(fds, 0, n);
		_exit(1);
	}
	w.error = wait_told(hold, seconds) ? 0 : ETIMEDOUT;
	thaw(fds, 0, n);
	(void)!write(told, &w, sizeof(w));
	_exit(0);
}

static bool word_read(int fd, struct word *w)
{
	ssize_t n;

	do
		n = read(fd, w, sizeof(*w));
	while (n < 0 && errno == EINTR);
	return n == sizeof(*w);
}

static void keeper_end(struct freeze *f)
{
	close(f->hold);
	close(f->told);
	while (waitpid(f->keeper, NULL, 0) < 0 && errno == EINTR)
		;
	f->keeper = 0;
}

int freeze_begin(struct freeze *f, const char *const *folders, size_t n, unsigned seconds, size_t *which, vdisk_error *err)
{
	int hold[2], told[2];
	struct word w = { .error = EIO };

	*f = (struct freeze){ 0 };
	if (which)
		*which = n;
	if (n > FOLDERS_MAX)
		return fail(err, VDISK_UNSUPPORTED, "%zu file systems are too many to be frozen, the most is %d", n, FOLDERS_MAX);
	if (pipe2(hold, O_CLOEXEC))
		return fail_errno(err, "a pipe");
	if (pipe2(told, O_CLOEXEC)) {
		close(hold[0]);
		close(hold[1]);
		return fail_errno(err, "a pipe");
	}
	f->keeper = fork();
	if (!f->keeper) {
		close(hold[1]);
		close(told[0]);
		keep(hold[0], told[1], folders, n, seconds);
	}
	close(hold[0]);
	close(told[1]);
	f->hold = hold[1];
	f->told = told[0];
	if (f->keeper < 0) {
		f->keeper = 0;
		close(f->hold);
		close(f->told);
		return fail_errno(err, "fork");
	}
	if (word_read(f->told, &w) && !w.error)
		return 0;
	keeper_end(f);
	if (which && w.which < n)
		*which = w.which;
	errno = w.error;
	return fail_errno(err, "%s: cannot be frozen", w.which < n ? folders[w.which] : "?");
}

bool freeze_holds(const struct freeze *f)
{
	struct pollfd p = { .fd = f->told, .events = POLLIN };

	return f->keeper && !poll(&p, 1, 0); /* it says nothing before it lets go */
}

bool freeze_end(struct freeze *f)
{
	struct word w = { .error = EIO };
	bool whole;

	if (!f->keeper)
		return false;
	close(f->hold);
	f->hold = -1;
	whole = word_read(f->told, &w) && !w.error;
	close(f->told);
	while (waitpid(f->keeper, NULL, 0) < 0 && errno == EINTR)
		;
	f->keeper = 0;
	return whole;
}

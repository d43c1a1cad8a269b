/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "run.h"

#include "clock.h"

#include "common/child.h"
#include "common/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUT_MAX  ((size_t)4 << 20)
#define GRACE_MS 20000

struct talk {
	struct run *run;
	size_t room;
	char text[4096]; /* a line of standard error that is not over */
	size_t n;
	bool (*line)(void *ctx, const char *text);
	void *ctx;
};

bool run_find(const char *name, char path[4096]) { return child_find(name, true, path); }

static int heard_out(struct talk *t, const char *bytes, size_t n)
{
	struct run *r = t->run;

	if (r->len + n > OUT_MAX)
		n = OUT_MAX - r->len;
	if (r->len + n + 1 > t->room) {
		size_t room = (r->len + n + 1) * 2;
		char *more = realloc(r->out, room);

		if (!more)
			return -1;
		r->out = more;
		t->room = room;
	}
	memcpy(r->out + r->len, bytes, n);
	r->len += n;
	r->out[r->len] = '\0';
	return 0;
}

static void heard_err(struct talk *t, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] != '\n' && bytes[i] != '\r') {
			if (t->n < sizeof(t->text) - 1)
				t->text[t->n++] = (char)((unsigned char)bytes[i] < ' ' ? ' ' : bytes[i]);
			continue;
		}
		t->text[t->n] = '\0';
		if (t->n && (!t->line || t->line(t->ctx, t->text)))
			snprintf(t->run->last, sizeof(t->run->last), "%.*s", (int)sizeof(t->run->last) - 1, t->text);
		t->n = 0;
	}
}

/* Until both pipes are at their ends. */
static void listen_to(struct talk *t, pid_t pid, int out, int err, const volatile bool *stop)
{
	struct pollfd p[2] = { { .fd = out, .events = POLLIN }, { .fd = err, .events = POLLIN } };
	int64_t told = 0;
	char buf[8192];

	while (p[0].fd >= 0 || p[1].fd >= 0) {
		if (*stop && !told) {
			kill(pid, SIGTERM);
			told = clock_ms();
		} else if (told && clock_ms() - told > GRACE_MS) {
			kill(pid, SIGKILL);
		}
		if (poll(p, 2, 200) < 0 && errno != EINTR)
			break;
		for (int i = 0; i < 2; i++) {
			ssize_t n = p[i].fd >= 0 && p[i].revents ? read(p[i].fd, buf, sizeof(buf)) : -2;

			if (n == 0 || (n == -1 && errno != EINTR) || (n > 0 && !i && heard_out(t, buf, (size_t)n)))
				p[i].fd = -1;
			else if (n > 0 && i)
				heard_err(t, buf, (size_t)n);
		}
	}
	heard_err(t, "\n", 1);
}

int run_program(char *const argv[], bool (*line)(void *ctx, const char *text), void *ctx, const volatile bool *stop,
                struct run *out, vdisk_error *err)
{
	struct talk t = { .run = out, .line = line, .ctx = ctx };
	int outs[2], errs[2];
	pid_t pid;

	*out = (struct run){ 0 };
	if (heard_out(&t, "", 0))
		return fail_nomem(err);
	if (pipe2(outs, O_CLOEXEC))
		return fail_errno(err, "%s", argv[0]);
	if (pipe2(errs, O_CLOEXEC)) {
		fail_errno(err, "%s", argv[0]);
		close(outs[0]);
		close(outs[1]);
		return -1;
	}
	pid = child_start_ends(argv[0], argv, false, -1, outs[1], errs[1]);
	if (pid < 0)
		fail_errno(err, "%s", argv[0]);
	close(outs[1]);
	close(errs[1]);
	if (pid > 0) {
		listen_to(&t, pid, outs[0], errs[0], stop);
		out->status = child_wait(pid);
	}
	close(outs[0]);
	close(errs[0]);
	return pid > 0 ? 0 : -1;
}

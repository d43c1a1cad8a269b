/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host_run.h"

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

#define TEXT_MAX ((size_t)16 << 20)

struct text {
	char *v;
	size_t n, cap;
	bool lacks; /* memory, or it is too long: the rest is read and forgotten */
};

static void text_add(struct text *t, const char *bytes, size_t n)
{
	if (!t->lacks && t->n + n >= t->cap) {
		size_t cap = (t->n + n + 1) * 2;
		char *more = cap > TEXT_MAX ? NULL : realloc(t->v, cap);

		t->lacks = !more;
		t->v = more ? more : t->v;
		t->cap = more ? cap : t->cap;
	}
	if (t->lacks)
		return;
	memcpy(t->v + t->n, bytes, n);
	t->n += n;
	t->v[t->n] = '\0';
}

static bool program_find(const char *name, char path[4096])
{
	static const char *const folders[] = { "/usr/sbin", "/sbin" };
	bool found = child_find(name, false, path);

	for (size_t i = 0; !found && i < sizeof(folders) / sizeof(*folders); i++) {
		snprintf(path, 4096, "%s/%s", folders[i], name);
		found = !access(path, X_OK);
	}
	return found;
}

__attribute__((noreturn)) static void be(const char *path, const char *const argv[], int out, int err)
{
	static const int reset[] = { SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGXFSZ };
	int null = open("/dev/null", O_RDONLY);
	sigset_t none;

	setsid();
	for (size_t i = 0; i < sizeof(reset) / sizeof(*reset); i++)
		signal(reset[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(127);
	execv(path, (char *const *)(uintptr_t)argv);
	_exit(127);
}

static void hear(int out, int err, struct text *said, struct text *complaint)
{
	struct pollfd p[2] = { { .fd = out, .events = POLLIN }, { .fd = err, .events = POLLIN } };
	char buf[8192];

	while (p[0].fd >= 0 || p[1].fd >= 0) {
		if (poll(p, 2, -1) < 0) {
			if (errno == EINTR)
				continue; /* what it told the last time is told of no more */
			return;
		}
		for (int i = 0; i < 2; i++) {
			ssize_t n = p[i].fd >= 0 && p[i].revents ? read(p[i].fd, buf, sizeof(buf)) : -2;

			if (n > 0)
				text_add(i ? complaint : said, buf, (size_t)n);
			else if (!n || (n == -1 && errno != EINTR))
				p[i].fd = -1;
		}
	}
}

/* The last line that says something. */
static const char *last_line(char *text)
{
	size_t n = text ? strlen(text) : 0;
	char *line;

	while (n && (text[n - 1] == '\n' || text[n - 1] == ' '))
		text[--n] = '\0';
	if (!n)
		return "it says nothing";
	line = strrchr(text, '\n');
	line = line ? line + 1 : text;
	return line + strspn(line, " \t");
}

int host_run(const char *const argv[], char **out, vdisk_error *err)
{
	struct text said = { 0 }, complaint = { 0 };
	int outs[2], errs[2], rc = -1, status;
	char path[4096];
	pid_t pid;

	if (!program_find(argv[0], path))
		return fail(err, VDISK_UNSUPPORTED, "the program %s is not there", argv[0]);
	if (pipe2(outs, O_CLOEXEC))
		return fail_errno(err, "a pipe");
	if (pipe2(errs, O_CLOEXEC)) {
		close(outs[0]);
		close(outs[1]);
		return fail_errno(err, "a pipe");
	}
	text_add(&said, "", 0);
	pid = fork();
	if (!pid)
		be(path, argv, outs[1], errs[1]);
	close(outs[1]);
	close(errs[1]);
	if (pid < 0) {
		fail_errno(err, "%s", argv[0]);
	} else {
		hear(outs[0], errs[0], &said, &complaint);
		status = child_wait(pid);
		if (status)
			fail(err, VDISK_IO, "%s: %.300s", argv[0], last_line(complaint.v));
		else if (said.lacks)
			fail(err, VDISK_NOMEM, "%s: says too much", argv[0]);
		else
			rc = 0;
	}
	close(outs[0]);
	close(errs[0]);
	free(complaint.v);
	if (!rc && out)
		*out = said.v;
	else
		free(said.v);
	return rc;
}

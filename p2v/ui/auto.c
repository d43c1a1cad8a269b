/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "auto.h"

#include "job.h"
#include "list.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CONSOLES_MAX 8
#define TELL_SECONDS 10
#define PAUSE_FIRST  15  /* seconds until the next try */
#define PAUSE_MAX    300

/* ---------------------------------------------------------------- lines on all consoles */

struct consoles {
	int fds[CONSOLES_MAX];
	size_t n;
};

static void consoles_open(struct consoles *c, bool iso)
{
	char names[256] = "", path[300], *save, *name;
	FILE *f = iso ? fopen("/sys/class/tty/console/active", "re") : NULL;

	c->n = 0;
	if (f) {
		(void)!fgets(names, sizeof(names), f);
		fclose(f);
	}
	for (name = strtok_r(names, " \n", &save); name && c->n < CONSOLES_MAX; name = strtok_r(NULL, " \n", &save)) {
		int fd;

		snprintf(path, sizeof(path), "/dev/%s", name);
		fd = open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC); /* a line that nobody reads must not hold us up */
		if (fd >= 0)
			c->fds[c->n++] = fd;
	}
	if (!c->n)
		c->fds[c->n++] = STDOUT_FILENO;
}

static void __attribute__((format(printf, 2, 3))) tell(const struct consoles *c, const char *format, ...)
{
	char text[1024];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text) - 2, format, args);
	va_end(args);
	if (n > (int)sizeof(text) - 3)
		n = (int)sizeof(text) - 3;
	for (int i = 0; i < n; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 127)
			text[i] = '?';
	for (size_t i = 0; i < c->n; i++) {
		bool terminal = isatty(c->fds[i]);

		memcpy(text + n, terminal ? "\r\n" : "\n", 2);
		(void)!write(c->fds[i], text, (size_t)n + (terminal ? 2 : 1));
	}
}

/* ---------------------------------------------------------------- one try */

struct choice {
	char paths[SETTINGS_DISKS_MAX][256];
	const char *words[SETTINGS_DISKS_MAX];
	uint64_t sizes[SETTINGS_DISKS_MAX];
	size_t n;
};

/* All of those that were named have to be there: a machine without its second disk is not what was wanted. */
static const char *missing(const struct settings *s, const struct machine *m)
{
	static char name[256];

	for (const char *p = s->disks; *p;) {
		size_t n = strcspn(p, ",");
		bool found = false;

		snprintf(name, sizeof(name), "%.*s", (int)n, p);
		for (size_t i = 0; i < m->disks_n; i++)
			found = found ||
			        (m->disks[i].name && !strcmp(m->disks[i].name, !strncmp(name, "/dev/", 5) ? name + 5 : name));
		if (!found)
			return name;
		p += n + (p[n] == ',');
	}
	return NULL;
}

static int choose(struct choice *c, const struct consoles *out, const struct settings *s, const struct machine *m)
{
	const char *lost = missing(s, m);

	c->n = 0;
	if (lost) {
		tell(out, "vdisk: this machine has no disk %s", lost);
		return -1;
	}
	for (size_t i = 0; i < m->disks_n && c->n < SETTINGS_DISKS_MAX; i++) {
		const struct machine_disk *d = &m->disks[i];
		char text[256];

		if (!d->name || (s->disks[0] ? !settings_want(s, d->name) : !list_default(d)))
			continue;
		list_disk(m, d, text, sizeof(text));
		tell(out, "vdisk: disk %s", text);
		list_path(d, c->paths[c->n]);
		c->words[c->n] = c->paths[c->n];
		c->sizes[c->n++] = d->size;
	}
	if (!c->n)
		tell(out, "vdisk: this machine shows no disk that could be captured");
	return c->n ? 0 : -1;
}

static void progress_tell(const struct consoles *out, const struct job *j)
{
	char done_text[32], total_text[32], rate[32];
	uint64_t done, total;
	const struct job_disk *d = NULL;

	for (size_t i = 0; i < j->disks_n; i++)
		if (j->disks[i].moving)
			d = &j->disks[i];
	job_total(j, &done, &total);
	list_size(done, done_text);
	list_size(total, total_text);
	list_size((uint64_t)j->rate, rate);
	if (j->left >= 0)
		tell(out, "vdisk: %s%s%s of %s, %s/s, %.0f s left", d ? d->name : "", d ? ": " : "", done_text, total_text, rate,
		     j->left);
	else
		tell(out, "vdisk: %s%s%s of %s, %s/s", d ? d->name : "", d ? ": " : "", done_text, total_text, rate);
}

static int job_follow(struct job *j, const struct consoles *out)
{
	size_t told = 0;
	time_t last = time(NULL);

	for (;;) {
		struct pollfd p = { .fd = j->fd, .events = POLLIN };
		int on = poll(&p, 1, 1000) ? job_read(j) : 1;

		for (; told < j->log_n; told++) {
			size_t kept = j->log_n < JOB_LINES ? j->log_n : JOB_LINES;
			const char *line = j->log_n - told <= kept ? job_log(j, kept - (j->log_n - told)) : NULL;

			if (line)
				tell(out, "%s%s", strncmp(line, "vdisk", 5) ? "vdisk: " : "", line);
		}
		if (!on)
			return j->status;
		if (time(NULL) - last >= TELL_SECONDS) {
			progress_tell(out, j);
			last = time(NULL);
		}
	}
}

static int try_once(const struct options *o, const char *capture, const struct consoles *out)
{
	static struct job job; /* large for a stack */
	struct machine *m = NULL;
	struct choice c;
	vdisk_error err;
	char text[300];
	int status = 2;

	if (list_read(capture, &m, &err)) {
		tell(out, "vdisk: %s", err.message);
		return 2;
	}
	list_machine(m, text, sizeof(text));
	tell(out, "vdisk: %s, to %s", text, o->settings.server);
	if (!choose(&c, out, &o->settings, m)) {
		if (job_start(&job, capture, &o->settings, c.words, c.sizes, c.n, &err))
			tell(out, "vdisk: %s", err.message);
		else
			status = job_follow(&job, out);
	}
	machine_free(m);
	return status;
}

/* ---------------------------------------------------------------- all of it */

int power_switch(const struct options *o, enum after how)
{
	const char *word = how == AFTER_POWEROFF ? "poweroff" : "reboot";
	int status = 0;
	pid_t pid;

	if (!o->power_program || how == AFTER_NOTHING)
		return -1;
	pid = fork();
	if (!pid) {
		execl(o->power_program, o->power_program, word, (char *)NULL);
		_exit(127);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -1;
}

int auto_run(const struct options *o, const char *capture)
{
	struct consoles out;
	unsigned pause = PAUSE_FIRST;
	int status;

	consoles_open(&out, o->iso);
	if (!o->settings.server[0] || !o->settings.token[0]) {
		tell(&out, "vdisk: an unattended capture needs %s",
		     o->settings.server[0] ? "a token (vdisk.token=)" : "a server (vdisk.server=)");
		return 2;
	}
	for (unsigned n = 1;; n++) {
		status = try_once(o, capture, &out);
		if (!status || (o->tries && n >= o->tries))
			break;
		tell(&out, "vdisk: the capture is not complete (exit status %d); next try in %u seconds", status, pause);
		sleep(pause);
		pause = pause * 2 < PAUSE_MAX ? pause * 2 : PAUSE_MAX;
	}
	if (status) {
		tell(&out, "vdisk: the capture is not complete (exit status %d)", status);
		return status;
	}
	tell(&out, "vdisk: the capture is complete%s", o->settings.after == AFTER_POWEROFF ? "; power off"
	                                               : o->settings.after == AFTER_REBOOT ? "; reboot" : "");
	if (o->settings.after != AFTER_NOTHING && power_switch(o, o->settings.after))
		tell(&out, "vdisk: the power cannot be switched from here");
	return 0;
}

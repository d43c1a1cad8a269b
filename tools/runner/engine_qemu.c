/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * QEMU as an engine: a process for each machine, which gets its disks from this one over sockets (nbd.c), so that both engines run
 * on the same overlays and QEMU never opens an image, or a file that an image names.  A reset ends the process (-no-reboot).
 */
#include "engine.h"
#include "nbd.h"
#include "qemu_args.h"
#include "qmp.h"
#include "common/write_all.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_MS  10000
#define START_MS   30000
#define TEXT_AT    0xb8000
#define TEXT_BYTES 0x8000u
#define ERROR_MAX  400

struct qemu {
	pid_t pid; /* 0: none, or waited for */
	struct qmp qmp;
	int serial;
	struct nbd *disks[MACHINE_DISKS_MAX];
	/* temporary files */
	char log[ENGINE_PATH_MAX], variables[ENGINE_PATH_MAX], picture[ENGINE_PATH_MAX], messages[ENGINE_PATH_MAX];
	enum machine_stop stop;
	char cause[256];
};

static bool log_has_triple_fault(const struct qemu *q)
{
	char line[4096];
	bool found = false;
	FILE *f = fopen(q->log, "re");

	while (f && !found && fgets(line, sizeof(line), f))
		found = !strncmp(line, "Triple fault", 12);
	if (f)
		fclose(f);
	return found;
}

static void event_came(void *ctx, const char *name, struct json_object *data)
{
	struct qemu *q = ctx;
	struct json_object *reason = NULL;

	if (strcmp(name, "SHUTDOWN") || q->stop || !data)
		return;
	json_object_object_get_ex(data, "reason", &reason);
	const char *why = reason ? json_object_get_string(reason) : "unknown";
	if (!strcmp(why, "guest-reset") && log_has_triple_fault(q)) {
		q->stop = MACHINE_CRASH;
		snprintf(q->cause, sizeof(q->cause), "triple fault");
	} else if (!strcmp(why, "guest-reset")) {
		q->stop = MACHINE_RESET;
		snprintf(q->cause, sizeof(q->cause), "reset");
	} else if (!strcmp(why, "guest-shutdown")) {
		q->stop = MACHINE_POWEROFF;
		snprintf(q->cause, sizeof(q->cause), "switched off");
	} else {
		q->stop = MACHINE_CRASH;
		snprintf(q->cause, sizeof(q->cause), "QEMU ended the machine: %.200s", why);
	}
}

/* What QEMU said last on its standard error. */
static void messages_last(const struct qemu *q, char out[ERROR_MAX])
{
	char line[ERROR_MAX];
	FILE *f = fopen(q->messages, "re");

	out[0] = '\0';
	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (*line)
			memcpy(out, line, ERROR_MAX);
	}
	if (f)
		fclose(f);
}

static void names_make(struct qemu *q, const char *folder)
{
	snprintf(q->log, sizeof(q->log), "%s/log", folder);
	snprintf(q->variables, sizeof(q->variables), "%s/variables", folder);
	snprintf(q->picture, sizeof(q->picture), "%s/picture", folder);
	snprintf(q->messages, sizeof(q->messages), "%s/messages", folder);
}

/* The variables go to QEMU in a file; what it wrote there goes back into the configuration, for the machine after a reset. */
static int variables_write(const struct qemu *q, const struct machine_config *m, vdisk_error *err)
{
	if (!m->variables)
		return 0;
	int fd = open(q->variables, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int rc = fd < 0 || write_all(fd, m->variables, m->variables_bytes) ? fail_errno(err, "%s", q->variables) : 0;
	if (fd >= 0)
		close(fd);
	return rc;
}

static void variables_read(const struct qemu *q, const struct machine_config *m)
{
	int fd = m->variables ? open(q->variables, O_RDONLY | O_CLOEXEC) : -1;
	struct stat st;

	if (fd < 0)
		return;
	if (!fstat(fd, &st) && (uint64_t)st.st_size == m->variables_bytes && read(fd, m->variables, m->variables_bytes) < 0)
		unlink(q->variables); /* the machine after a reset finds what can be found */
	close(fd);
}

/* A connected pair: ours, and one that QEMU inherits. */
static int pair_make(int *ours, int *theirs, vdisk_error *err)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return fail_errno(err, "a pair of sockets");
	*ours = fds[0];
	*theirs = fds[1];
	return 0;
}

static void fds_close(struct qemu_fds *fds)
{
	int *all[2 + MACHINE_DISKS_MAX] = { &fds->serial, &fds->qmp };

	for (unsigned i = 0; i < MACHINE_DISKS_MAX; i++)
		all[2 + i] = &fds->disks[i];
	for (unsigned i = 0; i < 2 + MACHINE_DISKS_MAX; i++)
		if (*all[i] >= 0)
			close(*all[i]);
}

static int sockets_make(struct qemu *q, const struct machine_config *m, struct qemu_fds *fds, vdisk_error *err)
{
	int monitor = -1, disk = -1;

	if (pair_make(&q->serial, &fds->serial, err))
		return -1;
	fcntl(q->serial, F_SETFL, O_NONBLOCK);
	if (pair_make(&monitor, &fds->qmp, err))
		return -1;
	qmp_init(&q->qmp, monitor, event_came, q);
	for (unsigned i = 0; i < m->n_disks; i++)
		if (pair_make(&disk, &fds->disks[i], err) || nbd_begin(m->disks[i], disk, &q->disks[i], err))
			return -1;
	return 0;
}

/* In the child, where only what is safe after fork() of a process with threads may be called. */
static void child_exec(const struct qemu_args *args, const struct qemu_fds *fds, int messages, int null)
{
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	dup2(null, 0);
	dup2(messages, 1);
	dup2(messages, 2);
	fcntl(fds->serial, F_SETFD, 0);
	fcntl(fds->qmp, F_SETFD, 0);
	for (unsigned i = 0; i < MACHINE_DISKS_MAX; i++)
		if (fds->disks[i] >= 0)
			fcntl(fds->disks[i], F_SETFD, 0);
	execv(args->words[0], args->words);
	_exit(127);
}

static int process_start(struct qemu *q, const struct engine_config *config, const struct qemu_fds *fds, vdisk_error *err)
{
	struct qemu_args args;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int messages = open(q->messages, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int r = null < 0 || messages < 0 ? fail_errno(err, "%s", null < 0 ? "/dev/null" : q->messages) : 0;

	if (!r && !(r = qemu_args_make(&args, config, fds, q->variables, q->log, err))) {
		pid_t pid = fork();

		if (!pid)
			child_exec(&args, fds, messages, null);
		if (pid < 0)
			r = fail_errno(err, "fork");
		else
			q->pid = pid;
	}
	if (null >= 0 && messages >= 0)
		qemu_args_destroy(&args);
	if (null >= 0)
		close(null);
	if (messages >= 0)
		close(messages);
	return r;
}

static int qemu_begin(struct engine *e, vdisk_error *err)
{
	const struct engine_config *config = e->config;
	struct qemu *q = calloc(1, sizeof(*q));
	struct qemu_fds fds = { .serial = -1, .qmp = -1 };
	char why[ERROR_MAX];

	e->event_fd = e->output_fd = -1;
	if (!q)
		return fail(err, VDISK_NOMEM, "out of memory");
	e->state = q;
	q->serial = q->qmp.fd = -1;
	for (unsigned i = 0; i < MACHINE_DISKS_MAX; i++)
		fds.disks[i] = -1;
	names_make(q, config->folder);
	int r = variables_write(q, config->machine, err) || sockets_make(q, config->machine, &fds, err) ||
	        process_start(q, config, &fds, err) ? -1 : 0;
	fds_close(&fds);
	if (!r && qmp_command(&q->qmp, "qmp_capabilities", NULL, START_MS, err)) {
		messages_last(q, why);
		r = *why ? fail(err, VDISK_IO, "%s", why) : -1;
	}
	e->event_fd = q->qmp.fd;
	e->output_fd = q->serial;
	return r;
}

static enum machine_stop qemu_stopped(struct engine *e, char cause[256])
{
	struct qemu *q = e->state;

	qmp_serve(&q->qmp);
	if (q->qmp.closed && !q->stop) {
		char why[ERROR_MAX];

		messages_last(q, why);
		q->stop = MACHINE_CRASH;
		snprintf(q->cause, sizeof(q->cause), "QEMU ended%s%.200s", *why ? ": " : "", why);
	}
	if (cause)
		memcpy(cause, q->cause, sizeof(q->cause));
	return q->stop;
}

static size_t qemu_room(struct engine *e)
{
	struct pollfd p = { .fd = ((struct qemu *)e->state)->serial, .events = POLLOUT };

	return poll(&p, 1, 0) == 1 && p.revents & POLLOUT ? 4096 : 0; /* of the socket's buffer */
}

static void qemu_input(struct engine *e, const uint8_t *bytes, size_t n)
{
	ssize_t sent = send(((struct qemu *)e->state)->serial, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);

	(void)sent; /* what did not go has nowhere to go: the machine ended */
}

static struct json_object *file_argument(const char *path)
{
	struct json_object *arguments = json_object_new_object();

	json_object_object_add(arguments, "filename", json_object_new_string(path));
	return arguments;
}

static int picture_take(struct qemu *q, struct screen *s, vdisk_error *err)
{
	int r = qmp_command(&q->qmp, "screendump", file_argument(q->picture), ANSWER_MS, err) ||
			screen_load_ppm(s, q->picture, err) ? -1 : 0;
	unlink(q->picture);
	return r;
}

/* Is that text?  In other modes the window shows pixels. */
static bool text_plausible(const uint8_t *cells, size_t n)
{
	size_t odd = 0, seen = 0;

	for (size_t i = 0; i < n; i++) {
		uint8_t c = cells[2 * i];

		seen += c > 0x20 && c < 0x7f;
		odd += (c && c < 0x20) || c == 0x7f || c == 0xff;
	}
	return seen && odd * 50 <= n;
}

static int text_take(struct qemu *q, struct screen *s, vdisk_error *err)
{
	struct json_object *arguments = file_argument(q->picture);

	s->kind = SCREEN_NONE;
	s->columns = 80;
	s->rows = TEXT_BYTES / 160; /* Linux scrolls by moving the origin: all of the memory may be screen */
	s->font_height = 0;
	json_object_object_add(arguments, "val", json_object_new_int64(TEXT_AT));
	json_object_object_add(arguments, "size", json_object_new_int64(TEXT_BYTES));
	if (qmp_command(&q->qmp, "pmemsave", arguments, ANSWER_MS, err))
		return -1;
	int fd = open(q->picture, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, s->cells, 160 * s->rows);
	if (n < 0)
		fail_errno(err, "%s", q->picture);
	if (fd >= 0)
		close(fd);
	unlink(q->picture);
	if (n == 160 * (ssize_t)s->rows && text_plausible(s->cells, 80 * s->rows))
		s->kind = SCREEN_TEXT;
	return n < 0 ? -1 : 0;
}

static int qemu_screen(struct engine *e, bool picture, struct screen *s, vdisk_error *err)
{
	struct qemu *q = e->state;

	if (qemu_stopped(e, NULL)) {
		s->kind = SCREEN_NONE;
		return 0;
	}
	return picture ? picture_take(q, s, err) : text_take(q, s, err);
}

static void process_end(struct qemu *q)
{
	if (q->pid <= 0)
		return;
	kill(q->pid, SIGKILL); /* its state is all in files that go away */
	while (waitpid(q->pid, NULL, 0) < 0 && errno == EINTR)
		;
	q->pid = 0;
}

static void qemu_end(struct engine *e)
{
	struct qemu *q = e->state;

	if (!q)
		return;
	process_end(q);
	for (unsigned i = 0; i < MACHINE_DISKS_MAX; i++)
		nbd_end(q->disks[i]);
	variables_read(q, e->config->machine);
	qmp_destroy(&q->qmp);
	if (q->serial >= 0)
		close(q->serial);
	unlink(q->log);
	unlink(q->variables);
	unlink(q->picture);
	unlink(q->messages);
	free(q);
	e->state = NULL;
	e->event_fd = e->output_fd = -1;
}

const struct engine_ops engine_qemu = {
	.name = "qemu",
	.begin = qemu_begin,
	.stopped = qemu_stopped,
	.room = qemu_room,
	.input = qemu_input,
	.screen = qemu_screen,
	.end = qemu_end,
};

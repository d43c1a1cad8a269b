/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk-nbd: an image's disk for NBD clients.
 *
 * Signals are blocked before any thread starts and read from a descriptor; the server stops when there is one to read.  With --fork
 * the parent waits until the child listens, or has said why it cannot.
 */
#include "common/background.h"
#include "common/fail.h"
#include "common/folder.h"
#include "common/notify.h"
#include "common/say.h"
#include "common/stop.h"
#include "common/streams.h"
#include "bitmap.h"
#include "listen.h"
#include "options.h"
#include "server.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

struct program {
	const struct options *o;
	struct source source;
	struct export x;
	struct tls tls;
	bool has_tls;
	struct listener listener;
	char folder[PATH_MAX]; /* of the socket for --run; "": none */
	char uri[8192];
	int signal_fd;
	sigset_t old_mask;
	pid_t command;         /* of --run; 0: none, or it has ended */
	int command_status;
	bool has_pid_file;     /* ours: another server's stays */
};

/* While the image is opened, which may be on a server that hangs, signals set this; then serving waits for them. */
static volatile int cancel;

static void on_signal(int number) { stop_ask(&cancel, number); }

static int signals_take(struct program *p, vdisk_error *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &p->old_mask);
	p->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (p->signal_fd < 0)
		return fail_errno(err, "signals");
	return cancel ? fail(err, VDISK_CANCELLED, "stopped by a signal") : 0;
}

/* A folder of its own for the socket of --run. */
static int private_listen(struct program *p, vdisk_error *err)
{
	char path[PATH_MAX + 16];

	if (folder_make("vdisk-nbd", 0, p->folder, sizeof(p->folder), err))
		return -1;
	snprintf(path, sizeof(path), "%s/socket", p->folder);
	return listen_unix(&p->listener, path, err);
}

static int listen_as_asked(struct program *p, vdisk_error *err)
{
	const struct options *o = p->o;
	bool remote = o->allow_plain || p->has_tls;

	if (o->socket)
		return listen_unix(&p->listener, o->socket, err);
	if (o->listen)
		return listen_tcp(&p->listener, o->listen, remote, err);
	switch (listen_passed(&p->listener, err)) {
	case 1: return 0;
	case 0: return o->run ? private_listen(p, err) : listen_tcp(&p->listener, "localhost", remote, err);
	default: return -1;
	}
}

static int program_open(struct program *p, vdisk_error *err)
{
	const struct options *o = p->o;

	p->has_tls = o->tls.folder || o->tls.psk;
	if (p->has_tls && tls_init(&p->tls, &o->tls, err)) {
		p->has_tls = false;
		return -1;
	}
	if (source_open(&p->source, &o->source, err) || signals_take(p, err))
		return -1;
	if (export_init(&p->x, p->source.img, p->source.off, p->source.len, p->source.rw))
		return fail_nomem(err);
	if (o->bitmap && bitmap_load(&p->x, o->bitmap, err))
		return -1;
	p->x.name = o->name;
	p->x.say = say_few;
	snprintf(p->x.description, sizeof(p->x.description), "a %s disk", vdisk_format_name(p->source.img));
	if (listen_as_asked(p, err))
		return -1;
	listen_uri(&p->listener, o->name, p->has_tls, p->uri, sizeof(p->uri));
	return 0;
}

/* What was written and cannot be made durable now is an error that must not get lost. */
static int program_close(struct program *p, vdisk_error *err)
{
	int rc;

	listen_close(&p->listener);
	if (p->folder[0])
		rmdir(p->folder);
	bitmap_free(&p->x.bitmap);
	cancel = 0; /* what was written takes the time that it takes */
	rc = source_close(&p->source, err);
	if (p->has_tls)
		tls_destroy(&p->tls);
	return rc;
}

static int command_start(struct program *p, vdisk_error *err)
{
	pid_t pid = fork();

	if (pid < 0)
		return fail_errno(err, "--run");
	if (!pid) {
		sigprocmask(SIG_SETMASK, &p->old_mask, NULL);
		signal(SIGPIPE, SIG_DFL);
		setenv("uri", p->uri, 1);
		setenv("unixsocket", p->listener.path ? p->listener.path : "", 1);
		execl("/bin/sh", "sh", "-c", p->o->run, (char *)NULL);
		_exit(127);
	}
	p->command = pid;
	return 0;
}

static void command_wait(struct program *p)
{
	int status;

	if (!p->command || waitpid(p->command, &status, 0) != p->command)
		return;
	p->command = 0;
	p->command_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int pid_write(const char *path, vdisk_error *err)
{
	FILE *f = fopen(path, "we");
	bool bad;

	if (!f)
		return fail_errno(err, "%s", path);
	bad = fprintf(f, "%ld\n", (long)getpid()) < 0;
	return fclose(f) || bad ? fail_errno(err, "%s", path) : 0;
}

/* From here on somebody may come.  Lets the parent go. */
static int announce(struct program *p, int ready_fd, vdisk_error *err)
{
	if (p->o->pid_file && pid_write(p->o->pid_file, err))
		return -1;
	p->has_pid_file = p->o->pid_file != NULL;
	if (!p->o->quiet && !p->o->run && p->uri[0] && (printf("%s\n", p->uri) < 0 || fflush(stdout)))
		return fail_errno(err, "standard output");
	notify("READY=1");
	if (ready_fd >= 0) {
		background_loose();
		background_ready("vdisk nbd", ready_fd);
	}
	return p->o->run ? command_start(p, err) : 0;
}

static int program_serve(struct program *p, vdisk_error *err)
{
	const struct options *o = p->o;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct server_config cfg = {
		.conn = {
			.x = &p->x,
			.tls = p->has_tls ? &p->tls : NULL,
			.timeout_ms = o->timeout_sec * 1000,
			.threads = cpus > 0 && cpus < CONN_THREADS / 2 ? (unsigned)cpus * 2 : CONN_THREADS,
		},
		.fds = p->listener.fds,
		.n_fds = p->listener.n,
		.stop_fd = p->signal_fd,
		.clients_max = o->clients,
		.idle_timeout_sec = o->idle_timeout_sec,
		.once = o->once,
		.cancel = &cancel,
	};
	struct signalfd_siginfo si = { 0 };
	int rc;

	rc = server_run(&cfg, err);
	notify("STOPPING=1");
	if (read(p->signal_fd, &si, sizeof(si)) == sizeof(si) && si.ssi_signo != SIGCHLD && p->command)
		kill(p->command, SIGTERM);
	command_wait(p);
	return rc;
}

/* Returns the exit status. */
static int run(const struct options *o, int ready_fd)
{
	struct program *p = calloc(1, sizeof(*p));
	vdisk_error err;
	int rc = 0, failed;

	if (!p) {
		say(LOG_ERR, "out of memory");
		return 2;
	}
	p->o = o;
	signal(SIGPIPE, SIG_IGN);
	stop_signals(on_signal);
	prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0); /* a kernel client here must not wait for its own write-back; needs a capability, so
	                                         may fail */
	failed = program_open(p, &err) || announce(p, ready_fd, &err) || program_serve(p, &err);
	if (failed)
		say(LOG_ERR, "%s", err.message);
	if (program_close(p, &err)) {
		say(LOG_ERR, "%s", err.message);
		failed = true;
	}
	if (p->has_pid_file)
		unlink(p->o->pid_file);
	rc = failed ? 2 : p->command_status;
	free(p);
	return rc;
}

int main(int argc, char **argv)
{
	struct options o;
	int rc = options_parse(&o, argc, argv), ready_fd = -1;

	streams_secure();
	if (rc)
		return rc < 0 ? 2 : 0;
	say_open("vdisk nbd", false);
	o.source.log = say_log;
	o.source.cancel = &cancel;
	if (o.fork && (rc = background_fork(&ready_fd)) >= 0)
		return rc;
	return run(&o, ready_fd);
}

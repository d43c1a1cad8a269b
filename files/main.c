/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk-files: `vdisk mount --files`.  The parent waits until the child's mount is served, or has said why it cannot be.
 *
 * In the background libguestfs's appliance has a session, and the server of the mount one of its own: the kernel's scheduler shares
 * a busy machine out among sessions (sched_autogroup), and here two programs work, in turns.
 *
 * One thread serves, another waits for signals and idle times: it unmounts from outside, as umount(8) would, and the serving one
 * ends by itself.
 */
#include "../fuse/unmount.h"
#include "args.h"
#include "common/background.h"
#include "common/fail.h"
#include "common/say.h"
#include "common/streams.h"
#include "disk.h"
#include "guest.h"
#include "quick.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS INT64_C(250000000) /* between two looks at whether somebody uses the mount */

struct ender { /* the thread that waits for signals */
	const char *mountpoint;
	int64_t idle_ns; /* 0: never */
	unsigned long long (*activity)(const void *of); /* a number that changes with use */
	const void *of;
	pthread_t thread;
	sigset_t set;
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* A signal, or 0: nothing was used for long enough. */
static int ender_wait(const struct ender *e)
{
	const struct timespec tick = { .tv_nsec = TICK_NS };
	unsigned long long last = 0;
	int64_t since = now_ns();
	int sig;

	while (e->idle_ns) {
		unsigned long long now = e->activity(e->of);

		if (now != last)
			since = now_ns();
		last = now;
		if (now_ns() - since >= e->idle_ns)
			return 0;
		sig = sigtimedwait(&e->set, NULL, &tick);
		if (sig > 0)
			return sig;
	}
	while (sigwait(&e->set, &sig))
		;
	return sig;
}

static void *ender_run(void *arg)
{
	const struct ender *e = arg;

	for (;;) {
		int sig = ender_wait(e);

		if (sig == SIGUSR1) /* it ended otherwise */
			return NULL;
		if (!sig)
			unmount(e->mountpoint, 0); /* where it is in use after all (somebody's working folder), once more from the
			                              beginning */
		else if (unmount(e->mountpoint, UNMOUNT_SYNC))
			unmount(e->mountpoint, UNMOUNT_SYNC | UNMOUNT_DETACH);
	}
}

static int ender_start(struct ender *e, const char *mountpoint, unsigned long long (*activity)(const void *), const void *of,
                       vdisk_error *err)
{
	e->mountpoint = mountpoint;
	e->activity = activity;
	e->of = of;
	return pthread_create(&e->thread, NULL, ender_run, e) ? fail(err, VDISK_NOMEM, "no thread can be started") : 0;
}

static void ender_stop(struct ender *e)
{
	pthread_kill(e->thread, SIGUSR1);
	pthread_join(e->thread, NULL);
}

/* Before any thread; a signal that comes before the mount is there waits for it. */
static void signals_block(struct ender *e)
{
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&e->set);
	sigaddset(&e->set, SIGTERM);
	sigaddset(&e->set, SIGINT);
	sigaddset(&e->set, SIGHUP);
	sigaddset(&e->set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &e->set, NULL);
}

/* Lets the parent go. */
static void announce(int ready_fd)
{
	if (ready_fd >= 0)
		background_ready("vdisk mount", ready_fd);
}

static unsigned long long guest_activity(const void *guest) { return ((const struct guest *)guest)->calls; }

static unsigned long long reader_activity(const void *quick) { return quick_activity(quick); }

static int guest_run(const struct args *a, struct ender *e, const char *mountpoint, int ready_fd, vdisk_error *err)
{
	struct guest_options o = { .program = "vdisk-files",
		                   .image = a->source.image,
		                   .root = a->root,
		                   .key_files = a->key_files,
		                   .n_keys = a->n_keys,
		                   .n_sockets = 1 };
	const char *socket;
	struct guest t;
	struct nbd_disk d;
	vdisk_error later;
	int rc;

	if (nbd_disk_open(&d, &a->source, err))
		return -1;
	socket = nbd_disk_socket(&d);
	o.sockets = &socket;
	o.rw = d.source.rw;
	rc = guest_open(&t, &o, err);
	if (!a->foreground)
		setsid(); /* the appliance stays behind */
	if (!rc) {
		rc = background_wanted(ready_fd) ? guest_mount(&t, mountpoint, a->allow_other, !o.rw && !a->idle_seconds, err)
		                                 : fail(err, VDISK_CANCELLED, "who asked for the mount is gone");
		if (!rc && !ender_start(e, mountpoint, guest_activity, &t, err)) {
			announce(ready_fd);
			rc = guest_serve(&t, err);
			ender_stop(e);
		}
		if (guest_close(&t, &later) && !rc) {
			*err = later;
			rc = -1;
		}
	}
	if (nbd_disk_close(&d, &later) && !rc) {
		*err = later;
		rc = -1;
	}
	return rc;
}

/* 1: it is to be tried with libguestfs. */
static int quick_run(const struct args *a, struct ender *e, const char *mountpoint, int ready_fd, vdisk_error *err)
{
	struct quick q;
	int rc = quick_open(&q, a, err);

	if (rc)
		return rc;
	rc = quick_mount(&q, mountpoint, a->allow_other, err);
	if (!rc && !ender_start(e, mountpoint, reader_activity, &q, err)) {
		announce(ready_fd);
		quick_wait(&q);
		ender_stop(e);
	}
	quick_close(&q);
	return rc;
}

/* Returns the exit status. */
static int run(const struct args *a, int ready_fd)
{
	struct ender e = { .idle_ns = a->idle_seconds * INT64_C(1000000000) };
	char *mountpoint = realpath(a->dir, NULL);
	vdisk_error err;
	int rc = 1;

	if (!mountpoint) {
		fail_errno(&err, "%s", a->dir);
		say(LOG_ERR, "%s", err.message);
		return 2;
	}
	signals_block(&e);
	if (a->quick)
		rc = quick_run(a, &e, mountpoint, ready_fd, &err);
	if (a->quick && rc > 0)
		say(LOG_WARNING, "%s; it takes libguestfs, and a while", err.message);
	if (rc > 0)
		rc = guest_run(a, &e, mountpoint, ready_fd, &err);
	if (rc)
		say(LOG_ERR, "%s", err.message);
	free(mountpoint);
	return rc ? 2 : 0;
}

int main(int argc, char **argv)
{
	struct args a = { 0 };
	int rc = args_parse(&a, argc, argv), fds[2];
	pid_t pid;
	char byte;

	streams_secure();
	if (rc)
		return rc < 0 ? 2 : 0;
	say_open("vdisk mount", false);
	a.source.log = say_log;
	if (a.foreground)
		return run(&a, -1);
	if (pipe2(fds, O_CLOEXEC) || (pid = fork()) < 0) {
		perror("vdisk mount");
		return 2;
	}
	if (!pid) {
		close(fds[0]);
		setsid();
		if ((pid = fork())) /* a session's leader cannot have another one */
			_exit(pid < 0 ? 2 : 0);
		return run(&a, fds[1]);
	}
	close(fds[1]);
	waitpid(pid, NULL, 0);
	return read(fds[0], &byte, 1) == 1 ? 0 : 2;
}

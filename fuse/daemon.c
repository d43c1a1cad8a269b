/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Three kinds of threads: FUSE's serve requests, links.c's looks at partitions, and the one here ("control") waits for signals
 * and idle times.  The first thread runs FUSE's loop and in the end puts everything away: the session first, then the links'
 * thread, which may wait for the mount, then the image.
 *
 * The mount ends from outside (umount, fusermount3) or by control, which unmounts as they do, while requests are still served: so
 * what the kernel has not written yet comes in.  Only where somebody keeps a file open and a signal came, the session is broken
 * off.
 */
#include "daemon.h"
#include "links.h"
#include "common/background.h"
#include "common/notify.h"
#include "common/stop.h"
#include "overlay.h"
#include "populate.h"
#include "unmount.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

#define WAKE SIGUSR1 /* to a thread that waits: look again */
#define SECOND INT64_C(1000000000)
#define GRACE (5 * SECOND) /* for requests under way when it is broken off */
#define TICK (SECOND / 4) /* between one look at the idle time and the next, at least */

struct server {
	struct fs fs;
	struct fuse_session *se;
	char *mountpoint;
	int ready_fd; /* -1: in the foreground */
	int64_t idle; /* ns; 0: never */
	pthread_t loop, control;
	_Atomic bool ended; /* the loop */
};

/* While the image is opened, which may be on a server that hangs, signals set this; from then on control waits for them, and sets
   it where what was broken off does not end. */
static volatile int cancel;

static void on_signal(int number) { stop_ask(&cancel, number); }

static void waked(int sig) { (void)sig; }

static void signals_block(sigset_t *set)
{
	struct sigaction sa = { .sa_handler = waked };

	sigemptyset(set);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGHUP);
	sigaddset(set, WAKE);
	pthread_sigmask(SIG_BLOCK, set, NULL);
	sigaction(WAKE, &sa, NULL);
}

/* ---------------------------------------------------------------- control */

/* A signal came: unmounts, or breaks off what is in use. */
static void control_end(struct server *s)
{
	if (!unmount(s->mountpoint, UNMOUNT_SYNC))
		return; /* the loop ends by itself */
	say(LOG_WARNING, "%s: is in use; what is open there is broken off", s->mountpoint);
	unmount(s->mountpoint, UNMOUNT_SYNC | UNMOUNT_DETACH);
	fuse_session_exit(s->se);
	const int64_t end = monotonic_ns() + GRACE;
	while (!s->ended) { /* the loop may be just about to wait */
		struct timespec t = { .tv_nsec = SECOND / 50 };

		pthread_kill(s->loop, WAKE);
		nanosleep(&t, NULL);
		if (monotonic_ns() > end)
			cancel = 1;
	}
}

/* How long to wait until the mount may have been idle for long enough; 0: it has. */
static int64_t idle_left(const struct server *s)
{
	int64_t left = s->fs.used + s->idle - monotonic_ns();

	if (s->fs.opens)
		return s->idle;
	return left > 0 ? left : 0;
}

static void *control_run(void *arg)
{
	struct server *s = arg;
	sigset_t set;
	int sig;

	signals_block(&set);
	while (!s->ended) {
		int64_t left = s->idle ? idle_left(s) : 3600 * SECOND;
		struct timespec t = { .tv_sec = left / SECOND, .tv_nsec = left % SECOND };

		if (s->idle && !left) {
			if (!unmount(s->mountpoint, 0))
				return NULL;
			fs_used(&s->fs); /* in use after all (somebody's working folder, say): once more from the beginning */
			continue;
		}
		sig = sigtimedwait(&set, NULL, &t);
		if (sig > 0 && sig != WAKE) {
			control_end(s);
			return NULL;
		}
	}
	return NULL;
}

/* ---------------------------------------------------------------- start */

static int image_open(struct fs *fs, const struct args *a, vdisk_error *err)
{
	fs->states = overlay_open(a, err);
	if (!fs->states)
		return -1;
	fs->writable = fs->states->writable;
	fs->uid = getuid();
	fs->gid = getgid();
	fs->used = monotonic_ns();
	pthread_mutex_init(&fs->fill_lock, NULL);
	fs->tree = tree_new();
	return fs->tree ? populate_root(fs, err) : fail_nomem(err);
}

static struct fuse_session *session_new(struct fs *fs, const struct args *a)
{
	struct fuse_args fa = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *se = NULL;
	char opts[160];

	/* Modes count (default_permissions): others may look at most, even where they are let in. */
	snprintf(opts, sizeof(opts), "-o%s,nosuid,nodev,noatime,default_permissions,subtype=vdisk,max_read=%u%s",
		 fs->writable ? "rw" : "ro", FS_MAX_IO, a->allow_other ? ",allow_other" : "");
	if (!fuse_opt_add_arg(&fa, "vdisk-mount") && !fuse_opt_add_arg(&fa, opts))
		se = fuse_session_new(&fa, &fs_ops, sizeof(fs_ops), fs);
	fuse_opt_free_args(&fa);
	return se;
}

/* The links are there: lets the shell go on, and systemd. */
static void ready(void *ctx)
{
	struct server *s = ctx;

	notify("READY=1\nMAINPID=%d\nSTATUS=Serving %s", (int)getpid(), s->mountpoint);
	if (s->ready_fd >= 0)
		background_ready("vdisk mount", s->ready_fd);
}

static int serve_mounted(struct server *s)
{
	struct fuse_loop_config *cfg = fuse_loop_cfg_create();
	sigset_t wake;
	int rc = 2;

	if (!cfg)
		return 2;
	fuse_loop_cfg_set_clone_fd(cfg, 1);
	fuse_loop_cfg_set_idle_threads(cfg, 10);
	s->loop = pthread_self();
	if (links_new(&s->fs, s->mountpoint, ready, s) && !pthread_create(&s->control, NULL, control_run, s)) {
		sigemptyset(&wake);
		sigaddset(&wake, WAKE);
		pthread_sigmask(SIG_UNBLOCK, &wake, NULL);
		rc = fuse_session_loop_mt(s->se, cfg) < 0 && errno != EINTR ? 2 : 0;
		s->ended = true;
		pthread_kill(s->control, WAKE);
		pthread_join(s->control, NULL);
	}
	notify("STOPPING=1");
	fuse_loop_cfg_destroy(cfg);
	return rc;
}

/* ---------------------------------------------------------------- end */

static int states_close(struct fs *fs, bool served)
{
	vdisk_error err;
	int rc = 0;

	cancel = 0; /* what was written takes the time that it takes */
	while (fs->states) {
		struct state *s = fs->states;

		fs->states = s->next;
		if (!served && s->fresh)
			unlink(s->path);
		if (state_close(s, &err)) {
			say(LOG_ERR, "%s", err.message);
			rc = 2;
		}
	}
	return rc;
}

int daemon_serve(struct args *a, int ready_fd)
{
	struct server s = { .ready_fd = ready_fd, .idle = a->idle_seconds * SECOND };
	bool served = false;
	vdisk_error err;
	struct stat st;
	sigset_t set;
	int rc = 2;

	a->source.cancel = &cancel;
	signal(SIGPIPE, SIG_IGN);
	stop_signals(on_signal);
	/* A loop device over us must not wait for its own write-back.  It needs a capability, so it may fail. */
	prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	if (vdisk_path_judge(a->dir, &err)) {
		say(LOG_ERR, "%s", err.message);
		return 2;
	}
	s.mountpoint = realpath(a->dir, NULL);
	if (s.mountpoint && !stat(s.mountpoint, &st) && !S_ISDIR(st.st_mode)) { /* which FUSE would not mind */
		free(s.mountpoint);
		s.mountpoint = NULL;
		errno = ENOTDIR;
	}
	if (!s.mountpoint) {
		say(LOG_ERR, "%s: %s", a->dir, strerror(errno));
		return 2;
	}
	if (image_open(&s.fs, a, &err)) {
		say(LOG_ERR, "%s", err.message);
		goto out;
	}
	signals_block(&set);
	if (cancel) {
		say(LOG_ERR, "stopped by a signal");
		goto out;
	}
	if (ready_fd >= 0)
		background_loose(); /* else whoever runs us may want us to end with it */
	s.se = session_new(&s.fs, a);
	if (!s.se || fuse_session_mount(s.se, s.mountpoint)) {
		say(LOG_ERR, "%s: cannot be mounted on", s.mountpoint);
		goto out;
	}
	served = true;
	rc = serve_mounted(&s);
	fuse_session_unmount(s.se);
	cancel = 1; /* nobody wants to know of partitions any more */
	links_free(s.fs.links);
out:
	if (s.se)
		fuse_session_destroy(s.se);
	tree_free(s.fs.tree);
	if (states_close(&s.fs, served))
		rc = 2;
	free(s.mountpoint);
	return rc;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk-receive: the server that captures are sent to.
 *
 * Signals are blocked before any thread starts and read from a descriptor.  The main thread looks after slow clients, and ends when
 * there is a signal, or with --once when the first capture was worked through; another one flushes what was written.
 */
#include "http.h"
#include "options.h"
#include "view.h"

#include "common/fail.h"
#include "common/notify.h"
#include "common/say.h"
#include "common/streams.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEND_MS 250

struct program {
	const struct options *o;
	struct receiver r;
	struct tls tls;
	struct http *http;
	struct work *work;
	bool has_store;
	int signal_fd, done_fd;
	int verdict;              /* of the first that was worked through, with --once; guarded by done_fd's event */
	char token[TOKEN_TEXT_MAX + 2];
	char view_key[130];
	bool token_printed;
	pthread_mutex_t printing; /* one event at a time */
	pthread_t tender;
	bool tends;
	atomic_bool stop;         /* the tender */
};

static int signals_take(struct program *p, vdisk_error *err)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* an error of write() instead */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	p->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	p->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return p->signal_fd < 0 || p->done_fd < 0 ? fail_errno(err, "signals") : 0;
}

/* Each capture in the store, each disk and each connection takes one. */
static void files_allow(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r))
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

/* The file's first line. */
static int line_read(const char *path, char *out, size_t room, vdisk_error *err)
{
	FILE *f = fopen(path, "re");
	char *got = f ? fgets(out, (int)room, f) : NULL;

	if (!f || ferror(f)) {
		fail_errno(err, "%s", path);
	} else if (!got || strlen(out) + 1 >= room) {
		got = NULL;
		fail(err, VDISK_INVALID, "%s: its first line is %s", path, got ? "too long" : "missing, or too long");
	}
	if (f)
		fclose(f);
	if (!got)
		return -1;
	out[strcspn(out, "\r\n")] = '\0';
	return 0;
}

static int secrets_take(struct program *p, vdisk_error *err)
{
	const struct options *o = p->o;

	p->token_printed = !o->token && !o->token_file;
	if (o->token_file && line_read(o->token_file, p->token, sizeof(p->token), err))
		return -1;
	if (o->token)
		snprintf(p->token, sizeof(p->token), "%s", o->token);
	if (p->token_printed && token_make(p->token, err))
		return -1;
	if (strlen(p->token) < TOKEN_TEXT_MIN || strlen(p->token) > TOKEN_TEXT_MAX)
		return fail(err, VDISK_INVALID, "%s: a token has from %u to %u characters", o->token_file, TOKEN_TEXT_MIN,
		            TOKEN_TEXT_MAX);
	if (o->view_key_file ? line_read(o->view_key_file, p->view_key, sizeof(p->view_key), err)
	                     : secret_make(16, p->view_key, err))
		return -1;
	if (strlen(p->view_key) < TOKEN_TEXT_MIN ||
	    strspn(p->view_key, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-._~") != strlen(p->view_key))
		return fail(err, VDISK_INVALID, "%s: a viewing key has from %u to 128 letters, digits and - . _ ~",
		            o->view_key_file, TOKEN_TEXT_MIN);
	p->r.token.uses = o->token_uses;
	return secret_hash(p->token, strlen(p->token), p->r.token.sha256, err) ||
	       secret_hash(p->view_key, strlen(p->view_key), p->r.view, err);
}

/* ---------------------------------------------------------------- what is told */

static void add(json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, text ? json_object_new_string(text) : NULL);
}

static void print_json(struct program *p, json_object *o) /* takes o */
{
	pthread_mutex_lock(&p->printing);
	if (o)
		printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	fflush(stdout);
	pthread_mutex_unlock(&p->printing);
	json_object_put(o);
}

/* From here on somebody may come. */
static int announce(struct program *p, vdisk_error *err)
{
	char url[400], page[600], fingerprint[65], certificate[65];

	snprintf(url, sizeof(url), "https://%s/", http_address(p->http));
	snprintf(page, sizeof(page), "%s?key=%s", url, p->view_key);
	transfer_hex(p->tls.fingerprint, 32, fingerprint);
	transfer_hex(p->tls.certificate, 32, certificate);
	if (p->o->json) {
		json_object *o = json_object_new_object();

		if (!o)
			return fail_nomem(err);
		add(o, "event", "listening");
		add(o, "url", url);
		json_object_object_add(o, "port", json_object_new_int((int)http_port(p->http)));
		add(o, "fingerprint", fingerprint);
		add(o, "certificate", certificate);
		add(o, "token", p->token_printed ? p->token : NULL);
		add(o, "page", page);
		add(o, "view-key", p->view_key);
		print_json(p, o);
	} else if (!p->o->quiet) {
		printf("listening on %s\nfingerprint: %s\ncertificate: %s\n", url, fingerprint, certificate);
		if (p->token_printed)
			printf("token: %s\n", p->token);
		printf("page: %s\n", page);
	}
	if (fflush(stdout))
		return fail_errno(err, "standard output");
	notify("READY=1");
	return 0;
}

/* From the thread that works; takes o. */
static void on_worked(void *ctx, struct capture *c, json_object *o)
{
	struct program *p = ctx;
	uint64_t one = 1;

	if (p->o->json) {
		if (o)
			add(o, "event", "worked");
		print_json(p, json_object_get(o));
	} else if (!p->o->quiet && o) {
		const char *verdict = transfer_json_find(o, "verdict"), *message = transfer_json_find(o, "message"),
			   *state = transfer_json_find(o, "state");

		pthread_mutex_lock(&p->printing);
		printf("%s: %s%s%s\n", c->st.folder, verdict ? verdict : state ? state : "", message ? ": " : "",
		       message ? message : "");
		fflush(stdout);
		pthread_mutex_unlock(&p->printing);
	}
	json_object_put(o);
	if (p->o->once && !p->verdict)
		p->verdict = work_verdict(c) + 1;
	(void)!write(p->done_fd, &one, sizeof(one));
}

/* ---------------------------------------------------------------- */

static void *tend(void *arg)
{
	struct program *p = arg;

	while (!atomic_load(&p->stop)) {
		size_t n;
		struct capture **all = store_all(&p->r.store, &n);

		for (size_t i = 0; i < n; i++)
			capture_tend(all[i]);
		store_put_all(&p->r.store, all, n);
		usleep(TEND_MS * 1000);
	}
	return NULL;
}

static int tend_start(struct program *p, vdisk_error *err)
{
	errno = pthread_create(&p->tender, NULL, tend, p);
	p->tends = !errno;
	return errno ? fail_errno(err, "a thread") : 0;
}

static int program_open(struct program *p, vdisk_error *err)
{
	const struct options *o = p->o;

	umask(077); /* what comes here is other people's whole disks */
	files_allow();
	if (signals_take(p, err) || secrets_take(p, err) || work_judge(&o->work, err))
		return -1;
	p->r.buffers = buffers_new((unsigned)(o->memory / BUFFER_BYTES));
	if (!p->r.buffers)
		return fail_nomem(err);
	p->has_store = true;
	if (store_open(&p->r.store, &o->store, say_log, NULL, err))
		return -1;
	if (tls_open(&p->tls, p->r.store.own, &o->tls, err) || http_start(&p->r, &p->tls, &o->http, &p->http, err))
		return -1;
	return tend_start(p, err) || announce(p, err) || work_start(&p->r.store, &o->work, on_worked, p, &p->work, err);
}

static int program_run(struct program *p, vdisk_error *err)
{
	struct pollfd fds[2] = { { .fd = p->signal_fd, .events = POLLIN }, { .fd = p->done_fd, .events = POLLIN } };

	for (;;) {
		uint64_t count;

		if (poll(fds, 2, TEND_MS) < 0 && errno != EINTR)
			return fail_errno(err, "poll");
		if (fds[0].revents)
			return 0;
		if (fds[1].revents && read(p->done_fd, &count, sizeof(count)) == sizeof(count) && p->o->once)
			return 0;
		http_tend(p->http);
	}
}

static void program_close(struct program *p)
{
	notify("STOPPING=1");
	http_stop(p->http);
	work_stop(p->work);
	atomic_store(&p->stop, true);
	if (p->tends)
		pthread_join(p->tender, NULL);
	if (p->has_store)
		store_close(&p->r.store);
	buffers_free(p->r.buffers);
	tls_close(&p->tls);
}

int main(int argc, char **argv)
{
	struct program *p = calloc(1, sizeof(*p));
	vdisk_error err = { 0 };
	struct options o;
	int rc = options_parse(&o, argc, argv);

	streams_secure();
	if (rc || !p) {
		free(p);
		return rc < 0 || !rc ? 2 : 0;
	}
	say_open("vdisk receive", false);
	p->o = &o;
	pthread_mutex_init(&p->printing, NULL);
	pthread_mutex_init(&p->r.parsing, NULL);
	if (program_open(p, &err) || program_run(p, &err)) {
		say(LOG_ERR, "%s", err.message);
		rc = 2;
	}
	program_close(p);
	if (!rc && o.once)
		rc = p->verdict ? p->verdict - 1 : 2; /* ended by a signal before */
	free(p);
	return rc;
}

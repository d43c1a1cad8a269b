/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One thread waits for connections; each connection's first thread takes it from the list and frees it.  `lock` guards the list;
 * whoever stops a connection holds it, so that none is freed meanwhile.
 */
#include "server.h"

#include "common/fail.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define GRACE_MS 5000 /* for what clients have asked before we were told to stop */
#define SHORTAGE_MS 200 /* of descriptors, say: a pause before the next try */

struct entry {
	struct server *s;
	struct conn *c;
	struct entry *next;
};

struct server {
	const struct server_config *cfg;
	pthread_mutex_t lock;
	struct entry *list;
	unsigned clients;
	bool served;    /* somebody got past the handshake */
	int changed_fd; /* a connection has ended */
	int64_t idle_since;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void entry_remove(struct entry *e, bool served)
{
	struct server *s = e->s;
	uint64_t one = 1;

	pthread_mutex_lock(&s->lock);
	for (struct entry **p = &s->list; *p; p = &(*p)->next)
		if (*p == e) {
			*p = e->next;
			break;
		}
	pthread_mutex_unlock(&s->lock);
	conn_free(e->c); /* may say goodbye, which takes its time */
	free(e);
	pthread_mutex_lock(&s->lock);
	s->clients--;
	s->served |= served;
	s->idle_since = now_ms();
	(void)!write(s->changed_fd, &one, sizeof(one)); /* it cannot be full: every end is read */
	pthread_mutex_unlock(&s->lock);
}

static void *entry_run(void *arg)
{
	struct entry *e = arg;
	bool served = conn_run(e->c);

	entry_remove(e, served);
	return NULL;
}

static int entry_start(struct server *s, int fd)
{
	struct entry *e = calloc(1, sizeof(*e));
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	if (!e) {
		close(fd);
		return -1;
	}
	e->s = s;
	e->c = conn_new(&s->cfg->conn, fd);
	if (!e->c) {
		free(e);
		return -1;
	}
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 1u << 20);
	pthread_mutex_lock(&s->lock);
	rc = pthread_create(&thread, &attr, entry_run, e);
	if (!rc) { /* it cannot be removed before it is in the list: the lock */
		e->next = s->list;
		s->list = e;
		s->clients++;
	}
	pthread_mutex_unlock(&s->lock);
	pthread_attr_destroy(&attr);
	if (!rc)
		return 0;
	conn_free(e->c);
	free(e);
	return -1;
}

/* 0, or -1: there is a shortage of something. */
static int take(struct server *s, int listening)
{
	int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC), one = 1;

	if (fd < 0)
		return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED || errno == EPROTO || errno == EPERM ? 0 : -1;
	(void)!setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* no TCP: no harm */
	(void)!setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	return entry_start(s, fd);
}

/* What poll() has to wait at most, in ms; -1: for ever; *over: nothing more to do. */
static int patience(struct server *s, bool *full, bool *over)
{
	const struct server_config *cfg = s->cfg;
	int wait = -1;

	*over = false;
	pthread_mutex_lock(&s->lock);
	*full = s->clients >= cfg->clients_max;
	if (!s->clients) {
		int64_t left = s->idle_since + (int64_t)cfg->idle_timeout_sec * 1000 - now_ms();

		*over = (cfg->once && s->served) || (cfg->idle_timeout_sec && left <= 0);
		if (cfg->idle_timeout_sec)
			wait = left > 1000000 ? 1000000 : (int)left;
	}
	pthread_mutex_unlock(&s->lock);
	return wait;
}

static int serve(struct server *s, vdisk_error *err)
{
	const struct server_config *cfg = s->cfg;
	struct pollfd p[SERVER_FDS_MAX + 2];
	bool shortage = false, full, over;

	for (;;) {
		int wait = patience(s, &full, &over);
		uint64_t count;

		if (over)
			return 0;
		if (shortage && (wait < 0 || wait > SHORTAGE_MS))
			wait = SHORTAGE_MS;
		for (size_t i = 0; i < cfg->n_fds; i++)
			p[i] = (struct pollfd){ .fd = full || shortage ? -1 : cfg->fds[i], .events = POLLIN };
		p[cfg->n_fds] = (struct pollfd){ .fd = s->changed_fd, .events = POLLIN };
		p[cfg->n_fds + 1] = (struct pollfd){ .fd = cfg->stop_fd, .events = POLLIN };
		shortage = false;
		if (poll(p, cfg->n_fds + 2, wait) < 0 && errno != EINTR)
			return fail_errno(err, "poll");
		if (p[cfg->n_fds + 1].revents)
			return 0;
		if (p[cfg->n_fds].revents && read(s->changed_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
			return fail_errno(err, "an event");
		for (size_t i = 0; i < cfg->n_fds; i++)
			if (p[i].revents)
				shortage |= take(s, cfg->fds[i]) < 0;
	}
}

static unsigned all(struct server *s, void (*what)(struct conn *))
{
	unsigned n;

	pthread_mutex_lock(&s->lock);
	for (struct entry *e = s->list; what && e; e = e->next)
		what(e->c);
	n = s->clients;
	pthread_mutex_unlock(&s->lock);
	return n;
}

/* Until no connection is left. */
static void drain(struct server *s)
{
	int64_t end = now_ms() + GRACE_MS;
	bool broken = false;

	if (!all(s, conn_stop))
		return;
	while (all(s, NULL)) {
		struct pollfd p = { .fd = s->changed_fd, .events = POLLIN };
		int64_t left = end - now_ms();
		uint64_t count;

		if (left <= 0 && !broken) {
			all(s, conn_break);
			*s->cfg->cancel = 1;
			broken = true;
		}
		poll(&p, 1, broken ? -1 : (int)left);
		if (p.revents && read(s->changed_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
			return;
	}
}

int server_run(const struct server_config *cfg, vdisk_error *err)
{
	struct server s = { .cfg = cfg, .idle_since = now_ms() };
	int rc;

	if (cfg->n_fds > SERVER_FDS_MAX)
		return fail(err, VDISK_INVALID, "%zu sockets are too many, the most is %d", cfg->n_fds, SERVER_FDS_MAX);
	s.changed_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s.changed_fd < 0)
		return fail_errno(err, "an event");
	pthread_mutex_init(&s.lock, NULL);
	rc = serve(&s, err);
	drain(&s);
	pthread_mutex_destroy(&s.lock);
	close(s.changed_fd);
	return rc;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libmicrohttpd limits pauses, ours as well as theirs, and not time: who sends a byte now and then would hold a connection for
 * ever, and who waits for us would be cut off.  So it is told of no limit, and every connection is in a list here, with what it
 * does and since when; http_tend() shuts down the socket of who takes too long, which ends its thread.  A connection is in the list
 * while its socket is open.
 *
 * `lock` guards the list and all in it.
 */
#include "http.h"

#include "clock.h"
#include "listen.h"
#include "request.h"

#include "common/fail.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STRANGER_MS       15000 /* for a handshake and a head, from one of whom nothing is known */
#define STRANGER_FULL_MS  2000  /* the same when connections are getting scarce */
#define KNOWN_MS          60000 /* between two requests, and for a head */
#define BODY_MS           30000 /* in which this many bytes of a body have to come: */
#define BODY_BYTES        4096
#define DRAIN_MAX         (8ull << 20) /* of a body that nobody wants: who sends without waiting hears the answer only after it */
#define SEND_MS           300000 /* for an answer on its way to one who is known */
#define STOP_MS           5000  /* for the ends of answers that are under way */
#define STACK_BYTES       (512u << 10)
#define CONNECTION_BYTES  (64u << 10)

enum phase { PHASE_HEAD, PHASE_BODY, PHASE_SEND, PHASE_TAKE, PHASE_WORK }; /* in the last two it is us who take the time */

struct conn {
	struct conn *next;
	int fd;
	bool known;
	enum phase phase;
	int64_t since;
	uint64_t bytes; /* of the body since then */
};

struct http {
	struct receiver *r;
	const struct tls *tls;
	struct MHD_Daemon *daemon;
	unsigned limit, port;
	char address[320];
	pthread_mutex_t lock;
	struct conn *list;
	unsigned n;
};

static void conn_phase(struct http *h, struct conn *c, enum phase phase, bool known)
{
	pthread_mutex_lock(&h->lock);
	c->phase = phase;
	c->known |= known;
	c->since = clock_ms();
	c->bytes = 0;
	pthread_mutex_unlock(&h->lock);
}

/* A piece of the body.  Strangers get no time for more of them. */
static bool conn_take(struct http *h, struct conn *c, struct request *q, const char *bytes, size_t n)
{
	int64_t begun = clock_ms(), now;
	bool more;

	pthread_mutex_lock(&h->lock);
	c->phase = PHASE_TAKE;
	pthread_mutex_unlock(&h->lock);
	more = request_body(q, bytes, n);
	now = clock_ms();
	pthread_mutex_lock(&h->lock);
	c->phase = PHASE_BODY;
	c->since += now - begun;
	c->bytes += n;
	if (c->known && c->bytes >= BODY_BYTES) {
		c->bytes = 0;
		c->since = now;
	}
	pthread_mutex_unlock(&h->lock);
	return more;
}

/* Told by libmicrohttpd that a connection has come, or is about to be closed. */
static void on_connection(void *cls, struct MHD_Connection *mc, void **context, enum MHD_ConnectionNotificationCode what)
{
	struct http *h = cls;
	struct conn *c = *context;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info = MHD_get_connection_info(mc, MHD_CONNECTION_INFO_CONNECTION_FD);

		c = calloc(1, sizeof(*c));
		*context = c;
		if (!c)
			return;
		c->fd = info ? info->connect_fd : -1;
		c->since = clock_ms();
		pthread_mutex_lock(&h->lock);
		c->next = h->list;
		h->list = c;
		h->n++;
		pthread_mutex_unlock(&h->lock);
	} else if (c) {
		pthread_mutex_lock(&h->lock);
		for (struct conn **p = &h->list; *p; p = &(*p)->next)
			if (*p == c) {
				*p = c->next;
				h->n--;
				break;
			}
		pthread_mutex_unlock(&h->lock);
		free(c);
		*context = NULL;
	}
}

static bool too_slow(const struct http *h, const struct conn *c, int64_t now)
{
	int64_t age = now - c->since, stranger = h->n > h->limit / 4 * 3 ? STRANGER_FULL_MS : STRANGER_MS;

	switch (c->phase) {
	case PHASE_TAKE:
	case PHASE_WORK: return false;
	case PHASE_BODY: return age > (c->known ? BODY_MS : stranger);
	case PHASE_SEND: return age > (c->known ? SEND_MS : stranger);
	default: return age > (c->known ? KNOWN_MS : stranger);
	}
}

void http_tend(struct http *h)
{
	int64_t now = clock_ms();

	pthread_mutex_lock(&h->lock);
	for (struct conn *c = h->list; c; c = c->next)
		if (c->fd >= 0 && too_slow(h, c, now))
			shutdown(c->fd, SHUT_RDWR);
	pthread_mutex_unlock(&h->lock);
}

static struct conn *conn_of(struct MHD_Connection *mc)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(mc, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

/* ---------------------------------------------------------------- requests */

/* With --client-ca: the client has shown a certificate of that authority's. */
static bool client_certified(const struct http *h, struct MHD_Connection *mc)
{
	const union MHD_ConnectionInfo *info;
	unsigned status = 0;

	if (!h->tls->client_ca)
		return true;
	info = MHD_get_connection_info(mc, MHD_CONNECTION_INFO_GNUTLS_SESSION);
	return info && !gnutls_certificate_verify_peers2(info->tls_session, &status) && !status;
}

static enum MHD_Result answer_queue(struct MHD_Connection *mc, struct answer *a)
{
	struct MHD_Response *m;
	enum MHD_Result rc;
	char number[16];

	if (a->file >= 0)
		m = MHD_create_response_from_fd(a->len, a->file);
	else if (a->owned)
		m = MHD_create_response_from_buffer(a->len, a->owned, MHD_RESPMEM_MUST_FREE);
	else
		m = MHD_create_response_from_buffer(a->len, (void *)(uintptr_t)a->body, MHD_RESPMEM_PERSISTENT);
	if (!m) {
		free(a->owned);
		if (a->file >= 0)
			close(a->file);
		return MHD_NO;
	}
	MHD_add_response_header(m, "Content-Type", a->type);
	MHD_add_response_header(m, "Cache-Control", "no-store");
	MHD_add_response_header(m, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(m, "Referrer-Policy", "no-referrer");
	MHD_add_response_header(
		m, "Content-Security-Policy",
		!a->page
			? "default-src 'none'; sandbox"
			: "default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
			  "frame-ancestors 'none'; base-uri 'none'; form-action 'none'");
	if (a->retry_after) {
		snprintf(number, sizeof(number), "%u", a->retry_after);
		MHD_add_response_header(m, "Retry-After", number);
	}
	if (a->status == 401 && !a->page)
		MHD_add_response_header(m, "WWW-Authenticate", "Bearer");
	if (a->cookie[0])
		MHD_add_response_header(m, "Set-Cookie", a->cookie);
	if (a->location[0])
		MHD_add_response_header(m, "Location", a->location);
	rc = MHD_queue_response(mc, a->status, m);
	MHD_destroy_response(m);
	return rc;
}

static enum MHD_Result answer_now(struct http *h, struct conn *c, struct MHD_Connection *mc, struct request *q)
{
	enum MHD_Result rc;
	struct answer a;

	conn_phase(h, c, PHASE_WORK, request_known(q));
	request_end(q, &a);
	rc = answer_queue(mc, &a);
	conn_phase(h, c, PHASE_SEND, false);
	return rc;
}

static const char *header(struct MHD_Connection *mc, const char *name)
{
	return MHD_lookup_connection_value(mc, MHD_HEADER_KIND, name);
}
static const char *query(struct MHD_Connection *mc, const char *name)
{
	return MHD_lookup_connection_value(mc, MHD_GET_ARGUMENT_KIND, name);
}

static struct request *request_head_take(struct http *h, struct MHD_Connection *mc, const char *url, const char *method)
{
	const char *length = header(mc, "Content-Length");
	struct request_head head = {
		.method = method,
		.path = url,
		.uncertified = !client_certified(h, mc),
		.authorization = header(mc, "Authorization"),
		.cookie = header(mc, "Cookie"),
		.key = query(mc, "key"),
		.from = query(mc, "from"),
		.count = query(mc, "count"),
		.has_length = length != NULL,
		.length = length ? strtoull(length, NULL, 10) : 0,
	};

	return request_new(h->r, &head);
}

/* Whether the answer waits until the body is over. */
static bool drains(struct MHD_Connection *mc)
{
	const char *length = header(mc, "Content-Length");

	if (header(mc, "Expect"))
		return false;
	return length ? strtoull(length, NULL, 10) - 1 < DRAIN_MAX : header(mc, "Transfer-Encoding") != NULL;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mc, const char *url, const char *method, const char *version,
                                  const char *upload, size_t *upload_len, void **context)
{
	struct http *h = cls;
	struct conn *c = conn_of(mc);
	struct request *q = *context;
	size_t len = *upload_len;

	(void)version;
	if (!c)
		return MHD_NO;
	if (!q) { /* the head is there */
		conn_phase(h, c, PHASE_WORK, false);
		q = request_head_take(h, mc, url, method);
		*context = q;
		if (!q)
			return MHD_NO;
		conn_phase(h, c, PHASE_BODY, request_known(q));
		return request_ready(q) && !drains(mc) ? answer_now(h, c, mc, q) : MHD_YES;
	}
	if (len) {
		*upload_len = 0;
		return conn_take(h, c, q, upload, len) ? MHD_YES : MHD_NO;
	}
	return answer_now(h, c, mc, q);
}

static void on_done(void *cls, struct MHD_Connection *mc, void **context, enum MHD_RequestTerminationCode why)
{
	struct conn *c = conn_of(mc);

	(void)why;
	request_free(*context);
	*context = NULL;
	if (c)
		conn_phase(cls, c, PHASE_HEAD, false);
}

static void quiet_log(void *cls, const char *format, va_list ap)
{
	(void)cls; /* what clients do wrong is no news */
	(void)format;
	(void)ap;
}

/* ---------------------------------------------------------------- start and stop */

static struct MHD_Daemon *daemon_start(struct http *h, int fd)
{
	const struct tls *t = h->tls;
	struct MHD_OptionItem options[] = {
		{ MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)quiet_log, NULL },
		{ MHD_OPTION_LISTEN_SOCKET, fd, NULL },
		{ MHD_OPTION_HTTPS_MEM_CERT, 0, t->cert },
		{ MHD_OPTION_HTTPS_MEM_KEY, 0, t->key },
		{ MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)TLS_PRIORITY },
		{ MHD_OPTION_CONNECTION_LIMIT, (intptr_t)h->limit, NULL },
		{ MHD_OPTION_CONNECTION_TIMEOUT, 0, NULL },
		{ MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_BYTES, NULL },
		{ MHD_OPTION_THREAD_STACK_SIZE, STACK_BYTES, NULL },
		{ MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, h },
		{ MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_done, h },
		{ t->client_ca ? MHD_OPTION_HTTPS_MEM_TRUST : MHD_OPTION_END, 0, t->client_ca },
		{ MHD_OPTION_END, 0, NULL },
	};

	return MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_TLS |
	                                MHD_USE_ERROR_LOG | MHD_USE_ITC,
	                        0, NULL, NULL, on_request, h, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
}

int http_start(struct receiver *r, const struct tls *t, const struct http_options *o, struct http **out, vdisk_error *err)
{
	struct http *h = calloc(1, sizeof(*h));
	char host[300];
	int fd;

	if (!h)
		return fail_nomem(err);
	h->r = r;
	h->tls = t;
	h->limit = o->connections;
	pthread_mutex_init(&h->lock, NULL);
	fd = listen_open(o->listen, host, sizeof(host), &h->port, err);
	if (fd >= 0) {
		snprintf(h->address, sizeof(h->address), "%s:%u", host, h->port);
		h->daemon = daemon_start(h, fd);
		if (h->daemon) {
			*out = h;
			return 0;
		}
		fail(err, VDISK_IO, "the server cannot be started: is the certificate %s one that goes with its key?",
		     t->cert_name);
		close(fd);
	}
	pthread_mutex_destroy(&h->lock);
	free(h);
	return -1;
}

unsigned http_port(const struct http *h) { return h->port; }

const char *http_address(const struct http *h) { return h->address; }

/* Until those who are being answered have heard it. */
static void answers_wait(struct http *h)
{
	int64_t end = clock_ms() + STOP_MS;
	bool busy = true;

	while (busy && clock_ms() < end) {
		busy = false;
		pthread_mutex_lock(&h->lock);
		for (const struct conn *c = h->list; c; c = c->next)
			busy |= c->phase == PHASE_WORK || (c->phase == PHASE_SEND && c->known);
		pthread_mutex_unlock(&h->lock);
		if (busy)
			usleep(10000);
	}
}

void http_stop(struct http *h)
{
	if (!h)
		return;
	answers_wait(h);
	MHD_stop_daemon(h->daemon);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Blocking calls with the socket's own timeouts; whoever wants a thread out of them shuts the socket down.  Small messages are
 * received through `buf`, several with one call; what is as long as the buffer goes where it belongs at once.
 *
 * GnuTLS lets one thread send while another one receives: what receiving has to answer (a key update) is left to the sender.
 */
#include "stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BYE_MS 1000

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void timeouts_set(struct stream *s, unsigned recv_ms, unsigned send_ms)
{
	struct timeval r = { .tv_sec = recv_ms / 1000, .tv_usec = recv_ms % 1000 * 1000 };
	struct timeval w = { .tv_sec = send_ms / 1000, .tv_usec = send_ms % 1000 * 1000 };

	/* What is no socket (a test's pipe) has none of this. */
	(void)!setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &r, sizeof(r));
	(void)!setsockopt(s->fd, SOL_SOCKET, SO_SNDTIMEO, &w, sizeof(w));
}

void stream_init(struct stream *s, int fd, unsigned timeout_ms)
{
	s->fd = fd;
	s->tls = NULL;
	s->timeout_ms = timeout_ms;
	s->deadline_ms = 0;
	s->at = s->end = 0;
	timeouts_set(s, timeout_ms, 0);
}

void stream_limit(struct stream *s, unsigned ms)
{
	s->deadline_ms = ms ? now_ms() + ms : 0;
	if (ms)
		timeouts_set(s, ms < s->timeout_ms ? ms : s->timeout_ms, ms);
	else
		timeouts_set(s, s->timeout_ms, 0);
}

void stream_close(struct stream *s, bool polite)
{
	if (s->tls) {
		if (polite) {
			stream_limit(s, BYE_MS);
			gnutls_bye(s->tls, GNUTLS_SHUT_WR);
		}
		gnutls_deinit(s->tls);
	}
	close(s->fd);
}

static bool is_late(const struct stream *s) { return s->deadline_ms && now_ms() >= s->deadline_ms; }

/* Some bytes: how many; 0: none within the timeout; -1: no more will come. */
static ssize_t recv_some(struct stream *s, void *buf, size_t len)
{
	ssize_t n;

	if (s->tls) {
		do
			n = gnutls_record_recv(s->tls, buf, len);
		while (n == GNUTLS_E_INTERRUPTED);
		if (n > 0)
			return n;
		return n == GNUTLS_E_AGAIN ? 0 : -1;
	}
	do
		n = recv(s->fd, buf, len, 0);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : -1;
}

int stream_recv(struct stream *s, void *to, size_t len, bool first)
{
	uint8_t *p = to;

	while (len) {
		size_t have = s->end - s->at;
		bool direct = len >= STREAM_BUFFER;
		ssize_t n;

		if (have) {
			size_t take = have < len ? have : len;

			memcpy(p, s->buf + s->at, take);
			s->at += take;
			p += take;
			len -= take;
			first = false;
			continue;
		}
		n = is_late(s) ? -1 : recv_some(s, direct ? p : s->buf, direct ? len : STREAM_BUFFER);
		if (n < 0 || (!n && !first))
			return -1;
		if (direct) {
			p += n;
			len -= (size_t)n;
			first &= !n;
		} else {
			s->at = 0;
			s->end = (size_t)n;
		}
	}
	return 0;
}

int stream_skip(struct stream *s, uint64_t len)
{
	uint8_t scrap[STREAM_BUFFER];

	while (len) {
		size_t n = len < sizeof(scrap) ? (size_t)len : sizeof(scrap);

		if (stream_recv(s, scrap, n, false))
			return -1;
		len -= n;
	}
	return 0;
}

int stream_send(struct stream *s, const void *from, size_t len)
{
	const uint8_t *p = from;

	while (len) {
		ssize_t n;

		if (is_late(s))
			return -1;
		if (s->tls) {
			n = gnutls_record_send(s->tls, p, len);
			if (n == GNUTLS_E_INTERRUPTED || n == GNUTLS_E_AGAIN) /* to be called again with the same bytes */
				continue;
		} else {
			n = send(s->fd, p, len, MSG_NOSIGNAL);
			if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK))
				continue;
		}
		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int stream_starttls(struct stream *s, gnutls_session_t session)
{
	int rc;

	if (s->at != s->end) /* somebody in the middle may have put them there, to be taken as if they had come through TLS */
		return -1;
	gnutls_transport_set_int(session, s->fd);
	gnutls_handshake_set_timeout(session, s->timeout_ms);
	do
		rc = gnutls_handshake(session);
	while (rc < 0 && !gnutls_error_is_fatal(rc) && !is_late(s));
	if (rc < 0)
		return -1;
	s->tls = session;
	return 0;
}

void stream_stop_receiving(struct stream *s) { shutdown(s->fd, SHUT_RD); }

void stream_break(struct stream *s) { shutdown(s->fd, SHUT_RDWR); }

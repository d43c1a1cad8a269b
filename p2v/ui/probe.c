/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One connection by GnuTLS, one request, each step bounded in time. */
#include "probe.h"

#include "common/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define WAIT_MS 15000

/* ---------------------------------------------------------------- the connection */

static int address_connect(const struct addrinfo *a)
{
	int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, a->ai_protocol), bad = 0;
	socklen_t len = sizeof(bad);

	if (fd < 0)
		return -1;
	if (connect(fd, a->ai_addr, a->ai_addrlen)) {
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		int n = errno == EINPROGRESS ? poll(&p, 1, WAIT_MS) : -1;

		if (!n)
			errno = ETIMEDOUT;
		if (n <= 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &bad, &len) || bad) {
			if (bad)
				errno = bad;
			n = errno;
			close(fd);
			errno = n;
			return -1;
		}
	}
	return fd;
}

static int server_connect(const struct settings *s, const char *host, const char *port, vdisk_error *err)
{
	struct timeval wait = { .tv_sec = WAIT_MS / 1000 };
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	int rc = getaddrinfo(host, port, &hints, &found), fd = -1;

	if (rc)
		return fail(err, VDISK_IO, "%s is not known: %s", host, rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
	for (const struct addrinfo *a = found; a && fd < 0; a = a->ai_next)
		fd = address_connect(a);
	rc = errno;
	freeaddrinfo(found);
	errno = rc;
	if (fd < 0)
		return fail_errno(err, "no connection to %s", s->server);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	return fd;
}

/* ---------------------------------------------------------------- who it is */

static int key_digest(const gnutls_datum_t *certificate, char out[65])
{
	gnutls_x509_crt_t crt = NULL;
	gnutls_pubkey_t key = NULL;
	gnutls_datum_t der = { 0 };
	unsigned char digest[32];
	int rc = -1;

	if (gnutls_x509_crt_init(&crt))
		return -1;
	if (!gnutls_pubkey_init(&key) && !gnutls_x509_crt_import(crt, certificate, GNUTLS_X509_FMT_DER) &&
	    !gnutls_pubkey_import_x509(key, crt, 0) && !gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &der) &&
	    !gnutls_hash_fast(GNUTLS_DIG_SHA256, der.data, der.size, digest)) {
		for (size_t i = 0; i < sizeof(digest); i++)
			snprintf(out + 2 * i, 3, "%02x", digest[i]);
		rc = 0;
	}
	gnutls_free(der.data);
	if (key)
		gnutls_pubkey_deinit(key);
	gnutls_x509_crt_deinit(crt);
	return rc;
}

static int server_judge(gnutls_session_t tls, const struct settings *s, const char *host, struct probe *p, vdisk_error *err)
{
	unsigned n = 0, status = 0;
	const gnutls_datum_t *list = gnutls_certificate_get_peers(tls, &n);

	if (!list || !n || key_digest(list, p->fingerprint))
		return fail(err, VDISK_IO, "%s shows no certificate that can be read", s->server);
	if (s->fingerprint[0]) {
		p->trusted = !strcmp(s->fingerprint, p->fingerprint);
		if (!p->trusted)
			return fail(err, VDISK_REFUSED, "another server answers: its fingerprint is %s", p->fingerprint);
	} else {
		p->trusted = !gnutls_certificate_verify_peers3(tls, host, &status) && !status;
	}
	return 0;
}

/* ---------------------------------------------------------------- what it says */

static int all_send(gnutls_session_t tls, const char *bytes, size_t n)
{
	while (n) {
		ssize_t k = gnutls_record_send(tls, bytes, n);

		if (k == GNUTLS_E_INTERRUPTED)
			continue;
		if (k < 0)
			return -1;
		bytes += k;
		n -= (size_t)k;
	}
	return 0;
}

/* A description that is none, so that nothing begins: a receiver looks at the token first, and says 401 where it is wrong. */
static int token_ask(gnutls_session_t tls, const struct settings *s, const char *host, struct probe *p, vdisk_error *err)
{
	char text[1024];
	unsigned nothing = 0; /* records of TLS itself count as such, and so does a wait */
	size_t got = 0;
	int status = 0,
	    n = snprintf(text, sizeof(text),
	                 "POST /v1/captures HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"
	                 "Content-Length: 2\r\nConnection: close\r\n\r\n{}",
	                 host, s->token);

	if (n < 0 || (size_t)n >= sizeof(text) || all_send(tls, text, (size_t)n))
		return fail(err, VDISK_IO, "%s closed the connection", s->server);
	while (got < 12) {
		ssize_t k = gnutls_record_recv(tls, text + got, sizeof(text) - 1 - got);

		if (k == GNUTLS_E_INTERRUPTED || (k == GNUTLS_E_AGAIN && nothing++ < 4))
			continue;
		if (k <= 0)
			return fail(err, VDISK_IO, "%s gives no answer", s->server);
		got += (size_t)k;
	}
	text[got] = '\0';
	if (sscanf(text, "HTTP/1.%*1[01] %3d", &status) != 1 || status == 404 || status == 405 || status < 400)
		return fail(err, VDISK_IO, "%s is no receiver of captures", s->server);
	if (status == 401)
		return fail(err, VDISK_REFUSED, "%s does not know this token", s->server);
	if (status == 403)
		return fail(err, VDISK_REFUSED, "%s: this token has been used up, by another machine", s->server);
	if (status >= 500)
		return fail(err, VDISK_IO, "%s has trouble of its own: HTTP status %d", s->server, status);
	p->token_good = true;
	return 0;
}

static int session_run(gnutls_session_t tls, const struct settings *s, const char *host, struct probe *p, vdisk_error *err)
{
	int rc;

	do
		rc = gnutls_handshake(tls);
	while (rc < 0 && !gnutls_error_is_fatal(rc) && rc != GNUTLS_E_TIMEDOUT);
	if (rc < 0)
		return fail(err, VDISK_IO, "%s: TLS: %s", s->server, gnutls_strerror(rc));
	if (server_judge(tls, s, host, p, err))
		return -1;
	rc = p->trusted && s->token[0] ? token_ask(tls, s, host, p, err) : 0;
	gnutls_bye(tls, GNUTLS_SHUT_WR);
	return rc;
}

int probe(const struct settings *s, struct probe *p, vdisk_error *err)
{
	gnutls_certificate_credentials_t credentials = NULL;
	gnutls_session_t tls = NULL;
	char host[256], port[8];
	int fd, rc = -1;

	memset(p, 0, sizeof(*p));
	if (!s->server[0])
		return fail(err, VDISK_INVALID, "the server is missing");
	settings_host(s, host, port);
	fd = server_connect(s, host, port, err);
	if (fd < 0)
		return -1;
	if (gnutls_certificate_allocate_credentials(&credentials) || gnutls_init(&tls, GNUTLS_CLIENT)) {
		fail_nomem(err);
	} else {
		gnutls_certificate_set_x509_system_trust(credentials);
		gnutls_set_default_priority(tls);
		gnutls_credentials_set(tls, GNUTLS_CRD_CERTIFICATE, credentials);
		gnutls_server_name_set(tls, GNUTLS_NAME_DNS, host, strlen(host));
		gnutls_handshake_set_timeout(tls, WAIT_MS);
		gnutls_record_set_timeout(tls, WAIT_MS);
		gnutls_transport_set_int(tls, fd);
		rc = session_run(tls, s, host, p, err);
	}
	if (tls)
		gnutls_deinit(tls);
	if (credentials)
		gnutls_certificate_free_credentials(credentials);
	close(fd);
	return rc;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libcurl, told what a receiver is: TLS 1.2 and later only, no redirections, no proxies for secrets to leak to but the user's own,
 * and with a fingerprint that key and no other.  A connection on which nothing moves for a while is given up, the receiver only
 * after give_up_seconds without an answer.
 */
#include "http.h"

#include "common/fail.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECT_SECONDS 20
#define STALL_SECONDS   60
#define NAP_MS_FIRST    100
#define NAP_MS_LAST     5000
#define PIECE_LEAST     4096u

time_t http_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

static bool cancelled(const struct http *h) { return h->o->cancel && *h->o->cancel; }

static size_t answer_take(char *bytes, size_t size, size_t n, void *ctx)
{
	struct http_conn *c = ctx;
	size_t len = size * n;

	if (len > HTTP_ANSWER_MAX - c->len)
		return 0;
	if (c->len + len + 1 > c->cap) {
		size_t cap = (c->len + len + 1) * 2;
		char *p = realloc(c->answer, cap);

		if (!p)
			return 0;
		c->answer = p;
		c->cap = cap;
	}
	memcpy(c->answer + c->len, bytes, len);
	c->len += len;
	c->answer[c->len] = '\0';
	return len;
}

static size_t body_give(char *buf, size_t size, size_t n, void *ctx)
{
	struct http_conn *c = ctx;
	size_t room = size * n, left;

	if (c->read) {
		left = c->read(buf, size, n, c->read_ctx);
		c->moved_at = http_now(); /* time that the disk took is not the network's */
		return left;
	}
	left = c->send_len - c->sent;
	if (left > room)
		left = room;
	memcpy(buf, c->send + c->sent, left);
	c->sent += left;
	return left;
}

static int body_rewind(void *ctx, curl_off_t offset, int origin)
{
	struct http_conn *c = ctx;

	if (c->read || origin != SEEK_SET || offset < 0 || (size_t)offset > c->send_len)
		return CURL_SEEKFUNC_FAIL;
	c->sent = (size_t)offset;
	return CURL_SEEKFUNC_OK;
}

/* Called about once a second at least. */
static int look(void *ctx, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
	struct http_conn *c = ctx;
	time_t now = http_now();

	(void)down_total;
	(void)up_total;
	if (down + up != c->moved) {
		c->moved = down + up;
		c->moved_at = now;
	}
	return cancelled(c->h) || now - c->moved_at > STALL_SECONDS;
}

static void set_tls(struct http_conn *c)
{
	const struct http_options *o = c->h->o;

	curl_easy_setopt(c->curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (c->h->pin[0]) {
		curl_easy_setopt(c->curl, CURLOPT_PINNEDPUBLICKEY, c->h->pin);
		curl_easy_setopt(c->curl, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(c->curl, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (o->ca_file) {
		curl_easy_setopt(c->curl, CURLOPT_CAINFO, o->ca_file);
		curl_easy_setopt(c->curl, CURLOPT_SSL_VERIFYPEER, 1L);
		curl_easy_setopt(c->curl, CURLOPT_SSL_VERIFYHOST, 2L);
	}
	if (o->cert)
		curl_easy_setopt(c->curl, CURLOPT_SSLCERT, o->cert);
	if (o->key)
		curl_easy_setopt(c->curl, CURLOPT_SSLKEY, o->key);
}

int http_conn_init(struct http_conn *c, struct http *h, vdisk_error *err)
{
	*c = (struct http_conn){ .h = h, .curl = curl_easy_init() };
	if (!c->curl)
		return fail_nomem(err);
	curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(c->curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, c->error);
	curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
	curl_easy_setopt(c->curl, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(c->curl, CURLOPT_UPLOAD_BUFFERSIZE, 1L << 20);
	curl_easy_setopt(c->curl, CURLOPT_BUFFERSIZE, 1L << 18);
	curl_easy_setopt(c->curl, CURLOPT_USERAGENT, "vdisk-capture");
	curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, answer_take);
	curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(c->curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, look);
	curl_easy_setopt(c->curl, CURLOPT_XFERINFODATA, c);
	set_tls(c);
	return 0;
}

void http_conn_free(struct http_conn *c)
{
	if (c->curl)
		curl_easy_cleanup(c->curl);
	free(c->answer);
}

static struct curl_slist *headers_make(const struct http_conn *c, const char *secret, const char *type)
{
	char line[HTTP_SECRET_MAX + 64];
	struct curl_slist *l = curl_slist_append(NULL, "Expect:"), *next = l;

	if (l && secret) {
		snprintf(line, sizeof(line), "Authorization: Bearer %s", secret);
		next = curl_slist_append(l, line);
	}
	if (next && type) {
		snprintf(line, sizeof(line), "Content-Type: %s", type);
		next = curl_slist_append(l, line);
	}
	if (next && c->read)
		next = curl_slist_append(l, "Transfer-Encoding: chunked");
	if (!next)
		curl_slist_free_all(l);
	return next ? l : NULL;
}

static enum http_outcome judge(struct http_conn *c, CURLcode rc, vdisk_error *err)
{
	const char *why = c->error[0] ? c->error : curl_easy_strerror(rc);

	if (rc == CURLE_SSL_PINNEDPUBKEYNOTMATCH) {
		fail(err, VDISK_REFUSED, "%s: is not the receiver with that fingerprint: it shows another key", c->h->base);
		return HTTP_REFUSED;
	}
	if (rc == CURLE_PEER_FAILED_VERIFICATION || rc == CURLE_SSL_CACERT_BADFILE) {
		fail(err, VDISK_REFUSED,
		     "%s: its certificate is not one to be trusted (%s); --fingerprint takes what the receiver printed", c->h->base,
		     why);
		return HTTP_REFUSED;
	}
	if (rc == CURLE_URL_MALFORMAT || rc == CURLE_UNSUPPORTED_PROTOCOL || rc == CURLE_SSL_CERTPROBLEM ||
	    rc == CURLE_OUT_OF_MEMORY || rc == CURLE_WRITE_ERROR) {
		fail(err, VDISK_INVALID, "%s: %s", c->h->base, why);
		return HTTP_REFUSED;
	}
	if (rc == CURLE_ABORTED_BY_CALLBACK && !cancelled(c->h))
		why = "nothing has moved for a minute";
	if (cancelled(c->h)) {
		fail(err, VDISK_CANCELLED, "interrupted");
		return HTTP_REFUSED;
	}
	fail(err, VDISK_IO, "%s: %s", c->h->base, why);
	return HTTP_BROKEN;
}

static void reached(struct http *h)
{
	bool again;

	pthread_mutex_lock(&h->lock);
	h->met = true;
	again = h->out;
	h->out = false;
	pthread_mutex_unlock(&h->lock);
	if (again && h->o->note)
		h->o->note("the receiver is there again");
}

static enum http_outcome perform(struct http_conn *c, const char *path, const char *secret, const char *type, unsigned *status,
                                 vdisk_error *err)
{
	struct curl_slist *headers = headers_make(c, secret, type);
	char url[sizeof(c->h->base) + 512];
	curl_off_t after = 0;
	long code = 0;
	CURLcode rc;

	if (!headers) {
		fail_nomem(err);
		return HTTP_REFUSED;
	}
	snprintf(url, sizeof(url), "%s%s", c->h->base, path);
	curl_easy_setopt(c->curl, CURLOPT_URL, url);
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c->curl, CURLOPT_READFUNCTION, body_give);
	curl_easy_setopt(c->curl, CURLOPT_READDATA, c);
	curl_easy_setopt(c->curl, CURLOPT_SEEKFUNCTION, body_rewind);
	curl_easy_setopt(c->curl, CURLOPT_SEEKDATA, c);
	c->len = c->sent = 0;
	c->failed = false;
	c->error[0] = '\0';
	c->moved = 0;
	c->moved_at = http_now();
	rc = curl_easy_perform(c->curl);
	curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &code);
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(headers);
	*status = (unsigned)code;
	curl_easy_getinfo(c->curl, CURLINFO_RETRY_AFTER, &after);
	c->retry_after = after > 0 && after < 3600 ? (unsigned)after : 0;
	/* A receiver may say no before it has read all; then the rest of the request fails, and the answer counts. */
	if (rc && !(code >= 400 && (rc == CURLE_SEND_ERROR || rc == CURLE_RECV_ERROR || rc == CURLE_PARTIAL_FILE)))
		return judge(c, rc, err);
	if (!http_again(*status))
		reached(c->h);
	return HTTP_ANSWERED;
}

enum http_outcome http_once(struct http_conn *c, const char *method, const char *path, const char *secret, const void *body,
                            size_t len, unsigned *status, vdisk_error *err)
{
	c->read = NULL;
	c->send = body;
	c->send_len = len;
	if (body) {
		curl_easy_setopt(c->curl, CURLOPT_POST, 1L);
		curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, NULL);
		curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
	} else {
		curl_easy_setopt(c->curl, CURLOPT_HTTPGET, 1L);
	}
	curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
	return perform(c, path, secret, body ? "application/json" : NULL, status, err);
}

enum http_outcome http_stream(struct http_conn *c, const char *path, const char *secret, curl_read_callback read, void *ctx,
                              unsigned *status, vdisk_error *err)
{
	c->read = read;
	c->read_ctx = ctx;
	curl_easy_setopt(c->curl, CURLOPT_POST, 1L);
	curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, NULL);
	curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)-1);
	curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, "POST");
	return perform(c, path, secret, "application/octet-stream", status, err);
}

bool http_again(unsigned status) { return status == 408 || status == 425 || status == 429 || (status >= 500 && status != 501); }

/* One more failure of what is being tried since `begun`: false when the receiver is given up. */
static bool wait_more(struct http *h, time_t begun, unsigned *nap_ms, const vdisk_error *err)
{
	char line[VDISK_ERROR_MESSAGE_MAX + 96];
	bool first;
	unsigned most = h->o->give_up_seconds;
	time_t since = http_now() - begun;

	pthread_mutex_lock(&h->lock);
	if (!h->met && h->o->first_seconds < most) /* it may be a wrong address */
		most = h->o->first_seconds;
	first = !h->out && *nap_ms > NAP_MS_FIRST; /* one broken connection is not worth a word here */
	if (first)
		h->out = true;
	pthread_mutex_unlock(&h->lock);
	if (since >= (time_t)most)
		return false;
	if (first && h->o->note) {
		snprintf(line, sizeof(line), "%s; trying again for %u seconds", err->message, most);
		h->o->note(line);
	}
	for (unsigned ms = 0; ms < *nap_ms && !cancelled(h); ms += 50)
		usleep(50 * 1000);
	*nap_ms = *nap_ms * 2 < NAP_MS_LAST ? *nap_ms * 2 : NAP_MS_LAST;
	return true;
}

int http_ask(struct http_conn *c, const char *method, const char *path, const char *secret, const void *body, size_t len,
             unsigned *status, vdisk_error *err)
{
	unsigned nap_ms = NAP_MS_FIRST;
	time_t begun = http_now();

	for (;;) {
		switch (http_once(c, method, path, secret, body, len, status, err)) {
		case HTTP_REFUSED: return -1;
		case HTTP_ANSWERED:
			if (!http_again(*status))
				return 0;
			http_no(c, *status, c->h->base, err);
			break;
		case HTTP_BROKEN: break;
		}
		if (!wait_more(c->h, begun, &nap_ms, err))
			return -1;
		if (cancelled(c->h))
			return fail(err, VDISK_CANCELLED, "interrupted");
	}
}

bool http_patient(struct http *h, bool full)
{
	time_t since;

	pthread_mutex_lock(&h->lock);
	since = http_now() - h->taken;
	pthread_mutex_unlock(&h->lock);
	for (unsigned i = 0; full && i < 20 && !cancelled(h); i++)
		usleep(100 * 1000);
	return since < (time_t)h->o->give_up_seconds;
}

int http_no(struct http_conn *c, unsigned status, const char *what, vdisk_error *err)
{
	char said[VDISK_ERROR_MESSAGE_MAX];

	transfer_json_error(c->answer ? c->answer : "", c->len, status, said);
	return fail(err, VDISK_IO, "%s: the receiver says: %s", what, said);
}

size_t http_piece(const struct http *h, size_t n)
{
	uint64_t share = h->o->bytes_per_second / 64;

	if (share < PIECE_LEAST)
		share = PIECE_LEAST;
	return h->o->bytes_per_second && share < n ? (size_t)share : n;
}

void http_throttle(struct http *h, size_t n)
{
	uint64_t rate = h->o->bytes_per_second;
	struct timespec now;
	double wait;

	if (!rate)
		return;
	pthread_mutex_lock(&h->lock);
	clock_gettime(CLOCK_MONOTONIC, &now);
	h->room += ((double)(now.tv_sec - h->filled.tv_sec) + (double)(now.tv_nsec - h->filled.tv_nsec) / 1e9) * (double)rate;
	if (h->room > (double)rate / 4)
		h->room = (double)rate / 4;
	h->filled = now;
	h->room -= (double)n;
	wait = h->room < 0 ? -h->room / (double)rate : 0;
	pthread_mutex_unlock(&h->lock);
	for (; wait > 0 && !cancelled(h); wait -= 0.1)
		usleep((useconds_t)((wait < 0.1 ? wait : 0.1) * 1e6));
}

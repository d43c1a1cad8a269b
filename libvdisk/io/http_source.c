/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests.  Each takes a connection, alone for its time.  What was received and judged stays; after a failure that may pass only
 * the rest is asked for.
 *
 *  H1. A byte reaches the caller's memory only behind an answer that was judged (http_conn.c).
 *  H2. The headers of the user's file, and netrc's, go to the server of the URL alone, not to where it redirects.
 *  H3. Never from https to http, never to another kind of URL.
 */
#include "io/http_conn.h"
#include "io/url.h"
#include "io/wait.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIES          7u     /* in a row without progress; with the waits between them about six seconds */
#define WAIT_FIRST_MS  100u
#define WAIT_MOST_MS   10000u
#define PROGRESS       65536u /* bytes that make a try count as none */
#define REDIRECTIONS   5u

/* ---------------------------------------------------------------- one try */

static bool target_take(struct vd_http_conn *c)
{
	vd_free(c->target);
	pthread_mutex_lock(&c->s->lock);
	c->target = vd_strdup(c->s->target);
	pthread_mutex_unlock(&c->s->lock);
	return c->target != NULL;
}

/* Where all go from now on, if they still go where this one came from. */
static int target_set(struct vd_http_conn *c, const char *url, vd_error *err)
{
	struct vd_http_source *s = c->s;
	char *copy = vd_strdup(url);

	if (!copy)
		return vd_fail_nomem(err, strlen(url));
	pthread_mutex_lock(&s->lock);
	if (!strcmp(s->target, c->target)) {
		vd_free(s->target);
		s->target = copy;
		copy = NULL;
	}
	pthread_mutex_unlock(&s->lock);
	vd_free(copy);
	return 0;
}

static bool request_set(struct vd_http_conn *c)
{
	const struct vd_http_source *s = c->s;
	const struct vd_curl *k = &s->curl;
	bool home = vd_url_same_origin(s->url, c->target);
	char range[64];

	snprintf(range, sizeof(range), "%" PRIu64 "-%" PRIu64, c->off + c->got, c->off + c->want - 1);
	memset(&c->answer, 0, sizeof(c->answer));
	c->judged = false;
	c->discarded = 0;
	c->why[0] = '\0';
	return !k->easy_setopt(c->h, CURLOPT_URL, c->target) && !k->easy_setopt(c->h, CURLOPT_RANGE, range) &&
	       !k->easy_setopt(c->h, CURLOPT_HTTPHEADER, home ? s->secret : s->plain) &&
	       !k->easy_setopt(c->h, CURLOPT_NETRC, (long)(home && s->access.netrc ? CURL_NETRC_OPTIONAL : CURL_NETRC_IGNORED)) &&
	       !k->easy_setopt(c->h, CURLOPT_NETRC_FILE, home ? s->access.netrc : NULL);
}

enum outcome { DONE, AGAIN, MOVED, FAILED };

static enum outcome failed(struct vd_http_conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static enum outcome failed(struct vd_http_conn *c, const char *fmt, ...)
{
	char text[VDISK_ERROR_MESSAGE_MAX - 200], clean[VDISK_ERROR_MESSAGE_MAX - 200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	vd_fail(&c->err, VDISK_IO, c->off + c->got, "%s: %s", c->s->shown, vd_printable(clean, sizeof(clean), text, strlen(text)));
	return FAILED;
}

static enum outcome failed_whole(struct vd_http_conn *c)
{
	const struct vd_http_source *s = c->s;

	if (s->pinned && vd_http_answer_changed(&c->answer, &s->version))
		vd_http_fail_changed(&c->answer, s->shown, &s->version, &c->err);
	else if (s->pinned)
		failed(c, "the server sent the whole file where a range of it was asked for");
	else
		vd_fail(&c->err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		        "%s: this server does not send parts of a file (no byte ranges): download it first, and use the copy",
		        s->shown);
	return FAILED;
}

static enum outcome failed_status(struct vd_http_conn *c)
{
	const char *what;

	switch (c->answer.status) {
	case 401: case 407:
		what = " (unauthorized): --header-file or --netrc-file give credentials";
		break;
	case 403:
		what = " (forbidden)";
		break;
	case 404: case 410:
		what = " (not found)";
		break;
	default:
		what = "";
	}
	return failed(c, "the server answers with status %d%s", c->answer.status, what);
}

static bool may_pass(int status)
{
	return status == 408 || status == 425 || status == 429 || status == 500 || (status >= 502 && status <= 504);
}

/* By what the server said. */
static enum outcome outcome_of_status(struct vd_http_conn *c)
{
	const struct vd_http_source *s = c->s;
	int status = c->answer.status;

	if (status == 200)
		return failed_whole(c);
	if (status == 301 || status == 302 || status == 303 || status == 307 || status == 308)
		return MOVED;
	if (s->pinned && (status == 412 || status == 416)) {
		vd_http_fail_changed(&c->answer, s->shown, &s->version, &c->err);
		return FAILED;
	}
	if (!s->pinned && status == 416 && c->answer.has_range && c->answer.no_range && !c->answer.total) {
		c->want = 0;
		return DONE;
	}
	failed_status(c);
	return may_pass(status) ? AGAIN : FAILED;
}

static bool lasts(CURLcode code)
{
	switch (code) {
	case CURLE_PEER_FAILED_VERIFICATION: case CURLE_SSL_CACERT_BADFILE: case CURLE_SSL_CERTPROBLEM: case CURLE_SSL_ISSUER_ERROR:
	case CURLE_UNSUPPORTED_PROTOCOL: case CURLE_URL_MALFORMAT: case CURLE_NOT_BUILT_IN: case CURLE_SSL_ENGINE_NOTFOUND:
	case CURLE_BAD_FUNCTION_ARGUMENT: case CURLE_UNKNOWN_OPTION: case CURLE_COULDNT_RESOLVE_PROXY:
		return true;
	default:
		return false;
	}
}

/* Whatever the answer was, nothing is tried again. */
static enum outcome cancelled(struct vd_http_conn *c)
{
	c->failed = true;
	vd_fail_cancelled(&c->err);
	return FAILED;
}

static enum outcome try_once(struct vd_http_conn *c)
{
	const struct vd_curl *k = &c->s->curl;
	CURLcode code;

	if (!target_take(c) || !request_set(c)) {
		vd_fail_nomem(&c->err, 1);
		return FAILED;
	}
	if (vd_cancelled(c->s->cancel))
		return cancelled(c);
	code = k->easy_perform(c->h);
	if (c->failed)
		return FAILED;
	if (code == CURLE_ABORTED_BY_CALLBACK)
		return cancelled(c);
	if (c->answer.status == 206 && c->judged && c->got == c->most && (c->got == c->want || !c->s->pinned))
		return DONE;
	if (code == CURLE_OUT_OF_MEMORY) {
		vd_fail_nomem(&c->err, 1);
		return FAILED;
	}
	if (c->answer.status == 206 && code == CURLE_OK) { /* less than was asked for, or less than was said */
		if (!c->judged && !vd_http_conn_answer_fits(c))
			return FAILED;
		failed(c, "the server sent %zu bytes at offset %" PRIu64 ", %zu were asked for", c->got, c->off, c->want);
		return AGAIN;
	}
	if (c->answer.status >= 200 && c->answer.status != 206)
		return outcome_of_status(c);
	failed(c, "%s", c->why[0] ? c->why : k->easy_strerror(code));
	/* A server that is not there when the image is opened is told at once. */
	if (!c->s->pinned && (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST))
		return FAILED;
	return lasts(code) ? FAILED : AGAIN;
}

static enum outcome moved(struct vd_http_conn *c, unsigned *redirections)
{
	const struct vd_http_source *s = c->s;
	char *to = NULL;

	if (++*redirections > REDIRECTIONS)
		return failed(c, "is redirected more than %u times", REDIRECTIONS);
	if (s->curl.easy_getinfo(c->h, CURLINFO_REDIRECT_URL, &to) || !to)
		return failed(c, "the server redirects, and does not say where to");
	if (!vd_url_is(to))
		return failed(c, "the server redirects to %.200s, which is no http or https URL", to);
	if (vd_url_is_secure(c->target) && !vd_url_is_secure(to))
		return failed(c, "the server redirects from https to http (%.200s)", to);
	if (vd_url_judge(to, &c->err))
		return failed(c, "the server redirects to a URL that will not do");
	return target_set(c, to, &c->err) ? FAILED : MOVED;
}

static void pause_before(unsigned try, const struct vd_http_answer *a, const volatile int *cancel)
{
	uint64_t ms = vd_min((uint64_t)WAIT_FIRST_MS << try, WAIT_MOST_MS);

	if (a->retry_after)
		ms = vd_min(a->retry_after * 1000ull, WAIT_MOST_MS);
	vd_wait_ms(ms, cancel);
}

/* c's request, until it is done or has failed for good. */
static int request_run(struct vd_http_conn *c, vd_error *err)
{
	unsigned tries = 0, redirections = 0;
	bool went_back = false;

	c->failed = false;
	for (;;) {
		size_t before = c->got;
		enum outcome o = try_once(c);

		if (o == MOVED)
			o = moved(c, &redirections);
		if (o == DONE)
			return 0;
		/* Where a redirection led to may have been for a time only: once more from the start. */
		if (o == FAILED && !c->failed && c->answer.status >= 400 && !went_back && strcmp(c->target, c->s->url)) {
			went_back = true;
			redirections = 0;
			o = target_set(c, c->s->url, &c->err) ? FAILED : MOVED;
		}
		if (o == FAILED)
			break;
		if (o == MOVED)
			continue;
		if (c->got - before >= PROGRESS || (c->got > before && c->got == c->want))
			tries = 0;
		if (++tries == TRIES) {
			vd_error last = c->err;

			vd_fail(&c->err, VDISK_IO, last.offset, "%s (tried %u times)", last.message, TRIES);
			break;
		}
		pause_before(tries - 1, &c->answer, c->s->cancel);
	}
	if (err)
		*err = c->err;
	return -1;
}

static int request(struct vd_http_source *s, const struct iovec *iov, int n, size_t len, uint64_t off, struct vd_http_conn **out,
                   vd_error *err)
{
	struct vd_http_conn *c = vd_http_conn_take(s);

	if (!c)
		return vd_fail_nomem(err, sizeof(*c));
	c->iov = iov;
	c->n = n;
	c->off = off;
	c->want = len;
	c->got = c->most = 0;
	if (!request_run(c, err)) {
		*out = c;
		return 0;
	}
	vd_http_conn_give(c);
	return -1;
}

/* ---------------------------------------------------------------- the source */

int vd_http_source_read(struct vd_http_source *s, const struct iovec *iov, int n, size_t len, uint64_t off, vd_error *err)
{
	struct vd_http_conn *c;

	if (request(s, iov, n, len, off, &c, err))
		return -1;
	vd_http_conn_give(c);
	return 0;
}

static int header_add(struct vd_http_source *s, struct curl_slist **to, const char *text, vd_error *err)
{
	struct curl_slist *v = s->curl.slist_append(*to, text);

	if (!v)
		return vd_fail_nomem(err, strlen(text));
	*to = v;
	return 0;
}

static int headers_make(struct vd_http_source *s, vd_error *err)
{
	for (size_t i = 0; i < s->access.n_headers; i++)
		if (header_add(s, &s->secret, s->access.headers[i], err))
			return -1;
	return 0;
}

/* A server that knows conditions says by itself that the file is another one; for the others every answer is compared anyway. */
static int version_pin(struct vd_http_source *s, const struct vd_http_answer *a, vd_error *err)
{
	char text[VD_HTTP_VALIDATOR + 40];

	s->version.size = a->total;
	memcpy(s->version.etag, a->etag, sizeof(a->etag));
	memcpy(s->version.modified, a->modified, sizeof(a->modified));
	s->pinned = true;
	if (a->etag[0] == '"')
		snprintf(text, sizeof(text), "If-Match: %s", a->etag);
	else if (a->modified[0])
		snprintf(text, sizeof(text), "If-Unmodified-Since: %s", a->modified);
	else
		return 0;
	return header_add(s, &s->plain, text, err) || header_add(s, &s->secret, text, err) ? -1 : 0;
}

int vd_http_source_open(struct vd_http_source *s, const char *url, void *head, size_t len, size_t *got, vd_error *err)
{
	struct iovec iov = { head, len };
	struct vd_http_conn *c;
	int rc;

	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->freed, NULL);
	s->url = vd_strdup(url);
	s->target = vd_strdup(url);
	s->shown = vd_url_shown(url);
	if (!s->url || !s->target || !s->shown)
		return vd_fail_nomem(err, strlen(url));
	if (vd_curl_load(&s->curl, err))
		return vd_fail_in(err, "%s", s->shown);
	if (headers_make(s, err) || request(s, &iov, 1, len, 0, &c, err))
		return -1;
	*got = c->got;
	rc = version_pin(s, &c->answer, err);
	vd_http_conn_give(c);
	return rc;
}

void vd_http_source_close(struct vd_http_source *s)
{
	struct vd_http_conn *c;

	while ((c = s->idle)) {
		s->idle = c->next;
		vd_http_conn_free(c);
	}
	if (s->plain)
		s->curl.slist_free_all(s->plain);
	if (s->secret)
		s->curl.slist_free_all(s->secret);
	vd_http_access_free(&s->access);
	vd_free(s->url);
	vd_free(s->target);
	vd_free(s->shown);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->freed);
}

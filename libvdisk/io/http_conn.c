/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connections, and what comes in over them: a byte reaches the caller's memory only behind an answer whose range, length and version
   were judged (http_answer.c). */
#include "io/http_conn.h"
#include "io/kind.h"
#include "io/wait.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <string.h>

#define STALL_SECONDS   60L
#define CONNECT_SECONDS 30L
#define DISCARD_MOST    65536u /* of an error's page: reading it keeps the connection */

/* ---------------------------------------------------------------- what comes in */

static size_t line_in(char *line, size_t size, size_t n, void *ctx)
{
	struct vd_http_conn *c = ctx;

	vd_http_answer_line(&c->answer, line, size * n);
	return size * n;
}

static void bytes_place(struct vd_http_conn *c, const char *p, size_t len)
{
	struct iovec v[VD_IOV_WINDOW];

	while (len) {
		int n = vd_iov_window(c->iov, c->n, c->got, v, VD_IOV_WINDOW);

		for (int i = 0; i < n && len; i++) {
			size_t k = (size_t)vd_min(len, v[i].iov_len);

			memcpy(v[i].iov_base, p, k);
			p += k;
			len -= k;
			c->got += k;
		}
	}
}

bool vd_http_conn_answer_fits(struct vd_http_conn *c)
{
	const struct vd_http_source *s = c->s;

	c->judged = true;
	c->failed = vd_http_answer_judge(&c->answer, s->shown, c->off + c->got, c->want - c->got, s->pinned ? &s->version : NULL,
	                                 &c->err);
	c->most = c->failed ? c->got : c->got + (size_t)(c->answer.to - c->answer.from + 1);
	return !c->failed;
}

static size_t body_in(char *p, size_t size, size_t n, void *ctx)
{
	struct vd_http_conn *c = ctx;
	size_t len = size * n;

	if (c->answer.status == 200)
		return 0; /* the whole file, which nobody wants */
	if (c->answer.status != 206) {
		c->discarded += len;
		return c->discarded > DISCARD_MOST ? 0 : len;
	}
	if (!c->judged && !vd_http_conn_answer_fits(c))
		return 0;
	if (len > c->most - c->got) {
		c->failed = true;
		vd_fail(&c->err, VDISK_IO, c->off + c->got, "%s: the server sends more bytes than it said", c->s->shown);
		return 0;
	}
	bytes_place(c, p, len);
	return len;
}

/* Called all the time, and once a second at least while nothing comes. */
static int going_on(void *ctx, curl_off_t all, curl_off_t now, curl_off_t out_all, curl_off_t out_now)
{
	const struct vd_http_conn *c = ctx;

	(void)all, (void)now, (void)out_all, (void)out_now;
	return vd_cancelled(c->s->cancel);
}

/* ---------------------------------------------------------------- connections */

void vd_http_conn_free(struct vd_http_conn *c)
{
	if (c->h)
		c->s->curl.easy_cleanup(c->h);
	vd_free(c->target);
	vd_free(c);
}

/* Ending it does not wait for the name server. */
static void quick_exit(struct vd_http_conn *c)
{
#if LIBCURL_VERSION_NUM >= 0x075700
	c->s->curl.easy_setopt(c->h, CURLOPT_QUICK_EXIT, 1L); /* one that does not know it waits */
#else
	(void)c;
#endif
}

static struct vd_http_conn *conn_new(struct vd_http_source *s)
{
	struct vd_http_conn *c = vd_calloc(1, sizeof(*c));
	const struct vd_curl *k = &s->curl;

	if (!c)
		return NULL;
	c->s = s;
	c->h = k->easy_init();
	if (!c->h ||
	    k->easy_setopt(c->h, CURLOPT_NOSIGNAL, 1L) || k->easy_setopt(c->h, CURLOPT_ERRORBUFFER, c->why) ||
	    k->easy_setopt(c->h, CURLOPT_PROTOCOLS_STR, "http,https") || k->easy_setopt(c->h, CURLOPT_FOLLOWLOCATION, 0L) ||
	    k->easy_setopt(c->h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) ||
	    k->easy_setopt(c->h, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L) || k->easy_setopt(c->h, CURLOPT_SSL_VERIFYPEER, 1L) ||
	    k->easy_setopt(c->h, CURLOPT_SSL_VERIFYHOST, 2L) || k->easy_setopt(c->h, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS) ||
	    k->easy_setopt(c->h, CURLOPT_LOW_SPEED_LIMIT, 1L) || k->easy_setopt(c->h, CURLOPT_LOW_SPEED_TIME, STALL_SECONDS) ||
	    k->easy_setopt(c->h, CURLOPT_BUFFERSIZE, 512L * 1024) || k->easy_setopt(c->h, CURLOPT_TCP_KEEPALIVE, 1L) ||
	    k->easy_setopt(c->h, CURLOPT_USERAGENT, "vdisk") || k->easy_setopt(c->h, CURLOPT_HEADERFUNCTION, line_in) ||
	    k->easy_setopt(c->h, CURLOPT_HEADERDATA, c) || k->easy_setopt(c->h, CURLOPT_WRITEFUNCTION, body_in) ||
	    k->easy_setopt(c->h, CURLOPT_WRITEDATA, c) || k->easy_setopt(c->h, CURLOPT_NOPROGRESS, 0L) ||
	    k->easy_setopt(c->h, CURLOPT_XFERINFOFUNCTION, going_on) || k->easy_setopt(c->h, CURLOPT_XFERINFODATA, c) ||
	    (s->access.cacert && k->easy_setopt(c->h, CURLOPT_CAINFO, s->access.cacert))) {
		vd_http_conn_free(c);
		return NULL;
	}
	quick_exit(c);
	return c;
}

struct vd_http_conn *vd_http_conn_take(struct vd_http_source *s)
{
	struct vd_http_conn *c;

	pthread_mutex_lock(&s->lock);
	while (!s->idle && s->n_conns == VD_HTTP_CONNECTIONS)
		pthread_cond_wait(&s->freed, &s->lock);
	c = s->idle;
	if (c)
		s->idle = c->next;
	else
		s->n_conns++;
	pthread_mutex_unlock(&s->lock);
	if (c || (c = conn_new(s)))
		return c;
	pthread_mutex_lock(&s->lock);
	s->n_conns--;
	pthread_cond_signal(&s->freed);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

void vd_http_conn_give(struct vd_http_conn *c)
{
	struct vd_http_source *s = c->s;

	c->iov = NULL;
	pthread_mutex_lock(&s->lock);
	c->next = s->idle;
	s->idle = c;
	pthread_cond_signal(&s->freed);
	pthread_mutex_unlock(&s->lock);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The connections: one, or CONNECTIONS of them, made as they are wanted, where the server says that they show one and the same
 * export (multi-conn).  `lock` guards the list of idle ones, how many there are and may be, and `lost`.
 *
 *  N1. A link for writing never connects anew: requests that the server had answered, and not flushed, may have died with it.
 *  N2. A flush that fails is not tried again: the next one might succeed without what the first one lost.
 *  N3. With TLS, nobody is connected to whom libnbd would not verify (nbd_uri.c); it falls back to taking anybody where the
 *      directory has no CA's certificate, so that it is looked for each time.
 */
#include "io/nbd_link.h"
#include "io/nbd_uri.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS     8u
#define TRIES           6u /* with the waits between them three seconds */
#define WAIT_FIRST_MS   100u
#define REQUEST         (4u << 20)
#define BLOCK_MOST      (1u << 20)
#define CONNECT_SECONDS 30
#define STALL_SECONDS   120
#define FLUSH_SECONDS   3600 /* of all that the server has in its caches */

struct conn {
	struct conn *next;
	struct nbd_handle *h; /* NULL: to be made */
	bool used;            /* was connected once */
};

struct vd_nbd_link {
	struct vd_nbd_api api;
	struct vd_nbd_uri uri;
	struct vd_nbd_facts facts;
	char *shown;
	bool write;
	pthread_mutex_t lock;
	pthread_cond_t freed;
	struct conn *idle;
	unsigned n, most;
	bool lost; /* for writing: a connection died */
};

/* ---------------------------------------------------------------- errors */

/* libnbd begins with the name of its function, which says nothing to anybody. */
static const char *error_text(const struct vd_nbd_link *l)
{
	const char *text = l->api.get_error(), *colon;

	if (!text)
		return "?";
	colon = strstr(text, ": ");
	return !strncmp(text, "nbd_", 4) && colon ? colon + 2 : text;
}

static int fail_nbd(const struct vd_nbd_link *l, const char *what, vd_error *err)
{
	const char *why = error_text(l);
	char text[400];

	return vd_fail(err, VDISK_IO, VDISK_NO_OFFSET, "%s: %s: %s", l->shown, what,
	               vd_printable(text, sizeof(text), why, strlen(why)));
}

static int fail_lost(const struct vd_nbd_link *l, vd_error *err)
{
	return vd_fail(err, VDISK_IO, VDISK_NO_OFFSET,
	               "%s: the connection was lost, and with it perhaps what the server had not made durable", l->shown);
}

/* ---------------------------------------------------------------- waiting */

/* libnbd's TLS writes to sockets without MSG_NOSIGNAL; a signal that came of it is taken back. */
struct pipe_guard {
	sigset_t old;
	bool pending;
};

static void pipe_guard_begin(struct pipe_guard *g)
{
	sigset_t pipe, pending;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	sigpending(&pending);
	g->pending = sigismember(&pending, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, &g->old);
}

static void pipe_guard_end(const struct pipe_guard *g)
{
	const struct timespec now = { 0 };
	sigset_t pipe;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	while (!g->pending && sigtimedwait(&pipe, NULL, &now) < 0 && errno == EINTR)
		;
	pthread_sigmask(SIG_SETMASK, &g->old, NULL);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void pause_before(unsigned try)
{
	unsigned ms = WAIT_FIRST_MS << try;
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

/* ---------------------------------------------------------------- connecting */

static bool conn_dead(const struct vd_nbd_link *l, const struct conn *c)
{
	return l->api.aio_is_dead(c->h) || l->api.aio_is_closed(c->h);
}

static void conn_end(const struct vd_nbd_link *l, struct conn *c)
{
	if (c->h)
		l->api.close(c->h);
	c->h = NULL;
}

static int authority_judge(const struct vd_nbd_link *l, vd_error *err)
{
	VD_AUTO_FREE char *path = NULL;

	if (!l->uri.certificates)
		return 0;
	path = vd_asprintf("%s/ca-cert.pem", l->uri.certificates);
	if (!path)
		return vd_fail_nomem(err, strlen(l->uri.certificates));
	return access(path, R_OK) ? vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s: whom to trust stands in %s", l->shown, path)
	                          : 0;
}

static int conn_say(const struct vd_nbd_link *l, struct nbd_handle *h)
{
	const struct vd_nbd_api *a = &l->api;
	const struct vd_nbd_uri *u = &l->uri;

	if (a->set_export_name(h, u->name) || a->add_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION))
		return -1;
	if (a->set_tls(h, u->tls ? LIBNBD_TLS_REQUIRE : LIBNBD_TLS_DISABLE) ||
	    (u->certificates && a->set_tls_certificates(h, u->certificates)) ||
	    (u->psk_file && a->set_tls_psk_file(h, u->psk_file)) || (u->user && a->set_tls_username(h, u->user)))
		return -1;
	return u->socket ? a->aio_connect_unix(h, u->socket) : a->aio_connect_tcp(h, u->host, u->port);
}

/* 0; or -1 with what libnbd says, or that the time is over. */
static int conn_wait(const struct vd_nbd_link *l, struct conn *c, vd_error *err)
{
	int64_t end = now_ms() + CONNECT_SECONDS * 1000;

	while (!l->api.aio_is_ready(c->h)) {
		if (now_ms() > end)
			return vd_fail(err, VDISK_IO, VDISK_NO_OFFSET,
			               "%s: cannot connect: no answer for %d seconds (is another client connected?)", l->shown,
			               CONNECT_SECONDS);
		if (l->api.poll(c->h, 500) < 0 || conn_dead(l, c))
			return fail_nbd(l, "cannot connect", err);
	}
	return 0;
}

static int facts_take(const struct vd_nbd_link *l, struct nbd_handle *h, struct vd_nbd_facts *f, vd_error *err)
{
	const struct vd_nbd_api *a = &l->api;
	int64_t size = a->get_size(h), least = a->get_block_size(h, LIBNBD_SIZE_MINIMUM),
	        most = a->get_block_size(h, LIBNBD_SIZE_MAXIMUM);

	if (size < 0 || least < 0 || most < 0)
		return fail_nbd(l, "cannot connect", err);
	least = least ? least : 1;
	if (least > BLOCK_MOST || !vd_is_pow2((uint64_t)least) || size % least || (most && most < least))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "%s: the server wants requests of %" PRId64 " bytes and more, for an export of %" PRId64 " bytes",
		               l->shown, least, size);
	*f = (struct vd_nbd_facts){
		.size = (uint64_t)size,
		.least = (uint32_t)least,
		.most = (uint32_t)vd_down(vd_min(most ? (uint64_t)most : REQUEST, REQUEST), (uint64_t)least),
		.rdonly = a->is_read_only(h) != 0,
		.multi = a->can_multi_conn(h) == 1,
		.flush = a->can_flush(h) == 1,
		.trim = a->can_trim(h) == 1,
		.zero = a->can_zero(h) == 1,
		.extents = a->can_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1,
	};
	return 0;
}

static int conn_begin(const struct vd_nbd_link *l, struct conn *c, struct vd_nbd_facts *f, vd_error *err)
{
	struct pipe_guard g;
	int rc;

	if (authority_judge(l, err))
		return -1;
	c->h = l->api.create();
	if (!c->h)
		return vd_fail_nomem(err, 1);
	pipe_guard_begin(&g);
	rc = conn_say(l, c->h) ? fail_nbd(l, "cannot connect", err) : conn_wait(l, c, err);
	if (!rc)
		rc = facts_take(l, c->h, f, err);
	if (rc)
		conn_end(l, c);
	c->used |= !rc;
	pipe_guard_end(&g);
	return rc;
}

/* Alive, and to the same export as far as that can be seen.  *last: no use in trying again. */
static int conn_ready(struct vd_nbd_link *l, struct conn *c, bool *last, vd_error *err)
{
	struct vd_nbd_facts f;

	if (c->h && conn_dead(l, c))
		conn_end(l, c);
	if (c->h)
		return 0;
	if (l->write && c->used) {
		*last = true;
		return fail_lost(l, err);
	}
	if (conn_begin(l, c, &f, err))
		return -1;
	if (f.size == l->facts.size && f.least == l->facts.least && f.most == l->facts.most && (!l->write || !f.rdonly))
		return 0;
	*last = true;
	conn_end(l, c);
	return vd_fail(err, VDISK_IO, VDISK_NO_OFFSET, "%s: was an export of %" PRIu64 " bytes, and is another one, of %" PRIu64,
	               l->shown, l->facts.size, f.size);
}

/* ---------------------------------------------------------------- whose turn it is */

static struct conn *conn_take(struct vd_nbd_link *l)
{
	struct conn *c;

	pthread_mutex_lock(&l->lock);
	while (!l->idle && l->n >= l->most)
		pthread_cond_wait(&l->freed, &l->lock);
	c = l->idle;
	if (c)
		l->idle = c->next;
	else if ((c = vd_calloc(1, sizeof(*c))))
		l->n++;
	pthread_mutex_unlock(&l->lock);
	return c;
}

static void conn_give(struct vd_nbd_link *l, struct conn *c)
{
	pthread_mutex_lock(&l->lock);
	c->next = l->idle;
	l->idle = c;
	l->lost |= l->write && c->used && (!c->h || conn_dead(l, c));
	pthread_cond_signal(&l->freed);
	pthread_mutex_unlock(&l->lock);
}

/* One more connection than the server takes: there will be no more than there are, of which the first one is always there. */
static void conn_spare(struct vd_nbd_link *l, struct conn *c)
{
	pthread_mutex_lock(&l->lock);
	l->most = --l->n;
	pthread_mutex_unlock(&l->lock);
	vd_free(c);
}

/* ---------------------------------------------------------------- requests */

static void run_add(struct vd_nbd_runs *r, uint64_t len, bool zero)
{
	uint64_t from = r->n ? r->v[r->n - 1].end : r->off;

	if (!len || r->full)
		return;
	if (r->n && r->v[r->n - 1].zero == zero)
		r->v[r->n - 1].end += len;
	else if (r->n < VD_NBD_RUNS)
		r->v[r->n++] = (struct vd_nbd_run){ from + len, zero };
	else
		r->full = true;
}

static int extents_in(void *ctx, const char *context, uint64_t off, uint32_t *v, size_t n, int *error)
{
	struct vd_nbd_runs *r = ctx;

	(void)off, (void)error;
	for (size_t i = 0; i + 1 < n && !strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION); i += 2)
		run_add(r, v[i], v[i + 1] & LIBNBD_STATE_ZERO);
	return 0;
}

static int64_t work_begin(const struct vd_nbd_api *a, struct nbd_handle *h, struct vd_nbd_work *w)
{
	switch (w->what) {
	case VD_NBD_READ:
		return a->aio_pread(h, w->buf, (size_t)w->len, w->off, NBD_NULL_COMPLETION, 0);
	case VD_NBD_WRITE:
		return a->aio_pwrite(h, w->buf, (size_t)w->len, w->off, NBD_NULL_COMPLETION, 0);
	case VD_NBD_ZERO:
		return a->aio_zero(h, w->len, w->off, NBD_NULL_COMPLETION, w->no_hole ? LIBNBD_CMD_FLAG_NO_HOLE : 0);
	case VD_NBD_TRIM:
		return a->aio_trim(h, w->len, w->off, NBD_NULL_COMPLETION, 0);
	case VD_NBD_FLUSH:
		return a->aio_flush(h, NBD_NULL_COMPLETION, 0);
	case VD_NBD_EXTENTS:
		w->runs->off = w->off;
		w->runs->n = 0;
		w->runs->full = false;
		return a->aio_block_status(h, w->len, w->off,
		                           (nbd_extent_callback) { .callback = extents_in, .user_data = w->runs },
		                           NBD_NULL_COMPLETION, 0);
	}
	return -1;
}

static const char *work_name(const struct vd_nbd_work *w)
{
	static const char *const names[] = { "reading", "writing", "writing zeros", "trimming", "flushing", "asking for holes" };

	return names[w->what];
}

/* The server's word, or libnbd's of the connection.  *last: it will not be another one. */
static int work_failed(const struct vd_nbd_link *l, struct vd_nbd_work *w, bool *last, vd_error *err)
{
	const char *text = error_text(l), *word = strstr(text, "command failed: ");
	int e = l->api.get_errno();
	char why[300];

	if (word) /* "pread: command failed: Input/output error" */
		text = strstr(word, ": ") + 2;
	vd_printable(why, sizeof(why), text, strlen(text));
	w->refused = e == EINVAL || e == ENOTSUP || e == EOPNOTSUPP;
	*last = w->refused || e == ENOSPC || e == EPERM || e == EROFS || e == EOVERFLOW || e == ERANGE || w->what == VD_NBD_FLUSH;
	if (w->what == VD_NBD_FLUSH)
		vd_fail(err, VDISK_IO, VDISK_NO_OFFSET, "%s: flushing: %s", l->shown, why);
	else
		vd_fail(err, VDISK_IO, w->off, "%s: %s at offset %" PRIu64 ": %s", l->shown, work_name(w), w->off, why);
	if (err)
		err->sys_errno = e;
	return -1;
}

static int work_wait(const struct vd_nbd_link *l, struct conn *c, struct vd_nbd_work *w, int64_t cookie, bool *last, vd_error *err)
{
	int seconds = w->what == VD_NBD_FLUSH ? FLUSH_SECONDS : STALL_SECONDS;
	int64_t end = now_ms() + (int64_t)seconds * 1000;

	for (bool dead = false; now_ms() < end; dead = l->api.poll(c->h, 500) < 0) {
		int rc = l->api.aio_command_completed(c->h, (uint64_t)cookie);

		if (rc || dead)
			return rc > 0 ? 0 : work_failed(l, w, last, err);
	}
	*last = l->write;
	conn_end(l, c); /* its answer, if it comes, comes to nobody */
	return vd_fail(err, VDISK_IO, w->off, "%s: %s at offset %" PRIu64 ": no answer for %d seconds", l->shown, work_name(w),
	               w->off, seconds);
}

static int work_once(const struct vd_nbd_link *l, struct conn *c, struct vd_nbd_work *w, bool *last, vd_error *err)
{
	struct pipe_guard g;
	int64_t cookie;
	int rc;

	pipe_guard_begin(&g);
	cookie = work_begin(&l->api, c->h, w);
	rc = cookie < 0 ? work_failed(l, w, last, err) : work_wait(l, c, w, cookie, last, err);
	pipe_guard_end(&g);
	if (!rc && w->what == VD_NBD_EXTENTS && !w->runs->n)
		rc = vd_fail(err, VDISK_IO, w->off, "%s: asking for holes at offset %" PRIu64 ": the server said nothing of them",
		             l->shown, w->off);
	return rc;
}

/* As often as it makes sense. */
static int work_try(struct vd_nbd_link *l, struct conn *c, struct vd_nbd_work *w, vd_error *err)
{
	vd_error why = { 0 };

	for (unsigned i = 0;;) {
		bool last = false;

		w->refused = false;
		if (!conn_ready(l, c, &last, &why) && !work_once(l, c, w, &last, &why))
			return 0;
		if (last || ++i == TRIES) {
			if (err)
				*err = why;
			return last ? -1 : vd_fail(err, VDISK_IO, why.offset, "%s (tried %u times)", why.message, TRIES);
		}
		pause_before(i - 1);
	}
}

/* A connection, made if it is a further one; one that cannot be made is done without. */
static struct conn *conn_get(struct vd_nbd_link *l)
{
	struct conn *c;
	bool last;

	while ((c = conn_take(l)) && !c->used && conn_ready(l, c, &last, NULL) && !c->used)
		conn_spare(l, c);
	return c;
}

int vd_nbd_link_do(struct vd_nbd_link *l, struct vd_nbd_work *w, vd_error *err)
{
	struct conn *c = conn_get(l);
	bool lost;
	int rc;

	if (!c)
		return vd_fail_nomem(err, sizeof(*c));
	pthread_mutex_lock(&l->lock);
	lost = l->lost;
	pthread_mutex_unlock(&l->lock);
	rc = lost ? fail_lost(l, err) : work_try(l, c, w, err);
	conn_give(l, c);
	return rc;
}

/* ---------------------------------------------------------------- the link */

const struct vd_nbd_facts *vd_nbd_link_facts(const struct vd_nbd_link *l) { return &l->facts; }

void vd_nbd_link_close(struct vd_nbd_link *l)
{
	struct conn *c;

	while ((c = l->idle)) {
		l->idle = c->next;
		conn_end(l, c);
		vd_free(c);
	}
	vd_nbd_uri_free(&l->uri);
	vd_free(l->shown);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->freed);
	vd_free(l);
}

static int link_begin(struct vd_nbd_link *l, const char *uri, vd_error *err)
{
	struct conn *c;
	int rc;

	l->shown = vd_strdup(uri);
	if (!l->shown)
		return vd_fail_nomem(err, strlen(uri));
	if (vd_nbd_uri_parse(uri, &l->uri, err))
		return -1;
	if (vd_nbd_api_load(&l->api, err))
		return vd_fail_in(err, "%s", l->shown);
	c = conn_take(l);
	if (!c)
		return vd_fail_nomem(err, sizeof(*c));
	rc = conn_begin(l, c, &l->facts, err);
	if (!rc && l->write && l->facts.rdonly)
		rc = vd_fail_errno(err, EROFS, VDISK_NO_OFFSET, "%s: the server lets nobody write to this export", l->shown);
	l->most = l->facts.multi ? CONNECTIONS : 1;
	conn_give(l, c);
	return rc;
}

int vd_nbd_link_open(const char *uri, bool write, struct vd_nbd_link **out, vd_error *err)
{
	struct vd_nbd_link *l = vd_calloc(1, sizeof(*l));

	if (!l)
		return vd_fail_nomem(err, sizeof(*l));
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->freed, NULL);
	l->write = write;
	l->most = 1;
	if (link_begin(l, uri, err)) {
		vd_nbd_link_close(l);
		return -1;
	}
	*out = l;
	return 0;
}

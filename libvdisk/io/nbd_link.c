/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The connections: one, or CONNECTIONS of them, made as they are wanted, where the server says that they show one and the same
 * export (multi-conn).  `lock` guards the list of idle ones, how many there are and may be, and `lost`.
 *
 *  N1. A link for writing never connects anew: requests that the server had answered, and not flushed, may have died with it.
 *  N2. A flush that fails is not tried again (nbd_work.c): the next one might succeed without what the first one lost.
 */
#include "io/nbd_conn.h"
#include "io/wait.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define CONNECTIONS   8u
#define TRIES         6u /* with the waits between them three seconds */
#define WAIT_FIRST_MS 100u

struct vd_nbd_link {
	struct vd_nbd_peer peer;
	struct vd_nbd_facts facts;
	pthread_mutex_t lock;
	pthread_cond_t freed;
	struct vd_nbd_conn *idle;
	unsigned n, most;
	bool lost; /* for writing: a connection died */
};

static int fail_lost(const struct vd_nbd_link *l, vd_error *err)
{
	return vd_fail(err, VDISK_IO, VDISK_NO_OFFSET,
	               "%s: the connection was lost, and with it perhaps what the server had not made durable", l->peer.shown);
}

/* ---------------------------------------------------------------- connecting */

/* Alive, and to the same export as far as that can be seen.  *last: no use in trying again. */
static int conn_ready(struct vd_nbd_link *l, struct vd_nbd_conn *c, bool *last, vd_error *err)
{
	struct vd_nbd_facts f;

	if (c->h && vd_nbd_conn_dead(&l->peer, c))
		vd_nbd_conn_end(&l->peer, c);
	if (c->h)
		return 0;
	if (l->peer.write && c->used) {
		*last = true;
		return fail_lost(l, err);
	}
	if (vd_nbd_conn_begin(&l->peer, c, &f, err))
		return -1;
	if (f.size == l->facts.size && f.least == l->facts.least && f.most == l->facts.most && (!l->peer.write || !f.rdonly))
		return 0;
	*last = true;
	vd_nbd_conn_end(&l->peer, c);
	return vd_fail(err, VDISK_IO, VDISK_NO_OFFSET, "%s: was an export of %" PRIu64 " bytes, and is another one, of %" PRIu64,
	               l->peer.shown, l->facts.size, f.size);
}

/* ---------------------------------------------------------------- whose turn it is */

static struct vd_nbd_conn *conn_take(struct vd_nbd_link *l)
{
	struct vd_nbd_conn *c;

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

static void conn_give(struct vd_nbd_link *l, struct vd_nbd_conn *c)
{
	pthread_mutex_lock(&l->lock);
	c->next = l->idle;
	l->idle = c;
	l->lost |= l->peer.write && c->used && (!c->h || vd_nbd_conn_dead(&l->peer, c));
	pthread_cond_signal(&l->freed);
	pthread_mutex_unlock(&l->lock);
}

/* One more connection than the server takes: there will be no more than there are, of which the first one is always there. */
static void conn_spare(struct vd_nbd_link *l, struct vd_nbd_conn *c)
{
	pthread_mutex_lock(&l->lock);
	l->most = --l->n;
	pthread_mutex_unlock(&l->lock);
	vd_free(c);
}

/* ---------------------------------------------------------------- requests */

/* As often as it makes sense. */
static int work_try(struct vd_nbd_link *l, struct vd_nbd_conn *c, struct vd_nbd_work *w, vd_error *err)
{
	vd_error why = { 0 };

	for (unsigned i = 0;;) {
		bool last = false;

		w->refused = false;
		if (!conn_ready(l, c, &last, &why) && !vd_nbd_work_do(&l->peer, c, w, &last, &why))
			return 0;
		if (vd_cancelled(l->peer.cancel))
			return vd_fail_cancelled(err);
		if (last || ++i == TRIES) {
			if (err)
				*err = why;
			return last ? -1 : vd_fail(err, VDISK_IO, why.offset, "%s (tried %u times)", why.message, TRIES);
		}
		vd_wait_ms(WAIT_FIRST_MS << (i - 1), l->peer.cancel);
	}
}

/* A connection, made if it is a further one; one that cannot be made is done without. */
static struct vd_nbd_conn *conn_get(struct vd_nbd_link *l)
{
	struct vd_nbd_conn *c;
	bool last;

	while ((c = conn_take(l)) && !c->used && conn_ready(l, c, &last, NULL) && !c->used)
		conn_spare(l, c);
	return c;
}

int vd_nbd_link_do(struct vd_nbd_link *l, struct vd_nbd_work *w, vd_error *err)
{
	struct vd_nbd_conn *c = conn_get(l);
	bool lost;
	int rc;

	if (!c)
		return vd_fail_nomem(err, sizeof(*c));
	pthread_mutex_lock(&l->lock);
	lost = l->lost;
	pthread_mutex_unlock(&l->lock);
	if (vd_cancelled(l->peer.cancel)) /* which may be what the connection was lost by */
		rc = vd_fail_cancelled(err);
	else
		rc = lost ? fail_lost(l, err) : work_try(l, c, w, err);
	conn_give(l, c);
	return rc;
}

/* ---------------------------------------------------------------- the link */

const struct vd_nbd_facts *vd_nbd_link_facts(const struct vd_nbd_link *l) { return &l->facts; }

void vd_nbd_link_close(struct vd_nbd_link *l)
{
	struct vd_nbd_conn *c;

	while ((c = l->idle)) {
		l->idle = c->next;
		vd_nbd_conn_end(&l->peer, c);
		vd_free(c);
	}
	vd_nbd_uri_free(&l->peer.uri);
	vd_free(l->peer.shown);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->freed);
	vd_free(l);
}

static int link_begin(struct vd_nbd_link *l, const char *uri, vd_error *err)
{
	struct vd_nbd_conn *c;
	int rc;

	l->peer.shown = vd_strdup(uri);
	if (!l->peer.shown)
		return vd_fail_nomem(err, strlen(uri));
	if (vd_nbd_uri_parse(uri, &l->peer.uri, err))
		return -1;
	if (vd_nbd_api_load(&l->peer.api, err))
		return vd_fail_in(err, "%s", l->peer.shown);
	c = conn_take(l);
	if (!c)
		return vd_fail_nomem(err, sizeof(*c));
	rc = vd_nbd_conn_begin(&l->peer, c, &l->facts, err);
	if (!rc && l->peer.write && l->facts.rdonly)
		rc = vd_fail_errno(err, EROFS, VDISK_NO_OFFSET, "%s: the server lets nobody write to this export", l->peer.shown);
	l->most = l->facts.multi ? CONNECTIONS : 1;
	conn_give(l, c);
	return rc;
}

int vd_nbd_link_open(const char *uri, bool write, const volatile int *cancel, struct vd_nbd_link **out, vd_error *err)
{
	struct vd_nbd_link *l = vd_calloc(1, sizeof(*l));

	if (!l)
		return vd_fail_nomem(err, sizeof(*l));
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->freed, NULL);
	l->peer.write = write;
	l->peer.cancel = cancel;
	l->most = 1;
	if (link_begin(l, uri, err)) {
		vd_nbd_link_close(l);
		return -1;
	}
	*out = l;
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making a connection and ending it.  With TLS, nobody is connected to whom libnbd would not verify (nbd_uri.c); it falls back to
   taking anybody where the directory has no CA's certificate, so that it is looked for each time. */
#include "io/nbd_conn.h"
#include "io/wait.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define REQUEST         (4u << 20)
#define BLOCK_MOST      (1u << 20)
#define CONNECT_SECONDS 30
#define POLL_MS         500

/* ---------------------------------------------------------------- what libnbd says, and does */

/* libnbd begins with the name of its function, which says nothing to anybody. */
const char *vd_nbd_error_text(const struct vd_nbd_peer *p)
{
	const char *text = p->api.get_error(), *colon;

	if (!text)
		return "?";
	colon = strstr(text, ": ");
	return !strncmp(text, "nbd_", 4) && colon ? colon + 2 : text;
}

static int fail_nbd(const struct vd_nbd_peer *p, const char *what, vd_error *err)
{
	const char *why = vd_nbd_error_text(p);
	char text[400];

	return vd_fail(err, VDISK_IO, VDISK_NO_OFFSET, "%s: %s: %s", p->shown, what,
	               vd_printable(text, sizeof(text), why, strlen(why)));
}

void vd_pipe_guard_begin(struct vd_pipe_guard *g)
{
	sigset_t pipe, pending;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	sigpending(&pending);
	g->pending = sigismember(&pending, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, &g->old);
}

void vd_pipe_guard_end(const struct vd_pipe_guard *g)
{
	const struct timespec now = { 0 };
	sigset_t pipe;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	while (!g->pending && sigtimedwait(&pipe, NULL, &now) < 0 && errno == EINTR)
		;
	pthread_sigmask(SIG_SETMASK, &g->old, NULL);
}

/* ---------------------------------------------------------------- connecting */

bool vd_nbd_conn_dead(const struct vd_nbd_peer *p, const struct vd_nbd_conn *c)
{
	return p->api.aio_is_dead(c->h) || p->api.aio_is_closed(c->h);
}

void vd_nbd_conn_end(const struct vd_nbd_peer *p, struct vd_nbd_conn *c)
{
	if (c->h)
		p->api.close(c->h);
	c->h = NULL;
}

static int authority_judge(const struct vd_nbd_peer *p, vd_error *err)
{
	VD_AUTO_FREE char *path = NULL;

	if (!p->uri.certificates)
		return 0;
	path = vd_asprintf("%s/ca-cert.pem", p->uri.certificates);
	if (!path)
		return vd_fail_nomem(err, strlen(p->uri.certificates));
	return access(path, R_OK) ? vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s: whom to trust stands in %s", p->shown, path)
	                          : 0;
}

static int conn_say(const struct vd_nbd_peer *p, struct nbd_handle *h)
{
	const struct vd_nbd_api *a = &p->api;
	const struct vd_nbd_uri *u = &p->uri;

	if (a->set_export_name(h, u->name) || a->add_meta_context(h, LIBNBD_CONTEXT_BASE_ALLOCATION))
		return -1;
	if (a->set_tls(h, u->tls ? LIBNBD_TLS_REQUIRE : LIBNBD_TLS_DISABLE) ||
	    (u->certificates && a->set_tls_certificates(h, u->certificates)) ||
	    (u->psk_file && a->set_tls_psk_file(h, u->psk_file)) || (u->user && a->set_tls_username(h, u->user)))
		return -1;
	return u->socket ? a->aio_connect_unix(h, u->socket) : a->aio_connect_tcp(h, u->host, u->port);
}

/* 0; or -1 with what libnbd says, or that the time is over. */
static int conn_wait(const struct vd_nbd_peer *p, struct vd_nbd_conn *c, vd_error *err)
{
	int64_t end = vd_now_ms() + CONNECT_SECONDS * 1000;

	while (!p->api.aio_is_ready(c->h)) {
		if (vd_cancelled(p->cancel))
			return vd_fail_cancelled(err);
		if (vd_now_ms() > end)
			return vd_fail(err, VDISK_IO, VDISK_NO_OFFSET,
			               "%s: cannot connect: no answer for %d seconds (is another client connected?)", p->shown,
			               CONNECT_SECONDS);
		if (p->api.poll(c->h, POLL_MS) < 0 || vd_nbd_conn_dead(p, c))
			return fail_nbd(p, "cannot connect", err);
	}
	return 0;
}

static int facts_take(const struct vd_nbd_peer *p, struct nbd_handle *h, struct vd_nbd_facts *f, vd_error *err)
{
	const struct vd_nbd_api *a = &p->api;
	int64_t size = a->get_size(h), least = a->get_block_size(h, LIBNBD_SIZE_MINIMUM),
	        most = a->get_block_size(h, LIBNBD_SIZE_MAXIMUM);

	if (size < 0 || least < 0 || most < 0)
		return fail_nbd(p, "cannot connect", err);
	least = least ? least : 1;
	if (least > BLOCK_MOST || !vd_is_pow2((uint64_t)least) || size % least || (most && most < least))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "%s: the server wants requests of %" PRId64 " bytes and more, for an export of %" PRId64 " bytes",
		               p->shown, least, size);
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

int vd_nbd_conn_begin(const struct vd_nbd_peer *p, struct vd_nbd_conn *c, struct vd_nbd_facts *f, vd_error *err)
{
	struct vd_pipe_guard g;
	int rc;

	if (authority_judge(p, err))
		return -1;
	c->h = p->api.create();
	if (!c->h)
		return vd_fail_nomem(err, 1);
	vd_pipe_guard_begin(&g);
	rc = conn_say(p, c->h) ? fail_nbd(p, "cannot connect", err) : conn_wait(p, c, err);
	if (!rc)
		rc = facts_take(p, c->h, f, err);
	if (rc)
		vd_nbd_conn_end(p, c);
	c->used |= !rc;
	vd_pipe_guard_end(&g);
	return rc;
}

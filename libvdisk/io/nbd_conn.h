/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One connection to an export, and one request over it at a time; nbd_link.c says which is whose.  For io/nbd*.c alone. */
#ifndef VD_IO_NBD_CONN_H
#define VD_IO_NBD_CONN_H

#include "io/nbd_link.h"
#include "io/nbd_uri.h"

#include <signal.h>

/* What all connections of a link have in common; fixed. */
struct vd_nbd_peer {
	struct vd_nbd_api api;
	struct vd_nbd_uri uri;
	char *shown;
	bool write;
	const volatile int *cancel;
};

struct vd_nbd_conn {
	struct vd_nbd_conn *next;
	struct nbd_handle *h; /* NULL: to be made */
	bool used;            /* was connected once */
};

/* ---- nbd_conn.c */

/* Connects; what the server says of the export in *f. */
int vd_nbd_conn_begin(const struct vd_nbd_peer *p, struct vd_nbd_conn *c, struct vd_nbd_facts *f, vd_error *err);
void vd_nbd_conn_end(const struct vd_nbd_peer *p, struct vd_nbd_conn *c);
bool vd_nbd_conn_dead(const struct vd_nbd_peer *p, const struct vd_nbd_conn *c);
/* What libnbd says of this thread's last failure. */
const char *vd_nbd_error_text(const struct vd_nbd_peer *p);

/* libnbd's TLS writes to sockets without MSG_NOSIGNAL; a signal that came of it is taken back. */
struct vd_pipe_guard {
	sigset_t old;
	bool pending;
};
void vd_pipe_guard_begin(struct vd_pipe_guard *g);
void vd_pipe_guard_end(const struct vd_pipe_guard *g);

/* ---- nbd_work.c */

/* w over c, which is connected, once.  *last (set, never cleared): no use in trying again. */
int vd_nbd_work_do(const struct vd_nbd_peer *p, struct vd_nbd_conn *c, struct vd_nbd_work *w, bool *last, vd_error *err);

#endif

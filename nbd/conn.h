/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One connection, from its socket to its end, with threads of its own. */
#ifndef VDISK_NBD_CONN_H
#define VDISK_NBD_CONN_H

#include "export.h"
#include "stream.h"
#include "tls.h"

#define CONN_PIECE   (2u << 20) /* of data that a thread holds at once */
#define CONN_THREADS 8u

struct conn_config {
	struct export *x;
	const struct tls *tls; /* NULL: plain text */
	unsigned timeout_ms;   /* for the handshake, and for a pause inside a message */
	unsigned threads;      /* at most so many requests at once, 1 to CONN_THREADS */
};

struct conn;

/* Takes the socket.  NULL: out of memory; the socket is closed. */
struct conn *conn_new(const struct conn_config *cfg, int fd);
/* Serves the client; returns when it is gone and every request is answered.  Did it get past the handshake? */
bool conn_run(struct conn *c);
/* Closes the socket. */
void conn_free(struct conn *c);
/* From any thread before conn_free(): requests that have come are answered, no more are taken. */
void conn_stop(struct conn *c);
/* From any thread before conn_free(): cut off. */
void conn_break(struct conn *c);

#endif

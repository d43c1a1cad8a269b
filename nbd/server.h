/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Takes connections from listening sockets and serves each on threads of its own. */
#ifndef VDISK_NBD_SERVER_H
#define VDISK_NBD_SERVER_H

#include "conn.h"

struct server_config {
	struct conn_config conn;
	const int *fds;           /* listening, not blocking */
	size_t n_fds;
	int stop_fd;              /* readable: stop */
	unsigned clients_max;     /* further ones wait in the sockets' queues */
	unsigned idle_timeout_sec;/* end after that long without a client; 0: never */
	volatile int *cancel;     /* made 1 once clients have been cut off, so that no server is waited for on their behalf */
	bool once;                /* end when the last client has left that got past the handshake */
};

#define SERVER_FDS_MAX 16

/* Returns when it was told to stop, or has nothing more to do; by then every connection has ended, and what was asked in time is
   answered.  0, or -1 with *err where it could not begin or go on. */
int server_run(const struct server_config *cfg, vdisk_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The socket on which clients are awaited. */
#ifndef RECEIVE_LISTEN_H
#define RECEIVE_LISTEN_H

#include <stddef.h>
#include <vdisk/vdisk.h>

/* A listening socket, or -1.  `host`: how others reach it; *port: the one it got. */
int listen_open(const char *address, char *host, size_t room, unsigned *port, vdisk_error *err);

#endif

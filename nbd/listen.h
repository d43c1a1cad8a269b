/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sockets on which clients are awaited, and the URI that leads to them. */
#ifndef VDISK_NBD_LISTEN_H
#define VDISK_NBD_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <vdisk/vdisk.h>

#define LISTEN_MAX 8
#define LISTEN_PORT "10809"

struct listener {
	int fds[LISTEN_MAX];
	size_t n;
	char *path;        /* of the unix socket, to be removed in the end; NULL: none */
	dev_t dev;         /* of the socket that we made there */
	ino_t ino;
	char host[128];    /* TCP: for the URI, with brackets where it is an IPv6 address */
	unsigned port;
};

/* A socket of that name, which only its user may connect to.  One that nobody listens on any more is replaced. */
int listen_unix(struct listener *l, const char *path, vdisk_error *err);
/* "HOST", "HOST:PORT", "[ADDRESS]:PORT", ":PORT"; port 0: any that is free.  Addresses beyond this machine are VDISK_REFUSED unless
   `remote`. */
int listen_tcp(struct listener *l, const char *address, bool remote, vdisk_error *err);
/* Sockets that systemd (or whoever speaks as it does) has passed: 1 took them, 0 there are none, -1 with *err. */
int listen_passed(struct listener *l, vdisk_error *err);
void listen_close(struct listener *l);
/* The URI of what is served there; "" for sockets that were passed. */
void listen_uri(const struct listener *l, const char *name, bool tls, char *out, size_t room);

#endif

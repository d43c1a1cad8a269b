/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The receiver on a socket: HTTP over TLS by libmicrohttpd, a thread for each connection, and limits for those who are slow or
   many. */
#ifndef RECEIVE_HTTP_H
#define RECEIVE_HTTP_H

#include "receiver.h"
#include "tls.h"

struct http_options {
	const char *listen;      /* HOST, HOST:PORT, [ADDRESS]:PORT, :PORT, or empty for all addresses */
	unsigned connections;
};

struct http;

/* Answers from now on.  Returns owned: http_stop(). */
int http_start(struct receiver *r, const struct tls *t, const struct http_options *o, struct http **out, vdisk_error *err);
unsigned http_port(const struct http *h);
/* How others reach it: HOST:PORT, HOST in brackets where it is an IPv6 address. */
const char *http_address(const struct http *h);
/* Cuts off who is slow.  Once a second. */
void http_tend(struct http *h);
/* No more connections; those that are open are cut off, but answers that are under way have some seconds for their end. */
void http_stop(struct http *h);

#endif

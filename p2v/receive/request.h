/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One request, apart from sockets: its head is judged, its body taken piece by piece, and it is answered.  One thread at a time;
 * whatever bytes come, an answer comes out.
 */
#ifndef RECEIVE_REQUEST_H
#define RECEIVE_REQUEST_H

#include "receiver.h"

struct request_head {
	const char *method, *path;          /* path: without the query, percent signs resolved */
	const char *authorization, *cookie; /* the headers; NULL: none */
	const char *key, *from, *count;     /* what the query says of these; NULL: nothing */
	bool uncertified;                   /* it lacks the client certificate that is wanted */
	bool has_length;                    /* Content-Length */
	uint64_t length;
};

struct answer {
	unsigned status;
	unsigned retry_after;               /* seconds; 0: no such header */
	const char *type;                   /* of the body */
	const void *body;                   /* NULL: `file` */
	void *owned;                        /* to be freed: what `body` is in; NULL: nothing */
	size_t len;
	int file;                           /* a descriptor, whose owner the caller becomes, of `len` bytes; -1: none */
	bool page;                          /* it is for a browser to show */
	char cookie[192], location[64];     /* headers; "": none */
};

struct request;

/* NULL: out of memory. */
struct request *request_new(struct receiver *r, const struct request_head *h);
/* It is refused, or needs no body: request_end() can be called at once. */
bool request_ready(const struct request *q);
/* It showed a token, secret or key that is known here. */
bool request_known(const struct request *q);
/* false: enough; who goes on sending is to be cut off. */
bool request_body(struct request *q, const void *bytes, size_t len);
void request_end(struct request *q, struct answer *out);
void request_free(struct request *q);

#endif

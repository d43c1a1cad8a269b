/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A receiver over the network: the client's side of vdisk-transfer(5). */
#ifndef CAPTURE_SINK_HTTP_H
#define CAPTURE_SINK_HTTP_H

#include "sink.h"

#define HTTP_SECRET_MAX 1024u

struct http_options {
	const char *url;                /* https://HOST[:PORT]/ */
	const char *token;              /* NULL: with what `id` and `secret` say */
	const char *id, *secret;        /* of a capture that goes on; NULL: none */
	bool has_fingerprint;
	uint8_t fingerprint[32];        /* of the receiver's public key */
	const char *ca_file, *cert, *key; /* NULL: the system's; none */
	unsigned workers;
	int level;                      /* of zstd */
	uint64_t bytes_per_second;      /* sent, altogether; 0: as many as go through */
	unsigned give_up_seconds;       /* without an answer, or without anything taken */
	unsigned first_seconds;         /* the same before the first answer */
	const volatile int *cancel;
	void (*note)(const char *message); /* that it cannot be reached, that it can again; from any thread */
};

/* The options and what they point to are borrowed.  NULL with *err. */
struct sink *http_open(const struct http_options *o, vdisk_error *err);
/* After begin(): what lets a later run go on. */
const char *http_id(const struct sink *s);
const char *http_secret(const struct sink *s);

#endif

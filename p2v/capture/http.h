/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One connection to a receiver: requests with an answer that is JSON or bytes.  For one thread at a time. */
#ifndef CAPTURE_HTTP_H
#define CAPTURE_HTTP_H

#include "sink_http.h"

#include <curl/curl.h>
#include <json-c/json.h>
#include <pthread.h>
#include <time.h>

#define HTTP_ANSWER_MAX ((size_t)8 << 20)

struct http { /* shared by all connections */
	const struct http_options *o;
	char base[4096];        /* URL without a slash at its end */
	char pin[64];           /* "": by certificates */
	pthread_mutex_t lock;   /* guards the following */
	bool out;               /* it was said that the receiver cannot be reached */
	bool met;               /* it answered once */
	time_t taken;           /* monotonic: when it last took what was sent */
	double room;            /* bytes that may be sent under the limit */
	struct timespec filled;
};

struct http_conn {
	struct http *h;
	CURL *curl;
	char error[CURL_ERROR_SIZE];
	char *answer;
	size_t len, cap;
	unsigned retry_after;   /* seconds that the answer asks for; 0: none */
	/* Of the request under way: */
	const char *send;       /* the body, or NULL: */
	size_t send_len, sent;
	curl_read_callback read; /* which may be NULL */
	void *read_ctx;
	bool failed;            /* of our own: the read callback or memory */
	curl_off_t moved;       /* bytes both ways, when last looked at */
	time_t moved_at;
};

/* -1 with *err. */
int http_conn_init(struct http_conn *c, struct http *h, vdisk_error *err);
void http_conn_free(struct http_conn *c);

enum http_outcome {
	HTTP_ANSWERED, /* with `status`, whatever it is; the answer's body in c->answer, c->len */
	HTTP_BROKEN,   /* it did not come through: *err says why; worth another try */
	HTTP_REFUSED,  /* it must not be tried again: the wrong fingerprint, an unusable URL */
};
/* path: behind the base, "/v1/…".  body: JSON, or NULL; type: of it. */
enum http_outcome http_once(struct http_conn *c, const char *method, const char *path, const char *secret, const void *body,
                            size_t len, unsigned *status, vdisk_error *err);
/* The body comes from a callback. */
enum http_outcome http_stream(struct http_conn *c, const char *path, const char *secret, curl_read_callback read, void *ctx,
                              unsigned *status, vdisk_error *err);
/* http_once() until there is an answer that is no "come again", or the receiver is given up: 0 or -1. */
int http_ask(struct http_conn *c, const char *method, const char *path, const char *secret, const void *body, size_t len,
             unsigned *status, vdisk_error *err);
/* Whether a status means that the same may work later. */
bool http_again(unsigned status);
/* After a request that was in vain: whether it is worth another, after a pause where `full` (the receiver has trouble of its
   own). */
bool http_patient(struct http *h, bool full);
/* *err from an answer that says no. */
int http_no(struct http_conn *c, unsigned status, const char *what, vdisk_error *err);
/* How many of `n` bytes to send at once, so that under the limit no connection is silent for long: who listens would give it up. */
size_t http_piece(const struct http *h, size_t n);
/* Waits until `n` more bytes may be sent. */
void http_throttle(struct http *h, size_t n);
time_t http_now(void);

#endif

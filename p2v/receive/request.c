/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A request holds its capture, and one that sends something has entered it, from its head on until it is freed.  What is refused
 * has its status and message before anything of the body is looked at.
 */
#include "request.h"

#include "intake.h"
#include "page.h"
#include "request_parts.h"
#include "view.h"

#include "common/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define BODIES_MAX ((size_t)48 << 20) /* of JSON in memory, all together */
#define IGNORED_MAX (16ull << 20)     /* of a body after it was refused */
#define IGNORED_KNOWN (80ull << 20)   /* of a sender's: vdisk capture's largest, so that it hears why */
#define FILE_MAX   (64ll << 20)       /* of what is shown */
#define RETRY      5u                 /* seconds */
#define COOKIE     "vdisk-view="

void request_refuse(struct request *q, unsigned status, const char *format, ...)
{
	va_list ap;

	q->status = status;
	va_start(ap, format);
	vsnprintf(q->message, sizeof(q->message), format, ap);
	va_end(ap);
}

/* ---------------------------------------------------------------- who may */

/* The secret behind "Bearer ". */
static bool bearer(const char *header, uint8_t out[32])
{
	size_t len;

	if (!header || strncasecmp(header, "Bearer ", 7))
		return false;
	header += 7 + strspn(header + 7, " ");
	len = strlen(header);
	return len && len <= TOKEN_TEXT_MAX && !secret_hash(header, len, out, NULL);
}

static bool cookie_views(const struct receiver *r, const char *header)
{
	uint8_t hash[32];

	for (const char *p = header; p && *p;) {
		size_t len;

		p += strspn(p, " ;");
		len = strcspn(p, ";");
		if (len > sizeof(COOKIE) - 1 && len < 200 && !memcmp(p, COOKIE, sizeof(COOKIE) - 1) &&
		    !secret_hash(p + sizeof(COOKIE) - 1, len - (sizeof(COOKIE) - 1), hash, NULL) && secret_same(hash, r->view))
			return true;
		p += len;
	}
	return false;
}

/* With the key in the address, a browser gets it as a cookie, and the address without it. */
static bool page_key(struct request *q, const char *key)
{
	uint8_t hash[32];
	size_t len = key ? strlen(key) : 0;

	if (!len || len > 128 || secret_hash(key, len, hash, NULL) || !secret_same(hash, q->r->view))
		return false;
	if (strspn(key, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-._~") != len)
		return false;
	snprintf(q->cookie, sizeof(q->cookie), COOKIE "%s; Path=/; Secure; HttpOnly; SameSite=Strict", key);
	return true;
}

/* For what only shows: the viewing key, or the secret of the capture that is shown. */
static void viewer_judge(struct request *q, const struct request_head *h)
{
	bool views = cookie_views(q->r, h->cookie) || (q->has_secret && secret_same(q->secret, q->r->view));

	if (q->route.kind == ROUTE_PAGE && page_key(q, h->key)) {
		q->known = true;
		q->status = 303;
	} else if (views || (q->route.kind == ROUTE_CAPTURE && q->c && q->has_secret && capture_secret_is(q->c, q->secret))) {
		q->known = true;
	} else if (q->route.kind == ROUTE_PAGE) {
		q->status = 401;
	} else {
		request_refuse(q, 401, "this is shown to who has the viewing key: open the link that the receiver printed");
	}
}

static void sender_judge(struct request *q, const struct request_head *h)
{
	vdisk_error err = { 0 };
	unsigned status;

	if (!q->has_secret) {
		request_refuse(q, 401, "there is no token: \"Authorization: Bearer TOKEN\" is missing");
	} else if (q->route.kind == ROUTE_ALL) {
		q->known = store_knows(&q->r->store, &q->r->token, q->secret);
		if (!q->known)
			request_refuse(q, 401, "the token is not known here");
		else if (!h->has_length)
			request_refuse(q, 411, "the length of a machine's description has to be said");
	} else if (!q->c) {
		request_refuse(q, 404, "there is no such capture");
	} else if (q->route.kind == ROUTE_COMPLETE && capture_whole(q->c, q->secret)) {
		q->known = q->done = true;
	} else {
		status = capture_enter(q->c, q->secret, &err);
		q->entered = q->known = status == 200;
		if (!q->entered)
			request_refuse(q, status, "%s", err.message);
	}
}

/* ---------------------------------------------------------------- the head */

static void disk_judge(struct request *q)
{
	q->disk = capture_disk(q->c, q->route.disk, q->route.disk_len);
	if (!q->disk) {
		request_refuse(q, 404, "the capture has no such disk");
		return;
	}
	for (size_t i = 0; i < q->c->st.n_disks; i++)
		if (q->c->disks[i] == q->disk)
			q->disk_at = &q->c->st.disks[i];
	if (q->route.kind == ROUTE_CHUNKS)
		intake_init(&q->in, q->disk, q->disk_at->size, q->r->buffers);
}

static bool number(const char *text, uint64_t *out)
{
	char *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return !errno && !*end;
}

static void range_judge(struct request *q, const struct request_head *h)
{
	uint64_t chunks = transfer_chunks(q->disk_at->size);

	if (!number(h->from, &q->from) || !number(h->count, &q->count) || !q->count || q->count > TRANSFER_DIGESTS_MAX)
		request_refuse(q, 400, "digests are asked for as ?from=I&count=N, N from 1 to %u", TRANSFER_DIGESTS_MAX);
	else if (q->from >= chunks)
		request_refuse(q, 400, "chunk %" PRIu64 " is asked for, the disk has %" PRIu64, q->from, chunks);
	else if (q->count > chunks - q->from)
		q->count = chunks - q->from;
}

static bool has_json(const struct request *q)
{
	return q->sends && (q->route.kind == ROUTE_ALL || q->route.kind == ROUTE_PASS || q->route.kind == ROUTE_COMPLETE);
}

static void head_judge(struct request *q, const struct request_head *h)
{
	const char *allowed;

	if (h->uncertified) {
		request_refuse(q, 401, "a client certificate is wanted here, of an authority that the receiver knows");
		return;
	}
	q->route = route_of(h->path);
	if (q->route.kind == ROUTE_NONE) {
		request_refuse(q, 404, "there is no such page");
		return;
	}
	if (!route_takes(q->route.kind, h->method, &allowed)) {
		request_refuse(q, 405, "it takes %s", allowed);
		return;
	}
	q->sends = strcmp(h->method, "GET") != 0;
	q->removes = !strcmp(h->method, "DELETE");
	q->has_secret = bearer(h->authorization, q->secret);
	if (q->route.id)
		q->c = store_find(&q->r->store, q->route.id, q->route.id_len);
	if (q->sends || q->route.kind == ROUTE_DIGESTS)
		sender_judge(q, h);
	else
		viewer_judge(q, h);
	if (!q->status && q->route.id && !q->c)
		request_refuse(q, 404, "there is no such capture");
	if (!q->status && q->route.disk)
		disk_judge(q);
	if (!q->status && q->route.kind == ROUTE_DIGESTS)
		range_judge(q, h);
	if (!q->status && has_json(q) && h->has_length && h->length > TRANSFER_BODY_MAX)
		request_refuse(q, 413, "a body of %" PRIu64 " bytes, the most is %zu", h->length, TRANSFER_BODY_MAX);
}

struct request *request_new(struct receiver *r, const struct request_head *h)
{
	struct request *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->r = r;
	head_judge(q, h);
	return q;
}

bool request_ready(const struct request *q) { return q->status || q->done || !q->sends || q->removes; }

bool request_known(const struct request *q) { return q->known; }

/* ---------------------------------------------------------------- the body */

static void json_add(struct request *q, const void *bytes, size_t len)
{
	size_t want = q->len + len;

	if (want > TRANSFER_BODY_MAX) {
		request_refuse(q, 413, "a body of more than %zu bytes", TRANSFER_BODY_MAX);
		return;
	}
	if (want > q->room) {
		size_t room = want < 16384 ? 16384 : want * 2;
		char *more;

		if (atomic_fetch_add(&q->r->json_bytes, room - q->room) + room - q->room > BODIES_MAX) {
			atomic_fetch_sub(&q->r->json_bytes, room - q->room);
			request_refuse(q, 503, "the receiver has too much to do at once");
			return;
		}
		more = realloc(q->body, room);
		if (!more) {
			atomic_fetch_sub(&q->r->json_bytes, room - q->room);
			request_refuse(q, 503, "out of memory");
			return;
		}
		q->body = more;
		q->room = room;
	}
	memcpy(q->body + q->len, bytes, len);
	q->len = want;
}

bool request_body(struct request *q, const void *bytes, size_t len)
{
	if (q->entered)
		capture_heard(q->c, len);
	if (!q->status && q->route.kind == ROUTE_CHUNKS) {
		intake_feed(&q->in, bytes, len);
		if (q->in.status)
			request_refuse(q, q->in.status, "%s", q->in.err.message);
	} else if (!q->status && !q->done && has_json(q)) {
		json_add(q, bytes, len);
	} else {
		q->ignored += len;
	}
	return q->ignored <= (q->known && q->route.kind == ROUTE_CHUNKS ? IGNORED_KNOWN : IGNORED_MAX);
}

/* ---------------------------------------------------------------- the answer */

static void answer_json(struct answer *a, unsigned status, json_object *o) /* takes o */
{
	const char *text = o ? json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE) : NULL;

	a->owned = text ? strdup(text) : NULL;
	a->status = a->owned ? status : 503;
	a->type = "application/json";
	a->body = a->owned ? a->owned : "{\"error\":\"out of memory\"}";
	a->len = strlen(a->body);
	json_object_put(o);
}

static void answer_refused(struct request *q, struct answer *a)
{
	json_object *o = json_object_new_object();

	for (char *p = q->message; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	if (o) {
		json_object_object_add(o, "error", json_object_new_string(q->message));
		if (q->differ)
			json_object_object_add(o, "differ", json_object_get(q->differ));
	}
	answer_json(a, q->status, o);
	a->retry_after = q->retry ? q->retry : q->status == 503 || q->status == 507 ? RETRY : 0;
}

static void answer_file(struct request *q, struct answer *a, const char *name, const char *type)
{
	int fd = q->c->dir < 0 ? -1 : openat(q->c->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size <= FILE_MAX) {
		*a = (struct answer){ .status = 200, .type = type, .file = fd, .len = (size_t)st.st_size };
		return;
	}
	if (fd >= 0)
		close(fd);
	request_refuse(q, 404, "there is none");
	answer_refused(q, a);
}

static void answer_page(struct request *q, struct answer *a)
{
	static const char locked[] =
		"<!doctype html><meta charset=utf-8><title>vdisk receive</title>"
		"<body style='font:16px sans-serif;max-width:40em;margin:4em auto'><h1>vdisk receive</h1>"
		"<p>Captures are shown to who has the viewing key: open the link that the receiver printed when it was started.</p>";

	a->type = "text/html; charset=utf-8";
	a->page = true;
	a->status = q->status ? q->status : 200;
	a->body = q->status ? locked : page_html;
	a->len = q->status ? sizeof(locked) - 1 : page_html_len;
	if (q->status == 303) {
		memcpy(a->cookie, q->cookie, sizeof(a->cookie));
		strcpy(a->location, "/");
		a->len = 0;
	}
}

static void answer_digests(struct request *q, struct answer *a)
{
	uint8_t (*leaves)[32] = malloc(q->count * 32);
	vdisk_error err = { 0 };

	if (!leaves || disk_digests(q->disk, q->from, q->count, leaves, &err)) {
		request_refuse(q, leaves ? 500 : 503, "%s", leaves ? err.message : "out of memory");
		free(leaves);
		answer_refused(q, a);
		return;
	}
	a->status = 200;
	a->type = "application/octet-stream";
	a->body = a->owned = leaves;
	a->len = q->count * 32;
}

static void show(struct request *q, struct answer *a)
{
	switch (q->route.kind) {
	case ROUTE_ALL: answer_json(a, 200, view_all(q->r)); break;
	case ROUTE_CAPTURE: answer_json(a, 200, view_capture(q->c)); break;
	case ROUTE_DIGESTS: answer_digests(q, a); break;
	case ROUTE_SCREENSHOT: answer_file(q, a, "screenshot.png", "image/png"); break;
	case ROUTE_LOG: answer_file(q, a, "capture.log", "text/plain; charset=utf-8"); break;
	default: answer_page(q, a);
	}
}

void request_end(struct request *q, struct answer *out)
{
	*out = (struct answer){ .file = -1 };
	if (q->route.kind == ROUTE_PAGE && q->status != 404 && q->status != 405)
		answer_page(q, out);
	else if (!q->status && !q->sends)
		show(q, out);
	else if (!q->status)
		request_do(q, &out->status, &q->result);
	if (q->status && !out->body)
		answer_refused(q, out);
	else if (!out->body && out->file < 0)
		answer_json(out, out->status, json_object_get(q->result));
}

void request_free(struct request *q)
{
	if (!q)
		return;
	if (q->route.kind == ROUTE_CHUNKS)
		intake_destroy(&q->in);
	if (q->entered)
		capture_leave(q->c);
	if (q->c)
		store_put(&q->r->store, q->c);
	atomic_fetch_sub(&q->r->json_bytes, q->room);
	free(q->body);
	json_object_put(q->differ);
	json_object_put(q->result);
	free(q);
}

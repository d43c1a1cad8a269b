/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Each worker has a connection.  Records are made while libcurl asks for bytes to send, so that reading, packing and sending
 * overlap from worker to worker, and a request's memory is one record, however long it is.
 */
#include "sink_http.h"

#include "common/fail.h"
#include "http.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUSY_SECONDS 90

struct http_sink {
	struct sink s;
	struct http h;
	struct http_conn *conns;
	struct transfer_packer **packers;
	struct sink_disk *disks;
	size_t n_disks;
	char id[128], secret[HTTP_SECRET_MAX];
};

/* ---- the body of a request */

struct upload {
	struct http_sink *h;
	struct transfer_packer *packer;
	sink_next_fn next;
	void *next_ctx;
	uint8_t header[TRANSFER_RECORD_BYTES];
	const uint8_t *body;
	size_t at, len; /* of header and body together */
	bool ended;
	int failed;
	vdisk_error err;
};

/* 1: there is a record to send, 0: no more, -1. */
static int upload_record(struct upload *u)
{
	struct sink_item item;
	struct transfer_record r;
	const void *body = NULL;
	int rc = u->next(u->next_ctx, &item, &u->err);

	if (rc <= 0)
		return rc;
	if (item.bytes) {
		if (transfer_pack(u->packer, item.index, item.bytes, item.len, item.sha256, &r, &body, &u->err))
			return -1;
	} else {
		r = (struct transfer_record){ .kind = TRANSFER_ZEROS, .index = item.index, .count = item.count };
	}
	transfer_record_put(&r, u->header);
	u->body = body;
	u->at = 0;
	u->len = sizeof(u->header) + r.packed;
	return 1;
}

static size_t upload_read(char *buf, size_t size, size_t n, void *ctx)
{
	struct upload *u = ctx;
	size_t room = http_piece(&u->h->h, size * n), done = 0;

	while (done < room) {
		size_t part;

		if (u->at == u->len) {
			int rc = u->ended ? 0 : upload_record(u);

			if (rc < 0) {
				u->failed = -1;
				return CURL_READFUNC_ABORT;
			}
			if (!rc) {
				u->ended = true;
				break;
			}
		}
		if (u->at < sizeof(u->header)) {
			part = sizeof(u->header) - u->at < room - done ? sizeof(u->header) - u->at : room - done;
			memcpy(buf + done, u->header + u->at, part);
		} else {
			part = u->len - u->at < room - done ? u->len - u->at : room - done;
			memcpy(buf + done, u->body + (u->at - sizeof(u->header)), part);
		}
		u->at += part;
		done += part;
	}
	if (done)
		http_throttle(&u->h->h, done);
	return done;
}

/* ---- operations */

static struct http_sink *of(struct sink *s) { return (struct http_sink *)s; }

static void path_make(char path[512], const struct http_sink *h, size_t disk, const char *what)
{
	snprintf(path, 512, "/v1/captures/%s/disks/%s/%s", h->id, h->disks[disk].name, what);
}

/* An identifier goes into URLs. */
static bool id_good(const char *id)
{
	return *id && strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") == strlen(id) && *id != '.';
}

static bool secret_good(const char *secret)
{
	for (const char *p = secret; *p; p++)
		if (*p <= ' ' || *p > '~')
			return false;
	return *secret;
}

/* What the receiver says of each disk must be what was asked for. */
static int disks_take(struct http_sink *h, json_object *list, vdisk_error *err)
{
	size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	if (n != h->n_disks)
		return fail(err, VDISK_CORRUPT, "%s: answers with %zu disks, not %zu", h->h.base, n, h->n_disks);
	for (size_t i = 0; i < n; i++) {
		json_object *o = json_object_array_get_idx(list, i);
		const char *name;
		uint64_t size, have;
		size_t k = 0;

		if (!json_object_is_type(o, json_type_object) || !transfer_json_text(o, "name", TRANSFER_NAME_MAX, &name, err) ||
		    !transfer_json_u64(o, "size", TRANSFER_SIZE_MAX, &size, err) ||
		    !transfer_json_u64(o, "have", TRANSFER_SIZE_MAX, &have, err))
			return fail(err, VDISK_CORRUPT, "%s: its list of disks is not understood", h->h.base);
		while (k < h->n_disks && strcmp(h->disks[k].name, name) != 0)
			k++;
		if (k == h->n_disks || h->disks[k].size != size)
			return fail(err, VDISK_INVALID,
			            "%s: has a disk %s of %" PRIu64 " bytes in this capture, which is not among these", h->h.base,
			            name, size);
		h->disks[k].have = have;
	}
	return 0;
}

static int begun_take(struct http_sink *h, vdisk_error *err)
{
	struct http_conn *c = &h->conns[0];
	json_object *o = transfer_json(c->answer, c->len, err), *list;
	const char *id, *secret;
	uint64_t version, chunk;
	int rc = -1;

	if (!o)
		return -1;
	if (!transfer_json_u64(o, "version", UINT32_MAX, &version, err) || !transfer_json_u64(o, "chunk", UINT32_MAX, &chunk, err))
		;
	else if (version != TRANSFER_VERSION || chunk != TRANSFER_CHUNK)
		fail(err, VDISK_UNSUPPORTED, "%s: speaks version %" PRIu64 " of the protocol, with chunks of %" PRIu64 " bytes",
		     h->h.base, version, chunk);
	else if (!transfer_json_text(o, "id", sizeof(h->id) - 1, &id, err) ||
	         !transfer_json_text(o, "secret", sizeof(h->secret) - 1, &secret, err))
		;
	else if (!id_good(id) || !secret_good(secret))
		fail(err, VDISK_CORRUPT, "%s: its answer is not understood", h->h.base);
	else {
		snprintf(h->id, sizeof(h->id), "%s", id);
		snprintf(h->secret, sizeof(h->secret), "%s", secret);
		rc = json_object_object_get_ex(o, "disks", &list) ? disks_take(h, list, err) : disks_take(h, NULL, err);
	}
	json_object_put(o);
	return rc;
}

static int http_begin(struct sink *s, const char *machine, struct sink_disk *disks, size_t n, vdisk_error *err)
{
	struct http_sink *h = of(s);
	const struct http_options *o = h->h.o;
	unsigned status;
	bool told = false;

	h->disks = disks;
	h->n_disks = n;
	/* A capture's own secret begins it again as the token did.  The connection of a client that died may live on for a while
	   over there. */
	for (time_t until = http_now() + BUSY_SECONDS;;) {
		if (http_ask(&h->conns[0], "POST", "/v1/captures", o->token ? o->token : o->secret, machine, strlen(machine),
		             &status, err))
			return -1;
		if (status != 409 || !h->conns[0].retry_after || http_now() >= until)
			break;
		if (!told && o->note)
			o->note("another client is sending this machine, or was until now; waiting for it");
		told = true;
		for (unsigned i = 0; i < h->conns[0].retry_after * 10; i++) {
			if (o->cancel && *o->cancel)
				return fail(err, VDISK_CANCELLED, "interrupted");
			usleep(100 * 1000);
		}
	}
	if (status == 401 || status == 403) {
		char said[VDISK_ERROR_MESSAGE_MAX];

		transfer_json_error(h->conns[0].answer, h->conns[0].len, status, said);
		return fail(err, VDISK_REFUSED, "%s: does not take this token: %s", h->h.base, said);
	}
	if (status != 200 && status != 201)
		return http_no(&h->conns[0], status, h->h.base, err);
	if (begun_take(h, err))
		return -1;
	s->found = status == 200;
	s->where = h->id;
	return 0;
}

static int http_digests(struct sink *s, unsigned worker, size_t disk, uint64_t from, uint64_t n, uint8_t (*out)[32],
                        vdisk_error *err)
{
	struct http_sink *h = of(s);
	struct http_conn *c = &h->conns[worker];
	char path[512], what[96];
	unsigned status;

	snprintf(what, sizeof(what), "digests?from=%" PRIu64 "&count=%" PRIu64, from, n);
	path_make(path, h, disk, what);
	if (http_ask(c, "GET", path, h->secret, NULL, 0, &status, err))
		return -1;
	if (status != 200)
		return http_no(c, status, h->disks[disk].name, err);
	if (c->len != n * 32)
		return fail(err, VDISK_CORRUPT, "%s: answers with %zu bytes of digests, not %" PRIu64, h->h.base, c->len, n * 32);
	memcpy(out, c->answer, c->len);
	return 0;
}

static int http_send(struct sink *s, unsigned worker, size_t disk, sink_next_fn next, void *ctx, vdisk_error *err)
{
	struct http_sink *h = of(s);
	struct http_conn *c = &h->conns[worker];
	struct upload u = { .h = h, .packer = h->packers[worker], .next = next, .next_ctx = ctx };
	enum http_outcome outcome;
	char path[512];
	unsigned status = 0;

	path_make(path, h, disk, "chunks");
	outcome = http_stream(c, path, h->secret, upload_read, &u, &status, err);
	if (u.failed) {
		*err = u.err;
		return -1;
	}
	if (outcome == HTTP_REFUSED)
		return -1;
	if (outcome == HTTP_ANSWERED && status == 200 && u.ended) {
		pthread_mutex_lock(&h->h.lock);
		h->h.taken = http_now();
		pthread_mutex_unlock(&h->h.lock);
		return 0;
	}
	if (outcome == HTTP_ANSWERED && status != 200)
		http_no(c, status, h->disks[disk].name, err);
	else if (outcome == HTTP_ANSWERED)
		fail(err, VDISK_IO, "%s: answered before all was sent", h->h.base);
	if (outcome == HTTP_ANSWERED && !http_again(status) && status != 422 && status != 200)
		return -1;
	return http_patient(&h->h, status >= 500) ? SINK_AGAIN : -1;
}

/* {"differ":[[from,count]…]} */
static int differ_take(struct http_sink *h, size_t disk, struct ranges *differ, vdisk_error *err)
{
	struct http_conn *c = &h->conns[0];
	uint64_t chunks = transfer_chunks(h->disks[disk].size);
	json_object *o = transfer_json(c->answer, c->len, err), *list = NULL;
	size_t n;

	if (!o)
		return -1;
	if (!json_object_object_get_ex(o, "differ", &list) || !json_object_is_type(list, json_type_array)) {
		json_object_put(o);
		return http_no(c, 409, h->disks[disk].name, err);
	}
	n = json_object_array_length(list);
	for (size_t i = 0; i < n; i++) {
		json_object *r = json_object_array_get_idx(list, i);
		bool pair = json_object_is_type(r, json_type_array) && json_object_array_length(r) == 2;
		uint64_t from = pair ? json_object_get_uint64(json_object_array_get_idx(r, 0)) : 0;
		uint64_t count = pair ? json_object_get_uint64(json_object_array_get_idx(r, 1)) : 0;

		if (!pair || !count || from >= chunks || count > chunks - from || ranges_add(differ, from, from + count)) {
			json_object_put(o);
			return fail(err, VDISK_CORRUPT, "%s: its list of what differs is not understood", h->h.base);
		}
	}
	json_object_put(o);
	ranges_sort(differ);
	return SINK_AGAIN;
}

static int http_pass(struct sink *s, size_t disk, const struct transfer_pass *p, struct ranges *differ, vdisk_error *err)
{
	struct http_sink *h = of(s);
	struct http_conn *c = &h->conns[0];
	json_object *o = transfer_pass_json(p);
	const char *text = o ? json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN) : NULL;
	char path[512];
	unsigned status;
	int rc;

	path_make(path, h, disk, "pass");
	rc = text ? http_ask(c, "POST", path, h->secret, text, strlen(text), &status, err) : fail_nomem(err);
	json_object_put(o);
	if (rc)
		return -1;
	if (status == 409)
		return differ_take(h, disk, differ, err);
	return status == 200 ? 0 : http_no(c, status, h->disks[disk].name, err);
}

static int http_complete(struct sink *s, vdisk_error *err)
{
	struct http_sink *h = of(s);
	char path[512];
	unsigned status;

	snprintf(path, sizeof(path), "/v1/captures/%s/complete", h->id);
	if (http_ask(&h->conns[0], "POST", path, h->secret, "{}", 2, &status, err))
		return -1;
	return status == 200 ? 0 : http_no(&h->conns[0], status, h->h.base, err);
}

static void http_close(struct sink *s)
{
	struct http_sink *h = of(s);
	unsigned n = h->h.o->workers;

	for (unsigned i = 0; h->conns && i < n; i++)
		http_conn_free(&h->conns[i]);
	for (unsigned i = 0; h->packers && i < n; i++)
		transfer_packer_free(h->packers[i]);
	free(h->conns);
	free(h->packers);
	pthread_mutex_destroy(&h->h.lock);
	free(h);
}

static const struct sink_ops ops = { http_begin, http_digests, http_send, http_pass, http_complete, http_close };

/* Of "HOST[:PORT]", where HOST may be an address of IPv6 in brackets. */
static bool has_port(const char *host)
{
	const char *end = *host == '[' ? strchr(host, ']') : NULL;

	return strchr(end ? end : host, ':');
}

struct sink *http_open(const struct http_options *o, vdisk_error *err)
{
	struct http_sink *h = calloc(1, sizeof(*h));
	size_t len = strlen(o->url);
	int rc = 0;

	if (!h) {
		fail_nomem(err);
		return NULL;
	}
	h->s.ops = &ops;
	h->h = (struct http){ .o = o, .lock = PTHREAD_MUTEX_INITIALIZER, .taken = http_now() };
	clock_gettime(CLOCK_MONOTONIC, &h->h.filled);
	while (len && o->url[len - 1] == '/')
		len--;
	h->conns = calloc(o->workers, sizeof(*h->conns));
	h->packers = calloc(o->workers, sizeof(*h->packers));
	if (len >= sizeof(h->h.base) - 8)
		rc = fail(err, VDISK_INVALID, "%.64s…: the URL is too long", o->url);
	else if (!h->conns || !h->packers || curl_global_init(CURL_GLOBAL_DEFAULT))
		rc = fail_nomem(err);
	if (!rc)
		memcpy(h->h.base, o->url, len);
	if (!rc && !has_port(h->h.base + strlen("https://")))
		strcat(h->h.base, ":" TRANSFER_PORT);
	if (!rc && o->has_fingerprint)
		transfer_pin(o->fingerprint, h->h.pin);
	for (unsigned i = 0; !rc && i < o->workers; i++) {
		rc = http_conn_init(&h->conns[i], &h->h, err);
		if (!rc && !(h->packers[i] = transfer_packer_new(o->level)))
			rc = fail_nomem(err);
	}
	if (rc) {
		http_close(&h->s);
		return NULL;
	}
	return &h->s;
}

const char *http_id(const struct sink *s) { return ((const struct http_sink *)s)->id; }
const char *http_secret(const struct sink *s) { return ((const struct http_sink *)s)->secret; }

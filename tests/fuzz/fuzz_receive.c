/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests from nowhere to a receiver without sockets.  The input is a list of requests: a byte for what it asks, one for its
 * secret, two for the length of the body, and the body; a few of them are repaired, so that some get far.  Whatever comes, each
 * gets an answer: a status, and below 400 none that a stranger could have; what is whole holds what its digest says, which the
 * receiver checks itself.
 */
#include "request.h"

#include "common/numbers.h"

#include <assert.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY   "the key to look"
#define TOKEN "the token to begin"
#define SIZE  (2u * TRANSFER_CHUNK)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[] = "/dev/shm/fuzz-receive.XXXXXX";
static struct receiver r;
static char id[40], secret[80];
static unsigned begun;

static const char machine[] =
	"{\"schema-version\":1,\"type\":\"vdisk-machine\",\"name\":\"m\",\"uuid\":\"4c4c4544-0044-4810-8031-b4c04f563232\","
	"\"disks\":[{\"name\":\"sda\",\"medium\":\"disk\",\"size\":2097152}]}";

static int gone(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

static void at_end(void)
{
	nftw(folder, gone, 16, FTW_DEPTH | FTW_PHYS);
}

static void start(void)
{
	struct store_options o = { .folder = folder, .format = "raw", .captures_max = 8 };

	assert(mkdtemp(folder));
	atexit(at_end);
	r.buffers = buffers_new(2);
	pthread_mutex_init(&r.parsing, NULL);
	assert(!secret_hash(TOKEN, strlen(TOKEN), r.token.sha256, NULL) && !secret_hash(KEY, strlen(KEY), r.view, NULL));
	assert(!store_open(&r.store, &o, NULL, NULL, NULL));
}

static void taken_from(const char *answer)
{
	json_object *o = json_tokener_parse(answer), *v;

	if (o && json_object_object_get_ex(o, "secret", &v)) {
		snprintf(secret, sizeof(secret), "%s", json_object_get_string(v));
		snprintf(id, sizeof(id), "%s", json_object_get_string(json_object_object_get(o, "id")));
		begun++;
	}
	json_object_put(o);
}

static unsigned ask(const char *method, const char *path, const char *who, bool cookie, const uint8_t *body, size_t len,
                    unsigned piece, const char *from)
{
	char bearer[160];
	struct request_head h = { .method = method,
		                  .path = path,
		                  .authorization = cookie ? NULL : bearer,
		                  .cookie = cookie ? bearer : NULL,
		                  .key = from,
		                  .from = from,
		                  .count = from,
		                  .has_length = piece & 1,
		                  .length = len };
	struct request *q;
	struct answer a;
	unsigned status;

	snprintf(bearer, sizeof(bearer), cookie ? "vdisk-view=%s" : "Bearer %s", who);
	q = request_new(&r, &h);
	assert(q);
	for (size_t at = 0; !request_ready(q) && at < len; at += piece + 1)
		if (!request_body(q, body + at, len - at < piece + 1 ? len - at : piece + 1))
			break;
	request_end(q, &a);
	assert(a.status >= 200 && a.status < 600 && a.type && (a.body || a.file >= 0));
	assert(a.status < 500 || a.status == 503);
	if (a.owned && a.type[12] == 'j') /* application/json: one line */
		assert(strlen(a.owned) == a.len && !strchr(a.owned, '\n'));
	if (a.status <= 201 && !strcmp(method, "POST") && a.owned && a.type[12] == 'j')
		taken_from(a.owned);
	if (a.file >= 0)
		close(a.file);
	free(a.owned);
	request_free(q);
	status = a.status;
	return status;
}

/* A record that is one: head and digest made to fit the bytes. */
static size_t record_repair(uint8_t *out, const uint8_t *body, size_t len)
{
	struct transfer_packer *p = transfer_packer_new(1);
	uint8_t *chunk = calloc(1, TRANSFER_CHUNK), sha[32];
	struct transfer_record rec;
	const void *packed;

	memcpy(chunk, body, len < TRANSFER_CHUNK ? len : TRANSFER_CHUNK);
	assert(p && !transfer_sha256(chunk, TRANSFER_CHUNK, sha, NULL) &&
	       !transfer_pack(p, len & 1, chunk, TRANSFER_CHUNK, sha, &rec, &packed, NULL));
	transfer_record_put(&rec, out);
	memcpy(out + TRANSFER_RECORD_BYTES, packed, rec.packed);
	len = TRANSFER_RECORD_BYTES + rec.packed;
	transfer_packer_free(p);
	free(chunk);
	return len;
}

static const char *word(const uint8_t *body, size_t len, char out[32])
{
	snprintf(out, 32, "%.*s", (int)(len < 31 ? len : 31), (const char *)body);
	return out;
}

static void one(uint8_t what, uint8_t who, const uint8_t *body, size_t len)
{
	static const char *const methods[] = { "GET", "POST", "DELETE", "PUT" };
	static const char *const tails[] = {
		"", "/complete", "/screenshot.png", "/log", "/disks/sda/digests", "/disks/sda/chunks", "/disks/sda/pass",
		"/disks/sdb/pass"
	};
	const char *const secrets[] = { secret, TOKEN, KEY, "" };
	static uint8_t room[TRANSFER_CHUNK + TRANSFER_RECORD_BYTES];
	char path[300], text[32];
	unsigned status;

	if ((what & 0x30) == 0x30) /* any path */
		snprintf(path, sizeof(path), "/%s%s", what & 1 ? "v1/captures/" : "", word(body, len, text));
	else if (what & 0x20)
		snprintf(path, sizeof(path), what & 1 ? "/v1/captures" : "/");
	else
		snprintf(path, sizeof(path), "/v1/captures/%s%s", id, tails[what & 7]);
	if (who & 0x80 && strstr(path, "/chunks")) {
		len = record_repair(room, body, len);
		body = room;
	}
	status = ask(methods[what >> 6], path, secrets[who & 3], who & 4, body, len, who & 8 ? 3 : 4000, word(body, len, text));
	if (!*secrets[who & 3] && status < 400)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[100];

	if (!r.buffers)
		start();
	assert(ask("POST", "/v1/captures", TOKEN, false, (const uint8_t *)machine, sizeof(machine) - 1, 4001, NULL) <= 201);
	while (size >= 4) {
		size_t len = le16_get(data + 2);

		len = len < size - 4 ? len : size - 4;
		one(data[0], data[1], data + 4, len);
		data += 4 + len;
		size -= 4 + len;
	}
	/* Each input finds nothing of the ones before; those that became whole stay, so now and then all goes. */
	snprintf(path, sizeof(path), "/v1/captures/%s", id);
	ask("DELETE", path, secret, false, NULL, 0, 0, NULL);
	if (begun > 200) {
		store_close(&r.store);
		buffers_free(r.buffers);
		at_end();
		strcpy(folder + strlen(folder) - 6, "XXXXXX");
		r = (struct receiver){ 0 };
		begun = 0;
	}
	assert(!atomic_load(&r.json_bytes));
	return 0;
}

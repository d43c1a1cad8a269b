/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The receiver without sockets: paths, tokens, rates, and a whole capture, its bodies cut in every way. */
#include "rate.h"
#include "request.h"
#include "route.h"
#include "steps.h"
#include "store_folder.h"
#include "token.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define KEY  "the key to look at it"
#define TOKEN "the token to begin with"
#define SIZE (3 * (uint64_t)TRANSFER_CHUNK)

static void routes(void **state)
{
	static const struct { const char *path; enum route_kind kind; const char *id, *disk;
	} list[] = {
		{ "/", ROUTE_PAGE, "", "" },
		{ "", ROUTE_NONE, "", "" },
		{ "//", ROUTE_NONE, "", "" },
		{ "/v1", ROUTE_NONE, "", "" },
		{ "/v1/captures", ROUTE_ALL, "", "" },
		{ "/v1/capturesx", ROUTE_NONE, "", "" },
		{ "/v1/captures/", ROUTE_NONE, "", "" },
		{ "/v1/captures/a", ROUTE_CAPTURE, "a", "" },
		{ "/v1/captures/a/", ROUTE_NONE, "a", "" },
		{ "/v1/captures//log", ROUTE_NONE, "", "" },
		{ "/v1/captures/a/log", ROUTE_LOG, "a", "" },
		{ "/v1/captures/a/log/", ROUTE_NONE, "a", "" },
		{ "/v1/captures/a/logs", ROUTE_NONE, "a", "" },
		{ "/v1/captures/a/screenshot.png", ROUTE_SCREENSHOT, "a", "" },
		{ "/v1/captures/a/complete", ROUTE_COMPLETE, "a", "" },
		{ "/v1/captures/a/disks", ROUTE_NONE, "a", "" },
		{ "/v1/captures/a/disks/sda", ROUTE_NONE, "a", "sda" },
		{ "/v1/captures/a/disks//pass", ROUTE_NONE, "a", "" },
		{ "/v1/captures/a/disks/sda/pass", ROUTE_PASS, "a", "sda" },
		{ "/v1/captures/a/disks/sda/chunks", ROUTE_CHUNKS, "a", "sda" },
		{ "/v1/captures/a/disks/../digests", ROUTE_DIGESTS, "a", ".." },
		{ "/v1/captures/a/disks/b/c/pass", ROUTE_NONE, "a", "b" },
		{ "/v1/captures/a/diskss/b/pass", ROUTE_NONE, "a", "" },
	};
	const char *allowed;

	(void)state;
	for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++) {
		struct route r = route_of(list[i].path);

		if (r.kind != list[i].kind || r.id_len != strlen(list[i].id) || r.disk_len != strlen(list[i].disk))
			fail_msg("%s: %d", list[i].path, r.kind);
		assert_memory_equal(r.id ? r.id : "", list[i].id, r.id_len);
		assert_memory_equal(r.disk ? r.disk : "", list[i].disk, r.disk_len);
	}
	assert_true(route_takes(ROUTE_ALL, "GET", &allowed) && route_takes(ROUTE_ALL, "POST", &allowed));
	assert_false(route_takes(ROUTE_ALL, "DELETE", &allowed) || route_takes(ROUTE_ALL, "GET,", &allowed) ||
	             route_takes(ROUTE_ALL, "", &allowed));
	assert_true(route_takes(ROUTE_CAPTURE, "DELETE", &allowed) && !route_takes(ROUTE_CHUNKS, "GET", &allowed));
}

static void tokens(void **state)
{
	char a[32], b[32];
	uint8_t x[32], y[32];

	(void)state;
	assert_int_equal(token_make(a, NULL), 0);
	assert_int_equal(token_make(b, NULL), 0);
	assert_string_not_equal(a, b);
	assert_int_equal(strlen(a), 23);
	assert_int_equal(secret_hash("01234-56789-ABCDE-FGHJK", 23, x, NULL), 0);
	assert_int_equal(secret_hash("o i234 56789abcdefghjk ", 23, y, NULL), 0);
	assert_true(secret_same(x, y));
	assert_int_equal(secret_hash("01234-56789-ABCDE-FGHJM", 23, y, NULL), 0);
	assert_false(secret_same(x, y));
	/* Others are what they are. */
	assert_int_equal(secret_hash("a-token-of-mine", 15, x, NULL), 0);
	assert_int_equal(secret_hash("A-TOKEN-OF-MINE", 15, y, NULL), 0);
	assert_false(secret_same(x, y));
}

static void rates(void **state)
{
	struct rate r = { { 0 }, 0 };

	(void)state;
	for (int64_t t = 100000; t < 120000; t += 100)
		rate_add(&r, t, 10);
	assert_int_equal(rate_get(&r, 120000), 100);
	assert_in_range(rate_get(&r, 123500), 40, 70);
	assert_int_equal(rate_get(&r, 130000), 0);
}

/* ---------------------------------------------------------------- */

struct fixture {
	char path[64];
	struct receiver r;
	uint8_t *disk;
	uint8_t *records;
	size_t records_len;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct store_options o = { .folder = f->path, .format = "qcow2", .captures_max = 4 };
	struct transfer_packer *p = transfer_packer_new(1);

	strcpy(f->path, "/tmp/test-receive.XXXXXX");
	assert_non_null(mkdtemp(f->path));
	f->r.buffers = buffers_new(2);
	f->r.token.uses = 1;
	pthread_mutex_init(&f->r.parsing, NULL);
	assert_int_equal(secret_hash(TOKEN, strlen(TOKEN), f->r.token.sha256, NULL), 0);
	assert_int_equal(secret_hash(KEY, strlen(KEY), f->r.view, NULL), 0);
	assert_int_equal(store_open(&f->r.store, &o, NULL, NULL, NULL), 0);
	f->disk = calloc(1, SIZE);
	for (size_t i = 0; i < TRANSFER_CHUNK; i++) { /* one packs, one does not, one is zeros */
		f->disk[i] = (uint8_t)(i / 1000);
		f->disk[2 * TRANSFER_CHUNK + i] = (uint8_t)((i * 2654435761u) >> 13);
	}
	f->records = malloc(SIZE + 3 * TRANSFER_RECORD_BYTES);
	for (uint64_t i = 0; i < 3; i++) {
		struct transfer_record r;
		const void *body;
		uint8_t sha[32];

		assert_int_equal(transfer_sha256(f->disk + i * TRANSFER_CHUNK, TRANSFER_CHUNK, sha, NULL), 0);
		assert_int_equal(transfer_pack(p, i, f->disk + i * TRANSFER_CHUNK, TRANSFER_CHUNK, sha, &r, &body, NULL), 0);
		transfer_record_put(&r, f->records + f->records_len);
		memcpy(f->records + f->records_len + TRANSFER_RECORD_BYTES, body, r.packed);
		f->records_len += TRANSFER_RECORD_BYTES + r.packed;
	}
	transfer_packer_free(p);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	char command[128];

	store_close(&f->r.store);
	buffers_free(f->r.buffers);
	assert_int_equal(atomic_load(&f->r.json_bytes), 0);
	snprintf(command, sizeof(command), "rm -rf %s", f->path);
	assert_int_equal(system(command), 0);
	free(f->disk);
	free(f->records);
	free(f);
	return 0;
}

/* A request whose body comes in pieces of this many bytes; its answer's body, NUL-terminated, to be freed. */
static char *ask(struct fixture *f, unsigned status, const char *method, const char *path, const char *secret, const void *body,
                 size_t len, size_t piece)
{
	char bearer[200];
	struct request_head h = { .method = method,
		                  .path = path,
		                  .authorization = secret ? bearer : NULL,
		                  .has_length = true,
		                  .length = len,
		                  .from = "0",
		                  .count = "3" };
	struct request *q;
	struct answer a;
	char *out;

	snprintf(bearer, sizeof(bearer), "Bearer %s", secret ? secret : "");
	q = request_new(&f->r, &h);
	assert_non_null(q);
	for (size_t at = 0; !request_ready(q) && at < len; at += piece)
		assert_true(request_body(q, (const char *)body + at, len - at < piece ? len - at : piece));
	request_end(q, &a);
	out = calloc(1, a.len + 1);
	if (a.body)
		memcpy(out, a.body, a.len);
	if (a.file >= 0)
		close(a.file);
	free(a.owned);
	request_free(q);
	if (a.status != status)
		fail_msg("%s %s: %u, not %u: %s", method, path, a.status, status, out);
	return out;
}

static void asked(struct fixture *f, unsigned status, const char *method, const char *path, const char *secret, const void *body,
                  size_t len, size_t piece)
{
	free(ask(f, status, method, path, secret, body, len, piece));
}

static void text_of(const char *json, const char *key, char out[80])
{
	json_object *o = json_tokener_parse(json);

	snprintf(out, 80, "%s", json_object_get_string(json_object_object_get(o, key)));
	json_object_put(o);
}

/* What stands in capture.json of the work is whatever somebody wrote there. */
static void works_shown(struct fixture *f)
{
	static const struct { const char *work, *state, *step, *verdict, *message, *shot; } list[] = {
		{ "{}", "\"complete\"", "null", "null", "null", "false" },
		{ "{\"state\":null}", "\"complete\"", "null", "null", "null", "false" },
		{ "{\"state\":7,\"verdict\":{},\"message\":[7]}", "\"complete\"", "null", "null", "null", "false" },
		{ "{\"state\":[],\"verdict\":null,\"screenshot\":{}}", "\"complete\"", "null", "null", "null", "false" },
		{ "{\"state\":\"waiting\",\"step\":\"x\"}", "\"queued\"", "null", "null", "null", "false" },
		{ "{\"state\":\"running\",\"step\":null}", "\"running\"", "null", "null", "null", "false" },
		{ "{\"state\":\"running\",\"step\":\"verifying\"}", "\"running\"", "\"verifying\"", "null", "null", "false" },
		{ "{\"state\":\"done\",\"verdict\":\"booted\",\"message\":\"m\",\"screenshot\":\"s\"}", "\"done\"", "null",
		  "\"booted\"", "\"m\"", "true" },
	};
	struct capture *c = f->r.store.list;

	for (size_t i = 0; i < sizeof(list) / sizeof(*list); i++) {
		char due[5][80];
		char *answer;

		assert_int_equal(capture_work_set(c, json_tokener_parse(list[i].work), NULL), 0);
		transfer_state_free(&c->st);
		assert_int_equal(transfer_state_read(c->dir, &c->st, NULL), 0);
		snprintf(due[0], 80, "\"state\":%s,\"begun\"", list[i].state);
		snprintf(due[1], 80, "\"step\":%s,", list[i].step);
		snprintf(due[2], 80, "\"verdict\":%s,", list[i].verdict);
		snprintf(due[3], 80, "\"message\":%s,", list[i].message);
		snprintf(due[4], 80, "\"screenshot\":%s", list[i].shot);
		answer = ask(f, 200, "GET", "/v1/captures", KEY, NULL, 0, 1);
		for (size_t k = 0; k < 5; k++)
			if (!strstr(answer, due[k]))
				fail_msg("%s: no %s in %s", list[i].work, due[k], answer);
		free(answer);
	}
}

/* It cannot get its name, twice, and can be asked for again. */
static void name_taken(struct fixture *f, const char *path, const char *secret)
{
	struct capture *c = f->r.store.list;

	assert_int_equal(mkdirat(f->r.store.dir, c->st.folder, 0700), 0);
	for (unsigned i = 0; i < 2; i++) {
		asked(f, 500, "POST", path, secret, "{}", 2, 1);
		assert_int_equal(c->state, CAPTURE_RECEIVING);
	}
	assert_int_equal(unlinkat(f->r.store.dir, c->st.folder, AT_REMOVEDIR), 0);
}

/* What is in the store besides the receiver's own. */
static unsigned folders(const struct fixture *f)
{
	DIR *d = opendir(f->path);
	unsigned n = 0;

	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));)
		n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strcmp(e->d_name, FOLDER_OWN);
	closedir(d);
	return n;
}

/* Its folder is made, and then too many files are open: nothing of it stays, and it can begin another time. */
static void begun_in_vain(void **state)
{
	char machine[8192] = "{\"schema-version\":1,\"type\":\"vdisk-machine\",\"name\":\"m\",\"uuid\":\"4c4c4544-0044-4810-8031-"
	                     "b4c04f563232\",\"disks\":[";
	struct fixture *f = *state;
	struct rlimit was, less;
	char *answer;
	int fd = dup(f->r.store.dir);

	for (unsigned i = 0; i < 48; i++)
		snprintf(machine + strlen(machine), sizeof(machine) - strlen(machine),
		         "%s{\"name\":\"d%u\",\"medium\":\"disk\",\"size\":1048576}", i ? "," : "", i);
	strcat(machine, "]}");
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	less = was;
	less.rlim_cur = (rlim_t)fd + 24;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
	answer = ask(f, 500, "POST", "/v1/captures", TOKEN, machine, strlen(machine), 8192);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	if (!strstr(answer, "Too many open files") || strstr(answer, "\"d0.")) /* they are made one at a time, and then held open */
		fail_msg("%s", answer);
	free(answer);
	assert_null(f->r.store.list);
	assert_int_equal(folders(f), 0);
	asked(f, 201, "POST", "/v1/captures", TOKEN, machine, strlen(machine), 8192);
	assert_int_equal(folders(f), 1);
}

static void a_whole_capture(void **state)
{
	static const char machine[] =
		"{\"schema-version\":1,\"type\":\"vdisk-machine\",\"name\":\"web1\",\"uuid\":\"4c4c4544-0044-4810-8031-b4c04f563232\","
		"\"disks\":[{\"name\":\"sda\",\"medium\":\"disk\",\"size\":3145728}]}";
	static const size_t pieces[] = { 1u << 22, 65536, 4093, 57, 56, 55 };
	struct fixture *f = *state;
	char *answer, id[80], secret[80], path[200], pass[200], hex[65];
	struct transfer_tree *t = transfer_tree_new();
	uint8_t leaves[3][32], digest[32];

	asked(f, 401, "POST", "/v1/captures", "another token", machine, sizeof(machine) - 1, 10);
	asked(f, 401, "POST", "/v1/captures", NULL, machine, sizeof(machine) - 1, 10);
	asked(f, 405, "PUT", "/v1/captures", TOKEN, "", 0, 1);
	answer = ask(f, 201, "POST", "/v1/captures", TOKEN, machine, sizeof(machine) - 1, 10);
	text_of(answer, "id", id);
	text_of(answer, "secret", secret);
	free(answer);
	snprintf(path, sizeof(path), "/v1/captures/%s/disks/sda/chunks", id);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
		answer = ask(f, 200, "POST", path, secret, f->records, f->records_len, pieces[i]);
		assert_string_equal(answer, "{\"taken\":3}");
		free(answer);
	}
	asked(f, 422, "POST", path, secret, f->records, f->records_len - 1, 65536);
	asked(f, 401, "POST", path, TOKEN, f->records, f->records_len, 65536);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(transfer_sha256(f->disk + i * TRANSFER_CHUNK, TRANSFER_CHUNK, leaves[i], NULL), 0);
	assert_int_equal(transfer_tree_add(t, (const uint8_t (*)[32])leaves, 3, NULL), 0);
	assert_int_equal(transfer_tree_end(t, SIZE, digest, NULL), 0);
	transfer_tree_free(t);
	transfer_hex(digest, 32, hex);
	snprintf(path, sizeof(path), "/v1/captures/%s/disks/sda/pass", id);
	snprintf(pass, sizeof(pass), "{\"pass\":1,\"frozen\":true,\"skipped\":0,\"bad\":[],\"digest\":\"%s\"}", hex);
	asked(f, 200, "POST", path, secret, pass, strlen(pass), 7);
	snprintf(path, sizeof(path), "/v1/captures/%s/disks/sda/digests", id);
	answer = ask(f, 200, "GET", path, secret, NULL, 0, 1);
	assert_memory_equal(answer, leaves, 96);
	free(answer);
	snprintf(path, sizeof(path), "/v1/captures/%s/complete", id);
	f->r.store.list->closing = true; /* the connection broke over which it was asked for: not no, but later */
	asked(f, 503, "POST", path, secret, "{}", 2, 1);
	f->r.store.list->closing = false;
	name_taken(f, path, secret);
	asked(f, 200, "POST", path, secret, "{}", 2, 1);
	asked(f, 200, "POST", path, secret, "", 0, 1);
	snprintf(path, sizeof(path), "/v1/captures/%s/log", id);
	asked(f, 401, "GET", path, NULL, NULL, 0, 1);
	asked(f, 401, "GET", path, secret, NULL, 0, 1);
	answer = ask(f, 200, "GET", "/v1/captures", KEY, NULL, 0, 1);
	assert_non_null(strstr(answer, "\"complete\":true"));
	free(answer);
	works_shown(f);
}

static void shown(const struct steps *s, const char *due)
{
	json_object *o = steps_json(s);

	assert_string_equal(due, o ? json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN) : "null");
	json_object_put(o);
}

/* The words of a program that follows up. */
static void steps_of_work(void **state)
{
	static const char *const said[] = {
		"", "{", "{}", "[]", "{\"event\":7}", "vdisk p2v: warning: {\"event\":\"plan\"}", "{\"event\":\"warning\"}"
	};
	struct steps s = { 0 };
	char line[2048] = "{\"event\":\"plan\",\"phases\":[";

	(void)state;
	for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++)
		assert_false(steps_hear(&s, said[i]));
	shown(&s, "null");
	assert_true(steps_hear(&s, "{\"event\":\"progress\",\"step\":1}")); /* of what nobody announced */
	assert_null(steps_now(&s));
	assert_true(steps_hear(
		&s, "{\"event\":\"plan\",\"phases\":[{\"phase\":\"converting\",\"steps\":2},{\"phase\":\"odd\",\"steps\":-1},7,"
		    "{\"phase\":\"verifying\",\"steps\":1}]}"));
	shown(&s,
	      "[{\"name\":\"converting\",\"state\":\"waiting\",\"of\":2,\"at\":null,\"disk\":null,\"done\":null,\"total\":null,"
	      "\"bytes-per-second\":null},{\"name\":\"verifying\",\"state\":\"waiting\",\"of\":1,\"at\":null,\"disk\":null,\"done\":null,"
	      "\"total\":null,\"bytes-per-second\":null}]");
	assert_true(steps_hear(
		&s, "{\"event\":\"progress\",\"step\":2,\"disk\":\"sdb\",\"done\":5,\"total\":9,\"bytes-per-second\":3}"));
	assert_string_equal("converting", steps_now(&s));
	assert_true(steps_hear(&s, "{\"event\":\"progress\",\"step\":99}"));
	shown(&s,
	      "[{\"name\":\"converting\",\"state\":\"running\",\"of\":2,\"at\":2,\"disk\":\"sdb\",\"done\":5,\"total\":9,"
	      "\"bytes-per-second\":3},{\"name\":\"verifying\",\"state\":\"waiting\",\"of\":1,\"at\":null,\"disk\":null,\"done\":null,"
	      "\"total\":null,\"bytes-per-second\":null}]");
	assert_true(steps_hear(&s, "{\"event\":\"progress\",\"step\":3,\"disk\":null,\"done\":null,\"total\":null}"));
	shown(&s,
	      "[{\"name\":\"converting\",\"state\":\"done\",\"of\":2,\"at\":null,\"disk\":null,\"done\":null,\"total\":null,"
	      "\"bytes-per-second\":null},{\"name\":\"verifying\",\"state\":\"running\",\"of\":1,\"at\":1,\"disk\":null,\"done\":null,"
	      "\"total\":null,\"bytes-per-second\":null}]");
	steps_single(&s, "verifying");
	assert_string_equal("verifying", steps_now(&s));
	for (unsigned i = 0; i < STEPS_MAX + 3; i++)
		strcat(line,
		       i ? ",{\"phase\":\"a phase with a very long name\",\"steps\":1}" : "{\"phase\":\"a\",\"steps\":4294967295}");
	strcat(line, "]}");
	assert_true(steps_hear(&s, line));
	assert_int_equal(STEPS_MAX, s.n);
	assert_true(steps_hear(&s, "{\"event\":\"progress\",\"step\":4294967296}"));
	assert_int_equal(1, s.now);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(routes), cmocka_unit_test(tokens), cmocka_unit_test(rates),
		                            cmocka_unit_test(steps_of_work),
		                            cmocka_unit_test_setup_teardown(begun_in_vain, set_up, tear_down),
		                            cmocka_unit_test_setup_teardown(a_whole_capture, set_up, tear_down) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

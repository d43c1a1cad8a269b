/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What captures and receivers share: records, names, texts, passes, and a capture's folder; digests and manifests are the library's
   own, to the byte. */
#include "transfer/leaves.h"
#include "transfer/state.h"
#include "transfer/transfer.h"

#include "common/numbers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SIZE (5 * (uint64_t)TRANSFER_CHUNK + 512)

/* ---------------------------------------------------------------- records */

static void record_round(const struct transfer_record *r)
{
	uint8_t head[TRANSFER_RECORD_BYTES];
	struct transfer_record back;
	vdisk_error err;

	transfer_record_put(r, head);
	assert_memory_equal(head, "VTR1", 4);
	if (transfer_record_get(head, SIZE, &back, &err))
		fail_msg("%s", err.message);
	assert_int_equal(back.kind, r->kind);
	assert_int_equal(back.index, r->index);
	assert_int_equal(back.count, r->count);
	assert_int_equal(back.packed, r->packed);
	assert_memory_equal(back.sha256, r->sha256, 32);
}

static void records(void **state)
{
	struct transfer_record r = { .kind = TRANSFER_DATA, .index = 4, .count = 1, .packed = TRANSFER_CHUNK };

	(void)state;
	memset(r.sha256, 0xa5, 32);
	record_round(&r);
	r.index = 5;
	r.packed = 512;
	record_round(&r);
	r.kind = TRANSFER_ZSTD;
	r.packed = 511;
	record_round(&r);
	r = (struct transfer_record){ .kind = TRANSFER_ZEROS, .index = 0, .count = 6 };
	record_round(&r);
	r.index = 5;
	r.count = 1;
	record_round(&r);
}

/* One field after the other is what it may not be. */
static void records_refused(void **state)
{
	static const struct { struct transfer_record r; unsigned at; uint8_t byte; } bad[] = {
		{ { TRANSFER_DATA, 0, 1, TRANSFER_CHUNK, { 1 } }, 0, 'v' },   /* magic */
		{ { TRANSFER_DATA, 0, 1, TRANSFER_CHUNK, { 1 } }, 4, 0 },     /* kind */
		{ { TRANSFER_DATA, 0, 1, TRANSFER_CHUNK, { 1 } }, 4, 4 },
		{ { TRANSFER_DATA, 0, 1, TRANSFER_CHUNK, { 1 } }, 5, 1 },
		{ { TRANSFER_DATA, 0, 1, TRANSFER_CHUNK, { 1 } }, 6, 1 },     /* flags */
		{ { TRANSFER_DATA, 0, 1, TRANSFER_CHUNK, { 1 } }, 8, 6 },     /* index */
		{ { TRANSFER_DATA, 0, 1, TRANSFER_CHUNK, { 1 } }, 15, 0x80 },
		{ { TRANSFER_DATA, 0, 1, TRANSFER_CHUNK, { 1 } }, 8, 5 },     /* the short one's length */
		{ { TRANSFER_DATA, 0, 1, TRANSFER_CHUNK, { 1 } }, 16, 2 },    /* count */
		{ { TRANSFER_DATA, 0, 1, TRANSFER_CHUNK, { 1 } }, 20, 1 },    /* packed */
		{ { TRANSFER_ZSTD, 0, 1, TRANSFER_CHUNK - 1, { 1 } }, 22, 0x10 },
		{ { TRANSFER_ZSTD, 0, 1, 1, { 1 } }, 20, 0 },
		{ { TRANSFER_ZEROS, 0, 1, 0, { 0 } }, 16, 0 },
		{ { TRANSFER_ZEROS, 0, 1, 0, { 0 } }, 16, 7 },
		{ { TRANSFER_ZEROS, 1, 1, 0, { 0 } }, 16, 6 },
		{ { TRANSFER_ZEROS, 1, 1, 0, { 0 } }, 19, 0xff },
		{ { TRANSFER_ZEROS, 0, 1, 0, { 0 } }, 20, 1 },
		{ { TRANSFER_ZEROS, 0, 1, 0, { 0 } }, 55, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		uint8_t head[TRANSFER_RECORD_BYTES];
		struct transfer_record back;
		vdisk_error err = { 0 };

		transfer_record_put(&bad[i].r, head);
		assert_int_not_equal(head[bad[i].at], bad[i].byte);
		head[bad[i].at] = bad[i].byte;
		if (!transfer_record_get(head, SIZE, &back, &err))
			fail_msg("case %zu is taken", i);
		assert_int_equal(err.kind, VDISK_CORRUPT);
	}
}

static void packed_and_unpacked(void **state)
{
	uint8_t *buf = malloc(TRANSFER_CHUNK), *room = malloc(TRANSFER_CHUNK), sha[32];
	struct transfer_unpacker *u = transfer_unpacker_new();
	uint64_t seed = 7;

	(void)state;
	for (int kind = 0; kind < 3; kind++)
		for (int level = 0; level <= 3; level += 3)
			for (size_t len = 512; len <= TRANSFER_CHUNK; len *= 2048) {
				struct transfer_packer *p = transfer_packer_new(level);
				struct transfer_record r;
				const void *body, *out;

				for (size_t i = 0; i < len; i++) {
					seed = seed * 6364136223846793005u + 1442695040888963407u;
					buf[i] = kind == 0 ? 0 : kind == 1 ? (uint8_t)(i / 100) : (uint8_t)(seed >> 56);
				}
				assert_int_equal(transfer_sha256(buf, len, sha, NULL), 0);
				assert_int_equal(transfer_pack(p, 9, buf, len, sha, &r, &body, NULL), 0);
				assert_int_equal(r.kind, kind == 0            ? TRANSFER_ZEROS
				                         : kind == 1 && level ? TRANSFER_ZSTD
				                                              : TRANSFER_DATA);
				assert_true(r.packed <= len);
				if (kind) {
					assert_int_equal(transfer_unpack(u, &r, body, len, room, &out, NULL), 0);
					assert_memory_equal(out, buf, len);
					r.sha256[31] ^= 1;
					assert_int_equal(transfer_unpack(u, &r, body, len, room, &out, NULL), -1);
				}
				transfer_packer_free(p);
			}
	transfer_unpacker_free(u);
	free(buf);
	free(room);
}

/* ---------------------------------------------------------------- names and texts */

static void names(void **state)
{
	static const char *const good[] = { "sda", "nvme0n1", "c0d0", "x", "A.b_c-9", "_" };
	static const char *const bad[] = { "", ".", "..", ".x", "-x", "a/b", "a b", "a\n", "\xc3\xa4", "a:b" };
	static const char *const made[][2] = { { "web1.example.org", "web1.example.org" },
		                               { "../../etc", "etc" },
		                               { "", "x" },
		                               { "/", "x" },
		                               { "---", "x" },
		                               { "a b\tc", "a-b-c" },
		                               { ".hidden", "hidden" },
		                               { "\xc3\xa4\xc3\xb6", "x" },
		                               { "a/", "a" },
		                               { "<b>x</b>", "b-x-b" } };
	char out[TRANSFER_NAME_MAX + 1], folder[TRANSFER_FOLDER_MAX], big[201];

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(transfer_name_good(good[i], strlen(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(transfer_name_good(bad[i], strlen(bad[i])));
	memset(big, 'a', 200);
	big[200] = '\0';
	assert_true(transfer_name_good(big, 64));
	assert_false(transfer_name_good(big, 65));
	for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++) {
		transfer_name_make(made[i][0], out);
		assert_string_equal(out, made[i][1]);
		assert_true(transfer_name_good(out, strlen(out)));
	}
	transfer_name_make(NULL, out);
	assert_string_equal(out, "x");
	transfer_folder_make("web1", "4c4c4544-0044-4810", 1763769600, folder);
	assert_string_equal(folder, "web1-20251122-4c4c4544");
	transfer_folder_make(big, big, (time_t)1 << 60, folder);
	assert_true(strlen(folder) < sizeof(folder) && !strchr(folder, '/'));
}

static void texts(void **state)
{
	uint8_t bytes[32], back[32];
	char hex[65], pin[64], coloned[128] = "SHA256:";

	(void)state;
	for (unsigned i = 0; i < 32; i++)
		bytes[i] = (uint8_t)(i * 37 + 200);
	transfer_hex(bytes, 32, hex);
	assert_int_equal(strlen(hex), 64);
	assert_true(transfer_unhex(hex, false, back, 32));
	assert_memory_equal(back, bytes, 32);
	for (unsigned i = 0; i < 32; i++)
		snprintf(coloned + strlen(coloned), 4, "%s%02X", i ? ":" : "", bytes[i]);
	memset(back, 0, 32);
	assert_true(transfer_unhex(coloned, true, back, 32));
	assert_memory_equal(back, bytes, 32);
	assert_false(transfer_unhex(coloned, false, back, 32));
	hex[63] = '\0';
	assert_false(transfer_unhex(hex, false, back, 32));
	assert_false(transfer_unhex("", false, back, 32));
	assert_false(transfer_unhex("0g", false, back, 1));
	assert_false(transfer_unhex("000", false, back, 1));
	memset(bytes, 0xff, 32);
	bytes[0] = 0;
	transfer_pin(bytes, pin);
	assert_string_equal(pin, "sha256//AP////////////////////////////////////////8=");
}

static void json(void **state)
{
	static const char *const bad[] = {
		"", "[]", "null", "7", "{", "{} x", "{}{}",
		"{\"a\":1,}",
		"\xff",
		"{\"a\":'x'}",
		"{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}}}}}}}}}}}}}}}"
	};
	static const char text[] = "{\"n\": 18446744073709551615, \"m\": -1, \"t\": \"a\\nb\", \"u\": \"ok\", \"b\": true}\n";
	json_object *o = transfer_json(text, sizeof(text) - 1, NULL);
	vdisk_error err;
	const char *s;
	uint64_t v;
	bool b;
	char line[VDISK_ERROR_MESSAGE_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (transfer_json(bad[i], strlen(bad[i]), &err))
			fail_msg("%s", bad[i]);
	assert_non_null(o);
	assert_true(transfer_json_u64(o, "n", UINT64_MAX, &v, &err) && v == UINT64_MAX);
	assert_false(transfer_json_u64(o, "n", UINT64_MAX - 1, &v, &err));
	assert_false(transfer_json_u64(o, "m", UINT64_MAX, &v, &err));
	assert_false(transfer_json_u64(o, "u", UINT64_MAX, &v, &err));
	assert_false(transfer_json_u64(o, "x", UINT64_MAX, &v, &err));
	assert_false(transfer_json_text(o, "t", 100, &s, &err));
	assert_false(transfer_json_text(o, "u", 1, &s, &err));
	assert_true(transfer_json_text(o, "u", 2, &s, &err) && !strcmp(s, "ok"));
	assert_true(transfer_json_bool(o, "b", &b, &err) && b);
	assert_false(transfer_json_bool(o, "u", &b, &err));
	json_object_put(o);
	transfer_json_error("{\"error\":\"no\\n\\u001b[2J\"}", 25, 400, line);
	assert_string_equal(line, "no??[2J");
	transfer_json_error("<html>", 6, 502, line);
	assert_string_equal(line, "HTTP status 502");
}

/* ---------------------------------------------------------------- folders */

struct folder {
	char path[64];
	int dir;
};

static int folder_open(void **state)
{
	struct folder *f = calloc(1, sizeof(*f));

	strcpy(f->path, "/tmp/test-transfer.XXXXXX");
	assert_non_null(mkdtemp(f->path));
	f->dir = open(f->path, O_RDONLY | O_DIRECTORY);
	*state = f;
	return 0;
}

static int folder_close(void **state)
{
	struct folder *f = *state;
	char command[128];

	close(f->dir);
	snprintf(command, sizeof(command), "rm -rf %s", f->path);
	assert_int_equal(system(command), 0);
	free(f);
	return 0;
}

static void pass_kept(void **state)
{
	struct folder *f = *state;
	struct vdisk_range bad[] = { { 512, 512 }, { TRANSFER_CHUNK, 1024 } };
	struct transfer_pass p = { .pass = 3, .frozen = true, .skipped = 4096, .bad = bad, .n_bad = 2 }, back;

	memset(p.digest, 0x5a, 32);
	assert_int_equal(transfer_pass_load(f->dir, "sda", SIZE, &back, NULL), 0);
	assert_int_equal(back.pass, 0);
	assert_int_equal(transfer_pass_save(f->dir, "sda", &p, NULL), 0);
	assert_int_equal(transfer_pass_load(f->dir, "sda", SIZE, &back, NULL), 0);
	assert_int_equal(back.pass, 3);
	assert_true(back.frozen);
	assert_int_equal(back.skipped, 4096);
	assert_int_equal(back.n_bad, 2);
	assert_memory_equal(back.bad, bad, sizeof(bad));
	assert_memory_equal(back.digest, p.digest, 32);
	transfer_pass_free(&back);
	assert_int_equal(transfer_pass_load(f->dir, "sda", TRANSFER_CHUNK, &back, NULL), -1); /* it sticks out */
}

/* However long its name is, a file is written under a name that is nobody else's. */
static void long_names(void **state)
{
	struct folder *f = *state;
	char name[NAME_MAX + 1], *text;
	vdisk_error err = { 0 };
	struct stat st;
	size_t len;
	int fd;

	memset(name, 'a', NAME_MAX);
	name[0] = '.';
	name[NAME_MAX] = '\0';
	for (size_t n = 2; n < NAME_MAX; n++) { /* every beginning of ".aaa….new", empty */
		name[n] = '\0';
		fd = openat(f->dir, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
		assert_true(fd >= 0);
		close(fd);
		name[n] = 'a';
	}
	name[0] = 'a';
	name[NAME_MAX - strlen(TRANSFER_FRESH(""))] = '\0';
	assert_int_equal(transfer_file_write(f->dir, name, "the longest", 11, NULL), 0);
	text = transfer_file_read(f->dir, name, &len, NULL);
	assert_string_equal(text, "the longest");
	free(text);
	memset(name, 'a', NAME_MAX);
	name[0] = '.';
	for (size_t n = NAME_MAX - 1; n >= 2; n--) {
		name[n] = '\0';
		if (fstatat(f->dir, name, &st, 0) || st.st_size)
			fail_msg("the file whose name is %zu bytes long was taken for another one's", n);
	}
	memset(name, 'a', NAME_MAX);
	name[NAME_MAX - strlen(TRANSFER_FRESH("")) + 1] = '\0';
	assert_int_equal(transfer_file_write(f->dir, name, "longer", 6, &err), -1);
	assert_int_equal(err.sys_errno, ENAMETOOLONG);
}

static void state_kept(void **state)
{
	struct folder *f = *state;
	struct transfer_state s = { .whole = true, .begun = 1763769600, .received = true, .n_disks = 2 }, back;
	char *text, *at;
	size_t len;

	strcpy(s.id, "0123456789abcdef0123456789abcdef");
	strcpy(s.folder, "web1-20251122-4c4c4544");
	strcpy(s.host, "web1");
	strcpy(s.machine, "4c4c4544");
	strcpy(s.format, "qcow2");
	memset(s.secret, 1, 32);
	memset(s.token, 2, 32);
	strcpy(s.disks[0].name, "sda");
	s.disks[0].size = SIZE;
	strcpy(s.disks[1].name, "sdb");
	s.disks[1].size = TRANSFER_SIZE_MAX;
	s.work = json_tokener_parse("{\"state\":\"done\"}");
	assert_int_equal(transfer_state_write(f->dir, &s, NULL), 0);
	assert_int_equal(transfer_state_read(f->dir, &back, NULL), 0);
	assert_string_equal(json_object_to_json_string(back.work), json_object_to_json_string(s.work));
	transfer_state_free(&back);
	transfer_state_free(&s);
	back.work = NULL;
	assert_memory_equal(&back, &s, sizeof(s));
	/* Nothing that would lead out of the folder. */
	for (int i = 0; i < 3; i++) {
		static const char *const was[] = { "web1-2025", "\"sdb\"", "partial" }, *const is[] = { "../../025", "\"/db\"",
			                                                                                "partia/" };

		s.whole = i != 2;
		assert_int_equal(transfer_state_write(f->dir, &s, NULL), 0);
		text = transfer_file_read(f->dir, TRANSFER_STATE_FILE, &len, NULL);
		at = strstr(text, was[i]);
		assert_non_null(at);
		memcpy(at, is[i], strlen(is[i]));
		assert_int_equal(transfer_file_write(f->dir, TRANSFER_STATE_FILE, text, len, NULL), 0);
		free(text);
		assert_int_equal(transfer_state_read(f->dir, &back, NULL), -1);
		transfer_state_free(&back);
	}
}

/* A disk of the library's: the list gives its digest, and its manifest to the byte. */
static void leaves_as_the_library_has_them(void **state)
{
	struct folder *f = *state;
	char disk[96], theirs[96];
	struct vdisk_create_options o = { .format = "raw", .size = SIZE };
	struct vdisk_open_options rw = { .format = "raw", .flags = VDISK_OPEN_RW };
	uint8_t *chunk = malloc(TRANSFER_CHUNK), digest[32], want[32], sha[1][32];
	struct transfer_leaves l;
	vdisk_image *img;
	uint64_t missing, n;
	size_t len, len2;
	char *a, *b;

	snprintf(disk, sizeof(disk), "%s/disk.raw", f->path);
	snprintf(theirs, sizeof(theirs), "%s/theirs", f->path);
	assert_int_equal(vdisk_create(disk, &o, NULL, NULL), 0);
	assert_int_equal(vdisk_open(disk, &rw, &img, NULL), 0);
	assert_int_equal(vdisk_pwrite(img, "hello", 5, TRANSFER_CHUNK + 3, NULL), 0);
	assert_int_equal(vdisk_manifest_make(img, theirs, false, NULL, want, NULL), 0);
	assert_int_equal(transfer_leaves_open(&l, f->dir, "sda.leaves", SIZE, true, NULL), 0);
	for (uint64_t i = 0; i < transfer_chunks(SIZE); i++) {
		assert_int_equal(transfer_leaves_digest(&l, digest, &missing, NULL), 0);
		assert_int_equal(missing, transfer_chunks(SIZE) - i);
		assert_int_equal(transfer_leaves_manifest(&l, f->dir, "ours", NULL), -1);
		assert_int_equal(vdisk_pread(img, chunk, transfer_chunk_len(SIZE, i), i * TRANSFER_CHUNK, NULL), 0);
		assert_int_equal(transfer_sha256(chunk, transfer_chunk_len(SIZE, i), sha[0], NULL), 0);
		if (i != 1) {
			assert_int_equal(transfer_zero_leaf(SIZE, i, digest, NULL), 0);
			assert_memory_equal(digest, sha[0], 32);
		}
		assert_int_equal(transfer_leaves_note(&l, i, 1, (const uint8_t (*)[32])sha, NULL), 0);
	}
	vdisk_close(img, NULL);
	assert_int_equal(transfer_leaves_digest(&l, digest, &missing, NULL), 0);
	assert_int_equal(missing, 0);
	assert_memory_equal(digest, want, 32);
	assert_int_equal(transfer_leaves_manifest(&l, f->dir, "ours", NULL), 0);
	a = transfer_file_read(f->dir, "ours", &len, NULL);
	b = transfer_file_read(f->dir, "theirs", &len2, NULL);
	assert_string_equal(a, b);
	free(a);
	free(b);
	assert_int_equal(transfer_leaves_forget(&l, 2, 3, NULL), 0);
	assert_int_equal(transfer_leaves_count(&l, &n, NULL), 0);
	assert_int_equal(n, transfer_chunks(SIZE) - 3);
	transfer_leaves_close(&l);
	assert_int_equal(transfer_leaves_open(&l, f->dir, "sda.leaves", SIZE + TRANSFER_CHUNK, false, NULL), -1);
	assert_int_equal(transfer_leaves_open(&l, f->dir, "sda.leaves", SIZE, true, NULL), -1);
	free(chunk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records), cmocka_unit_test(records_refused), cmocka_unit_test(packed_and_unpacked),
		cmocka_unit_test(names), cmocka_unit_test(texts), cmocka_unit_test(json),
		cmocka_unit_test_setup_teardown(pass_kept, folder_open, folder_close),
		cmocka_unit_test_setup_teardown(long_names, folder_open, folder_close),
		cmocka_unit_test_setup_teardown(state_kept, folder_open, folder_close),
		cmocka_unit_test_setup_teardown(leaves_as_the_library_has_them, folder_open, folder_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

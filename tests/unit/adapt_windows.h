/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A Windows of a few files and two hives, for the steps that adapt it: hives are made from nothing (an empty one, byte by byte) and
   filled and looked at through libhivex alone, not through the code under test. */
#ifndef TESTS_ADAPT_WINDOWS_H
#define TESTS_ADAPT_WINDOWS_H

#include "adapt_guest.h"
#include "windows.h"

#include <hivex.h>
#include <iconv.h>

enum reg_type { REG_END, REG_SZ, REG_EXPAND, REG_BIN, REG_DWORD, REG_MULTI = 7 };

struct reg {
	const char *key, *name;
	enum reg_type type;
	const char *text;    /* of MULTI: texts with | between */
	uint32_t number;
};

#define R_DWORD(key, name, v) { key, name, REG_DWORD, NULL, v }
#define R_SZ(key, name, v) { key, name, REG_SZ, v, 0 }
#define R_EXPAND(key, name, v) { key, name, REG_EXPAND, v, 0 }
#define R_MULTI(key, name, v) { key, name, REG_MULTI, v, 0 }

static inline void put32(unsigned char *b, size_t at, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		b[at + i] = (unsigned char)(v >> 8 * i);
}

/* A hive of one key: base block, one bin with the root's key and its security cell. */
static inline void hive_empty(unsigned char b[8192])
{
	uint32_t sum = 0;

	memset(b, 0, 8192);
	memcpy(b, "regf", 4);
	put32(b, 4, 1); /* both sequence numbers */
	put32(b, 8, 1);
	put32(b, 20, 1); /* version 1.3 */
	put32(b, 24, 3);
	put32(b, 32, 1);
	put32(b, 36, 0x20); /* root */
	put32(b, 40, 4096); /* bins */
	put32(b, 44, 1);
	for (size_t i = 0; i < 508; i += 4)
		sum ^= (uint32_t)b[i] | (uint32_t)b[i + 1] << 8 | (uint32_t)b[i + 2] << 16 | (uint32_t)b[i + 3] << 24;
	put32(b, 508, sum);
	b += 4096;
	memcpy(b, "hbin", 4);
	put32(b, 8, 4096);
	put32(b, 0x20, (uint32_t)-0x58); /* the root's key */
	memcpy(b + 0x24, "nk\x2c\0", 4);
	put32(b, 0x34, 0xffffffff);
	put32(b, 0x40, 0xffffffff);
	put32(b, 0x44, 0xffffffff);
	put32(b, 0x4c, 0xffffffff);
	put32(b, 0x50, 0x78);
	put32(b, 0x54, 0xffffffff);
	b[0x6c] = 4;
	memcpy(b + 0x70, "ROOT", 4);
	put32(b, 0x78, (uint32_t)-0x30); /* its security */
	memcpy(b + 0x7c, "sk\0\0", 4);
	put32(b, 0x80, 0x78);
	put32(b, 0x84, 0x78);
	put32(b, 0x88, 1);
	put32(b, 0x8c, 20);
	memcpy(b + 0x90, "\1\0\0\x80", 4);
	put32(b, 0xa8, 4096 - 0xa8); /* the rest is free */
}

static inline size_t utf16(const char *text, bool multi, char *out, size_t room)
{
	char copy[2048];
	iconv_t cd = iconv_open("UTF-16LE", "UTF-8");
	char *from = copy, *to = out;
	size_t left = strlen(text) + 1, had = room;

	assert_true(left + 1 < sizeof(copy));
	memcpy(copy, text, left);
	for (char *s = copy; multi && *s; s++) {
		if (*s == '|')
			*s = '\0';
	}
	if (multi && *text)
		copy[left++] = '\0';
	assert_true(iconv(cd, &from, &left, &to, &room) != (size_t)-1);
	iconv_close(cd);
	return had - room;
}

static inline hive_node_h reg_key(hive_h *h, const char *path, bool make)
{
	hive_node_h at = hivex_root(h);
	char copy[512], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *s = strtok_r(copy, "\\", &save); s && at; s = strtok_r(NULL, "\\", &save)) {
		hive_node_h child = hivex_node_get_child(h, at, s);

		at = child || !make ? child : hivex_node_add_child(h, at, s);
	}
	return at;
}

static inline void hive_write(const char *path, const struct reg *r)
{
	unsigned char b[8192];
	FILE *f;
	hive_h *h;

	hive_empty(b);
	host_folders(path);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(b, 1, sizeof(b), f), sizeof(b));
	fclose(f);
	h = hivex_open(path, HIVEX_OPEN_WRITE);
	if (!h)
		fail_msg("%s: %s", path, strerror(errno));
	for (; r->type; r++) {
		char value[4096];
		hive_set_value set = { .key = (char *)(uintptr_t)r->name, .t = (hive_type)r->type, .value = value };
		hive_node_h key = reg_key(h, r->key, true);

		assert_true(key != 0);
		if (r->type == REG_DWORD) {
			set.len = 4;
			put32((unsigned char *)value, 0, r->number);
		} else if (r->type == REG_BIN) {
			set.len = r->number;
			memcpy(value, r->text, r->number);
		} else {
			set.len = utf16(r->text, r->type == REG_MULTI, value, sizeof(value));
		}
		assert_int_equal(hivex_node_set_value(h, key, &set, 0), 0);
	}
	assert_int_equal(hivex_commit(h, NULL, 0), 0);
	hivex_close(h);
}

/* ---------------------------------------------------------------- looking */

/* What the plan makes of a hive, or what stands in the guest where it changes nothing. */
static inline hive_h *hive_after(struct guest *g, const char *path)
{
	char at[] = "/tmp/vdisk-hive-XXXXXX";
	struct bytes now = { 0 };
	vdisk_error err = { 0 };
	hive_h *h;
	int fd;

	if (g->plan.view.ops->read(&g->plan.view, path, 1u << 28, &now, &err) <= 0)
		fail_msg("%s: %s", path, err.message);
	fd = mkstemp(at);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, now.at, now.len), now.len);
	close(fd);
	h = hivex_open(at, 0);
	if (!h)
		fail_msg("%s as it is afterwards cannot be read: %s", path, strerror(errno));
	unlink(at);
	bytes_destroy(&now);
	return h;
}

/* A value as text: a number in decimal, texts of a MULTI with | between, bytes in hexadecimal; "(none)". */
static inline void value_say(hive_h *h, const char *path, const char *name, char *out, size_t room)
{
	hive_node_h key = reg_key(h, path, false);
	hive_value_h v = key ? hivex_node_get_value(h, key, name) : 0;
	hive_type type;
	size_t len, n = 0;
	char *raw = v ? hivex_value_value(h, v, &type, &len) : NULL;

	snprintf(out, room, "(none)");
	if (raw && type == hive_t_REG_DWORD) {
		snprintf(out, room, "%u", (unsigned)hivex_value_dword(h, v));
	} else if (raw && type == hive_t_REG_MULTI_SZ) {
		char **all = hivex_value_multiple_strings(h, v);

		*out = '\0';
		for (size_t i = 0; all && all[i]; i++) {
			if (*all[i]) /* libhivex tells the end as one more text */
				n += (size_t)snprintf(out + n, room - n, "%s%s", n ? "|" : "", all[i]);
			free(all[i]);
		}
		free(all);
	} else if (raw && (type == hive_t_REG_SZ || type == hive_t_REG_EXPAND_SZ)) {
		char *s = hivex_value_string(h, v);

		snprintf(out, room, "%s", s ? s : "(damaged)");
		free(s);
	} else if (raw) {
		*out = '\0';
		for (size_t i = 0; i < len && n + 3 < room; i++)
			n += (size_t)snprintf(out + n, room - n, "%02x", (unsigned char)raw[i]);
	}
	free(raw);
}

static inline void expect_reg(hive_h *h, const char *path, const char *name, const char *due)
{
	char now[1024];

	value_say(h, path, name, now, sizeof(now));
	if (strcmp(now, due))
		fail_msg("%s: %s: due %s, and it is %s", path, name, due, now);
}

/* ---------------------------------------------------------------- files */

/* The least that is taken for a driver. */
static inline size_t driver_make(unsigned char b[1024], unsigned machine, bool sealed)
{
	memset(b, 0, 1024);
	memcpy(b, "MZ", 2);
	put32(b, 60, 128);
	memcpy(b + 128, "PE\0\0", 4);
	b[132] = (unsigned char)machine;
	b[133] = (unsigned char)(machine >> 8);
	b[152] = 0x0b;
	b[153] = machine == 0x14c ? 1 : 2;
	put32(b, 152 + (machine == 0x14c ? 92 : 108), 16);
	if (sealed) {
		put32(b, 152 + (machine == 0x14c ? 128 : 144), 768);
		put32(b, 152 + (machine == 0x14c ? 132 : 148), 256);
	}
	return 1024;
}

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A hive's copy lies in a memory file, which libhivex opens and writes by its name below /proc: nothing of the guest's registry
   ever stands in a folder of this machine.  libhivex checks what it reads; here its answers are bounded and stripped of what a
   terminal would obey. */
#include "hive.h"

#include "common/fail.h"
#include "common/write_all.h"

#include <errno.h>
#include <iconv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HIVE_MAX ((uint64_t)1 << 30) /* the largest SOFTWARE hives seen have a quarter of that */
#define KEY_NAME_MAX 255
#define DEPTH_MAX 32

/* A memory file with these bytes, or -1. */
static int copy_make(const struct bytes *from, const char *path, vdisk_error *err)
{
	int fd = memfd_create("hive", MFD_CLOEXEC);

	if (fd < 0)
		return fail_errno(err, "no memory file for a copy of %s", path);
	if (write_all(fd, from->at, from->len)) {
		fail_errno(err, "copying %s", path);
		close(fd);
		return -1;
	}
	return fd;
}

static uint32_t le32(const char *p)
{
	const unsigned char *b = (const unsigned char *)p;
	return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

int hive_open(struct hive *h, struct tree *t, const char *path, const char *label, bool write, vdisk_error *err)
{
	struct bytes raw = { 0 };
	char name[64];
	int fd, rc;

	*h = (struct hive){ .label = label };
	rc = t->ops->read(t, path, HIVE_MAX, &raw, err);
	if (rc > 0 && raw.failed)
		rc = fail_nomem(err);
	else if (rc > 0 && (raw.len < 4096 || memcmp(raw.at, "regf", 4)))
		rc = fail(err, VDISK_CORRUPT, "%s is no registry hive (%zu bytes)", path, raw.len);
	if (rc <= 0) {
		bytes_destroy(&raw);
		return rc;
	}
	h->clean = le32(raw.at + 4) == le32(raw.at + 8);
	fd = copy_make(&raw, path, err);
	bytes_destroy(&raw); /* it may have hundreds of megabytes */
	if (fd < 0)
		return -1;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	h->path = strdup(path);
	h->h = h->path ? hivex_open(name, write ? HIVEX_OPEN_WRITE : 0) : NULL;
	rc = errno;
	close(fd); /* libhivex has it mapped, or in memory */
	if (h->h)
		return 1;
	hive_close(h);
	return fail(err, rc == ENOMEM ? VDISK_NOMEM : VDISK_CORRUPT, "%s cannot be read as a registry hive: %s", path,
	            strerror(rc));
}

void hive_close(struct hive *h)
{
	if (h->h)
		hivex_close(h->h);
	free(h->path);
	bytes_destroy(&h->notes);
	*h = (struct hive){ 0 };
}

/* The next part of a key's path, or NULL. */
static const char *part_next(const char **path, char part[KEY_NAME_MAX + 1])
{
	while (**path == '\\')
		(*path)++;
	size_t n = strcspn(*path, "\\");
	if (!n || n > KEY_NAME_MAX)
		return NULL;
	memcpy(part, *path, n);
	part[n] = 0;
	*path += n;
	return part;
}

hive_node_h hive_find(const struct hive *h, hive_node_h base, const char *path)
{
	char part[KEY_NAME_MAX + 1];
	hive_node_h at = base ? base : hivex_root(h->h);
	while (at && part_next(&path, part))
		at = hivex_node_get_child(h->h, at, part);
	return *path ? 0 : at;
}

static void text_clean(char *s)
{
	for (; *s; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
	}
}

char *hive_text(const struct hive *h, hive_node_h key, const char *name)
{
	hive_type type;
	size_t len;
	hive_value_h v = key ? hivex_node_get_value(h->h, key, name) : 0;
	if (!v || hivex_value_type(h->h, v, &type, &len) != 0 || (type != hive_t_REG_SZ && type != hive_t_REG_EXPAND_SZ) ||
	    len > 65536)
		return NULL;
	char *s = hivex_value_string(h->h, v);
	if (s)
		text_clean(s);
	return s;
}

bool hive_number(const struct hive *h, hive_node_h key, const char *name, uint32_t *out)
{
	hive_type type;
	size_t len;
	hive_value_h v = key ? hivex_node_get_value(h->h, key, name) : 0;
	if (!v || hivex_value_type(h->h, v, &type, &len) != 0 || type != hive_t_REG_DWORD || len != 4)
		return false;
	*out = (uint32_t)hivex_value_dword(h->h, v);
	return true;
}

void hive_list(const struct hive *h, hive_node_h key, const char *name, struct bytes *out)
{
	hive_type type;
	size_t len;
	hive_value_h v = key ? hivex_node_get_value(h->h, key, name) : 0;
	if (!v || hivex_value_type(h->h, v, &type, &len) != 0 || len > 65536)
		return;
	if (type == hive_t_REG_SZ || type == hive_t_REG_EXPAND_SZ) {
		char *s = hive_text(h, key, name);
		if (s && *s)
			bytes_add(out, s, strlen(s) + 1);
		free(s);
		return;
	}
	char **all = type == hive_t_REG_MULTI_SZ ? hivex_value_multiple_strings(h->h, v) : NULL;
	for (size_t i = 0; all && all[i]; i++) {
		text_clean(all[i]);
		if (*all[i])
			bytes_add(out, all[i], strlen(all[i]) + 1);
		free(all[i]);
	}
	free(all);
}

bool hive_bytes(const struct hive *h, hive_node_h key, const char *name, struct bytes *out)
{
	hive_type type;
	size_t len;
	hive_value_h v = key ? hivex_node_get_value(h->h, key, name) : 0;
	char *all = v ? hivex_value_value(h->h, v, &type, &len) : NULL;
	if (!all)
		return false;
	bytes_add(out, all, len);
	free(all);
	return !out->failed;
}

int hive_each(const struct hive *h, hive_node_h key, int (*each)(void *to, const char *name, hive_node_h node), void *to)
{
	int r = 0;
	hive_node_h *all = key ? hivex_node_children(h->h, key) : NULL;
	for (size_t i = 0; all && all[i] && r == 0; i++) {
		char *name = hivex_node_name(h->h, all[i]);
		if (name) {
			text_clean(name);
			r = each(to, name, all[i]);
		}
		free(name);
	}
	free(all);
	return r;
}

static int hive_failed(const struct hive *h, const char *path, vdisk_error *err)
{
	return fail(err, errno == ENOMEM ? VDISK_NOMEM : VDISK_CORRUPT, "%s: the key %s\\%s cannot be written: %s", h->path,
	            h->label, path, strerror(errno));
}

static hive_node_h key_make(struct hive *h, const char *path, vdisk_error *err)
{
	char part[KEY_NAME_MAX + 1];
	const char *rest = path;
	hive_node_h at = hivex_root(h->h);
	bool made = false;
	for (unsigned depth = 0; at && depth < DEPTH_MAX && part_next(&rest, part); depth++) {
		hive_node_h child = hivex_node_get_child(h->h, at, part);
		if (!child) {
			child = hivex_node_add_child(h->h, at, part);
			made = true;
		}
		at = child;
	}
	if (!at || *rest) {
		hive_failed(h, path, err);
		return 0;
	}
	if (made) {
		h->changed = true;
		bytes_format(&h->notes, "new key %s\\%s\n", h->label, path);
	}
	return at;
}

int hive_make(struct hive *h, const char *path, vdisk_error *err)
{
	return key_make(h, path, err) ? 0 : -1;
}

/* A value as a note shows it. */
static void value_note(struct bytes *to, uint32_t type, const char *value, size_t len)
{
	if (type == HIVE_DWORD && len == 4) {
		bytes_format(to, "%u", le32(value));
	} else if ((type == HIVE_SZ || type == HIVE_EXPAND_SZ || type == HIVE_MULTI_SZ) && len % 2 == 0) {
		size_t n = len / 2;
		while (n && !value[2 * n - 2] && !value[2 * n - 1])
			n--;
		bytes_text(to, "\"");
		for (size_t i = 0; i < n && i < 200; i++) {
			unsigned c = (unsigned char)value[2 * i] | (unsigned)(unsigned char)value[2 * i + 1] << 8;
			bytes_format(to, "%c", c == 0 ? '|' : c >= 0x20 && c < 0x7f ? (int)c : '?');
		}
		bytes_text(to, n > 200 ? "…\"" : "\"");
	} else {
		for (size_t i = 0; i < len && i < 16; i++)
			bytes_format(to, "%02x", (unsigned char)value[i]);
		bytes_text(to, len > 16 ? "…" : len ? "" : "(nothing)");
	}
}

int hive_set(struct hive *h, const char *path, const char *name, uint32_t type, const void *value, size_t len, vdisk_error *err)
{
	hive_node_h key = key_make(h, path, err);
	if (!key)
		return -1;
	hive_type had;
	size_t had_len = 0;
	hive_value_h v = hivex_node_get_value(h->h, key, name);
	char *old = v ? hivex_value_value(h->h, v, &had, &had_len) : NULL;
	if (old && (uint32_t)had == type && had_len == len && !memcmp(old, value, len)) {
		free(old);
		return 0;
	}
	/* Windows' spelling of the name stays where the value is there. */
	char *spelled = v ? hivex_value_key(h->h, v) : NULL;
	char *copy = malloc(len ? len : 1);
	if (copy)
		memcpy(copy, value, len);
	hive_set_value set = {.key = spelled ? spelled : (char *)(uintptr_t)name, .t = (hive_type)type, .len = len, .value = copy};
	int r = copy ? hivex_node_set_value(h->h, key, &set, 0) : -1;
	if (r == 0) {
		h->changed = true;
		bytes_format(&h->notes, "%s\\%s: %s = ", h->label, path, *name ? name : "(default)");
		value_note(&h->notes, type, copy, len);
		if (old) {
			bytes_text(&h->notes, ", was ");
			value_note(&h->notes, (uint32_t)had, old, had_len);
		}
		bytes_text(&h->notes, "\n");
	}
	free(copy);
	free(spelled);
	free(old);
	return r == 0 ? 0 : hive_failed(h, path, err);
}

int hive_set_number(struct hive *h, const char *path, const char *name, uint32_t value, vdisk_error *err)
{
	unsigned char le[4] = { (unsigned char)value, (unsigned char)(value >> 8), (unsigned char)(value >> 16),
		                (unsigned char)(value >> 24) };
	return hive_set(h, path, name, HIVE_DWORD, le, sizeof(le), err);
}

int hive_utf16(const char *text, struct bytes *out)
{
	iconv_t cd = iconv_open("UTF-16LE", "UTF-8");
	if (cd == (iconv_t)-1)
		return -1;
	char *in = (char *)(uintptr_t)text;
	size_t in_left = strlen(text) + 1;
	int r = 0;
	while (in_left && r == 0) {
		char part[512], *to = part;
		size_t room = sizeof(part);
		if (iconv(cd, &in, &in_left, &to, &room) == (size_t)-1 && errno != E2BIG)
			r = -1;
		bytes_add(out, part, sizeof(part) - room);
	}
	iconv_close(cd);
	return out->failed ? -1 : r;
}

int hive_set_text(struct hive *h, const char *path, const char *name, uint32_t type, const char *text, vdisk_error *err)
{
	struct bytes wide = { 0 };
	int r = hive_utf16(text, &wide);
	if (r < 0)
		fail(err, VDISK_INVALID, "%s\\%s: the text for %s is no UTF-8", h->label, path, name);
	else
		r = hive_set(h, path, name, type, wide.at, wide.len, err);
	bytes_destroy(&wide);
	return r;
}

int hive_set_list(struct hive *h, const char *path, const char *name, const struct bytes *texts, vdisk_error *err)
{
	struct bytes wide = { 0 };
	int r = 0;
	for (const char *s = texts->at; r == 0 && s && s < texts->at + texts->len; s += strlen(s) + 1)
		r = hive_utf16(s, &wide);
	bytes_add(&wide, "\0", 2);
	if (r < 0 || wide.failed)
		r = fail(err, VDISK_INVALID, "%s\\%s: the texts for %s are no UTF-8", h->label, path, name);
	else
		r = hive_set(h, path, name, HIVE_MULTI_SZ, wide.at, wide.len, err);
	bytes_destroy(&wide);
	return r;
}

int hive_save(struct hive *h, struct bytes *out, vdisk_error *err)
{
	int fd = memfd_create("hive", MFD_CLOEXEC), rc = 0;
	char name[64], part[65536];
	off_t at = 0;
	ssize_t n = 1;

	if (fd < 0)
		return fail_errno(err, "no memory file for %s", h->path);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	if (hivex_commit(h->h, name, 0))
		rc = fail_errno(err, "%s cannot be written anew", h->path);
	while (!rc && (n = pread(fd, part, sizeof(part), at)) != 0) {
		if (n < 0 && errno != EINTR)
			rc = fail_errno(err, "reading %s back", h->path);
		if (n > 0) {
			bytes_add(out, part, (size_t)n);
			at += n;
		}
	}
	close(fd);
	return rc ? rc : out->failed ? fail_nomem(err) : 0;
}

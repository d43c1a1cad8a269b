/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Dictionary files: taken apart, and written. */
#include "ops/dictionary.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/text.h"
#include "io/file.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DICT_KEY_MAX 200

/* ---------------------------------------------------------------- reading */

/* |XX and | with anything else, in place. */
static void value_decode(char *s)
{
	char *to = s;

	while (*s) {
		if (*s == '|' && isxdigit((unsigned char)s[1]) && isxdigit((unsigned char)s[2])) {
			char hex[3] = { s[1], s[2], '\0' };
			char c = (char)strtol(hex, NULL, 16);

			if (c)
				*to++ = c;
			s += 3;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

static char *blank_skip(char *s)
{
	while (*s == ' ' || *s == '\t' || *s == '\r')
		s++;
	return s;
}

/* One line, without its end.  1: a pair; 0: nothing in it; -1: neither. */
static int line_parse(char *line, struct vd_dict_pair *p)
{
	char *eq, *end;

	line = blank_skip(line);
	if (!*line || *line == '#')
		return 0;
	eq = strchr(line, '=');
	if (!eq || eq == line)
		return -1;
	for (end = eq; end > line && (end[-1] == ' ' || end[-1] == '\t'); end--)
		;
	*end = '\0';
	p->key = line;
	p->value = blank_skip(eq + 1);
	if (*p->value == '"') {
		end = strrchr(++p->value, '"');
		if (!end || *blank_skip(end + 1))
			return -1;
	} else {
		for (end = p->value + strlen(p->value); end > p->value && isspace((unsigned char)end[-1]); end--)
			;
	}
	*end = '\0';
	value_decode(p->value);
	return 1;
}

static int pair_order(const void *a, const void *b)
{
	return strcasecmp(((const struct vd_dict_pair *)a)->key, ((const struct vd_dict_pair *)b)->key);
}

static int lines_parse(struct vd_dict *d, vd_error *err)
{
	size_t cap = 0;
	unsigned number = 0;

	for (char *at = d->text, *next; at; at = next) {
		struct vd_dict_pair p, *more;
		int rc;

		number++;
		next = strchr(at, '\n');
		if (next)
			*next++ = '\0';
		rc = line_parse(at, &p);
		if (rc < 0)
			return vd_fail(err, VDISK_CORRUPT, (uint64_t)(at - d->text), "line %u is no `key = \"value\"`", number);
		if (!rc)
			continue;
		if (d->n == VD_DICT_KEYS_MAX)
			return vd_fail(err, VDISK_CORRUPT, (uint64_t)(at - d->text), "more than %u lines", VD_DICT_KEYS_MAX);
		if (d->n == cap) {
			cap = cap ? cap * 2 : 64;
			more = vd_realloc(d->v, cap, sizeof(*more));
			if (!more)
				return vd_fail_nomem(err, cap * sizeof(*more));
			d->v = more;
		}
		d->v[d->n++] = p;
	}
	if (d->n)
		qsort(d->v, d->n, sizeof(*d->v), pair_order);
	for (size_t i = 1; i < d->n; i++)
		if (!strcasecmp(d->v[i - 1].key, d->v[i].key) && strcmp(d->v[i - 1].value, d->v[i].value)) {
			char text[DICT_KEY_MAX];

			return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "\"%s\" is there twice, and not the same",
			               vd_printable(text, sizeof(text), d->v[i].key,
			                            vd_min(strlen(d->v[i].key), (size_t)DICT_KEY_MAX / 4 - 1)));
		}
	return 0;
}

/* The charset that the bytes name, which is ASCII itself. */
static void encoding_find(const char *bytes, size_t len, char charset[64])
{
	const char *at = memmem(bytes, len, ".encoding", 9), *end = bytes + len;

	snprintf(charset, 64, "UTF-8");
	if (!at || (at > bytes && at[-1] != '\n'))
		return;
	at = memchr(at, '"', (size_t)(end - at));
	if (!at)
		return;
	end = memchr(at + 1, '"', (size_t)(end - at - 1));
	if (end && end - at - 1 > 0 && end - at - 1 < 60)
		snprintf(charset, 64, "%.*s", (int)(end - at - 1), at + 1);
}

int vd_dict_parse(const void *bytes, size_t len, struct vd_dict *d, vd_error *err)
{
	char charset[64];

	*d = (struct vd_dict){ 0 };
	if (len > VD_DICT_BYTES_MAX)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "%zu bytes are more than %u", len, VD_DICT_BYTES_MAX);
	encoding_find(bytes, len, charset);
	if (vd_text_to_utf8(charset, bytes, len, &d->text, err))
		return -1;
	if (!lines_parse(d, err))
		return 0;
	vd_dict_free(d);
	return -1;
}

int vd_dict_load(const char *path, struct vd_dict *d, vd_error *err)
{
	VD_AUTO_FREE uint8_t *bytes = NULL;
	struct vd_file *f;
	uint64_t size;
	int rc;

	*d = (struct vd_dict){ 0 };
	if (vd_file_posix(AT_FDCWD, path, path, 0, &f, err))
		return -1;
	size = vd_file_size(f);
	if (size > VD_DICT_BYTES_MAX) {
		vd_file_close(f);
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "%s: %" PRIu64 " bytes are more than %u", path, size,
		               VD_DICT_BYTES_MAX);
	}
	bytes = vd_malloc(size + 1);
	rc = bytes ? vd_file_pread(f, bytes, size, 0, err) : vd_fail_nomem(err, size);
	vd_file_close(f);
	if (rc)
		return -1;
	return vd_dict_parse(bytes, size, d, err) ? vd_fail_in(err, "%s", path) : 0;
}

void vd_dict_free(struct vd_dict *d)
{
	vd_free(d->text);
	vd_free(d->v);
	*d = (struct vd_dict){ 0 };
}

const char *vd_dict_get(const struct vd_dict *d, const char *fmt, ...)
{
	char key[DICT_KEY_MAX];
	struct vd_dict_pair want = { .key = key }, *found;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(key, sizeof(key), fmt, ap);
	va_end(ap);
	found = d->n ? bsearch(&want, d->v, d->n, sizeof(*d->v), pair_order) : NULL;
	return found ? found->value : NULL;
}

int vd_dict_number(const struct vd_dict *d, const char *key, int64_t min, int64_t max, int64_t deflt, int64_t *out, vd_error *err)
{
	const char *s = vd_dict_get(d, "%s", key);
	char shown[100], *end;

	*out = deflt;
	if (!s)
		return 0;
	errno = 0;
	*out = strtoll(s, &end, 10);
	if (end == s || *end || errno || *out < min || *out > max)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "%s is \"%s\", no number from %" PRId64 " to %" PRId64, key,
		               vd_printable(shown, sizeof(shown), s, vd_min(strlen(s), (size_t)24)), min, max);
	return 0;
}

/* ---------------------------------------------------------------- writing */

static void text_add(struct vd_dict_text *t, const char *s, size_t n)
{
	char *more = t->failed ? NULL : vd_realloc(t->s, t->len + n + 1, 1);

	if (!more) {
		t->failed = true;
		return;
	}
	t->s = more;
	memcpy(t->s + t->len, s, n);
	t->len += n;
	t->s[t->len] = '\0';
}

void vd_dict_add(struct vd_dict_text *t, const char *value, const char *fmt, ...)
{
	char key[DICT_KEY_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(key, sizeof(key), fmt, ap);
	va_end(ap);
	text_add(t, key, strlen(key));
	text_add(t, " = \"", 4);
	for (; *value; value++) {
		char hex[4];

		if (*value != '"' && *value != '|' && (unsigned char)*value >= 0x20 && *value != 0x7f) {
			text_add(t, value, 1);
			continue;
		}
		snprintf(hex, sizeof(hex), "|%02X", (unsigned)(unsigned char)*value);
		text_add(t, hex, 3);
	}
	text_add(t, "\"\n", 2);
}

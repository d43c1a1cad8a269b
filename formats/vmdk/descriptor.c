/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading the descriptor's text.  (VMware, Virtual Disk Format 5.0, "The Descriptor File".)  Lines are comments, `key = value`,
 * with the value bare or quoted, or extents: ACCESS SECTORS TYPE ["name" [offset ...]].  Keys are compared without regard to case.
 */
#include "descriptor.h"

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/text.h"

#include <stdio.h>
#include <strings.h>

static const char *const access_names[] = {"RW", "RDONLY", "NOACCESS"};
static const char *const type_names[] = {"FLAT", "SPARSE", "ZERO", "VMFS", "VMFSSPARSE", "VMFSRDM", "VMFSRAW", "SESPARSE"};
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

const char *vmdk_line_type_name(enum vmdk_line_type t)
{
	return type_names[t];
}

const char *vmdk_access_name(enum vmdk_access a)
{
	return access_names[a];
}

struct span {
	const char *p;
	size_t len;
};

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static struct span trim(struct span s)
{
	while (s.len && blank(s.p[0])) {
		s.p++;
		s.len--;
	}
	while (s.len && blank(s.p[s.len - 1]))
		s.len--;
	return s;
}

/* The next line of *rest, trimmed; false at the end. */
static bool line_next(struct span *rest, struct span *line)
{
	if (!rest->len)
		return false;
	const char *nl = memchr(rest->p, '\n', rest->len);
	size_t n = nl ? (size_t)(nl - rest->p) : rest->len;
	*line = trim((struct span){rest->p, n});
	n += nl != NULL;
	rest->p += n;
	rest->len -= n;
	return true;
}

/* The next word of *line, cut off its front. */
static struct span word_next(struct span *line)
{
	*line = trim(*line);
	size_t n = 0;
	while (n < line->len && !blank(line->p[n]))
		n++;
	struct span w = {line->p, n};
	line->p += n;
	line->len -= n;
	return w;
}

static bool span_is(struct span s, const char *text)
{
	return s.len == strlen(text) && !strncasecmp(s.p, text, s.len);
}

static int span_index(struct span s, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (span_is(s, names[i]))
			return (int)i;
	return -1;
}

/* Splits `key = value`; false if the line is none.  Quotes are taken off. */
static bool split_value(struct span line, struct span *key, struct span *value)
{
	const char *eq = memchr(line.p, '=', line.len);
	if (!eq)
		return false;
	*key = trim((struct span){line.p, (size_t)(eq - line.p)});
	*value = trim((struct span){eq + 1, line.len - (size_t)(eq + 1 - line.p)});
	if (!key->len || memchr(key->p, '"', key->len))
		return false;
	if (value->len && value->p[0] == '"') {
		const char *end = memchr(value->p + 1, '"', value->len - 1);
		if (!end)
			return false;
		value->p++;
		value->len = (size_t)(end - value->p);
	}
	return true;
}

static bool parse_u64(struct span s, int base, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;
	if (!s.len || s.len > 20)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		char c = s.p[i];
		int digit = c >= '0' && c <= '9'   ? c - '0'
			    : c >= 'a' && c <= 'f' ? c - 'a' + 10
			    : c >= 'A' && c <= 'F' ? c - 'A' + 10
						   : 99;
		if (digit >= base || vd_mul64(v, (unsigned)base, &v) || vd_add64(v, (unsigned)digit, &v) || v > max)
			return false;
	}
	*out = v;
	return true;
}

static int fail_line(vd_error *err, unsigned number, struct span line, const char *why)
{
	char text[80];
	return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "descriptor line %u, \"%s\": %s", number,
		       vd_printable(text, sizeof(text), line.p, line.len), why);
}

/* ---------------------------------------------------------------- extent lines */

static int parse_extent(struct vmdk_desc *d, enum vmdk_access access, struct span line, unsigned number, vd_error *err)
{
	struct span rest = line;
	struct vmdk_line x = {.access = access};
	word_next(&rest);
	if (!parse_u64(word_next(&rest), 10, UINT64_MAX / 512, &x.sectors) || !x.sectors)
		return fail_line(err, number, line, "the number of sectors is none");
	int type = span_index(word_next(&rest), type_names, COUNT(type_names));
	if (type < 0)
		return fail_line(err, number, line, "the extent's type is unknown");
	x.type = (enum vmdk_line_type)type;
	rest = trim(rest);
	struct span name = {NULL, 0};
	if (rest.len && rest.p[0] == '"') {
		/* A name may hold quotes: VMware escapes none, so the last quote of the line ends it. */
		const char *end = memrchr(rest.p + 1, '"', rest.len - 1);
		if (!end)
			return fail_line(err, number, line, "the file name has no closing quote");
		name = (struct span){rest.p + 1, (size_t)(end - rest.p - 1)};
		rest = (struct span){end + 1, rest.len - (size_t)(end + 1 - rest.p)};
	}
	if (x.type != VMDK_LINE_ZERO && !name.len)
		return fail_line(err, number, line, "the extent names no file");
	struct span offset = word_next(&rest);
	if (offset.len && !parse_u64(offset, 10, UINT64_MAX / 512, &x.offset))
		return fail_line(err, number, line, "the offset is no number");
	if (d->n_lines < VMDK_LINES_MAX) {
		if (name.len && !(x.name = vd_strndup(name.p, name.len)))
			return vd_fail_nomem(err, name.len);
		if (d->n_lines % 64 == 0) {
			struct vmdk_line *v = vd_realloc(d->lines, d->n_lines + 64, sizeof(*v));
			if (!v) {
				vd_free(x.name);
				return vd_fail_nomem(err, sizeof(*v));
			}
			d->lines = v;
		}
		d->lines[d->n_lines] = x;
	}
	d->n_lines++; /* counted to the end, for the message */
	return 0;
}

/* ---------------------------------------------------------------- values */

enum { SEEN_VERSION = 1, SEEN_CID = 2, SEEN_PARENT = 4, SEEN_TYPE = 8, SEEN_ENCODING = 16, SEEN_HINT = 32 };

static int keep_text(char **slot, struct span value, vd_error *err)
{
	*slot = vd_strndup(value.p, value.len);
	return *slot ? 0 : vd_fail_nomem(err, value.len);
}

static int parse_value(struct vmdk_desc *d, unsigned *seen, struct span key, struct span value, struct span line, unsigned number,
		       vd_error *err)
{
	static const char *const keys[] = {"version", "CID", "parentCID", "createType", "encoding", "parentFileNameHint"};
	int k = span_index(key, keys, COUNT(keys));
	uint64_t v = 0;
	if (k < 0)
		return 0;
	if (*seen & (1u << k))
		return fail_line(err, number, line, "the key was there before");
	*seen |= 1u << k;
	switch (1u << k) {
	case SEEN_VERSION:
		if (!parse_u64(value, 10, UINT32_MAX, &v) || v < 1 || v > 3)
			return fail_line(err, number, line, "not version 1, 2 or 3");
		return 0;
	case SEEN_CID:
	case SEEN_PARENT:
		if (!parse_u64(value, 16, UINT32_MAX, &v))
			return fail_line(err, number, line, "not a hexadecimal number of 32 bits");
		if (1u << k == SEEN_CID)
			d->cid = (uint32_t)v;
		else
			d->parent_cid = (uint32_t)v;
		return 0;
	case SEEN_TYPE:
		return keep_text(&d->create_type, value, err);
	case SEEN_ENCODING:
		return keep_text(&d->encoding, value, err);
	default:
		return keep_text(&d->parent_hint, value, err);
	}
}

static int parse_lines(struct vmdk_desc *d, vd_error *err)
{
	struct span rest = {d->text, strlen(d->text)}, line, key, value;
	unsigned number = 0, seen = 0;
	d->parent_cid = VMDK_CID_NONE;
	while (line_next(&rest, &line)) {
		number++;
		if (!line.len || line.p[0] == '#')
			continue;
		struct span words = line;
		int access = span_index(word_next(&words), access_names, COUNT(access_names));
		int ret;
		if (access >= 0)
			ret = parse_extent(d, (enum vmdk_access)access, line, number, err);
		else if (split_value(line, &key, &value))
			ret = parse_value(d, &seen, key, value, line, number, err);
		else
			ret = fail_line(err, number, line, "neither an extent nor key = value");
		if (ret)
			return ret;
	}
	if (d->n_lines > VMDK_LINES_MAX) {
		size_t n = d->n_lines;
		d->n_lines = VMDK_LINES_MAX;
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "the descriptor lists %zu extents; at most %u are opened",
			       n, VMDK_LINES_MAX);
	}
	const char *missing = !(seen & SEEN_VERSION) ? "version"
			      : !(seen & SEEN_CID)   ? "CID"
			      : !(seen & SEEN_TYPE)  ? "createType"
						     : NULL;
	if (missing)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "the descriptor has no %s", missing);
	if (!d->n_lines)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "the descriptor lists no extent");
	return 0;
}

static int recode(const char *charset, char **text, vd_error *err)
{
	char *out;
	if (!*text)
		return 0;
	if (vd_text_to_utf8(charset, *text, strlen(*text), &out, err))
		return vd_fail_in(err, "descriptor, encoding \"%s\"", charset);
	vd_free(*text);
	*text = out;
	return 0;
}

int vmdk_desc_parse(const void *bytes, size_t len, struct vmdk_desc *out, vd_error *err)
{
	*out = (struct vmdk_desc){0};
	out->text = vd_strndup(bytes, strnlen(bytes, len));
	if (!out->text)
		return vd_fail_nomem(err, len);
	if (parse_lines(out, err))
		goto fail;
	/* ASCII names are the same in every encoding met with so far, so an unknown one matters only where it is needed. */
	if (out->encoding && strcasecmp(out->encoding, "UTF-8")) {
		for (size_t i = 0; i < out->n_lines; i++)
			if (recode(out->encoding, &out->lines[i].name, err))
				goto fail;
		if (recode(out->encoding, &out->parent_hint, err))
			goto fail;
	}
	return 0;
fail:
	vmdk_desc_clear(out);
	return -1;
}

void vmdk_desc_clear(struct vmdk_desc *d)
{
	for (size_t i = 0; i < d->n_lines && i < VMDK_LINES_MAX; i++)
		vd_free(d->lines[i].name);
	vd_free(d->lines);
	vd_free(d->text);
	vd_free(d->create_type);
	vd_free(d->encoding);
	vd_free(d->parent_hint);
	*d = (struct vmdk_desc){0};
}

bool vmdk_desc_probe(const uint8_t *head, size_t len)
{
	struct span rest = {(const char *)head, len}, line, key, value;
	if (memchr(head, 0, len > 512 ? 512 : len))
		rest.len = (size_t)((const uint8_t *)memchr(head, 0, len) - head);
	while (line_next(&rest, &line)) {
		if (line.len > 6 && line.p[0] == '#' && !strncasecmp(line.p, "# Disk DescriptorFile", 21))
			return true;
		if (!line.len || line.p[0] == '#')
			continue;
		return split_value(line, &key, &value) && span_is(key, "version") && value.len == 1 && value.p[0] >= '1' &&
		       value.p[0] <= '3';
	}
	return false;
}

/* ---------------------------------------------------------------- changing text */

static bool value_find(const char *text, const char *key, struct span *value)
{
	struct span rest = {text, strlen(text)}, line, k;
	while (line_next(&rest, &line))
		if (line.len && line.p[0] != '#' && split_value(line, &k, value) && span_is(k, key))
			return true;
	return false;
}

bool vmdk_desc_value(const char *text, const char *key, char *buf, size_t cap)
{
	struct span value;
	if (!value_find(text, key, &value) || value.len >= cap)
		return false;
	memcpy(buf, value.p, value.len);
	buf[value.len] = 0;
	return true;
}

static char *splice(const char *text, struct span old, const char *value)
{
	return vd_asprintf("%.*s%s%s", (int)(old.p - text), text, value, old.p + old.len);
}

/* To behind the line that says what kind of disk this is, which is in the head of each descriptor; else to the end. */
static size_t head_length(const char *text)
{
	struct span value;
	const char *end = value_find(text, "createType", &value) ? strchr(value.p, '\n') : NULL;
	return end ? (size_t)(end + 1 - text) : strlen(text);
}

char *vmdk_desc_set(const char *text, const char *key, const char *value, bool quoted)
{
	struct span old;
	if (value_find(text, key, &old))
		return splice(text, old, value);
	bool database = !strncasecmp(key, "ddb.", 4);
	size_t len = database ? strlen(text) : head_length(text);
	const char *nl = len && text[len - 1] != '\n' ? "\n" : "";
	const char *q = quoted ? "\"" : "";
	return vd_asprintf("%.*s%s%s%s%s%s%s\n%s", (int)len, text, nl, key, database ? " = " : "=", q, value, q, text + len);
}

char *vmdk_desc_overwrite(const char *text, const char *key, const char *value, bool keep)
{
	struct span rest = {text, strlen(text)}, line, k, old;
	const char *from = text;
	for (; line_next(&rest, &line); from = rest.p)
		if (line.len && line.p[0] != '#' && split_value(line, &k, &old) && span_is(k, key))
			break;
	if (from == rest.p)
		return vd_strdup(text);
	if (!keep)
		return vd_asprintf("%.*s%s", (int)(from - text), text, rest.p);
	VD_AUTO_FREE char *new = value ? vd_asprintf("%s=\"%s\"", key, value) : vd_strdup("#");
	int room = (int)(line.p + line.len - from);
	if (!new || strlen(new) > (size_t)room)
		return NULL;
	return vd_asprintf("%.*s%-*s%s", (int)(from - text), text, room, new, line.p + line.len);
}

char *vmdk_desc_set_sectors(const char *text, size_t i, uint64_t sectors)
{
	struct span rest = {text, strlen(text)}, line;
	char number[24];
	while (line_next(&rest, &line)) {
		if (!line.len || line.p[0] == '#' || span_index(word_next(&line), access_names, COUNT(access_names)) < 0)
			continue;
		if (i--)
			continue;
		snprintf(number, sizeof(number), "%" PRIu64, sectors);
		return splice(text, word_next(&line), number);
	}
	return NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The text of an INF.  Lines are "key = value, value", values may be quoted ("" inside is one quote), a backslash at a line's end
   carries it on, ; begins a comment, %name% is replaced by what [Strings] says, %% by %.  Sections of one name are one section. */
#include "inf.h"

#include "common/fail.h"

#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LINES_MAX 50000
#define SECTIONS_MAX 10000
#define VALUES_MAX 256
#define SUBST_MAX 65536 /* bytes of one value */

/* ---------------------------------------------------------------- encoding */

static int utf16_decode(const unsigned char *in, size_t len, bool big, struct bytes *out)
{
	iconv_t cd = iconv_open("UTF-8", big ? "UTF-16BE" : "UTF-16LE");
	char *from = (char *)(uintptr_t)in;
	size_t left = len & ~(size_t)1;
	int rc = cd == (iconv_t)-1 ? -1 : 0;

	while (!rc && left) {
		char part[4096], *to = part;
		size_t room = sizeof(part);

		if (iconv(cd, &from, &left, &to, &room) == (size_t)-1 && errno != E2BIG)
			rc = -1;
		bytes_add(out, part, sizeof(part) - room);
	}
	if (cd != (iconv_t)-1)
		iconv_close(cd);
	return rc;
}

/* The file as text of one byte a character, at least as far as ASCII goes. */
static int text_decode(const char *name, const unsigned char *in, size_t len, struct bytes *out, vdisk_error *err)
{
	if (len >= 2 && ((in[0] == 0xff && in[1] == 0xfe) || (in[0] == 0xfe && in[1] == 0xff))) {
		if (utf16_decode(in + 2, len - 2, in[0] == 0xfe, out))
			return fail(err, VDISK_CORRUPT, "%s: is no UTF-16, as its mark says", name);
	} else if (len >= 3 && !memcmp(in, "\xef\xbb\xbf", 3)) {
		bytes_add(out, in + 3, len - 3);
	} else {
		bytes_add(out, in, len);
	}
	if (out->failed)
		return fail_nomem(err);
	if (out->len && memchr(out->at, 0, out->len))
		return fail(err, VDISK_CORRUPT, "%s: is no text (it has zero bytes)", name);
	return 0;
}

/* ---------------------------------------------------------------- lines */

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v'; }

/* Where in f->order the section is, or belongs. */
static size_t section_place(const struct inf *f, const char *name, size_t len, bool *there)
{
	size_t lo = 0, hi = f->n;

	*there = false;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const char *at = f->sections[f->order[mid]].name;
		int c = strncasecmp(at, name, len);

		if (c < 0) {
			lo = mid + 1;
		} else {
			*there = *there || (!c && !at[len]); /* before all that it begins */
			hi = mid;
		}
	}
	return lo;
}

static bool sections_grow(struct inf *f)
{
	size_t cap = f->cap ? f->cap * 2 : 16;
	struct inf_section *more = realloc(f->sections, cap * sizeof(*more));
	size_t *order;

	if (!more)
		return false;
	f->sections = more;
	order = realloc(f->order, cap * sizeof(*order));
	if (!order)
		return false;
	f->order = order;
	f->cap = cap;
	return true;
}

static struct inf_section *section_add(struct inf *f, const char *file, const char *name, size_t len, vdisk_error *err)
{
	bool there;
	size_t place = section_place(f, name, len, &there);

	if (there)
		return &f->sections[f->order[place]];
	if (f->n == SECTIONS_MAX) {
		fail(err, VDISK_UNSUPPORTED, "%s: has more than %u sections", file, SECTIONS_MAX);
		return NULL;
	}
	if (f->n == f->cap && !sections_grow(f)) {
		fail_nomem(err);
		return NULL;
	}
	f->sections[f->n] = (struct inf_section){ .name = strndup(name, len) };
	if (!f->sections[f->n].name) {
		fail_nomem(err);
		return NULL;
	}
	memmove(f->order + place + 1, f->order + place, (f->n - place) * sizeof(*f->order));
	f->order[place] = f->n;
	return &f->sections[f->n++];
}

static struct inf_line *line_add(struct inf_section *s)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 8;
		struct inf_line *more = realloc(s->lines, cap * sizeof(*more));

		if (!more)
			return NULL;
		s->lines = more;
		s->cap = cap;
	}
	s->lines[s->n] = (struct inf_line){ 0 };
	return &s->lines[s->n++];
}

/* One value, or a key: up to `end1` or `end2` outside of quotes, blanks around it left out.  Owned; NULL: no memory. */
static char *value_take(const char **at, char end1, char end2)
{
	struct bytes b = { 0 };
	size_t keep = 0; /* what of it blanks behind do not belong to */
	bool quoted = false;
	const char *s = *at;
	char *out;

	while (is_blank(*s))
		s++;
	for (; *s && (quoted || (*s != end1 && *s != end2)); s++) {
		if (*s == '"' && quoted && s[1] == '"') {
			bytes_add(&b, s++, 1);
		} else if (*s == '"') {
			quoted = !quoted;
			keep = b.len;
			continue;
		} else {
			bytes_add(&b, s, 1);
		}
		if (quoted || !is_blank(*s))
			keep = b.len;
	}
	*at = s;
	out = b.failed ? NULL : strndup(b.at ? b.at : "", keep);
	bytes_destroy(&b);
	return out;
}

/* Is there a '=' outside of quotes? */
static bool has_key(const char *s)
{
	bool quoted = false;

	for (; *s && (quoted || *s != '='); s++)
		quoted ^= *s == '"';
	return *s == '=';
}

static int line_parse(struct inf_section *s, const char *text, vdisk_error *err)
{
	struct inf_line *l = line_add(s);
	char *all[VALUES_MAX];
	size_t n = 0;

	if (!l)
		return fail_nomem(err);
	l->key = has_key(text) ? value_take(&text, '=', '=') : strdup("");
	if (!l->key)
		return fail_nomem(err);
	text += *text == '=';
	while (n < VALUES_MAX) {
		all[n] = value_take(&text, ',', ',');
		if (!all[n++])
			break;
		if (*text++ != ',')
			break;
	}
	l->values = all[n - 1] ? malloc(n * sizeof(*l->values)) : NULL;
	if (!l->values) {
		while (n)
			free(all[--n]);
		return fail_nomem(err);
	}
	memcpy(l->values, all, n * sizeof(*all));
	l->n = n;
	return 0;
}

/* A line of the file, its comment left out; lines that it goes on with joined.  False at the end. */
static bool line_next(const char **at, struct bytes *out)
{
	const char *s = *at;
	bool quoted = false, more = true;

	bytes_clear(out);
	if (!*s)
		return false;
	while (more && *s) {
		const char *end = s + strcspn(s, "\n");
		size_t from = out->len, keep = 0;

		for (; s < end && (quoted || *s != ';'); s++) {
			quoted ^= *s == '"';
			bytes_add(out, s, 1);
		}
		for (keep = out->len; keep > from && is_blank(out->at[keep - 1]); keep--)
			;
		more = keep > from && out->at[keep - 1] == '\\' && !quoted;
		quoted = false; /* no quote goes over a line's end */
		if (out->at) {
			out->len = keep - more;
			out->at[out->len] = '\0';
		}
		s = *end ? end + 1 : end;
	}
	*at = s;
	return true;
}

static int lines_parse(struct inf *f, const char *name, const char *text, vdisk_error *err)
{
	struct inf_section *s = NULL;
	struct bytes line = { 0 };
	unsigned n = 0;
	int rc = 0;

	while (!rc && line_next(&text, &line)) {
		const char *l = line.at ? line.at : "";

		while (is_blank(*l))
			l++;
		if (line.failed || ++n > LINES_MAX) {
			rc = line.failed ? fail_nomem(err)
			                 : fail(err, VDISK_UNSUPPORTED, "%s: has more than %u lines", name, LINES_MAX);
		} else if (*l == '[') {
			const char *end = strchr(l, ']');

			s = end ? section_add(f, name, l + 1, (size_t)(end - l - 1), err) : NULL;
			if (!s)
				rc = end ? -1
				         : fail(err, VDISK_CORRUPT, "%s: line %u opens a section and does not close its name", name,
				                n);
		} else if (*l && s) {
			rc = line_parse(s, l, err);
		}
	}
	bytes_destroy(&line);
	return rc;
}

/* ---------------------------------------------------------------- strings */

struct strings { /* lines of [Strings], by their keys in any case, of one key the first before the others */
	const struct inf_line **v;
	size_t n;
};

static int by_key(const void *a, const void *b)
{
	const struct inf_line *x = *(const struct inf_line *const *)a, *y = *(const struct inf_line *const *)b;
	int c = strcasecmp(x->key, y->key);

	return c ? c : (x > y) - (x < y);
}

static int strings_sort(struct strings *s, const struct inf *f, vdisk_error *err)
{
	const struct inf_section *from = inf_section(f, "Strings");

	*s = (struct strings){ calloc(from ? from->n + 1 : 1, sizeof(*s->v)), 0 };
	if (!s->v)
		return fail_nomem(err);
	for (size_t i = 0; from && i < from->n; i++)
		if (from->lines[i].n)
			s->v[s->n++] = &from->lines[i];
	qsort(s->v, s->n, sizeof(*s->v), by_key);
	return 0;
}

static const char *string_find(const struct strings *s, const char *key)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcasecmp(s->v[mid]->key, key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->n && !strcasecmp(s->v[lo]->key, key) ? s->v[lo]->values[0] : NULL;
}

/* *text with its %names% replaced: once, what comes in is not looked at again. */
static int text_replace(const struct strings *strings, char **text, vdisk_error *err)
{
	struct bytes b = { 0 };
	char *out;

	if (!strchr(*text, '%'))
		return 0;
	for (const char *s = *text; *s;) {
		const char *end = *s == '%' ? strchr(s + 1, '%') : NULL;
		const char *with = NULL;
		char name[256];
		size_t n = end ? (size_t)(end - s - 1) : 0;

		if (end && n && n < sizeof(name)) {
			memcpy(name, s + 1, n);
			name[n] = '\0';
			with = string_find(strings, name);
		}
		if (with) {
			bytes_text(&b, with);
			s = end + 1;
		} else if (end && !n) {
			bytes_text(&b, "%");
			s += 2;
		} else {
			size_t part = end ? n + 2 : 1; /* %12%: a folder's number, for who asks */

			bytes_add(&b, s, part);
			s += part;
		}
		if (b.len > SUBST_MAX)
			break;
	}
	out = b.failed || b.len > SUBST_MAX ? NULL : strdup(b.at ? b.at : "");
	bytes_destroy(&b);
	if (!out)
		return fail(err, VDISK_UNSUPPORTED, "a text in it is longer than %u bytes, or memory is short", SUBST_MAX);
	free(*text);
	*text = out;
	return 0;
}

static int strings_replace(struct inf *f, vdisk_error *err)
{
	struct strings strings;
	int rc = strings_sort(&strings, f, err);

	for (size_t i = 0; !rc && i < f->n; i++) {
		struct inf_section *s = &f->sections[i];

		if (!strncasecmp(s->name, "Strings", 7))
			continue;
		for (size_t k = 0; !rc && k < s->n; k++) {
			rc = text_replace(&strings, &s->lines[k].key, err);
			for (size_t v = 0; !rc && v < s->lines[k].n; v++)
				rc = text_replace(&strings, &s->lines[k].values[v], err);
		}
	}
	free(strings.v);
	return rc;
}

/* ---------------------------------------------------------------- the whole */

int inf_parse(struct inf *f, const char *name, const void *bytes, size_t len, vdisk_error *err)
{
	struct bytes text = { 0 };
	int rc;

	*f = (struct inf){ 0 };
	if (len > INF_MAX)
		return fail(err, VDISK_UNSUPPORTED, "%s: has %zu bytes, more than an INF has", name, len);
	rc = text_decode(name, bytes, len, &text, err);
	if (!rc)
		rc = lines_parse(f, name, text.at ? text.at : "", err);
	if (!rc)
		rc = strings_replace(f, err);
	bytes_destroy(&text);
	if (rc)
		inf_destroy(f);
	return rc;
}

void inf_destroy(struct inf *f)
{
	for (size_t i = 0; i < f->n; i++) {
		struct inf_section *s = &f->sections[i];

		for (size_t k = 0; k < s->n; k++) {
			free(s->lines[k].key);
			for (size_t v = 0; v < s->lines[k].n; v++)
				free(s->lines[k].values[v]);
			free(s->lines[k].values);
		}
		free(s->lines);
		free(s->name);
	}
	free(f->sections);
	free(f->order);
	*f = (struct inf){ 0 };
}

const struct inf_section *inf_section(const struct inf *f, const char *name)
{
	bool there;
	size_t place = section_place(f, name, strlen(name), &there);

	return there ? &f->sections[f->order[place]] : NULL;
}

const char *inf_value(const struct inf *f, const char *section, const char *key)
{
	const struct inf_section *s = inf_section(f, section);

	for (size_t i = 0; s && i < s->n; i++) {
		if (!strcasecmp(s->lines[i].key, key) && s->lines[i].n)
			return s->lines[i].values[0];
	}
	return NULL;
}

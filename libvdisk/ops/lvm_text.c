/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The language of LVM2's metadata: `key = value`, `key { … }`, arrays, strings with backslashes, integers, comments to the line's
 * end. Values stay in a copy of the text, where strings are unescaped in place; nodes stand in one array and know each other by
 * index, since it moves as it grows.  Nothing here recurses: the open sections and arrays are a short stack.
 */
#include "ops/lvm.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <string.h>

struct parser {
	struct vd_lvm_text *t;
	char *p, *end;
	unsigned line;
	uint32_t open[VD_LVM_DEPTH_MAX], last[VD_LVM_DEPTH_MAX]; /* the node that is open at each depth, and its latest child */
	unsigned depth;
	vd_error *err;
};

static int wrong(const struct parser *ps, const char *what)
{
	return vd_fail(ps->err, VDISK_CORRUPT, VDISK_NO_OFFSET, "LVM metadata, line %u: %s", ps->line, what);
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static void space_skip(struct parser *ps)
{
	for (; ps->p < ps->end; ps->p++) {
		if (*ps->p == '#')
			while (ps->p + 1 < ps->end && ps->p[1] != '\n')
				ps->p++;
		else if (*ps->p == '\n')
			ps->line++;
		else if (!is_space(*ps->p))
			return;
	}
}

static bool is_key(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("_-+./@:", c));
}

static bool next_is(const struct parser *ps, char c) { return ps->p < ps->end && *ps->p == c; }

static int node_add(struct parser *ps, enum vd_lvm_kind kind, const char *key, uint32_t *index)
{
	struct vd_lvm_text *t = ps->t;
	uint32_t up = ps->open[ps->depth], last = ps->last[ps->depth];

	if (t->n == t->cap) {
		uint32_t cap = t->cap * 2;
		struct vd_lvm_node *v = cap <= VD_LVM_NODES_MAX ? vd_realloc(t->v, cap, sizeof(*v)) : NULL;

		if (cap > VD_LVM_NODES_MAX)
			return vd_fail(ps->err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "LVM metadata, line %u: more than %u values",
				       ps->line, VD_LVM_NODES_MAX);
		if (!v)
			return vd_fail_nomem(ps->err, cap * sizeof(*v));
		t->v = v;
		t->cap = cap;
	}
	t->v[t->n] = (struct vd_lvm_node){ .kind = kind, .key = key };
	if (last)
		t->v[last].next = t->n;
	else
		t->v[up].first = t->n;
	ps->last[ps->depth] = t->n;
	*index = t->n++;
	return 0;
}

static int node_enter(struct parser *ps, uint32_t index)
{
	if (++ps->depth == VD_LVM_DEPTH_MAX)
		return wrong(ps, "nested too deeply");
	ps->open[ps->depth] = index;
	ps->last[ps->depth] = 0;
	return 0;
}

static int string_take(struct parser *ps, char **out)
{
	char *to = *out = ++ps->p;

	for (; ps->p < ps->end && *ps->p != '"'; ps->p++) {
		if (*ps->p == '\\' && ps->p + 1 < ps->end)
			ps->p++;
		if (*ps->p == '\n')
			ps->line++;
		*to++ = *ps->p;
	}
	if (ps->p == ps->end)
		return wrong(ps, "a string has no end");
	ps->p++; /* so `to` is before it: the NUL overwrites nothing that is still to be read */
	*to = '\0';
	return 0;
}

static int number_take(struct parser *ps, uint64_t *out)
{
	bool minus = next_is(ps, '-');
	uint64_t v = 0;

	ps->p += minus;
	if (ps->p == ps->end || *ps->p < '0' || *ps->p > '9')
		return wrong(ps, "a value is expected");
	for (; ps->p < ps->end && *ps->p >= '0' && *ps->p <= '9'; ps->p++)
		if (vd_mul64(v, 10, &v) || vd_add64(v, (uint64_t)(*ps->p - '0'), &v))
			return wrong(ps, "a number is too large");
	if (ps->p < ps->end && is_key(*ps->p))
		return wrong(ps, "a number ends in something else");
	*out = minus ? 0 - v : v;
	return 0;
}

/* A value, or the beginning of an array. */
static int value_take(struct parser *ps, const char *key)
{
	uint32_t x;
	uint64_t num = 0;
	char *str;

	if (next_is(ps, '[')) {
		ps->p++;
		return node_add(ps, VD_LVM_ARRAY, key, &x) ? -1 : node_enter(ps, x);
	}
	if (next_is(ps, '"')) {
		if (string_take(ps, &str) || node_add(ps, VD_LVM_STRING, key, &x))
			return -1;
		ps->t->v[x].str = str;
		return 0;
	}
	if (number_take(ps, &num) || node_add(ps, VD_LVM_NUMBER, key, &x))
		return -1;
	ps->t->v[x].num = num;
	return 0;
}

/* `key = value`, `key {` or `}`. */
static int member_take(struct parser *ps)
{
	char *key = ps->p, *key_end;
	char after;
	uint32_t x;

	if (next_is(ps, '}')) {
		if (!ps->depth)
			return wrong(ps, "'}' closes nothing");
		ps->p++;
		ps->depth--;
		return 0;
	}
	while (ps->p < ps->end && is_key(*ps->p))
		ps->p++;
	key_end = ps->p;
	if (key_end == key)
		return wrong(ps, "a name is expected");
	space_skip(ps);
	if (ps->p == ps->end)
		return wrong(ps, "ends after a name");
	after = *ps->p++;
	*key_end = '\0'; /* at most what `after` was read from */
	if (after == '{')
		return node_add(ps, VD_LVM_SECTION, key, &x) ? -1 : node_enter(ps, x);
	if (after != '=')
		return wrong(ps, "'=' or '{' is expected after a name");
	space_skip(ps);
	return value_take(ps, key);
}

/* One value of an array with what follows it, or its end. */
static int element_take(struct parser *ps)
{
	if (!next_is(ps, ']')) {
		if (next_is(ps, '['))
			return wrong(ps, "an array in an array");
		if (value_take(ps, ""))
			return -1;
		space_skip(ps);
		if (next_is(ps, ',')) {
			ps->p++;
			return 0;
		}
		if (!next_is(ps, ']'))
			return wrong(ps, "',' or ']' is expected");
	}
	ps->p++;
	ps->depth--;
	return 0;
}

int vd_lvm_text_parse(const char *bytes, size_t len, struct vd_lvm_text *t, vd_error *err)
{
	struct parser ps = { .t = t, .line = 1, .err = err };
	int rc = 0;

	memset(t, 0, sizeof(*t));
	if (len > VD_LVM_TEXT_MAX)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "LVM metadata of %zu bytes", len);
	len = strnlen(bytes, len);
	t->bytes = vd_strndup(bytes, len);
	t->cap = 64;
	t->v = vd_calloc(t->cap, sizeof(*t->v));
	if (!t->bytes || !t->v) {
		vd_lvm_text_free(t);
		return vd_fail_nomem(err, len);
	}
	t->v[0] = (struct vd_lvm_node){ .kind = VD_LVM_SECTION, .key = "" };
	t->n = 1;
	ps.p = t->bytes;
	ps.end = t->bytes + len;
	for (space_skip(&ps); !rc && ps.p < ps.end; space_skip(&ps))
		rc = t->v[ps.open[ps.depth]].kind == VD_LVM_ARRAY ? element_take(&ps) : member_take(&ps);
	if (!rc && ps.depth)
		rc = wrong(&ps, "ends inside a section or an array");
	if (rc)
		vd_lvm_text_free(t);
	return rc;
}

void vd_lvm_text_free(struct vd_lvm_text *t)
{
	vd_free(t->bytes);
	vd_free(t->v);
	memset(t, 0, sizeof(*t));
}

const struct vd_lvm_node *vd_lvm_get(const struct vd_lvm_text *t, const struct vd_lvm_node *in, const char *key,
				     enum vd_lvm_kind kind)
{
	for (const struct vd_lvm_node *x = vd_lvm_first(t, in); x; x = vd_lvm_next(t, x))
		if (x->kind == kind && !strcmp(x->key, key))
			return x;
	return NULL;
}

const char *vd_lvm_str(const struct vd_lvm_text *t, const struct vd_lvm_node *in, const char *key)
{
	const struct vd_lvm_node *x = vd_lvm_get(t, in, key, VD_LVM_STRING);

	return x ? x->str : NULL;
}

uint64_t vd_lvm_num(const struct vd_lvm_text *t, const struct vd_lvm_node *in, const char *key, uint64_t deflt)
{
	const struct vd_lvm_node *x = vd_lvm_get(t, in, key, VD_LVM_NUMBER);

	return x ? x->num : deflt;
}

bool vd_lvm_has_word(const struct vd_lvm_text *t, const struct vd_lvm_node *in, const char *key, const char *word)
{
	const struct vd_lvm_node *x = vd_lvm_first(t, vd_lvm_get(t, in, key, VD_LVM_ARRAY));

	for (; x; x = vd_lvm_next(t, x))
		if (x->kind == VD_LVM_STRING && !strcmp(x->str, word))
			return true;
	return false;
}

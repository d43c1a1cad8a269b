/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The index is a radix tree (kmod's libkmod/libkmod-index.h tells the format): a magic number, a version, the place of the
 * root; a node is
 *     prefix, NUL          where it has one: NODE_PREFIX in the number that points at it
 *     first, last, a big-endian number for each character between   NODE_CHILDS; 0: no child
 *     number of values, for each a priority and the text, NUL      NODE_VALUES
 * with children before their parents.  Instead of a tree in memory, the sorted keys are cut into runs of one prefix.
 */
#include "kmod_index.h"

#include "common/fail.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC 0xb007f457u
#define VERSION 0x00020001u
#define NODE_PREFIX 0x80000000u
#define NODE_VALUES 0x40000000u
#define NODE_CHILDS 0x20000000u
#define NODE_MASK 0x0fffffffu
#define KEY_MAX 1024 /* and so the depth of the tree; longer aliases do not occur */

struct entry {
	char *key;
	char *value;
	uint32_t priority;
};

struct index {
	struct entry *entries;
	size_t n, cap;
};

struct order { /* of modules in modules.dep */
	char *name;
	uint32_t at;
};

struct orders {
	struct order *list;
	size_t n;
};

static void put32(struct bytes *out, uint32_t v)
{
	const uint8_t be[4] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };

	bytes_add(out, be, 4);
}

/* All keys of [lo, hi) agree in their first `depth` characters, which the nodes above say; the root has no prefix.  Gives what
   points at the node. */
static uint32_t node_write(const struct entry *e, size_t lo, size_t hi, size_t depth, struct bytes *out)
{
	const char *first = e[lo].key, *last = e[hi - 1].key;
	size_t end = depth, values = lo;
	uint32_t children[128] = { 0 }, offset;
	int from = 128, to = -1;

	while (depth && first[end] && first[end] == last[end])
		end++;
	while (values < hi && !e[values].key[end])
		values++;
	for (size_t i = values, next; i < hi; i = next) {
		int c = e[i].key[end];

		for (next = i + 1; next < hi && e[next].key[end] == c; next++)
			;
		children[c] = node_write(e, i, next, end + 1, out);
		from = c < from ? c : from;
		to = c;
	}
	offset = (uint32_t)out->len & NODE_MASK;
	if (end > depth) {
		bytes_add(out, first + depth, end - depth);
		bytes_add(out, "", 1);
		offset |= NODE_PREFIX;
	}
	if (to >= 0) {
		const char ends[2] = { (char)from, (char)to };

		bytes_add(out, ends, 2);
		for (int c = from; c <= to; c++)
			put32(out, children[c]);
		offset |= NODE_CHILDS;
	}
	if (values > lo) {
		put32(out, (uint32_t)(values - lo));
		for (size_t i = lo; i < values; i++) {
			put32(out, e[i].priority);
			bytes_add(out, e[i].value, strlen(e[i].value) + 1);
		}
		offset |= NODE_VALUES;
	}
	return offset;
}

static int by_key(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int c = strcmp(x->key, y->key);

	return c ? c : x->priority != y->priority ? (x->priority > y->priority ? 1 : -1) : strcmp(x->value, y->value);
}

static int by_name(const void *a, const void *b)
{
	const struct order *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int orders_read(struct orders *o, const struct bytes *dep, vdisk_error *err)
{
	const char *at;
	char name[256];
	size_t pos = 0, len, lines = 1;

	for (size_t i = 0; i < dep->len; i++)
		lines += dep->at[i] == '\n';
	o->list = calloc(lines, sizeof(*o->list));
	if (!o->list)
		return fail_nomem(err);
	while (kmod_line(dep, &pos, &at, &len)) {
		if (!kmod_line_module(KMOD_DEP, at, len, name, sizeof(name)))
			continue;
		o->list[o->n] = (struct order){ strdup(name), (uint32_t)o->n };
		if (!o->list[o->n].name)
			return fail_nomem(err);
		o->n++;
	}
	qsort(o->list, o->n, sizeof(*o->list), by_name);
	return 0;
}

static uint32_t order_of(const struct orders *o, const char *name)
{
	struct order key = { (char *)name, 0 }, *found = o->n ? bsearch(&key, o->list, o->n, sizeof(key), by_name) : NULL;

	return found ? found->at : (uint32_t)o->n;
}

/* As modprobe compares names: - is _, but not within brackets.  false: kmod could not hold it. */
static bool alias_clean(const char *at, size_t len, char out[KEY_MAX])
{
	bool inside = false;

	if (!len || len >= KEY_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)at[i] >= 128 || !at[i])
			return false;
		inside = at[i] == '[' || (inside && at[i] != ']');
		out[i] = at[i] == '-' && !inside ? '_' : at[i];
	}
	out[len] = '\0';
	return true;
}

static int entry_add(struct index *x, const char *key, const char *value, size_t value_len, uint32_t priority, vdisk_error *err)
{
	if (x->n == x->cap) {
		size_t cap = x->cap ? 2 * x->cap : 1024;
		struct entry *v = realloc(x->entries, cap * sizeof(*v));

		if (!v)
			return fail_nomem(err);
		x->entries = v;
		x->cap = cap;
	}
	x->entries[x->n] = (struct entry){ strdup(key), strndup(value, value_len), priority };
	x->n++;
	return x->entries[x->n - 1].key && x->entries[x->n - 1].value ? 0 : fail_nomem(err);
}

/* modules.dep: the name finds the whole line.  The others: "alias PATTERN MODULE". */
static int line_add(struct index *x, enum kmod_text text, const struct orders *o, const char *at, size_t len, vdisk_error *err)
{
	char name[256], key[KEY_MAX];
	const char *pattern, *end;

	if (!kmod_line_module(text, at, len, name, sizeof(name)))
		return 0;
	if (text == KMOD_DEP)
		return alias_clean(name, strlen(name), key) ? entry_add(x, key, at, len, order_of(o, name), err) : 0;
	pattern = at + 6;
	end = memchr(pattern, ' ', len - 6);
	if (!end || !alias_clean(pattern, (size_t)(end - pattern), key))
		return 0;
	return entry_add(x, key, name, strlen(name), order_of(o, name), err);
}

static void index_write(struct index *x, struct bytes *out)
{
	uint32_t root;

	put32(out, MAGIC);
	put32(out, VERSION);
	put32(out, 0);
	if (!x->n) {
		root = (uint32_t)out->len;
	} else {
		qsort(x->entries, x->n, sizeof(*x->entries), by_key);
		root = node_write(x->entries, 0, x->n, 0, out);
	}
	for (int i = 0; i < 4 && !out->failed; i++)
		out->at[8 + i] = (char)(root >> (24 - 8 * i));
}

int kmod_index(enum kmod_text text, const struct bytes *of, const struct bytes *dep, struct bytes *out, vdisk_error *err)
{
	struct index x = { 0 };
	struct orders o = { 0 };
	const char *at;
	size_t pos = 0, len;
	int rc = orders_read(&o, dep, err);

	bytes_clear(out);
	while (!rc && kmod_line(of, &pos, &at, &len))
		rc = line_add(&x, text, &o, at, len, err);
	if (!rc) {
		index_write(&x, out);
		if (out->failed)
			rc = fail_nomem(err);
		else if (out->len > NODE_MASK)
			rc = fail(err, VDISK_UNSUPPORTED, "%s: its index has %zu bytes, more than one can have",
				kmod_text_name(text), out->len);
	}
	for (size_t i = 0; i < x.n; i++) {
		free(x.entries[i].key);
		free(x.entries[i].value);
	}
	for (size_t i = 0; i < o.n; i++)
		free(o.list[i].name);
	free(x.entries);
	free(o.list);
	return rc;
}

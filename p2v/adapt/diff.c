/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lines that both texts begin and end with are left out of the search; the rest is compared by the longest common subsequence, in a
 * table.  Where that would be too large, all of the rest counts as changed, which is right, if not short.
 */
#include "diff.h"

#include <stdlib.h>
#include <string.h>

#define CONTEXT   3
#define TABLE_MAX (16u << 20) /* cells */

struct line {
	const char *at;
	size_t len; /* with its newline, which the last one may lack */
};

struct text {
	struct line *v;
	size_t n;
};

struct edit { /* what happens to lines: kept, taken out of a, put in from b */
	char op;    /* ' ', '-', '+' */
	size_t a, b; /* the line of each side that it is at */
};

struct edits {
	struct edit *v;
	size_t n;
};

static bool lines_split(const char *at, size_t len, struct text *t)
{
	size_t n = 1;

	for (size_t i = 0; i < len; i++)
		n += at[i] == '\n';
	t->v = calloc(n, sizeof(*t->v));
	if (!t->v)
		return false;
	while (len) {
		const char *end = memchr(at, '\n', len);
		size_t k = end ? (size_t)(end - at) + 1 : len;

		t->v[t->n++] = (struct line){ at, k };
		at += k;
		len -= k;
	}
	return true;
}

static bool same(const struct line *a, const struct line *b) { return a->len == b->len && !memcmp(a->at, b->at, a->len); }

static void edit_add(struct edits *e, char op, size_t a, size_t b) { e->v[e->n++] = (struct edit){ op, a, b }; }

/* a[lo, a_hi) to b[lo, b_hi). */
static void middle(const struct text *a, const struct text *b, size_t lo, size_t a_hi, size_t b_hi, struct edits *e)
{
	size_t n = a_hi - lo, m = b_hi - lo, i = 0, j = 0;
	uint32_t *t = n && m && n < TABLE_MAX && m < TABLE_MAX / n ? calloc((n + 1) * (m + 1), sizeof(*t)) : NULL;

	if (t) {
		for (size_t x = n; x--;)
			for (size_t y = m; y--;)
				t[x * (m + 1) + y] = same(&a->v[lo + x], &b->v[lo + y]) ? t[(x + 1) * (m + 1) + y + 1] + 1
				                     : t[(x + 1) * (m + 1) + y] >= t[x * (m + 1) + y + 1] ? t[(x + 1) * (m + 1) + y]
				                                                                          : t[x * (m + 1) + y + 1];
	}
	while (i < n || j < m) {
		if (t && i < n && j < m && same(&a->v[lo + i], &b->v[lo + j])) {
			edit_add(e, ' ', lo + i, lo + j);
			i++, j++;
		} else if (i < n && (!t || j == m || t[(i + 1) * (m + 1) + j] >= t[i * (m + 1) + j + 1])) {
			edit_add(e, '-', lo + i, lo + j);
			i++;
		} else {
			edit_add(e, '+', lo + i, lo + j);
			j++;
		}
	}
	free(t);
}

static void edits_find(const struct text *a, const struct text *b, struct edits *e)
{
	size_t lo = 0, a_hi = a->n, b_hi = b->n;

	while (lo < a_hi && lo < b_hi && same(&a->v[lo], &b->v[lo])) {
		edit_add(e, ' ', lo, lo);
		lo++;
	}
	while (a_hi > lo && b_hi > lo && same(&a->v[a_hi - 1], &b->v[b_hi - 1]))
		a_hi--, b_hi--;
	middle(a, b, lo, a_hi, b_hi, e);
	for (; a_hi < a->n; a_hi++, b_hi++)
		edit_add(e, ' ', a_hi, b_hi);
}

static void line_show(const struct text *t, size_t i, char op, struct bytes *out)
{
	bytes_add(out, &op, 1);
	bytes_add(out, t->v[i].at, t->v[i].len);
	if (t->v[i].at[t->v[i].len - 1] != '\n')
		bytes_text(out, "\n\\ No newline at end of file\n");
}

static void hunk_show(const struct text *a, const struct text *b, const struct edit *v, size_t n, struct bytes *out)
{
	size_t a_n = 0, b_n = 0;

	for (size_t i = 0; i < n; i++) {
		a_n += v[i].op != '+';
		b_n += v[i].op != '-';
	}
	bytes_format(out, "@@ -%zu,%zu +%zu,%zu @@\n", v->a + (a_n != 0), a_n, v->b + (b_n != 0), b_n);
	for (size_t i = 0; i < n; i++)
		line_show(v[i].op == '+' ? b : a, v[i].op == '+' ? v[i].b : v[i].a, v[i].op, out);
}

static void hunks_show(const struct text *a, const struct text *b, const struct edits *e, struct bytes *out)
{
	for (size_t i = 0; i < e->n;) {
		size_t from, to, last;

		if (e->v[i].op == ' ') {
			i++;
			continue;
		}
		from = i > CONTEXT ? i - CONTEXT : 0;
		for (last = i; i < e->n && i <= last + 2 * CONTEXT; i++)
			if (e->v[i].op != ' ')
				last = i;
		to = last + 1 + CONTEXT < e->n ? last + 1 + CONTEXT : e->n;
		hunk_show(a, b, e->v + from, to - from, out);
		i = last + 1;
		while (i < e->n && i < to)
			i++;
	}
}

void diff_unified(const char *a, size_t a_len, const char *b, size_t b_len, struct bytes *out)
{
	struct text x = { 0 }, y = { 0 };
	struct edits e = { 0 };

	if (lines_split(a, a_len, &x) && lines_split(b, b_len, &y))
		e.v = calloc(x.n + y.n + 1, sizeof(*e.v));
	if (e.v && (a_len != b_len || (a_len && memcmp(a, b, a_len)))) {
		edits_find(&x, &y, &e);
		hunks_show(&x, &y, &e, out);
	} else if (!e.v) {
		out->failed = true;
	}
	free(e.v);
	free(x.v);
	free(y.v);
}

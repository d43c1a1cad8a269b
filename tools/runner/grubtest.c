/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test, by GRUB's manual: and (-a) binds closer than or (-o), "!" closest. */
#include "grubrun.h"

#include <stdlib.h>
#include <string.h>

struct test {
	struct grub *g;
	char **v;
	size_t at, n;
	unsigned depth;
};

static bool test_or(struct test *t);

static bool unary(struct test *t, char what, const char *arg)
{
	char path[BOOT_PATH_MAX];
	size_t len = strlen(arg);

	if (what == 'n' || what == 'z')
		return (what == 'n') == (len > 0);
	if (!len || !grub_path(t->g, path, arg) || !grub_work(t->g, GRUB_WORK_LOOK))
		return false;
	if (what == 'd') {
		char *names = t->g->src->list(t->g->src->ctx, path);
		bool is = names && *names;

		free(names);
		return is;
	}
	return t->g->src->exists(t->g->src->ctx, path);
}

static bool binary(const char *a, const char *op, const char *b, bool *known)
{
	long long x = strtoll(a, NULL, 0), y = strtoll(b, NULL, 0);

	*known = true;
	if (!strcmp(op, "=") || !strcmp(op, "=="))
		return !strcmp(a, b);
	if (!strcmp(op, "!="))
		return strcmp(a, b) != 0;
	if (!strcmp(op, "<") || !strcmp(op, ">"))
		return *op == '<' ? strcmp(a, b) < 0 : strcmp(a, b) > 0;
	static const char *const numeric[] = { "-eq", "-ne", "-lt", "-le", "-gt", "-ge" };
	const bool answers[] = { x == y, x != y, x < y, x <= y, x > y, x >= y };
	for (unsigned i = 0; i < 6; i++)
		if (!strcmp(op, numeric[i]))
			return answers[i];
	*known = false;
	return false;
}

static bool test_one(struct test *t)
{
	bool known;

	if (t->at >= t->n || t->depth > GRUB_DEPTH_MAX)
		return false;
	const char *word = t->v[t->at];
	if (t->at + 2 < t->n) {
		bool r = binary(word, t->v[t->at + 1], t->v[t->at + 2], &known);

		if (known) {
			t->at += 3;
			return r;
		}
	}
	t->at++;
	if (!strcmp(word, "!")) {
		t->depth++;
		return !test_one(t);
	}
	if (!strcmp(word, "(")) {
		t->depth++;
		bool r = test_or(t);

		t->at += t->at < t->n && !strcmp(t->v[t->at], ")");
		return r;
	}
	if (word[0] == '-' && word[1] && !word[2] && strchr("defsnz", word[1]))
		return t->at < t->n ? unary(t, word[1], t->v[t->at++]) : word[1] == 'z';
	return *word != '\0';
}

static bool test_and(struct test *t)
{
	bool r = test_one(t);

	while (t->at < t->n && !strcmp(t->v[t->at], "-a")) {
		t->at++;
		r = test_one(t) && r;
	}
	return r;
}

static bool test_or(struct test *t)
{
	bool r = test_and(t);

	while (t->at < t->n && !strcmp(t->v[t->at], "-o")) {
		t->at++;
		r = test_and(t) || r;
	}
	return r;
}

int grub_test(struct grub *g, char **words, size_t n)
{
	struct test t = { .g = g, .v = words, .at = 1, .n = n };

	if (!strcmp(words[0], "[") && n > 1 && !strcmp(words[n - 1], "]"))
		t.n--;
	return !test_or(&t);
}

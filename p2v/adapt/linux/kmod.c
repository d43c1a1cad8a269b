/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Owns what depmod wrote in the guest, as text; nothing of it is trusted to be whole: names that lead nowhere are passed over.
 * Names are canonical everywhere, as the kernel has them: depmod, modprobe and the files themselves take - and _ for the same.
 */
#include "kmod.h"

#include "common/fail.h"
#include "initrd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIASES_MAX 256 /* looked up among all of them, for one kernel */
#define NAME_ROOM 256
#define DEPTH_MAX 64 /* of softdeps over softdeps */

static const uint64_t text_max[KMOD_TEXTS] = { 16u << 20, 32u << 20, 32u << 20, 1u << 20, 1u << 20, 1u << 20 }; /* bytes */

const char *kmod_text_name(enum kmod_text text)
{
	static const char *const names[] = { "modules.dep", "modules.alias", "modules.symbols", "modules.softdep",
		"modules.weakdep", "modules.devname" };

	return names[text];
}

bool kmod_line(const struct bytes *text, size_t *pos, const char **at, size_t *len)
{
	const char *end;

	if (*pos >= text->len)
		return false;
	*at = text->at + *pos;
	end = memchr(*at, '\n', text->len - *pos);
	*len = end ? (size_t)(end - *at) : text->len - *pos;
	*pos += *len + 1;
	return true;
}

/* The next word of a line; *pos begins as 0. */
static bool word_after(const char *line, size_t len, size_t *pos, const char **at, size_t *n)
{
	while (*pos < len && (line[*pos] == ' ' || line[*pos] == '\t'))
		++*pos;
	*at = line + *pos;
	while (*pos < len && line[*pos] != ' ' && line[*pos] != '\t')
		++*pos;
	*n = (size_t)(line + *pos - *at);
	return *n > 0;
}

/* The word number `index`. */
static bool word(const char *line, size_t len, unsigned index, const char **at, size_t *n)
{
	size_t pos = 0;

	for (; word_after(line, len, &pos, at, n); index--)
		if (!index)
			return true;
	return false;
}

static bool canonical(const char *at, size_t n, char *out, size_t room)
{
	if (!n || n >= room)
		return false;
	for (size_t i = 0; i < n; i++)
		out[i] = at[i] == '-' ? '_' : at[i];
	out[n] = '\0';
	return true;
}

bool kmod_line_module(enum kmod_text text, const char *line, size_t len, char *out, size_t room)
{
	static const struct { unsigned index; const char *first; } forms[] = {
		[KMOD_ALIAS] = { 2, "alias" }, [KMOD_SYMBOLS] = { 2, "alias" }, [KMOD_SOFTDEP] = { 1, "softdep" },
		[KMOD_WEAKDEP] = { 1, "weakdep" },
		[KMOD_DEVNAME] = { 0, NULL },
	};
	const char *at, *colon;
	char path[4096];
	size_t n;

	if (!len || *line == '#')
		return false;
	if (text == KMOD_DEP) {
		colon = memchr(line, ':', len);
		if (!colon || (size_t)(colon - line) >= sizeof(path))
			return false;
		memcpy(path, line, (size_t)(colon - line));
		path[colon - line] = '\0';
		return module_name(path, out, room);
	}
	if (forms[text].first &&
		(!word(line, len, 0, &at, &n) || n != strlen(forms[text].first) || memcmp(at, forms[text].first, n)))
		return false;
	return word(line, len, forms[text].index, &at, &n) && canonical(at, n, out, room);
}

/* ---------------------------------------------------------------- reading */

static int by_name(const void *a, const void *b)
{
	const struct kmod_module *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int by_text(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;

	return strcmp(*x, *y);
}

static size_t lines_of(const struct bytes *text)
{
	size_t n = 1;

	for (size_t i = 0; i < text->len; i++)
		n += text->at[i] == '\n';
	return n;
}

static int modules_list(struct kmod *k, vdisk_error *err)
{
	const char *at, *colon;
	char name[NAME_ROOM];
	size_t pos = 0, len;

	k->modules = calloc(lines_of(&k->texts[KMOD_DEP]), sizeof(*k->modules));
	if (!k->modules)
		return fail_nomem(err);
	while (kmod_line(&k->texts[KMOD_DEP], &pos, &at, &len)) {
		struct kmod_module *m = &k->modules[k->n];

		if (!kmod_line_module(KMOD_DEP, at, len, name, sizeof(name)))
			continue;
		colon = memchr(at, ':', len);
		*m = (struct kmod_module){ strdup(name), strndup(at, (size_t)(colon - at)), colon + 1,
			len - (size_t)(colon + 1 - at), false };
		k->n++;
		if (!m->name || !m->path)
			return fail_nomem(err);
	}
	qsort(k->modules, k->n, sizeof(*k->modules), by_name);
	return 0;
}

static int builtins_list(struct kmod *k, vdisk_error *err)
{
	const char *at;
	char path[4096], name[NAME_ROOM];
	size_t pos = 0, len;

	k->builtins = calloc(lines_of(&k->builtin), sizeof(*k->builtins));
	if (!k->builtins)
		return fail_nomem(err);
	while (kmod_line(&k->builtin, &pos, &at, &len)) {
		if (len >= sizeof(path))
			continue;
		memcpy(path, at, len);
		path[len] = '\0';
		if (!module_name(path, name, sizeof(name)))
			continue;
		k->builtins[k->builtins_n] = strdup(name);
		if (!k->builtins[k->builtins_n])
			return fail_nomem(err);
		k->builtins_n++;
	}
	qsort(k->builtins, k->builtins_n, sizeof(*k->builtins), by_text);
	return 0;
}

static int by_module(const void *a, const void *b)
{
	const struct kmod_soft *x = a, *y = b;

	return x->of != y->of ? (x->of > y->of) - (x->of < y->of) : (x->at > y->at) - (x->at < y->at);
}

static int soft_list(struct kmod *k, enum kmod_text text, vdisk_error *err)
{
	struct kmod_soft *v = calloc(lines_of(&k->texts[text]), sizeof(*v)), *s = v;
	char of[NAME_ROOM];
	size_t pos = 0;

	if (!v)
		return fail_nomem(err);
	while (kmod_line(&k->texts[text], &pos, &s->at, &s->len))
		if (kmod_line_module(text, s->at, s->len, of, sizeof(of)) && (s->of = kmod_find(k, of)))
			s++;
	k->soft[text] = v;
	k->soft_n[text] = (size_t)(s - v);
	qsort(v, k->soft_n[text], sizeof(*v), by_module);
	return 0;
}

static int text_read(struct tree *t, const char *folder, const char *name, uint64_t max, struct bytes *out, vdisk_error *err)
{
	char path[4096];

	if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
		return fail(err, VDISK_UNSUPPORTED, "%.100s…: too long a path", folder);
	return t->ops->read(t, path, max, out, err);
}

int kmod_open(struct kmod *k, struct tree *t, const char *folder, const char *release, vdisk_error *err)
{
	int there = 0, rc = 0;

	*k = (struct kmod){ .folder = strdup(folder), .release = strdup(release) };
	if (!k->folder || !k->release)
		rc = fail_nomem(err);
	for (int i = 0; i < KMOD_TEXTS && rc >= 0; i++) {
		rc = text_read(t, folder, kmod_text_name((enum kmod_text)i), text_max[i], &k->texts[i], err);
		if (i == KMOD_DEP)
			there = rc;
	}
	if (rc >= 0)
		rc = text_read(t, folder, "modules.builtin", 4u << 20, &k->builtin, err);
	if (rc >= 0)
		rc = modules_list(k, err) || builtins_list(k, err) || soft_list(k, KMOD_SOFTDEP, err) ||
		     soft_list(k, KMOD_WEAKDEP, err) ? -1 : there;
	if (rc < 0)
		kmod_close(k);
	return rc;
}

void kmod_close(struct kmod *k)
{
	for (size_t i = 0; i < k->n; i++) {
		free(k->modules[i].name);
		free(k->modules[i].path);
	}
	for (size_t i = 0; i < k->builtins_n; i++)
		free(k->builtins[i]);
	for (int i = 0; i < KMOD_TEXTS; i++) {
		bytes_destroy(&k->texts[i]);
		free(k->soft[i]);
	}
	bytes_destroy(&k->builtin);
	free(k->modules);
	free(k->builtins);
	free(k->folder);
	free(k->release);
	*k = (struct kmod){ 0 };
}

struct kmod_module *kmod_find(const struct kmod *k, const char *name)
{
	struct kmod_module key = { .name = (char *)name };

	return k->n ? bsearch(&key, k->modules, k->n, sizeof(key), by_name) : NULL;
}

bool kmod_is_builtin(const struct kmod *k, const char *name)
{
	return k->builtins_n && bsearch(&name, k->builtins, k->builtins_n, sizeof(name), by_text);
}

/* ---------------------------------------------------------------- what needs what */

static void take(struct kmod *k, const char *name, struct kmod_module **list, size_t *n, unsigned depth);

/* A name that is no module's may be an alias (crypto-crc32c): all that have it. */
static void take_alias(struct kmod *k, const char *name, struct kmod_module **list, size_t *n, unsigned depth)
{
	const char *line, *at;
	char alias[NAME_ROOM], of[NAME_ROOM];
	size_t pos = 0, len, m;

	if (k->aliases_asked++ >= ALIASES_MAX)
		return;
	while (kmod_line(&k->texts[KMOD_ALIAS], &pos, &line, &len))
		if (word(line, len, 1, &at, &m) && canonical(at, m, alias, sizeof(alias)) && !strcmp(alias, name) &&
			kmod_line_module(KMOD_ALIAS, line, len, of, sizeof(of)))
			take(k, of, list, n, depth);
}

/* The modules that a line of softdep or weakdep names for this one: the first words are the line's own, "pre:" and "post:" go
   between. */
static void take_soft(struct kmod *k, enum kmod_text text, const struct kmod_module *of, bool post, struct kmod_module **list,
	size_t *n, unsigned depth)
{
	const struct kmod_soft *s = k->soft[text], *end = s + k->soft_n[text];
	const char *at;
	char needs[NAME_ROOM];
	size_t m, in;
	bool is_post;

	for (size_t half; s < end && s->of < of;) { /* the first of this module's */
		half = (size_t)(end - s) / 2;
		if (s[half].of < of)
			s += half + 1;
		else
			end = s + half;
	}
	for (end = k->soft[text] + k->soft_n[text]; s < end && s->of == of; s++) {
		is_post = text == KMOD_WEAKDEP;
		in = 0;
		for (int own = 0; own < 2; own++) /* softdep NAME */
			word_after(s->at, s->len, &in, &at, &m);
		while (word_after(s->at, s->len, &in, &at, &m)) {
			if (at[m - 1] == ':')
				is_post = m == 5 && !memcmp(at, "post:", 5);
			else if (is_post == post && canonical(at, m, needs, sizeof(needs)))
				(kmod_find(k, needs) ? take : take_alias)(k, needs, list, n, depth + 1);
		}
	}
}

static void take(struct kmod *k, const char *name, struct kmod_module **list, size_t *n, unsigned depth)
{
	struct kmod_module *m = kmod_find(k, name);
	const char *at;
	char path[4096], dep[NAME_ROOM];
	size_t pos = 0, len;

	if (!m || m->taken || depth > DEPTH_MAX)
		return;
	m->taken = true;
	take_soft(k, KMOD_SOFTDEP, m, false, list, n, depth);
	/* modules.dep lists all that it needs, what is needed by others last. */
	while (word_after(m->deps, m->deps_len, &pos, &at, &len)) {
		if (len >= sizeof(path))
			continue;
		memcpy(path, at, len);
		path[len] = '\0';
		if (module_name(path, dep, sizeof(dep)))
			take(k, dep, list, n, depth + 1);
	}
	list[(*n)++] = m;
	take_soft(k, KMOD_SOFTDEP, m, true, list, n, depth);
	take_soft(k, KMOD_WEAKDEP, m, true, list, n, depth);
}

void kmod_closure(struct kmod *k, const char *name, struct kmod_module **list, size_t *n) { take(k, name, list, n, 0); }

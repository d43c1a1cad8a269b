/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Boot Loader Specification: entries of type 1 (loader/entries/NAME.conf) and 2 (EFI/Linux/NAME.efi), loader.conf; and
 * extlinux.conf, which has the same kind of lines.
 */
#include "bootsource.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 512

/* The next line of *text, without blanks around it, as its first word and the rest; false: there is none. */
static bool line_next(char **text, char **key, char **value)
{
	while (*text && **text) {
		char *line = *text, *end = strchr(line, '\n');

		*text = end ? end + 1 : NULL;
		if (end)
			*end = '\0';
		line += strspn(line, " \t\r");
		for (size_t n = strlen(line); n && strchr(" \t\r", line[n - 1]);)
			line[--n] = '\0';
		if (!*line || *line == '#')
			continue;
		size_t n = strcspn(line, " \t");
		*key = line;
		*value = line + n + strspn(line + n, " \t");
		line[n] = '\0';
		return true;
	}
	return false;
}

/* Numbers compare as numbers, "~" comes before all: uapi-group.org's version format. */
static int version_compare(const char *a, const char *b)
{
	while (*a || *b) {
		if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
			a += strspn(a, "0");
			b += strspn(b, "0");
			size_t n = strspn(a, "0123456789"), m = strspn(b, "0123456789");
			int r = n != m ? (n > m) - (n < m) : memcmp(a, b, n);
			if (r)
				return r;
			a += n;
			b += m;
			continue;
		}
		if (*a != *b) {
			int x = *a == '~' ? -2 : *a ? (unsigned char)*a : -1, y = *b == '~' ? -2 : *b ? (unsigned char)*b : -1;

			return x - y;
		}
		a++;
		b++;
	}
	return 0;
}

static int names_compare(const void *a, const void *b)
{
	return -version_compare(*(char *const *)a, *(char *const *)b);
}

size_t bls_names_sort(char *list, const char *suffix, char **names, size_t room)
{
	size_t n = 0, tail = strlen(suffix);

	for (char *p = strtok(list, "\n"); p && n < room; p = strtok(NULL, "\n")) {
		size_t len = strlen(p);

		if (len > tail && !strcasecmp(p + len - tail, suffix))
			names[n++] = p;
	}
	qsort(names, n, sizeof(*names), names_compare);
	return n;
}

static int initrd_add(const char *device, const char *path, struct boot_choice *out, vdisk_error *err)
{
	if (out->n_initrds == BOOT_INITRDS_MAX)
		return fail(err, VDISK_INVALID, "one initial RAM disk too many: %.200s", path);
	if (!boot_path(out->initrds[out->n_initrds], device, path))
		return fail(err, VDISK_INVALID, "a path is too long: %.200s", path);
	out->n_initrds++;
	return 0;
}

int bls_entry_read(const struct boot_source *src, const char *device, const char *path, struct boot_choice *out, vdisk_error *err)
{
	char *text = src->read(src->ctx, path), *rest = text, *key, *value;
	int r = 0;

	*out = (struct boot_choice){ 0 };
	if (!text)
		return fail(err, VDISK_IO, "%s: cannot be read", path);
	while (!r && line_next(&rest, &key, &value)) {
		if (!strcmp(key, "linux") || !strcmp(key, "efi") || !strcmp(key, "uki")) {
			out->unified = *key != 'l';
			if (!boot_path(out->kernel, device, value))
				r = fail(err, VDISK_INVALID, "%s: a path is too long: %.200s", path, value);
		} else if (!strcmp(key, "initrd")) {
			for (char *word = strtok(value, " \t"); word && !r; word = strtok(NULL, " \t"))
				r = *word == '$' ? 0 : initrd_add(device, word, out, err); /* $tuned_initrd */
		} else if (!strcmp(key, "options") && !boot_append(out, value))
			r = fail(err, VDISK_INVALID, "%s: the kernel's command line is too long", path);
	}
	free(text);
	if (!r && !*out->kernel)
		r = fail(err, VDISK_UNSUPPORTED, "%s: names no kernel", path);
	return r;
}

/* loader.conf's "default", a pattern, and its choice among the entries. */
static void default_read(const struct boot_source *src, const char *device, char *pattern, size_t room)
{
	char path[BOOT_PATH_MAX], *key, *value;
	char *text = boot_path(path, device, "/loader/loader.conf") ? src->read(src->ctx, path) : NULL, *rest = text;

	pattern[0] = '\0';
	while (text && line_next(&rest, &key, &value))
		if (!strcmp(key, "default"))
			snprintf(pattern, room, "%s", value);
	free(text);
}

static bool pattern_fits(const char *pattern, const char *name)
{
	char bare[BOOT_PATH_MAX];

	if (!*pattern)
		return false;
	snprintf(bare, sizeof(bare), "%s", name);
	char *dot = strrchr(bare, '.');
	if (dot)
		*dot = '\0';
	return !fnmatch(pattern, name, FNM_CASEFOLD) || !fnmatch(pattern, bare, FNM_CASEFOLD);
}

int bls_choose(const struct boot_source *src, const char *device, struct boot_choice *out, vdisk_error *err)
{
	static const struct {
		const char *folder, *suffix;
	} kinds[] = { { "/loader/entries/", ".conf" }, { "/EFI/Linux/", ".efi" } };
	char pattern[256], folder[BOOT_PATH_MAX], path[BOOT_PATH_MAX] = "";
	bool unified = false, fits = false;

	default_read(src, device, pattern, sizeof(pattern));
	for (unsigned k = 0; k < 2; k++) {
		char *names[NAMES_MAX], *list = boot_path(folder, device, kinds[k].folder) ? src->list(src->ctx, folder) : NULL;
		size_t n = list ? bls_names_sort(list, kinds[k].suffix, names, NAMES_MAX) : 0;

		for (size_t i = 0; i < n; i++) {
			bool better = !*path || (!fits && pattern_fits(pattern, names[i]));

			if (better && snprintf(path, sizeof(path), "%s%s", folder, names[i]) < (int)sizeof(path)) {
				unified = k == 1;
				fits = pattern_fits(pattern, names[i]);
			}
		}
		free(list);
	}
	if (!*path)
		return fail(err, VDISK_UNSUPPORTED, "(%s): no boot loader's entry", device);
	if (!unified)
		return bls_entry_read(src, device, path, out, err);
	*out = (struct boot_choice){ .unified = true };
	snprintf(out->kernel, sizeof(out->kernel), "%s", path);
	return 0;
}

/* One label's lines.  Paths are relative to the configuration's folder where they do not begin with a slash. */
static int label_line(const char *path, const char *key, char *value, struct boot_choice *out, vdisk_error *err)
{
	const char *close = strchr(path, ')'), *slash = strrchr(path, '/');
	char device[BOOT_DEVICE_MAX], name[BOOT_PATH_MAX];

	snprintf(device, sizeof(device), "%.*s", (int)(close - path) - 1, path + 1);
	if (!strcasecmp(key, "kernel") || !strcasecmp(key, "linux")) {
		snprintf(name, sizeof(name), "%.*s/%s", *value == '/' ? 0 : (int)(slash - close) - 1, close + 1,
		         *value == '/' ? value + 1 : value);
		return boot_path(out->kernel, device, name) ? 0 : fail(err, VDISK_INVALID, "a path is too long: %.200s", value);
	}
	if (!strcasecmp(key, "initrd"))
		for (char *word = strtok(value, ","); word; word = strtok(NULL, ",")) {
			snprintf(name, sizeof(name), "%.*s/%s", *word == '/' ? 0 : (int)(slash - close) - 1, close + 1,
			         *word == '/' ? word + 1 : word);
			if (initrd_add(device, name, out, err))
				return -1;
		}
	if (!strcasecmp(key, "append") && !boot_append(out, value))
		return fail(err, VDISK_INVALID, "the kernel's command line is too long");
	return 0;
}

static void initrd_from_append(const char *path, struct boot_choice *out, vdisk_error *err)
{
	char *at = strstr(out->append, "initrd="), value[BOOT_PATH_MAX];

	if (!at || (at > out->append && at[-1] != ' ') || out->n_initrds)
		return;
	size_t n = strcspn(at, " ");
	snprintf(value, sizeof(value), "%.*s", (int)n - 7, at + 7);
	memmove(at, at + n + (at[n] == ' '), strlen(at + n + (at[n] == ' ')) + 1);
	label_line(path, "initrd", value, out, err);
}

int extlinux_choose(const struct boot_source *src, const char *path, struct boot_choice *out, vdisk_error *err)
{
	char *text = src->read(src->ctx, path), *rest, *key, *value, wanted[256] = "", first[256] = "";
	struct boot_choice all = { 0 };
	bool in = false, any = false;
	int r = 0;

	*out = (struct boot_choice){ 0 };
	if (!text)
		return fail(err, VDISK_IO, "%s: cannot be read", path);
	char *copy = strdup(text);
	for (rest = copy; copy && line_next(&rest, &key, &value);) {
		if (!strcasecmp(key, "default") || !strcasecmp(key, "ontimeout"))
			snprintf(wanted, sizeof(wanted), "%s", value);
		else if (!strcasecmp(key, "label") && !*first)
			snprintf(first, sizeof(first), "%s", value);
	}
	free(copy);
	if (!*wanted || !strcasecmp(wanted, "menu.c32") || !strcasecmp(wanted, "vesamenu.c32"))
		snprintf(wanted, sizeof(wanted), "%s", first);
	for (rest = text; !r && line_next(&rest, &key, &value);) {
		if (!strcasecmp(key, "label")) {
			in = !strcmp(value, wanted);
			any = true;
		} else if (in)
			r = label_line(path, key, value, out, err);
		else if (!any && !strcasecmp(key, "append"))
			r = label_line(path, key, value, &all, err);
	}
	free(text);
	if (!r && !*out->kernel)
		r = fail(err, VDISK_UNSUPPORTED, "%s: its default \"%s\" boots no Linux kernel", path, wanted);
	if (!r && !*out->append)
		boot_append(out, all.append);
	if (!r)
		initrd_from_append(path, out, err);
	return r;
}

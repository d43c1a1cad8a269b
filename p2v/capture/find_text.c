/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "find_text.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((format(printf, 3, 0))) static bool path_v(char out[PATH_MAX], const char *root, const char *format, va_list ap)
{
	int n = snprintf(out, PATH_MAX, "%s", root), m;

	if (n < 0 || n >= PATH_MAX)
		return false;
	m = vsnprintf(out + n, (size_t)(PATH_MAX - n), format, ap);
	return m >= 0 && m < PATH_MAX - n;
}

bool find_path(char out[PATH_MAX], const char *root, const char *format, ...)
{
	va_list ap;
	bool ok;

	va_start(ap, format);
	ok = path_v(out, root, format, ap);
	va_end(ap);
	return ok;
}

bool find_there(const char *root, const char *format, ...)
{
	char path[PATH_MAX];
	va_list ap;
	bool ok;

	va_start(ap, format);
	ok = path_v(path, root, format, ap);
	va_end(ap);
	return ok && !access(path, F_OK);
}

static bool file_read(char *out, size_t room, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t n = 0;

	while (fd >= 0 && n < room - 1) {
		ssize_t r = read(fd, out + n, room - 1 - n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			break;
		n += (size_t)r;
	}
	if (fd >= 0)
		close(fd);
	while (n && isspace((unsigned char)out[n - 1]))
		n--;
	out[n] = '\0';
	return n > 0;
}

bool find_text(char *out, size_t room, const char *root, const char *format, ...)
{
	char path[PATH_MAX];
	va_list ap;
	bool ok;

	*out = '\0';
	va_start(ap, format);
	ok = path_v(path, root, format, ap);
	va_end(ap);
	return ok && file_read(out, room, path);
}

uint64_t find_number(uint64_t otherwise, const char *root, const char *format, ...)
{
	char path[PATH_MAX], text[32], *end;
	unsigned long long v;
	va_list ap;
	bool ok;

	va_start(ap, format);
	ok = path_v(path, root, format, ap);
	va_end(ap);
	if (!ok || !file_read(text, sizeof(text), path) || !isdigit((unsigned char)*text))
		return otherwise;
	errno = 0;
	v = strtoull(text, &end, 10);
	return errno || *end ? otherwise : v;
}

bool find_link(char *out, size_t room, const char *root, const char *format, ...)
{
	char path[PATH_MAX], target[PATH_MAX], *slash;
	va_list ap;
	ssize_t n;
	bool ok;

	*out = '\0';
	va_start(ap, format);
	ok = path_v(path, root, format, ap);
	va_end(ap);
	n = ok ? readlink(path, target, sizeof(target) - 1) : -1;
	if (n <= 0)
		return false;
	target[n] = '\0';
	slash = strrchr(target, '/');
	return (size_t)snprintf(out, room, "%s", slash ? slash + 1 : target) < room && *out;
}

bool find_real(char out[PATH_MAX], const char *root, const char *format, ...)
{
	char path[PATH_MAX];
	va_list ap;
	bool ok;

	*out = '\0';
	va_start(ap, format);
	ok = path_v(path, root, format, ap);
	va_end(ap);
	if (ok && realpath(path, out))
		return true;
	*out = '\0';
	return false;
}

bool find_value(const char *text, const char *key, char sep, char *out, size_t room)
{
	size_t len = strlen(key);

	*out = '\0';
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *p = line + len;

		if (strncmp(line, key, len))
			continue;
		p += strspn(p, " \t");
		if (*p++ != sep)
			continue;
		p += strspn(p, " \t");
		snprintf(out, room, "%.*s", (int)strcspn(p, "\n"), p);
		return *out;
	}
	return false;
}

static int by_name(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

char **find_names(const char *root, size_t *n, const char *format, ...)
{
	char path[PATH_MAX], **names = NULL;
	size_t cap = 0;
	va_list ap;
	DIR *d;
	bool ok;

	*n = 0;
	va_start(ap, format);
	ok = path_v(path, root, format, ap);
	va_end(ap);
	d = ok ? opendir(path) : NULL;
	for (struct dirent *e; d && (e = readdir(d));) {
		if (*e->d_name == '.')
			continue;
		if (*n == cap) {
			char **more = realloc(names, (cap + 32) * 2 * sizeof(*names));

			if (!more)
				break;
			names = more;
			cap = (cap + 32) * 2;
		}
		if (!(names[*n] = strdup(e->d_name)))
			break;
		++*n;
	}
	if (d)
		closedir(d);
	if (*n)
		qsort(names, *n, sizeof(*names), by_name);
	return names;
}

void find_names_free(char **names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a server is asked: headers from a file, where a password or cookie is not seen by others as it is on a command line. */
#include "io/http_source.h"
#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define FILE_MOST 65536u

void vd_http_access_free(struct vd_http_access *a)
{
	for (size_t i = 0; i < a->n_headers; i++)
		vd_free(a->headers[i]);
	vd_free(a->headers);
	vd_free(a->netrc);
	vd_free(a->cacert);
	memset(a, 0, sizeof(*a));
}

static int header_add(struct vd_http_access *a, const char *text, size_t len, vd_error *err)
{
	char **v = vd_realloc(a->headers, a->n_headers + 1, sizeof(*v));

	if (!v)
		return vd_fail_nomem(err, len);
	a->headers = v;
	v[a->n_headers] = vd_strndup(text, len);
	if (!v[a->n_headers])
		return vd_fail_nomem(err, len);
	a->n_headers++;
	return 0;
}

/* Of any kind, a pipe too: <(pass show esxi) is a good place for a cookie.  Returns owned, *len bytes and a NUL. */
static char *file_read(const char *path, size_t *len, vd_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = fd < 0 ? NULL : vd_malloc(FILE_MOST + 1);
	ssize_t r = 1;

	*len = 0;
	if (fd < 0) {
		vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", path);
		return NULL;
	}
	while (text && *len <= FILE_MOST && r > 0) {
		r = read(fd, text + *len, FILE_MOST + 1 - *len);
		if (r > 0)
			*len += (size_t)r;
		else if (r < 0 && errno == EINTR)
			r = 1;
	}
	if (!text)
		vd_fail_nomem(err, FILE_MOST);
	else if (r < 0)
		vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", path);
	else if (*len > FILE_MOST)
		vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: is longer than %u bytes: no file of headers", path, FILE_MOST);
	else
		text[*len] = '\0';
	close(fd);
	if (text && (r < 0 || *len > FILE_MOST)) {
		vd_free(text);
		text = NULL;
	}
	return text;
}

static bool is_token(char c) { return c > ' ' && c < 127 && !strchr("()<>@,;:\\\"/[]?={}", c); }

/* What this program says itself; a second word on it would change which bytes come. */
static bool is_ours(const char *name, size_t len)
{
	static const char *const ours[] = {
		"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Accept-Encoding",
		"TE", "Content-Length", "Transfer-Encoding", "Host", "Connection"
	};

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (strlen(ours[i]) == len && !strncasecmp(ours[i], name, len))
			return true;
	return false;
}

/* The line's content is not shown: it may be a secret. */
static int line_judge(const char *path, unsigned at, const char *line, size_t len, vd_error *err)
{
	size_t name = 0;

	while (name < len && is_token(line[name]))
		name++;
	if (!name || name == len || line[name] != ':')
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: line %u is no header (\"Name: value\")", path, at);
	for (size_t i = 0; i < len; i++)
		if (((unsigned char)line[i] < ' ' && line[i] != '\t') || line[i] == 127)
			return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: line %u has a control character in it", path, at);
	if (is_ours(line, name))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: line %u: the header %.*s is not for others to set", path,
		               at, (int)name, line);
	return 0;
}

static int headers_read(const char *path, struct vd_http_access *out, vd_error *err)
{
	size_t len;
	VD_AUTO_FREE char *text = file_read(path, &len, err);
	unsigned at = 0;

	if (!text)
		return -1;
	for (char *p = text, *end = text + len; p < end;) {
		char *stop = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((stop ? stop : end) - p);

		at++;
		if (n && p[n - 1] == '\r')
			n--;
		if (n && *p != '#' && (line_judge(path, at, p, n, err) || header_add(out, p, n, err)))
			return -1;
		p = stop ? stop + 1 : end;
	}
	if (!out->n_headers)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: there is no header in it", path);
	return 0;
}

/* Told by its name here; libcurl would pass over a netrc file that is not there. */
static int path_keep(const char *path, char **to, vd_error *err)
{
	int fd;

	if (!path)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", path);
	close(fd);
	*to = vd_strdup(path);
	return *to ? 0 : vd_fail_nomem(err, strlen(path));
}

int vd_http_access_read(const struct vdisk_remote *r, struct vd_http_access *out, vd_error *err)
{
	memset(out, 0, sizeof(*out));
	if (!r || !((r->header_file && headers_read(r->header_file, out, err)) || path_keep(r->netrc_file, &out->netrc, err) ||
	            path_keep(r->cacert, &out->cacert, err)))
		return 0;
	vd_http_access_free(out);
	return -1;
}

int vd_http_access_copy(const struct vd_http_access *from, struct vd_http_access *out, vd_error *err)
{
	int rc = 0;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; !rc && i < from->n_headers; i++)
		rc = header_add(out, from->headers[i], strlen(from->headers[i]), err);
	if (!rc && from->netrc && !(out->netrc = vd_strdup(from->netrc)))
		rc = vd_fail_nomem(err, strlen(from->netrc));
	if (!rc && from->cacert && !(out->cacert = vd_strdup(from->cacert)))
		rc = vd_fail_nomem(err, strlen(from->cacert));
	if (rc)
		vd_http_access_free(out);
	return rc;
}

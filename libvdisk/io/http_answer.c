/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a server says of the bytes that it sends.  Pure; whatever it sends, nothing is believed that contradicts itself. */
#include "io/http_source.h"
#include "base/bytes.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool number(const char **p, uint64_t *out)
{
	uint64_t v = 0;
	const char *at = *p;

	for (; isdigit((unsigned char)*at); at++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(*at - '0'), &v))
			return false;
	if (at == *p)
		return false;
	*p = at;
	*out = v;
	return true;
}

/* "bytes 0-99/1234", or of a 416 "bytes", a star, "/1234". */
static bool range_parse(struct vd_http_answer *a, const char *v)
{
	bool none;

	if (strncasecmp(v, "bytes", 5))
		return false;
	for (v += 5; *v == ' ' || *v == '\t'; v++)
		;
	none = *v == '*';
	if (none)
		v++;
	else if (!number(&v, &a->from) || *v++ != '-' || !number(&v, &a->to))
		return false;
	a->no_range = none;
	return *v++ == '/' && number(&v, &a->total) && !*v && (none || (a->from <= a->to && a->to < a->total)) &&
	       a->total <= INT64_MAX;
}

static void text_keep(char *to, const char *value)
{
	size_t n = strlen(value);

	if (n < VD_HTTP_VALIDATOR) /* a longer one is none: it is not compared by half */
		memcpy(to, value, n + 1);
}

static void field_take(struct vd_http_answer *a, const char *name, const char *value)
{
	uint64_t seconds;

	if (!strcasecmp(name, "Content-Range")) {
		a->has_range = range_parse(a, value);
	} else if (!strcasecmp(name, "Content-Length")) {
		a->has_length = number(&value, &a->length) && !*value;
	} else if (!strcasecmp(name, "Content-Encoding")) {
		a->encoded = *value && strcasecmp(value, "identity");
	} else if (!strcasecmp(name, "ETag")) {
		text_keep(a->etag, value);
	} else if (!strcasecmp(name, "Last-Modified")) {
		text_keep(a->modified, value);
	} else if (!strcasecmp(name, "Retry-After")) {
		a->retry_after = number(&value, &seconds) && !*value ? (unsigned)vd_min(seconds, 3600) : 0;
	}
}

void vd_http_answer_line(struct vd_http_answer *a, const char *line, size_t len)
{
	char text[1024], *value;

	while (len && isspace((unsigned char)line[len - 1]))
		len--;
	if (!len || len >= sizeof(text))
		return;
	memcpy(text, line, len);
	text[len] = '\0';
	if (!strncasecmp(text, "HTTP/", 5)) {
		const char *p = text + strcspn(text, " ");
		uint64_t status = 0;

		p += *p == ' ';
		memset(a, 0, sizeof(*a));
		if (number(&p, &status) && status >= 100 && status < 600)
			a->status = (int)status;
		return;
	}
	value = strchr(text, ':');
	if (!value)
		return;
	*value++ = '\0';
	while (*value == ' ' || *value == '\t')
		value++;
	field_take(a, text, value);
}

/* An ETag decides alone; what only one of the two answers tells does not count. */
bool vd_http_answer_changed(const struct vd_http_answer *a, const struct vd_http_version *v)
{
	if (v->etag[0] && a->etag[0])
		return strcmp(v->etag, a->etag) != 0;
	return v->modified[0] && a->modified[0] && strcmp(v->modified, a->modified);
}

int vd_http_fail_changed(const struct vd_http_answer *a, const char *name, const struct vd_http_version *v, vd_error *err)
{
	bool etags = v->etag[0] && a->etag[0] && strcmp(v->etag, a->etag),
	     times = v->modified[0] && a->modified[0] && strcmp(v->modified, a->modified);
	char was[100], is[100];

	if (etags || times) {
		vd_printable(was, sizeof(was), etags ? v->etag : v->modified, strlen(etags ? v->etag : v->modified));
		vd_printable(is, sizeof(is), etags ? a->etag : a->modified, strlen(etags ? a->etag : a->modified));
		return vd_fail(err, VDISK_IO, VDISK_NO_OFFSET,
		               "%s: has changed on the server since it was opened (%s was %s, is %s)", name,
		               etags ? "ETag" : "Last-Modified", was, is);
	}
	return vd_fail(err, VDISK_IO, VDISK_NO_OFFSET, "%s: has changed on the server since it was opened", name);
}

int vd_http_answer_judge(const struct vd_http_answer *a, const char *name, uint64_t off, uint64_t len,
                         const struct vd_http_version *v, vd_error *err)
{
	if (v && vd_http_answer_changed(a, v))
		return vd_http_fail_changed(a, name, v, err);
	if (a->encoded)
		return vd_fail(err, VDISK_UNSUPPORTED, off,
		               "%s: the server sends it encoded (Content-Encoding), though nobody asked for that", name);
	if (!a->has_range || a->no_range)
		return vd_fail(err, VDISK_IO, off, "%s: the server's answer does not say which bytes it holds (Content-Range)",
		               name);
	if (v && a->total != v->size)
		return vd_fail(err, VDISK_IO, off,
		               "%s: has changed on the server since it was opened: it was %" PRIu64 " bytes long, it is %" PRIu64,
		               name, v->size, a->total);
	if (a->from != off || a->to - a->from >= len)
		return vd_fail(err, VDISK_IO, off,
		               "%s: the server sent bytes %" PRIu64 " to %" PRIu64 " where %" PRIu64 " to %" PRIu64
		               " were asked for",
		               name, a->from, a->to, off, off + len - 1);
	if (a->has_length && a->length != a->to - a->from + 1)
		return vd_fail(err, VDISK_IO, off,
		               "%s: the server contradicts itself: bytes %" PRIu64 " to %" PRIu64
		               " (Content-Range) are not %" PRIu64 " (Content-Length)",
		               name, a->from, a->to, a->length);
	return 0;
}

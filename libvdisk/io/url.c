/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/url.h"
#include "base/alloc.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define URL_MOST 8192u

/* Behind "scheme://"; NULL: it is no such URL. */
static const char *authority(const char *url)
{
	if (!strncasecmp(url, "http://", 7))
		return url + 7;
	return strncasecmp(url, "https://", 8) ? NULL : url + 8;
}

static size_t authority_length(const char *at) { return strcspn(at, "/?#"); }

bool vd_url_is(const char *path) { return authority(path) != NULL; }

bool vd_url_is_secure(const char *url) { return !strncasecmp(url, "https://", 8); }

char *vd_url_shown(const char *url)
{
	const char *at = authority(url), *user = at ? memrchr(at, '@', authority_length(at)) : NULL;
	size_t n = strcspn(url, "?#");

	return user ? vd_asprintf("%.*s%.*s", (int)(at - url), url, (int)(url + n - user - 1), user + 1) : vd_strndup(url, n);
}

int vd_url_judge(const char *url, vd_error *err)
{
	const char *at = authority(url);
	size_t n = at ? authority_length(at) : 0;
	VD_AUTO_FREE char *shown = vd_url_shown(url);
	char text[300];

	if (!shown)
		return vd_fail_nomem(err, strlen(url));
	if (n && memchr(at, '@', n)) /* not even shown */
		return vd_fail(
			err, VDISK_INVALID, VDISK_NO_OFFSET,
			"the URL has a user name or password in it, where others can see them: a netrc file or a header file holds them instead");
	vd_printable(text, sizeof(text), shown, strlen(shown));
	if (!n || *at == ':')
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: names no server", text);
	if (strlen(url) > URL_MOST)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: is longer than %u bytes", text, URL_MOST);
	for (const char *p = url; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 127)
			return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
			               "%s: has a space or a control character in it (a space is %%20)", text);
	return 0;
}

/* Each part a plain name: nothing that leads elsewhere, on whatever kind of server. */
static bool name_is_beneath(const char *name)
{
	for (const char *p = name;; p++) {
		size_t n = strcspn(p, "/");

		if (!n || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.') || memchr(p, '\\', n))
			return false;
		p += n;
		if (!*p)
			return true;
	}
}

/* As a path of a URL: what is not plain becomes %XX, a '%' too. */
static char *path_encode(const char *name)
{
	static const char hex[] = "0123456789ABCDEF";
	char *out = vd_malloc(3 * strlen(name) + 1), *to = out;

	for (; out && *name; name++) {
		unsigned char c = (unsigned char)*name;

		if ((c < 128 && isalnum(c)) || strchr("-._~/", c)) {
			*to++ = (char)c;
		} else {
			*to++ = '%';
			*to++ = hex[c >> 4];
			*to++ = hex[c & 15];
		}
	}
	if (out)
		*to = '\0';
	return out;
}

int vd_url_beside(const char *url, const char *name, char **out, vd_error *err)
{
	const char *at = authority(url);
	size_t path = strcspn(url, "?#"), query = path + strcspn(url + path, "#"), folder = path,
	       least = (size_t)(at - url) + authority_length(at);
	VD_AUTO_FREE char *encoded = NULL;
	char text[200];

	if (!name_is_beneath(name)) {
		vd_printable(text, sizeof(text), name, strlen(name));
		return vd_fail(
			err, VDISK_REFUSED, VDISK_NO_OFFSET,
			"names '%s': an image that was opened by a URL may name what lies beneath its own folder on that server, and nothing else",
			text);
	}
	while (folder > least && url[folder - 1] != '/')
		folder--;
	encoded = path_encode(name);
	*out = encoded ? vd_asprintf("%.*s%s%s%.*s", (int)folder, url, folder > least ? "" : "/", encoded, (int)(query - path),
	                             url + path)
	               : NULL;
	return *out ? 0 : vd_fail_nomem(err, strlen(url) + strlen(name));
}

bool vd_url_same_origin(const char *a, const char *b)
{
	const char *x = authority(a), *y = authority(b);
	size_t n = x && y ? authority_length(x) : 0;

	return n && vd_url_is_secure(a) == vd_url_is_secure(b) && n == authority_length(y) && !strncasecmp(x, y, n);
}

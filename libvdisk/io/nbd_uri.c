/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "io/nbd_uri.h"
#include "io/nbd.h"
#include "base/alloc.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define URI_MOST    8192u
#define NAME_MOST   4096u /* the NBD protocol's limit for strings */
#define PORT        "10809"

static const struct kind {
	const char *prefix;
	bool unix_socket, tls;
} kinds[] = {
	{ "nbd://", false, false }, { "nbds://", false, true }, { "nbd+unix://", true, false }, { "nbds+unix://", true, true },
};

static const struct kind *kind_of(const char *text)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strncasecmp(text, kinds[i].prefix, strlen(kinds[i].prefix)))
			return &kinds[i];
	return NULL;
}

bool vd_nbd_uri_is(const char *path) { return kind_of(path) != NULL; }

/* One under way; every message begins with the whole of it. */
struct parse {
	const char *text;
	vd_error *err;
};

static int fail(const struct parse *p, enum vdisk_error_kind kind, const char *what)
{
	char text[300];

	return vd_fail(p->err, kind, VDISK_NO_OFFSET, "%s: %s", vd_printable(text, sizeof(text), p->text, strlen(p->text)), what);
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* %XX decoded.  Returns owned in *out. */
static int part_take(const struct parse *p, const char *from, size_t n, char **out)
{
	char *to = vd_malloc(n + 1), *at = to;

	if (!to)
		return vd_fail_nomem(p->err, n + 1);
	for (size_t i = 0; i < n; i++) {
		int c = (unsigned char)from[i];

		if (c == '%') {
			c = n - i > 2 && hex(from[i + 1]) >= 0 && hex(from[i + 2]) >= 0 ? hex(from[i + 1]) * 16 + hex(from[i + 2])
			                                                                : 0;
			i += 2;
		}
		if (!c) {
			vd_free(to);
			return fail(p, VDISK_INVALID, "a '%' in it is not followed by the two hexadecimal digits of a byte");
		}
		*at++ = (char)c;
	}
	*at = '\0';
	*out = to;
	return 0;
}

static bool host_is(const char *host, bool brackets)
{
	for (; *host; host++)
		if (!isalnum((unsigned char)*host) && !strchr(brackets ? ":.%-_" : ".-_", *host) && (unsigned char)*host < 128)
			return false;
	return true;
}

static int port_take(const struct parse *p, const char *at, size_t n, struct vd_nbd_uri *u)
{
	unsigned long v = 0;

	for (size_t i = 0; i < n; i++) {
		if (!isdigit((unsigned char)at[i]) || i >= 5)
			return fail(p, VDISK_INVALID, "its port is no number from 1 to 65535");
		v = v * 10 + (unsigned long)(at[i] - '0');
	}
	if (!v || v > 65535)
		return fail(p, VDISK_INVALID, "its port is no number from 1 to 65535");
	u->port = vd_strndup(at, n);
	return u->port ? 0 : vd_fail_nomem(p->err, n);
}

/* "user@host:port", each of which may be missing. */
static int authority_take(const struct parse *p, const char *at, size_t n, bool unix_socket, struct vd_nbd_uri *u)
{
	const char *end = at + n, *sign = memchr(at, '@', n), *host, *stop;
	bool brackets;

	if (sign) {
		if (memchr(at, ':', (size_t)(sign - at)))
			return fail(p, VDISK_INVALID,
			            "has a password in it, where others can see it; a key stands in a file (tls-psk-file)");
		if (sign > at && part_take(p, at, (size_t)(sign - at), &u->user))
			return -1;
		at = sign + 1;
	}
	if (unix_socket)
		return at < end ? fail(p, VDISK_INVALID,
		                       "names a host, but a Unix socket is on this one (nbd+unix:///NAME?socket=FILE)")
		                : 0;
	brackets = at < end && *at == '[';
	host = at + brackets;
	stop = memchr(host, brackets ? ']' : ':', (size_t)(end - host));
	if (!stop && brackets)
		return fail(p, VDISK_INVALID, "its address has no ']'");
	stop = stop ? stop : end;
	at = stop + (brackets && stop < end);
	if (at < end && *at != ':')
		return fail(p, VDISK_INVALID, "has something else than a port behind the ']'");
	if (stop > host ? part_take(p, host, (size_t)(stop - host), &u->host) : !(u->host = vd_strdup("localhost")))
		return stop > host ? -1 : vd_fail_nomem(p->err, n);
	if (!host_is(u->host, brackets))
		return fail(p, VDISK_INVALID, "its host is no name or address");
	if (at < end)
		return port_take(p, at + 1, (size_t)(end - at - 1), u);
	u->port = vd_strdup(PORT);
	return u->port ? 0 : vd_fail_nomem(p->err, sizeof(PORT));
}

static int parameter_take(const struct parse *p, const char *at, size_t n, struct vd_nbd_uri *u)
{
	static const char known[] = "has a parameter besides socket, tls-certificates and tls-psk-file";
	const char *sign = memchr(at, '=', n);
	size_t name = sign ? (size_t)(sign - at) : n;
	char **to = NULL;

	if (name == 6 && !memcmp(at, "socket", name))
		to = &u->socket;
	else if (name == 16 && !memcmp(at, "tls-certificates", name))
		to = &u->certificates;
	else if (name == 12 && !memcmp(at, "tls-psk-file", name))
		to = &u->psk_file;
	if (!to)
		return fail(p, VDISK_UNSUPPORTED, known);
	if (*to)
		return fail(p, VDISK_INVALID, "has a parameter twice");
	if (!sign || name + 1 == n)
		return fail(p, VDISK_INVALID, "has a parameter without a value");
	return part_take(p, sign + 1, n - name - 1, to);
}

static int query_take(const struct parse *p, const char *at, struct vd_nbd_uri *u)
{
	while (*at) {
		size_t n = strcspn(at, "&");

		if (n && parameter_take(p, at, n, u))
			return -1;
		at += n + (at[n] == '&');
	}
	return 0;
}

/* libnbd 1.14 verifies a server's certificate only against a directory's CA, and only where it knows the host's name. */
static int tls_judge(const struct parse *p, const struct vd_nbd_uri *u)
{
	if (!u->tls)
		return u->certificates || u->psk_file || u->user
		               ? fail(p, VDISK_INVALID, "is without TLS (nbds:// is with), but says how to do it")
		               : 0;
	if (!u->certificates && !u->psk_file)
		return fail(p, VDISK_REFUSED,
		            "TLS wants to know whom to trust, or libnbd takes anybody's certificate: ?tls-certificates=DIR (with "
		            "ca-cert.pem) or ?tls-psk-file=FILE");
	if (u->certificates && u->psk_file)
		return fail(p, VDISK_INVALID, "tls-certificates and tls-psk-file do not go together");
	if (u->certificates && u->socket)
		return fail(
		        p, VDISK_UNSUPPORTED,
		        "libnbd verifies no certificates over a Unix socket, which has no host's name: ?tls-psk-file=FILE instead");
	return 0;
}

static int text_judge(const struct parse *p)
{
	if (strlen(p->text) > URI_MOST)
		return fail(p, VDISK_INVALID, "is longer than 8192 bytes");
	for (const char *c = p->text; *c; c++)
		if ((unsigned char)*c <= ' ' || *c == 127)
			return fail(p, VDISK_INVALID, "has a space or a control character in it (a space is %20)");
	if (strchr(p->text, '#'))
		return fail(p, VDISK_INVALID, "has a '#' in it (in a name it is %23)");
	return 0;
}

static int parts_take(const struct parse *p, const struct kind *k, struct vd_nbd_uri *u)
{
	const char *at = p->text + strlen(k->prefix);
	size_t n = strcspn(at, "/?"), path;

	u->tls = k->tls;
	if (authority_take(p, at, n, k->unix_socket, u))
		return -1;
	at += n;
	at += *at == '/';
	path = strcspn(at, "?");
	if (part_take(p, at, path, &u->name))
		return -1;
	if (strlen(u->name) > NAME_MOST)
		return fail(p, VDISK_INVALID, "its export's name is longer than 4096 bytes");
	at += path;
	if (*at && query_take(p, at + 1, u))
		return -1;
	if (k->unix_socket != (u->socket != NULL))
		return fail(p, VDISK_INVALID,
		            k->unix_socket ? "names no socket (?socket=FILE)" : "names a socket, which nbd+unix:// is for");
	return tls_judge(p, u);
}

int vd_nbd_uri_parse(const char *text, struct vd_nbd_uri *out, vd_error *err)
{
	const struct kind *k = kind_of(text);
	struct parse p = { text, err };

	memset(out, 0, sizeof(*out));
	if (!k)
		return fail(&p, VDISK_INVALID, "is no name of an NBD server's export");
	if (!text_judge(&p) && !parts_take(&p, k, out))
		return 0;
	vd_nbd_uri_free(out);
	return -1;
}

void vd_nbd_uri_free(struct vd_nbd_uri *u)
{
	vd_free(u->host);
	vd_free(u->port);
	vd_free(u->socket);
	vd_free(u->name);
	vd_free(u->user);
	vd_free(u->certificates);
	vd_free(u->psk_file);
	memset(u, 0, sizeof(*u));
}

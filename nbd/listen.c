/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "listen.h"

#include "common/fail.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PASSED_FIRST 3 /* SD_LISTEN_FDS_START */
#define PORT_TRIES 32

static int unix_address(const char *path, struct sockaddr_un *a, vdisk_error *err)
{
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(a->sun_path))
		return fail(err, VDISK_INVALID, "%s: longer than the %zu bytes that a socket's name may have", path,
		            sizeof(a->sun_path) - 1);
	memcpy(a->sun_path, path, strlen(path) + 1);
	return 0;
}

/* Removes a socket that nobody listens on. */
static void stale_remove(const struct sockaddr_un *a)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (fd < 0)
		return;
	if (!lstat(a->sun_path, &st) && S_ISSOCK(st.st_mode) && connect(fd, (const struct sockaddr *)a, sizeof(*a)) &&
	    errno == ECONNREFUSED)
		unlink(a->sun_path);
	close(fd);
}

int listen_unix(struct listener *l, const char *path, vdisk_error *err)
{
	struct sockaddr_un a;
	struct stat st;
	mode_t mask;
	int fd, rc;

	if (unix_address(path, &a, err))
		return -1;
	stale_remove(&a);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail_errno(err, "a socket");
	mask = umask(0177);
	rc = bind(fd, (struct sockaddr *)&a, sizeof(a));
	umask(mask);
	if (rc || listen(fd, SOMAXCONN) || lstat(path, &st)) {
		fail_errno(err, "%s", path);
		close(fd);
		return -1;
	}
	l->fds[l->n++] = fd;
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	l->path = realpath(path, NULL);
	return l->path ? 0 : fail_errno(err, "%s", path);
}

/* Takes "HOST:PORT" apart. */
static int address_split(const char *text, char host[128], char port[16], vdisk_error *err)
{
	const char *end = strrchr(text, ':'), *p = text;
	size_t n;

	if (*text == '[') {
		const char *bracket = strchr(text, ']');

		if (!bracket || (bracket[1] && bracket[1] != ':'))
			return fail(err, VDISK_INVALID, "%s: is no address", text);
		p = text + 1;
		n = (size_t)(bracket - p);
		end = bracket[1] ? bracket + 1 : NULL;
	} else {
		if (end && end != strchr(text, ':'))
			return fail(err, VDISK_INVALID, "%s: an IPv6 address stands in brackets", text);
		n = end ? (size_t)(end - text) : strlen(text);
	}
	if (n >= 128 || (end && (!end[1] || strlen(end + 1) >= 16 || strspn(end + 1, "0123456789") != strlen(end + 1))))
		return fail(err, VDISK_INVALID, "%s: is no address", text);
	snprintf(host, 128, "%.*s", (int)n, n ? p : "localhost");
	if (!n)
		snprintf(host, 128, "localhost");
	snprintf(port, 16, "%s", end ? end + 1 : LISTEN_PORT);
	return 0;
}

static bool is_loopback(const struct sockaddr *a)
{
	if (a->sa_family == AF_INET)
		return ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr) >> 24 == 127;
	return a->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

static void port_set(struct sockaddr *a, unsigned port)
{
	if (a->sa_family == AF_INET)
		((struct sockaddr_in *)a)->sin_port = htons((uint16_t)port);
	else
		((struct sockaddr_in6 *)a)->sin6_port = htons((uint16_t)port);
}

static int bind_one(struct listener *l, struct addrinfo *ai)
{
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;
	struct sockaddr_storage got;
	socklen_t n = sizeof(got);

	if (fd < 0)
		return -1;
	(void)!setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (ai->ai_family == AF_INET6)
		(void)!setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (l->port) /* "any free one" means one for all addresses of the name */
		port_set(ai->ai_addr, l->port);
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, SOMAXCONN) || getsockname(fd, (struct sockaddr *)&got, &n)) {
		int e = errno;

		close(fd);
		errno = e;
		return -1;
	}
	l->port =
		ntohs(got.ss_family == AF_INET ? ((struct sockaddr_in *)&got)->sin_port : ((struct sockaddr_in6 *)&got)->sin6_port);
	l->fds[l->n++] = fd;
	return 0;
}

static int bind_all(struct listener *l, struct addrinfo *list)
{
	int last = 0;

	for (struct addrinfo *ai = list; ai && l->n < LISTEN_MAX; ai = ai->ai_next)
		if ((ai->ai_family == AF_INET || ai->ai_family == AF_INET6) && bind_one(l, ai)) {
			last = errno;
			if (last != EADDRNOTAVAIL && last != EAFNOSUPPORT) /* a family that this host does not have */
				return -1;
		}
	errno = last;
	return l->n ? 0 : -1;
}

static void bind_undo(struct listener *l)
{
	int e = errno;

	while (l->n)
		close(l->fds[--l->n]);
	l->port = 0;
	errno = e;
}

int listen_tcp(struct listener *l, const char *address, bool remote, vdisk_error *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *list;
	char host[128], port[16];
	int rc, tries = 0;

	if (address_split(address, host, port, err))
		return -1;
	rc = getaddrinfo(host, port, &hints, &list);
	if (rc)
		return fail(err, VDISK_INVALID, "%s: %s", address, gai_strerror(rc));
	for (struct addrinfo *ai = list; ai; ai = ai->ai_next)
		if (!remote && !is_loopback(ai->ai_addr)) {
			freeaddrinfo(list);
			return fail(
				err, VDISK_REFUSED,
				"%s: others could reach this address, and nothing would be encrypted nor anybody asked who he is: "
				"--tls, --tls-psk, or --allow-plain",
				address);
		}
	do { /* what is free for one address may be taken for another: then another one */
		bind_undo(l);
		rc = bind_all(l, list);
	} while (rc && errno == EADDRINUSE && !strtoul(port, NULL, 10) && ++tries < PORT_TRIES);
	if (rc) {
		fail_errno(err, "%s", address);
		bind_undo(l);
	}
	freeaddrinfo(list);
	snprintf(l->host, sizeof(l->host), strchr(host, ':') ? "[%s]" : "%s", host);
	return rc;
}

int listen_passed(struct listener *l, vdisk_error *err)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	long n;

	if (!pid || !count || strtol(pid, NULL, 10) != (long)getpid())
		return 0;
	n = strtol(count, NULL, 10);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	if (n < 1 || n > LISTEN_MAX)
		return fail(err, VDISK_INVALID, "%ld sockets were passed; from 1 to %d are taken", n, LISTEN_MAX);
	for (int fd = PASSED_FIRST; fd < PASSED_FIRST + (int)n; fd++) {
		int listening = 0;
		socklen_t len = sizeof(listening);

		if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) || !listening)
			return fail(err, VDISK_INVALID, "descriptor %d was passed, and is no listening socket", fd);
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK))
			return fail_errno(err, "descriptor %d", fd);
		l->fds[l->n++] = fd;
	}
	return 1;
}

void listen_close(struct listener *l)
{
	struct stat st;

	if (l->path && !lstat(l->path, &st) && st.st_dev == l->dev && st.st_ino == l->ino)
		unlink(l->path);
	for (size_t i = 0; i < l->n; i++)
		close(l->fds[i]);
	free(l->path);
	*l = (struct listener){ 0 };
}

/* Appends `text`, percent-encoded but for `keep`. */
static void uri_add(char *out, size_t room, const char *text, const char *keep)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
	size_t n = strlen(out);

	for (; *text && n + 4 < room; text++)
		n += (size_t)snprintf(out + n, room - n, strchr(plain, *text) || strchr(keep, *text) ? "%c" : "%%%02X",
		                      (unsigned char)*text);
}

void listen_uri(const struct listener *l, const char *name, bool tls, char *out, size_t room)
{
	out[0] = '\0';
	if (l->path) {
		snprintf(out, room, "nbd%s+unix:///", tls ? "s" : "");
		uri_add(out, room, name, "/");
		uri_add(out, room, "?socket=", "?=");
		uri_add(out, room, l->path, "/");
	} else if (l->port) {
		snprintf(out, room, "nbd%s://%s:%u/", tls ? "s" : "", l->host, l->port);
		uri_add(out, room, name, "/");
	}
}

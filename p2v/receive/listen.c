/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "listen.h"

#include "transfer/transfer.h"

#include "common/fail.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 512

/* "HOST:PORT" in its parts; each may be missing. */
static int address_split(const char *text, char host[256], char port[16], vdisk_error *err)
{
	const char *colon = strrchr(text, ':'), *end = colon ? colon : text + strlen(text);

	if (*text == '[') {
		end = strchr(text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return fail(err, VDISK_INVALID, "--listen: no address: %s", text);
		colon = end[1] ? end + 1 : NULL;
		text++;
	} else if (colon && strchr(text, ':') != colon) { /* an IPv6 address without a port */
		end = text + strlen(text);
		colon = NULL;
	}
	if (end - text > 255 ||
	    (colon && (!colon[1] || strlen(colon + 1) > 5 || strspn(colon + 1, "0123456789") != strlen(colon + 1))))
		return fail(err, VDISK_INVALID, "--listen: no address: %s", text);
	snprintf(host, 256, "%.*s", (int)(end - text), text);
	snprintf(port, 16, "%s", colon ? colon + 1 : TRANSFER_PORT);
	return 0;
}

/* -1: errno. */
static int bound(const struct addrinfo *ai, bool all)
{
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1, zero = 0;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (all && ai->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (!bind(fd, ai->ai_addr, ai->ai_addrlen) && !listen(fd, BACKLOG))
		return fd;
	one = errno;
	close(fd);
	errno = one;
	return -1;
}

static unsigned port_of(int fd)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);

	if (getsockname(fd, (struct sockaddr *)&a, &len))
		return 0;
	return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&a)->sin6_port : ((struct sockaddr_in *)&a)->sin_port);
}

int listen_open(const char *address, char *host, size_t room, unsigned *port, vdisk_error *err)
{
	struct addrinfo want = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV }, *list = NULL;
	char name[256], service[16];
	bool all;
	int fd = -1, rc;

	if (address_split(address, name, service, err))
		return -1;
	all = !*name;
	if (strtoul(service, NULL, 10) > 65535)
		return fail(err, VDISK_INVALID, "--listen: no port: %s", service);
	rc = getaddrinfo(all ? NULL : name, service, &want, &list);
	if (rc)
		return fail(err, VDISK_INVALID, "%s: %s", address, gai_strerror(rc));
	/* One socket: for all addresses that of IPv6, which takes IPv4's as well. */
	for (int family = all ? AF_INET6 : AF_UNSPEC; fd < 0; family = AF_UNSPEC) {
		for (struct addrinfo *ai = list; ai && fd < 0; ai = ai->ai_next)
			if (family == AF_UNSPEC || ai->ai_family == family)
				fd = bound(ai, all);
		if (family == AF_UNSPEC)
			break;
	}
	freeaddrinfo(list);
	if (fd < 0)
		return fail_errno(err, "%s", *address ? address : ":" TRANSFER_PORT);
	*port = port_of(fd);
	if (all && gethostname(name, sizeof(name)))
		strcpy(name, "localhost");
	name[sizeof(name) - 1] = '\0';
	snprintf(host, room, strchr(name, ':') ? "[%s]" : "%s", name);
	return fd;
}

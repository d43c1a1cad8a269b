/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a path asks for.  Pure. */
#ifndef RECEIVE_ROUTE_H
#define RECEIVE_ROUTE_H

#include <stddef.h>

enum route_kind {
	ROUTE_NONE, ROUTE_PAGE, ROUTE_ALL, ROUTE_CAPTURE, ROUTE_COMPLETE, ROUTE_SCREENSHOT, ROUTE_LOG, ROUTE_DIGESTS, ROUTE_CHUNKS,
	ROUTE_PASS
};

struct route {
	enum route_kind kind;
	const char *id, *disk; /* in the path, not terminated */
	size_t id_len, disk_len;
};

/* ROUTE_NONE: there is no such page. */
struct route route_of(const char *path);
/* Whether it takes the method; *allowed: those it takes. */
int route_takes(enum route_kind kind, const char *method, const char **allowed);

#endif

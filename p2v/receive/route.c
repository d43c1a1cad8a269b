/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "route.h"

#include <string.h>

#define PREFIX "/v1/captures"

static const struct {
	const char *word;
	enum route_kind kind;
} of_capture[] = { { "complete", ROUTE_COMPLETE }, { "screenshot.png", ROUTE_SCREENSHOT }, { "log", ROUTE_LOG } },
  of_disk[] = { { "digests", ROUTE_DIGESTS }, { "chunks", ROUTE_CHUNKS }, { "pass", ROUTE_PASS } };

/* The part up to the next slash; *p behind it, NULL: it was the last. */
static size_t part(const char **p, const char **out)
{
	size_t len = strcspn(*p, "/");

	*out = *p;
	*p = (*p)[len] ? *p + len + 1 : NULL;
	return len;
}

static void disk_route(struct route *r, const char *p)
{
	const char *word;

	r->disk_len = part(&p, &r->disk);
	if (!r->disk_len || !p)
		return;
	word = p;
	for (size_t i = 0; i < sizeof(of_disk) / sizeof(*of_disk); i++)
		if (!strcmp(word, of_disk[i].word))
			r->kind = of_disk[i].kind;
}

struct route route_of(const char *path)
{
	struct route r = { 0 };
	const char *p = path + sizeof(PREFIX) - 1, *word;
	size_t len;

	if (!strcmp(path, "/"))
		r.kind = ROUTE_PAGE;
	else if (!strcmp(path, PREFIX))
		r.kind = ROUTE_ALL;
	if (strncmp(path, PREFIX "/", sizeof(PREFIX)))
		return r;
	p++;
	r.id_len = part(&p, &r.id);
	if (!r.id_len)
		return r;
	if (!p) {
		r.kind = ROUTE_CAPTURE;
		return r;
	}
	for (size_t i = 0; i < sizeof(of_capture) / sizeof(*of_capture); i++)
		if (!strcmp(p, of_capture[i].word))
			r.kind = of_capture[i].kind;
	len = part(&p, &word);
	if (p && len == 5 && !memcmp(word, "disks", 5))
		disk_route(&r, p);
	return r;
}

int route_takes(enum route_kind kind, const char *method, const char **allowed)
{
	switch (kind) {
	case ROUTE_ALL: *allowed = "GET, POST"; break;
	case ROUTE_CAPTURE: *allowed = "GET, DELETE"; break;
	case ROUTE_COMPLETE:
	case ROUTE_CHUNKS:
	case ROUTE_PASS: *allowed = "POST"; break;
	default: *allowed = "GET";
	}
	for (const char *p = *allowed; *p;) {
		size_t len = strcspn(p, ",");

		if (strlen(method) == len && !memcmp(p, method, len))
			return 1;
		p += len + (p[len] ? 2 : 0);
	}
	return 0;
}

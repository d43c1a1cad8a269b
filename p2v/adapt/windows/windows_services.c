/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The services of each control set that matter to a change of machine: those of the table, and storage drivers that start at boot,
   whoever made them. */
#include "common/fail.h"
#include "known.h"
#include "windows_read.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SERVICES_MAX 4096

struct reader {
	struct windows_facts *w;
	const struct hive *system;
	unsigned set;
	bool failed;
};

static uint32_t number_or_none(const struct hive *h, hive_node_h key, const char *name)
{
	uint32_t v;

	return hive_number(h, key, name, &v) ? v : UINT32_MAX;
}

static char *text_or_empty(const struct hive *h, hive_node_h key, const char *name)
{
	char *s = hive_text(h, key, name);

	return s ? s : strdup("");
}

static int service_take(void *to, const char *name, hive_node_h node)
{
	struct reader *r = to;
	const struct windows_known *known = windows_known_find(name);
	struct windows_service s = { .set = r->set }, *more;

	s.start = number_or_none(r->system, node, "Start");
	s.group = text_or_empty(r->system, node, "Group");
	if (!s.group || (!known && (s.start != 0 || strcasecmp(s.group, "SCSI miniport"))) || r->w->services_n == SERVICES_MAX) {
		r->failed |= !s.group;
		free(s.group);
		return r->failed;
	}
	s.type = number_or_none(r->system, node, "Type");
	s.start_override = number_or_none(r->system, hive_find(r->system, node, "StartOverride"), "0");
	s.name = strdup(name);
	s.display = text_or_empty(r->system, node, "DisplayName");
	s.image = text_or_empty(r->system, node, "ImagePath");
	s.of = strdup(known ? windows_known_of(known) : "");
	s.role = known ? known->role : WINDOWS_STORAGE;
	more = realloc(r->w->services, (r->w->services_n + 1) * sizeof(*more));
	if (more) {
		r->w->services = more;
		more[r->w->services_n++] = s;
	}
	r->failed |= !more || !s.name || !s.display || !s.image || !s.of;
	return r->failed;
}

int windows_services_read(struct windows_facts *w, const struct hive *system, vdisk_error *err)
{
	for (size_t i = 0; i < w->sets_n; i++) {
		struct reader r = { .w = w, .system = system, .set = w->sets[i] };

		hive_each(system, windows_set_find(system, w->sets[i], "Services"), service_take, &r);
		if (r.failed)
			return fail_nomem(err);
	}
	return 0;
}

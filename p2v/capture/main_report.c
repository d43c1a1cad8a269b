/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "main_report.h"

#include "main_show.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>

static json_object *disk_json(const struct run *r, size_t i)
{
	const struct run_disk *d = &r->disks[i];
	json_object *o = json_object_new_object(), *bad = json_object_new_array(), *snapped = json_object_new_array();
	char hex[65];

	transfer_hex(d->last.digest, 32, hex);
	json_object_object_add(o, "name", json_object_new_string(d->content.disk->name));
	json_object_object_add(o, "path", json_object_new_string(d->content.disk->path));
	json_object_object_add(o, "size", json_object_new_uint64(d->content.disk->size));
	json_object_object_add(o, "digest", d->last.pass ? json_object_new_string(hex) : NULL);
	json_object_object_add(o, "frozen", json_object_new_boolean(d->last.frozen));
	for (size_t k = 0; k < d->n_snapped; k++)
		json_object_array_add(snapped, json_object_new_string(d->snapped[k].name));
	json_object_object_add(o, "snapshots", snapped);
	json_object_object_add(o, "sent", json_object_new_uint64(d->sent));
	json_object_object_add(o, "zero", json_object_new_uint64(d->zero));
	json_object_object_add(o, "last-sent", json_object_new_uint64(r->pass.disks[i].sent));
	json_object_object_add(o, "skipped", json_object_new_uint64(d->last.skipped));
	for (size_t k = 0; k < d->last.n_bad; k++) {
		json_object *pair = json_object_new_array();

		json_object_array_add(pair, json_object_new_uint64(d->last.bad[k].off));
		json_object_array_add(pair, json_object_new_uint64(d->last.bad[k].len));
		json_object_array_add(bad, pair);
	}
	json_object_object_add(o, "bad", bad);
	return o;
}

static void print_json(const struct run *r, const struct machine *m, bool complete)
{
	json_object *o = json_object_new_object(), *disks = json_object_new_array();

	json_object_object_add(o, "schema-version", json_object_new_int(1));
	json_object_object_add(o, "command", json_object_new_string("capture"));
	json_object_object_add(o, "to", json_object_new_string(r->o->to));
	json_object_object_add(o, "capture", json_object_new_string(r->sink->where));
	json_object_object_add(o, "machine", m->uuid ? json_object_new_string(m->uuid) : NULL);
	json_object_object_add(o, "resumed", json_object_new_boolean(r->sink->found));
	json_object_object_add(o, "complete", json_object_new_boolean(complete));
	json_object_object_add(o, "passes", json_object_new_int((int)r->passes));
	for (size_t i = 0; i < r->pass.n; i++)
		json_object_array_add(disks, disk_json(r, i));
	json_object_object_add(o, "disks", disks);
	printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
	                                                         JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
}

int report_print(const struct run *r, const struct machine *m, bool complete)
{
	char size[SHOW_SIZE], sent[SHOW_SIZE], hex[65];

	if (r->o->json)
		print_json(r, m, complete);
	for (size_t i = 0; !r->o->json && !r->o->quiet && i < r->pass.n; i++) {
		const struct run_disk *d = &r->disks[i];
		uint64_t bad = 0;

		for (size_t k = 0; k < d->last.n_bad; k++)
			bad += d->last.bad[k].len;
		if (!d->last.pass)
			continue;
		transfer_hex(d->last.digest, 32, hex);
		printf("%s: %s, %s sent, digest %s%s\n", d->content.disk->name, show_size(size, d->content.disk->size),
		       show_size(sent, d->sent), hex, d->last.frozen ? "" : " (not frozen)");
		if (bad)
			printf("%s: %" PRIu64 " bytes in %zu places could not be read and are zeros\n", d->content.disk->name, bad,
			       d->last.n_bad);
	}
	if (!r->o->json && !r->o->quiet)
		printf(complete ? "%s is complete\n"
		                : "%s is open: the same with --resync sends what changes, without it completes it\n",
		       r->sink->where);
	return fflush(stdout) || ferror(stdout) ? -1 : 0;
}

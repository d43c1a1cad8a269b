/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What came of it, as JSON; the schema stands in vdisk-migrate(1). */
#include "flow/flow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_text(struct json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, text ? json_object_new_string(text) : NULL);
}

static void put_u64(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

static void put_seconds(struct json_object *o, double v)
{
	char text[32];

	snprintf(text, sizeof(text), "%.3f", v);
	json_object_object_add(o, "seconds", json_object_new_double_s(v, text));
}

static struct json_object *disk_json(const struct flow *f, const struct flow_disk *d)
{
	struct json_object *o = json_object_new_object();

	put_text(o, "name", d->d->name);
	put_text(o, "source", d->is_empty ? NULL : d->source);
	put_text(o, "file", f->a->ova ? NULL : d->file);
	put_text(o, "member", f->a->ova ? d->file : NULL);
	put_text(o, "format", f->a->ova ? "vmdk" : f->format);
	put_u64(o, "size", d->size);
	put_u64(o, "source-size", d->source_size);
	put_u64(o, "data", d->data);
	put_u64(o, "zero", d->zero);
	put_u64(o, "snapshots", d->snapshots);
	json_object_object_add(o, "kept", json_object_get(d->kept));
	put_text(o, "digest", *d->digest ? d->digest : NULL);
	put_text(o, "manifest", *d->digest && flow_works(f) ? d->manifest : NULL);
	return o;
}

static void lost_put(struct json_object *list, const struct machine_lost_list *lost)
{
	for (size_t i = 0; i < lost->n; i++) {
		struct json_object *o = json_object_new_object();

		put_text(o, "where", lost->at[i].where);
		put_text(o, "value", lost->at[i].value);
		put_text(o, "why", lost->at[i].why);
		json_object_array_add(list, o);
	}
	if (lost->more) {
		struct json_object *o = json_object_new_object();

		put_text(o, "where", "and more, for which the list has no room");
		put_text(o, "value", NULL);
		put_text(o, "why", NULL);
		json_object_array_add(list, o);
	}
}

const char *flow_cause(const struct flow *f)
{
	struct json_object *v;

	if (f->verify_trouble)
		return f->verify_trouble;
	return f->verified && json_object_object_get_ex(f->verified, "cause", &v) && v ? json_object_get_string(v) : NULL;
}

struct json_object *flow_report(const struct flow *f)
{
	struct json_object *o = json_object_new_object(), *source = json_object_new_object(), *list = json_object_new_array();
	char *next;

	json_object_object_add(o, "schema-version", json_object_new_int(1));
	put_text(o, "command", f->a->kind == FLOW_P2V ? "p2v" : "migrate");
	json_object_object_add(o, "planned-only", json_object_new_boolean(f->a->dry_run));
	put_text(source, "path", f->a->source);
	put_text(source, "kind", f->kind);
	json_object_object_add(o, "source", source);
	put_text(o, "machine", f->m->name ? f->m->name : f->name);
	put_text(o, "target", flow_target_name(f->a->target));
	put_text(o, "for", f->a->profile ? f->a->profile->name : NULL);
	put_text(o, "folder", f->out);
	put_text(o, "description", f->target_file);
	next = flow_next(f);
	put_text(o, "next", next);
	free(next);
	put_text(o, "verdict", f->verdict);
	put_text(o, "cause", flow_cause(f));
	put_text(o, "verify-trouble", f->verify_trouble);
	put_text(o, "screenshot", f->has_screenshot ? "screenshot.png" : NULL);
	for (size_t i = 0; i < f->n_disks; i++)
		json_object_array_add(list, disk_json(f, &f->disks[i]));
	json_object_object_add(o, "disks", list);
	json_object_object_add(o, "adapted", json_object_get(f->adapted));
	json_object_object_add(o, "verified", json_object_get(f->verified));
	list = json_object_new_array();
	lost_put(list, &f->m->lost);
	lost_put(list, &f->lost);
	json_object_object_add(o, "lost", list);
	list = json_object_new_array();
	for (size_t i = 0; i < f->n_remarks; i++)
		json_object_array_add(list, json_object_new_string(f->remarks[i]));
	for (size_t i = 0; f->package && package_remark(f->package, i); i++)
		json_object_array_add(list, json_object_new_string(package_remark(f->package, i)));
	json_object_object_add(o, "remarks", list);
	list = json_object_new_array();
	for (size_t i = 0; i < f->n_times; i++) {
		struct json_object *step = json_object_new_object();

		put_text(step, "step", f->times[i].step);
		put_seconds(step, f->times[i].seconds);
		json_object_array_add(list, step);
	}
	json_object_object_add(o, "steps", list);
	put_seconds(o, f->seconds);
	return o;
}

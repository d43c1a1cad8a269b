/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A machine as JSON.  One table of members for each kind of object serves reading and writing, so that what is written is read.  In
 * writing, what is not known is null and a list that is empty is there; in reading, null and absent are one.
 */
#include "json.h"

#include "common/fail.h"
#include "json_members.h"

#include <json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 8
#define TYPE      "vdisk-machine"

/* ---------------------------------------------------------------- reading */

struct reading {
	struct machine *m;
	vdisk_error *err;
};

static int wrong(const struct reading *r, const char *where, const char *key, const char *due)
{
	return fail(r->err, VDISK_CORRUPT, "machine description: \"%s\" of %s is not %s", key, where, due);
}

static int number_take(const struct reading *r, json_object *v, uint64_t max, uint64_t *out, const char *where, const char *key)
{
	if (!json_object_is_type(v, json_type_int) || json_object_get_int64(v) < 0 || json_object_get_uint64(v) > max)
		return wrong(r, where, key, max == UINT32_MAX ? "a number from 0 to 4294967295" : max == INT_MAX ?
			     "a number from 0 to 2147483647" : "a number from 0 to 9223372036854775807");
	*out = json_object_get_uint64(v);
	return 0;
}

static int texts_take(const struct reading *r, const struct member *f, json_object *v, char *at, const char *where)
{
	size_t n = json_object_is_type(v, json_type_array) ? json_object_array_length(v) : SIZE_MAX;

	if (n == SIZE_MAX)
		return wrong(r, where, f->key, "a list");
	for (size_t i = 0; i < n; i++) {
		json_object *one = json_object_array_get_idx(v, i);

		if (!json_object_is_type(one, json_type_string))
			return wrong(r, where, f->key, "a list of texts");
		machine_list_add(r->m, (const char ***)(at + f->at), (size_t *)(at + f->count_at), json_object_get_string(one));
		if (r->m->failed.kind)
			return machine_judge(r->m, r->err);
	}
	return 0;
}

static int text_take(const struct reading *r, const struct member *f, json_object *v, const char **out, const char *where)
{
	const char *text = json_object_get_string(v);

	if (!json_object_is_type(v, json_type_string))
		return wrong(r, where, f->key, "a text");
	*out = f->kind == LINES ? machine_text_clean(r->m, text)
	                        : machine_text_n(r->m, text, (size_t)json_object_get_string_len(v));
	return r->m->failed.kind ? machine_judge(r->m, r->err) : 0;
}

static int member_take(const struct reading *r, const struct member *f, json_object *v, char *at, const char *where)
{
	uint64_t n = 0;
	int name;

	switch (f->kind) {
	case TEXT:
	case LINES: return text_take(r, f, v, (const char **)(at + f->at), where);
	case TEXTS: return texts_take(r, f, v, at, where);
	case NUMBER:
		if (number_take(r, v, UINT32_MAX, &n, where, f->key))
			return -1;
		*(unsigned *)(at + f->at) = (unsigned)n;
		return 0;
	case UNIT:
		if (number_take(r, v, INT_MAX, &n, where, f->key))
			return -1;
		*(int *)(at + f->at) = (int)n;
		return 0;
	case LARGE: return number_take(r, v, INT64_MAX, (uint64_t *)(at + f->at), where, f->key);
	case YES:
		if (!json_object_is_type(v, json_type_boolean))
			return wrong(r, where, f->key, "true or false");
		*(bool *)(at + f->at) = json_object_get_boolean(v);
		return 0;
	case NAME:
		name = json_object_is_type(v, json_type_string) ? names_find(f->names, json_object_get_string(v)) : -1;
		if (name < 0)
			return fail(r->err, VDISK_CORRUPT, "machine description: \"%s\" of %s is \"%.64s\", which is not known",
			            f->key, where, json_object_get_string(v));
		*(int *)(at + f->at) = name; /* enums are ints here: the compiler's choice for all that fit */
		return 0;
	}
	return 0;
}

static const struct member *member_find(const struct member *members, const char *key)
{
	for (; members->key; members++)
		if (!strcmp(members->key, key))
			return members;
	return NULL;
}

/* Derived members, which are written for others' sake, and those that are taken elsewhere. */
static bool is_known(const char *key, bool top)
{
	static const char *const known[] = { "schema-version", "type", "host", "lost", "lost-more", "systems" };

	if (!top)
		return !strcmp(key, "path-flags") || !strcmp(key, "file");
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(key, known[i]))
			return true;
	for (size_t i = 0; i < LISTS_N; i++)
		if (!strcmp(key, json_lists[i].key))
			return true;
	return false;
}

static int object_take(const struct reading *r, const struct member *members, json_object *o, void *at, const char *where)
{
	json_object_object_foreach(o, key, v)
	{
		const struct member *f = member_find(members, key);

		if (f && v && member_take(r, f, v, at, where))
			return -1;
		if (!f && !is_known(key, members == json_machine_members))
			machine_lost_add(&r->m->lost, v ? json_object_get_string(v) : NULL, "not known to this version",
			                 "%s, \"%.128s\"", where, key);
	}
	return 0;
}

static int list_take(const struct reading *r, const struct list *l, json_object *o)
{
	json_object *v = NULL;
	char where[128];

	if (!json_object_object_get_ex(o, l->key, &v) || !v)
		return 0;
	if (!json_object_is_type(v, json_type_array))
		return wrong(r, "the machine", l->key, "a list");
	for (size_t i = 0; i < json_object_array_length(v); i++) {
		json_object *one = json_object_array_get_idx(v, i);
		void *entry;

		if (!json_object_is_type(one, json_type_object))
			return wrong(r, "the machine", l->key, "a list of objects");
		entry = l->add(r->m);
		if (!entry)
			return machine_judge(r->m, r->err);
		snprintf(where, sizeof(where), "%s[%zu]", l->key, i);
		if (object_take(r, l->members, one, entry, where))
			return -1;
	}
	return 0;
}

static const char *part(json_object *o, const char *key)
{
	json_object *v = NULL;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string) ? json_object_get_string(v) : NULL;
}

static int lost_take(const struct reading *r, json_object *o)
{
	json_object *v = NULL, *more = NULL;

	if (json_object_object_get_ex(o, "lost-more", &more) && json_object_get_boolean(more))
		r->m->lost.more = true;
	if (!json_object_object_get_ex(o, "lost", &v) || !v)
		return 0;
	if (!json_object_is_type(v, json_type_array))
		return wrong(r, "the machine", "lost", "a list");
	for (size_t i = 0; i < json_object_array_length(v); i++) {
		json_object *one = json_object_array_get_idx(v, i);

		if (!json_object_is_type(one, json_type_object) || !part(one, "where"))
			return wrong(r, "the machine", "lost", "a list of objects with \"where\"");
		machine_lost_add(&r->m->lost, part(one, "value"), part(one, "why"), "%s", part(one, "where"));
	}
	return 0;
}

/* What has one form only must have it: others compare. */
static int forms_judge(const struct reading *r)
{
	struct machine *m = r->m;

	if (m->uuid && !(m->uuid = machine_uuid(m, m->uuid)))
		return wrong(r, "the machine", "uuid", "a UUID");
	for (size_t i = 0; i < m->nics_n; i++)
		if (m->nics[i].mac && !(m->nics[i].mac = machine_mac(m, m->nics[i].mac)))
			return wrong(r, "a NIC", "mac", "a MAC address");
	for (size_t i = 0; i < m->disks_n; i++)
		m->disks[i].path_flags = machine_path_flags(m->disks[i].path);
	for (size_t i = 0; i < m->images_n; i++)
		m->images[i].path_flags = machine_path_flags(m->images[i].path);
	return machine_judge(m, r->err);
}

static int machine_take(const struct reading *r, json_object *o)
{
	json_object *v = NULL;
	uint64_t n = 0;

	if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, "schema-version", &v))
		return fail(r->err, VDISK_CORRUPT, "this JSON is no machine description: it has no \"schema-version\"");
	if (number_take(r, v, UINT32_MAX, &n, "the machine", "schema-version"))
		return -1;
	if (n != MACHINE_JSON_SCHEMA)
		return fail(r->err, VDISK_UNSUPPORTED, "machine description: schema-version %llu is not known, only %d is",
		            (unsigned long long)n, MACHINE_JSON_SCHEMA);
	if (json_object_object_get_ex(o, "type", &v) && (!part(o, "type") || strcmp(part(o, "type"), TYPE)))
		return wrong(r, "the machine", "type", "\"" TYPE "\"");
	if (object_take(r, json_machine_members, o, r->m, "the machine"))
		return -1;
	if (json_object_object_get_ex(o, "systems", &v) && v) {
		if (number_take(r, v, UINT32_MAX, &n, "the machine", "systems"))
			return -1;
		r->m->systems = (unsigned)n;
	}
	if (json_object_object_get_ex(o, "host", &v) && v) {
		if (!json_object_is_type(v, json_type_object))
			return wrong(r, "the machine", "host", "an object");
		if (object_take(r, json_host_members, v, &r->m->host, "host"))
			return -1;
	}
	for (size_t i = 0; i < LISTS_N; i++)
		if (list_take(r, &json_lists[i], o))
			return -1;
	return lost_take(r, o) || forms_judge(r) ? -1 : 0;
}

int machine_json_take(json_object *o, struct machine **m, vdisk_error *err)
{
	struct reading r = { machine_new(), err };

	if (!r.m)
		return fail_nomem(err);
	r.m->systems = 1;
	if (machine_take(&r, o)) {
		machine_free(r.m);
		return -1;
	}
	*m = r.m;
	return 0;
}

int machine_json_read(const void *bytes, size_t len, struct machine **m, vdisk_error *err)
{
	struct json_tokener *t;
	enum json_tokener_error state;
	json_object *o;
	int rc;

	if (len > MACHINE_JSON_MAX)
		return fail(err, VDISK_UNSUPPORTED, "a machine description of %zu bytes is larger than %zu", len, MACHINE_JSON_MAX);
	t = json_tokener_new_ex(DEPTH_MAX);
	if (!t)
		return fail_nomem(err);
	json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(t, bytes, (int)len);
	state = json_tokener_get_error(t);
	if (state == json_tokener_continue && !o) /* a number at the very end would go on, a whole object does not */
		rc = fail(err, VDISK_CORRUPT, "this JSON ends in its midst, after %zu bytes", len);
	else if (state != json_tokener_success)
		rc = fail(err, VDISK_CORRUPT, "this is no JSON, at byte %zu: %s", json_tokener_get_parse_end(t),
		          json_tokener_error_desc(state));
	else if (json_tokener_get_parse_end(t) != len)
		rc = fail(err, VDISK_CORRUPT, "there is more behind the end of the JSON, at byte %zu",
		          json_tokener_get_parse_end(t));
	else
		rc = machine_json_take(o, m, err);
	json_object_put(o);
	json_tokener_free(t);
	return rc;
}

/* ---------------------------------------------------------------- writing */

static json_object *text_make(const char *text) { return text ? json_object_new_string(text) : NULL; }

static json_object *texts_make(const char **list, size_t n)
{
	json_object *o = json_object_new_array();

	for (size_t i = 0; i < n; i++)
		json_object_array_add(o, text_make(list[i]));
	return o;
}

static json_object *member_make(const struct member *f, const char *at)
{
	int v;

	switch (f->kind) {
	case TEXT:
	case LINES: return text_make(*(const char *const *)(at + f->at));
	case TEXTS: return texts_make(*(const char ***)(at + f->at), *(const size_t *)(at + f->count_at));
	case NUMBER: return *(const unsigned *)(at + f->at) ? json_object_new_uint64(*(const unsigned *)(at + f->at)) : NULL;
	case LARGE: return *(const uint64_t *)(at + f->at) ? json_object_new_uint64(*(const uint64_t *)(at + f->at)) : NULL;
	case UNIT: return *(const int *)(at + f->at) >= 0 ? json_object_new_int(*(const int *)(at + f->at)) : NULL;
	case YES: return json_object_new_boolean(*(const bool *)(at + f->at));
	case NAME:
		v = *(const int *)(at + f->at);
		return v < 0 || (size_t)v >= f->names->n || (!v && !strcmp(f->names->at[0], "unknown"))
		               ? NULL
		               : text_make(f->names->at[v]);
	}
	return NULL;
}

static void object_fill(json_object *o, const struct member *members, const void *at)
{
	for (; members->key; members++)
		json_object_object_add(o, members->key, member_make(members, at));
}

static json_object *flags_make(unsigned flags)
{
	static const char *const names[] = { "absolute", "up", "remote" };
	json_object *o = json_object_new_array();

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (flags & 1u << i)
			json_object_array_add(o, text_make(names[i]));
	return o;
}

static json_object *list_make(const struct machine *m, const struct list *l)
{
	json_object *o = json_object_new_array();
	const char *at = *(const char *const *)((const char *)m + l->at);
	size_t n = *(const size_t *)((const char *)m + l->count_at);

	for (size_t i = 0; i < n; i++) {
		json_object *one = json_object_new_object();

		object_fill(one, l->members, at + i * l->size);
		if (l->members == json_disk_members)
			json_object_object_add(one, "path-flags", flags_make(m->disks[i].path_flags));
		json_object_array_add(o, one);
	}
	return o;
}

json_object *machine_json_lost(const struct machine_lost_list *list)
{
	json_object *o = json_object_new_array();

	for (size_t i = 0; i < list->n; i++) {
		json_object *one = json_object_new_object();

		json_object_object_add(one, "where", text_make(list->at[i].where));
		json_object_object_add(one, "value", text_make(list->at[i].value));
		json_object_object_add(one, "why", text_make(list->at[i].why));
		json_object_array_add(o, one);
	}
	return o;
}

json_object *machine_json_make(const struct machine *m)
{
	json_object *o = json_object_new_object(), *host = json_object_new_object();

	if (!o || !host) {
		json_object_put(o);
		json_object_put(host);
		return NULL;
	}
	json_object_object_add(o, "schema-version", json_object_new_int(MACHINE_JSON_SCHEMA));
	json_object_object_add(o, "type", text_make(TYPE));
	object_fill(o, json_machine_members, m);
	for (size_t i = 0; i < LISTS_N; i++)
		json_object_object_add(o, json_lists[i].key, list_make(m, &json_lists[i]));
	object_fill(host, json_host_members, &m->host);
	json_object_object_add(o, "host", host);
	json_object_object_add(o, "systems", json_object_new_uint64(m->systems));
	json_object_object_add(o, "lost", machine_json_lost(&m->lost));
	json_object_object_add(o, "lost-more", json_object_new_boolean(m->lost.more));
	return o;
}

char *machine_json_write(const struct machine *m)
{
	json_object *o = machine_json_make(m);
	const char *text = o ? json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE) : NULL;
	size_t n = text ? strlen(text) : 0;
	char *copy = text ? malloc(n + 2) : NULL;

	if (copy) {
		memcpy(copy, text, n);
		memcpy(copy + n, "\n", 2);
	}
	json_object_put(o);
	return copy;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "steps.h"

#include <stdio.h>
#include <string.h>

static const char *text_of(json_object *o, const char *key)
{
	json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "";
}

static uint64_t number_of(json_object *o, const char *key)
{
	json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_int) ? json_object_get_uint64(v) : 0;
}

static void plan_take(struct steps *s, json_object *o)
{
	json_object *list;

	*s = (struct steps){ 0 };
	if (!json_object_object_get_ex(o, "phases", &list) || !json_object_is_type(list, json_type_array))
		return;
	for (size_t i = 0; i < json_object_array_length(list) && s->n < STEPS_MAX; i++) {
		json_object *one = json_object_array_get_idx(list, i);
		uint64_t of = json_object_is_type(one, json_type_object) ? number_of(one, "steps") : 0;

		if (!of || of > UINT32_MAX || !*text_of(one, "phase"))
			continue;
		snprintf(s->v[s->n].name, sizeof(s->v->name), "%s", text_of(one, "phase"));
		s->v[s->n++].of = (unsigned)of;
	}
	s->now = s->n;
}

/* Counted through all phases: step 4 of 2 + 1 + 2 is the first one of the third. */
static void progress_take(struct steps *s, json_object *o)
{
	uint64_t step = number_of(o, "step"), before = 0;

	for (unsigned i = 0; i < s->n; before += s->v[i++].of) {
		if (step <= before || step > before + s->v[i].of)
			continue;
		s->now = i;
		s->at = (unsigned)(step - before);
		s->done = number_of(o, "done");
		s->total = number_of(o, "total");
		s->rate = number_of(o, "bytes-per-second");
		snprintf(s->disk, sizeof(s->disk), "%s", text_of(o, "disk"));
		return;
	}
}

bool steps_hear(struct steps *s, const char *line)
{
	json_object *o = *line == '{' ? json_tokener_parse(line) : NULL;
	const char *event = json_object_is_type(o, json_type_object) ? text_of(o, "event") : "";
	bool heard = true;

	if (!strcmp(event, "plan"))
		plan_take(s, o);
	else if (!strcmp(event, "progress"))
		progress_take(s, o);
	else
		heard = false;
	json_object_put(o);
	return heard;
}

void steps_single(struct steps *s, const char *name)
{
	*s = (struct steps){ .n = 1, .at = 1 };
	s->v[0].of = 1;
	snprintf(s->v[0].name, sizeof(s->v->name), "%s", name);
}

const char *steps_now(const struct steps *s)
{
	return s->now < s->n ? s->v[s->now].name : NULL;
}

static void add(json_object *o, const char *key, json_object *v) /* takes v; what memory lacks for is left out */
{
	if (json_object_object_add(o, key, v))
		json_object_put(v);
}

static json_object *step_json(const struct steps *s, unsigned i)
{
	json_object *o = json_object_new_object();
	bool runs = i == s->now && s->now < s->n;

	if (!o)
		return NULL;
	add(o, "name", json_object_new_string(s->v[i].name));
	add(o, "state", json_object_new_string(runs ? "running" : s->now < s->n && i < s->now ? "done" : "waiting"));
	add(o, "of", json_object_new_uint64(s->v[i].of));
	add(o, "at", runs ? json_object_new_uint64(s->at) : NULL);
	add(o, "disk", runs && *s->disk ? json_object_new_string(s->disk) : NULL);
	add(o, "done", runs && s->total ? json_object_new_uint64(s->done) : NULL);
	add(o, "total", runs && s->total ? json_object_new_uint64(s->total) : NULL);
	add(o, "bytes-per-second", runs && s->rate ? json_object_new_uint64(s->rate) : NULL);
	return o;
}

json_object *steps_json(const struct steps *s)
{
	json_object *list = s->n ? json_object_new_array() : NULL;

	for (unsigned i = 0; list && i < s->n; i++) {
		json_object *o = step_json(s, i);

		if (o && json_object_array_add(list, o))
			json_object_put(o);
	}
	return list;
}

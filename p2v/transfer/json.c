/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON that comes from others: parsed strictly, members asked for by their type. */
#include "transfer.h"

#include "common/fail.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define DEPTH_MAX 16

json_object *transfer_json(const void *text, size_t len, vdisk_error *err)
{
	struct json_tokener *t;
	json_object *o = NULL;
	enum json_tokener_error e;

	if (len > TRANSFER_BODY_MAX) {
		fail(err, VDISK_INVALID, "%zu bytes of JSON are too many, the most is %zu", len, TRANSFER_BODY_MAX);
		return NULL;
	}
	t = json_tokener_new_ex(DEPTH_MAX);
	if (!t) {
		fail_nomem(err);
		return NULL;
	}
	json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(t, text, (int)len);
	e = json_tokener_get_error(t);
	if (e == json_tokener_success && json_tokener_get_parse_end(t) < len) {
		const char *p = (const char *)text + json_tokener_get_parse_end(t), *end = (const char *)text + len;

		while (p < end && strchr(" \t\r\n", *p) && *p)
			p++;
		if (p < end)
			e = json_tokener_error_parse_unexpected;
	}
	json_tokener_free(t);
	if (e == json_tokener_success && json_object_is_type(o, json_type_object))
		return o;
	json_object_put(o);
	if (e == json_tokener_success)
		fail(err, VDISK_INVALID, "the JSON is no object");
	else
		fail(err, VDISK_INVALID, "no JSON: %s", json_tokener_error_desc(e));
	return NULL;
}

static json_object *member(json_object *o, const char *key, json_type type, vdisk_error *err)
{
	json_object *v;

	if (!json_object_object_get_ex(o, key, &v)) {
		fail(err, VDISK_INVALID, "\"%s\" is missing", key);
		return NULL;
	}
	if (json_object_is_type(v, type))
		return v;
	fail(err, VDISK_INVALID, "\"%s\" is of type %s, not %s", key, json_type_to_name(json_object_get_type(v)),
	     json_type_to_name(type));
	return NULL;
}

bool transfer_json_u64(json_object *o, const char *key, uint64_t max, uint64_t *out, vdisk_error *err)
{
	json_object *v = member(o, key, json_type_int, err);

	if (!v)
		return false;
	/* What is negative or too large is clamped by json-c: to 0, which -0 is not, and to UINT64_MAX. */
	*out = json_object_get_uint64(v);
	if (json_object_get_int64(v) >= 0 && *out <= max)
		return true;
	return fail(err, VDISK_INVALID, "\"%s\" is %s, not from 0 to %" PRIu64, key, json_object_to_json_string(v), max), false;
}

bool transfer_json_bool(json_object *o, const char *key, bool *out, vdisk_error *err)
{
	json_object *v = member(o, key, json_type_boolean, err);

	if (!v)
		return false;
	*out = json_object_get_boolean(v);
	return true;
}

bool transfer_json_text(json_object *o, const char *key, size_t max, const char **out, vdisk_error *err)
{
	json_object *v = member(o, key, json_type_string, err);
	size_t len;

	if (!v)
		return false;
	len = (size_t)json_object_get_string_len(v);
	*out = json_object_get_string(v);
	if (len > max)
		return fail(err, VDISK_INVALID, "\"%s\" has %zu bytes, the most is %zu", key, len, max), false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)(*out)[i] < ' ' || (*out)[i] == 0x7f)
			return fail(err, VDISK_INVALID, "\"%s\" has a control character", key), false;
	return true;
}

const char *transfer_json_find(json_object *o, const char *key)
{
	json_object *v;

	return o && json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string) ? json_object_get_string(v)
	                                                                                              : NULL;
}

void transfer_json_error(const void *body, size_t len, unsigned status, char out[VDISK_ERROR_MESSAGE_MAX])
{
	json_object *o = len ? transfer_json(body, len, NULL) : NULL;
	const char *text = transfer_json_find(o, "error");

	if (text && *text)
		snprintf(out, VDISK_ERROR_MESSAGE_MAX, "%s", text);
	else
		snprintf(out, VDISK_ERROR_MESSAGE_MAX, "HTTP status %u", status);
	for (char *p = out; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	json_object_put(o);
}

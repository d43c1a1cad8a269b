/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "info.h"

#include <json-c/json.h>
#include <string.h>

static void add_u64(struct json_object *o, const char *key, uint64_t v)
{
	json_object_object_add(o, key, json_object_new_uint64(v));
}

static void add_text(struct json_object *o, const char *key, const char *v)
{
	json_object_object_add(o, key, v ? json_object_new_string(v) : NULL);
}

static struct json_object *of_partition(const struct vdisk_partition *p)
{
	struct json_object *o = json_object_new_object();

	add_u64(o, "number", p->number);
	add_u64(o, "offset", p->off);
	add_u64(o, "size", p->len);
	add_text(o, "type", p->type);
	add_text(o, "uuid", p->uuid);
	add_text(o, "name", p->name);
	return o;
}

static struct json_object *of_volume(const struct vdisk_volume *v)
{
	struct json_object *o = json_object_new_object();

	add_text(o, "group", v->group);
	add_text(o, "name", v->name);
	add_text(o, "uuid", v->uuid);
	add_u64(o, "size", v->len);
	add_text(o, "problem", v->problem);
	return o;
}

char *info_text(const struct info *info)
{
	static const char *const kinds[] = { "none", "mbr", "gpt" };
	struct json_object *o = json_object_new_object(), *parts = json_object_new_array(), *volumes = json_object_new_array();
	const struct vdisk_volume *v;
	char *text;

	add_u64(o, "schema-version", 1);
	add_text(o, "path", vdisk_path(info->src->img));
	add_text(o, "format", vdisk_format_name(info->src->img));
	add_u64(o, "virtual-size", vdisk_size(info->src->img));
	add_u64(o, "layers", vdisk_depth(info->src->img));
	json_object_object_add(o, "writable", json_object_new_boolean(info->src->writable));
	add_text(o, "partition-table", kinds[info->table.kind]);
	for (size_t i = 0; i < info->n_parts; i++)
		json_object_array_add(parts, of_partition(&info->parts[i]));
	json_object_object_add(o, "partitions", parts);
	for (size_t i = 0; (v = vdisk_volumes_get(info->src->volumes, i)); i++)
		if (!v->hidden)
			json_object_array_add(volumes, of_volume(v));
	json_object_object_add(o, "volumes", volumes);
	text = strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
	json_object_put(o);
	return text;
}

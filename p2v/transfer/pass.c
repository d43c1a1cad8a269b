/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One time through a disk, as POST .../pass tells of it. */
#include "transfer.h"

#include "common/fail.h"

#include <inttypes.h>
#include <stdlib.h>

static bool add(json_object *o, const char *key, json_object *v) /* takes v */
{
	if (v && !json_object_object_add(o, key, v))
		return true;
	json_object_put(v);
	return false;
}

static json_object *range_json(const struct vdisk_range *r)
{
	json_object *pair = json_object_new_array_ext(2), *off = json_object_new_uint64(r->off),
		    *len = json_object_new_uint64(r->len);

	if (pair && off && len && !json_object_array_add(pair, off)) {
		off = NULL;
		if (!json_object_array_add(pair, len))
			return pair;
	}
	json_object_put(off);
	json_object_put(len);
	json_object_put(pair);
	return NULL;
}

static json_object *ranges_json(const struct vdisk_range *r, size_t n)
{
	json_object *list = json_object_new_array();

	for (size_t i = 0; list && i < n; i++) {
		json_object *pair = range_json(&r[i]);

		if (!pair || json_object_array_add(list, pair)) {
			json_object_put(pair);
			json_object_put(list);
			return NULL;
		}
	}
	return list;
}

json_object *transfer_pass_json(const struct transfer_pass *p)
{
	json_object *o = json_object_new_object();
	char hex[65];

	transfer_hex(p->digest, 32, hex);
	if (o && add(o, "pass", json_object_new_uint64(p->pass)) && add(o, "frozen", json_object_new_boolean(p->frozen)) &&
	    add(o, "digest", json_object_new_string(hex)) && add(o, "skipped", json_object_new_uint64(p->skipped)) &&
	    add(o, "bad", ranges_json(p->bad, p->n_bad)))
		return o;
	json_object_put(o);
	return NULL;
}

static bool number(json_object *v, uint64_t *out)
{
	if (!json_object_is_type(v, json_type_int) || json_object_get_int64(v) < 0)
		return false;
	*out = json_object_get_uint64(v);
	return true;
}

static int ranges_read(json_object *list, uint64_t size, struct vdisk_range *out, size_t n, vdisk_error *err)
{
	uint64_t end = 0;

	for (size_t i = 0; i < n; i++) {
		json_object *pair = json_object_array_get_idx(list, i);
		struct vdisk_range *r = &out[i];

		if (!json_object_is_type(pair, json_type_array) || json_object_array_length(pair) != 2 ||
		    !number(json_object_array_get_idx(pair, 0), &r->off) || !number(json_object_array_get_idx(pair, 1), &r->len))
			return fail(err, VDISK_INVALID, "entry %zu of \"bad\" is no pair of offset and length", i);
		if (!r->len || r->off < end || r->off > size || r->len > size - r->off)
			return fail(err, VDISK_INVALID,
			            "entry %zu of \"bad\", %" PRIu64 " bytes at %" PRIu64
			            ", is not behind the one before and inside the disk",
			            i, r->len, r->off);
		end = r->off + r->len;
	}
	return 0;
}

int transfer_pass_read(json_object *o, uint64_t size, struct transfer_pass *out, vdisk_error *err)
{
	json_object *list;
	const char *hex;
	uint64_t pass;

	*out = (struct transfer_pass){ 0 };
	if (!transfer_json_u64(o, "pass", 1000000, &pass, err) || !transfer_json_bool(o, "frozen", &out->frozen, err) ||
	    !transfer_json_text(o, "digest", 64, &hex, err) || !transfer_json_u64(o, "skipped", size, &out->skipped, err))
		return -1;
	out->pass = (unsigned)pass;
	if (!pass)
		return fail(err, VDISK_INVALID, "passes are counted from 1");
	if (!transfer_unhex(hex, false, out->digest, 32))
		return fail(err, VDISK_INVALID, "\"digest\" is no SHA-256 of 64 hexadecimal digits");
	if (!json_object_object_get_ex(o, "bad", &list) || !json_object_is_type(list, json_type_array))
		return fail(err, VDISK_INVALID, "\"bad\" is missing, or no list");
	out->n_bad = json_object_array_length(list);
	if (out->n_bad > TRANSFER_BAD_MAX)
		return fail(err, VDISK_INVALID, "%zu bad ranges are too many, the most is %u", out->n_bad, TRANSFER_BAD_MAX);
	out->bad = calloc(out->n_bad + 1, sizeof(*out->bad));
	if (!out->bad)
		return fail_nomem(err);
	if (!ranges_read(list, size, out->bad, out->n_bad, err))
		return 0;
	transfer_pass_free(out);
	return -1;
}

void transfer_pass_free(struct transfer_pass *p)
{
	free(p->bad);
	p->bad = NULL;
	p->n_bad = 0;
}

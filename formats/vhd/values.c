/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `info` shows of a VHD. */
#include "vhd.h"

#include "base/uuid.h"

struct ear {
	vdisk_value_fn fn;
	void *ctx;
};

static void say_text(const struct ear *e, const char *key, const char *text)
{
	struct vdisk_value v = { .key = key, .type = VDISK_VALUE_STRING, .str = text };

	e->fn(e->ctx, &v);
}

static void say_number(const struct ear *e, const char *key, uint64_t n)
{
	struct vdisk_value v = { .key = key, .type = VDISK_VALUE_U64, .u64 = n };

	e->fn(e->ctx, &v);
}

static void say_bool(const struct ear *e, const char *key, bool b)
{
	struct vdisk_value v = { .key = key, .type = VDISK_VALUE_BOOL, .u64 = b };

	e->fn(e->ctx, &v);
}

static void say_uuid(const struct ear *e, const char *key, const uint8_t uuid[16])
{
	char text[VD_UUID_TEXT];

	vd_uuid_format(text, uuid);
	say_text(e, key, text);
}

int vhd_values(struct vd_layer *l, vdisk_value_fn fn, void *ctx, vd_error *err)
{
	const struct ear e = { fn, ctx };
	const struct vhd *v = l->priv;
	const struct vhd_footer *f = &v->footer;
	char text[20];

	(void)err;
	say_text(&e, "creator", vd_printable(text, sizeof(text), f->app, 4));
	say_number(&e, "creator-version", f->app_version);
	say_text(&e, "creator-os", vd_printable(text, sizeof(text), f->os, 4));
	say_number(&e, "created", f->timestamp + VHD_EPOCH);
	say_uuid(&e, "uuid", f->uuid);
	say_number(&e, "cylinders", f->geometry.cylinders);
	say_number(&e, "heads", f->geometry.heads);
	say_number(&e, "sectors-per-track", f->geometry.sectors);
	if (vhd_geometry_bytes(f->geometry) != f->current_size) {
		say_number(&e, "current-size", f->current_size);
		say_number(&e, "chs-size", vhd_geometry_bytes(f->geometry));
	}
	if (f->original_size != f->current_size)
		say_number(&e, "original-size", f->original_size);
	if (f->saved_state)
		say_bool(&e, "saved-state", true);
	if (v->type == VHD_FIXED)
		return 0;
	say_number(&e, "block-size", v->block_bytes);
	if (v->type == VHD_DIFFERENCING) {
		say_uuid(&e, "parent-uuid", v->header.parent_uuid);
		if (v->header.parent_timestamp)
			say_number(&e, "parent-modified", v->header.parent_timestamp + VHD_EPOCH);
		for (unsigned i = 0; i < l->parent_ref.n_names; i++)
			say_text(&e, "parent-candidate", l->parent_ref.names[i]);
	}
	return 0;
}

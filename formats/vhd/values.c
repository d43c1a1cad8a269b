/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `info` shows of a VHD. */
#include "vhd.h"

#include "base/say.h"

int vhd_values(struct vd_layer *l, vdisk_value_fn fn, void *ctx, vd_error *err)
{
	const struct vd_ear e = { fn, ctx };
	const struct vhd *v = l->priv;
	const struct vhd_footer *f = &v->footer;
	char text[20];

	(void)err;
	vd_say_text(&e, "creator", vd_printable(text, sizeof(text), f->app, 4));
	vd_say_number(&e, "creator-version", f->app_version);
	vd_say_text(&e, "creator-os", vd_printable(text, sizeof(text), f->os, 4));
	vd_say_number(&e, "created", f->timestamp + VHD_EPOCH);
	vd_say_uuid(&e, "uuid", f->uuid);
	vd_say_number(&e, "cylinders", f->geometry.cylinders);
	vd_say_number(&e, "heads", f->geometry.heads);
	vd_say_number(&e, "sectors-per-track", f->geometry.sectors);
	if (vhd_geometry_bytes(f->geometry) != f->current_size) {
		vd_say_number(&e, "current-size", f->current_size);
		vd_say_number(&e, "chs-size", vhd_geometry_bytes(f->geometry));
	}
	if (f->original_size != f->current_size)
		vd_say_number(&e, "original-size", f->original_size);
	if (f->saved_state)
		vd_say_bool(&e, "saved-state", true);
	if (v->tail_bad)
		vd_say_text(&e, "damage", "the VHD footer at the end is missing or damaged");
	if (v->type == VHD_FIXED)
		return 0;
	vd_say_number(&e, "block-size", v->block_bytes);
	if (v->type == VHD_DIFFERENCING) {
		vd_say_uuid(&e, "parent-uuid", v->header.parent_uuid);
		if (v->header.parent_timestamp)
			vd_say_number(&e, "parent-modified", v->header.parent_timestamp + VHD_EPOCH);
		for (unsigned i = 0; i < l->parent_ref.n_names; i++)
			vd_say_text(&e, "parent-candidate", l->parent_ref.names[i]);
	}
	return 0;
}

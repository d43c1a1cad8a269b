/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `info` shows of a VHDX. */
#include "vhdx.h"

#include "base/alloc.h"
#include "base/say.h"
#include "base/text.h"

/* The program that made it says so behind the identifier, in UTF-16. */
static int say_creator(struct vd_layer *l, const struct vd_ear *e, vd_error *err)
{
	VD_AUTO_FREE char *text = NULL;
	uint8_t b[512];
	char clean[256];
	size_t n = 0;

	if (vd_file_pread(l->files[0], b, sizeof(b), 8, err))
		return -1;
	while (n < sizeof(b) && (b[n] || b[n + 1]))
		n += 2;
	if (n && !vd_text_to_utf8("UTF-16LE", b, n, &text, NULL))
		vd_say_text(e, "creator", vd_printable(clean, sizeof(clean), text, strlen(text)));
	return 0;
}

int vhdx_values(struct vd_layer *l, vdisk_value_fn fn, void *ctx, vd_error *err)
{
	const struct vd_ear e = { fn, ctx };
	const struct vhdx *v = l->priv;

	if (say_creator(l, &e, err))
		return -1;
	vd_say_uuid(&e, "uuid", v->meta.uuid);
	vd_say_uuid(&e, "data-guid", v->header.data_guid);
	vd_say_number(&e, "block-size", v->block_bytes);
	vd_say_number(&e, "logical-sector-size", v->meta.logical);
	vd_say_number(&e, "physical-sector-size", v->meta.physical);
	vd_say_number(&e, "log-size", v->header.log_len);
	vd_say_bool(&e, "log-to-replay", v->patched != NULL);
	if (!vhdx_is_diff(v))
		return 0;
	vd_say_uuid(&e, "parent-data-guid", l->parent_ref.id.uuid);
	for (unsigned i = 0; i < l->parent_ref.n_names; i++)
		vd_say_text(&e, "parent-candidate", l->parent_ref.names[i]);
	return 0;
}

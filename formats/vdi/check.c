/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checking, and what `info` shows.  A place that no entry points at is no problem: the next block takes it. */
#include "vdi.h"

#include "base/alloc.h"
#include "base/say.h"

static int trouble(struct vd_report *r, const vd_error *why, vd_error *err)
{
	if (!r) {
		if (err)
			*err = *why;
		return -1;
	}
	r->problem(r, false, why->offset, "%s", why->message);
	return 0;
}

static int place_note(const struct vd_layer *l, struct vdi *v, uint64_t block, uint32_t entry, uint8_t *used, struct vd_report *r,
                      vd_error *err)
{
	uint64_t held, at = v->h.map_off + block * 4;
	vd_error why = { 0 };

	if (r)
		r->result->allocated_units++;
	if (!vdi_block_judge(l, v, block, entry, &held, &why))
		return trouble(r, &why, err);
	if (r)
		r->result->image_end = vd_max(r->result->image_end, vdi_host(v, entry) + held);
	if (entry >= v->h.allocated) {
		vd_fail(&why, VDISK_CORRUPT, at,
		        "VDI block %" PRIu64 " is at place %" PRIu32 ", but the header says that %" PRIu32 " are taken", block,
		        entry, v->h.allocated);
		return trouble(r, &why, err);
	}
	if (used[entry / 8] >> entry % 8 & 1) {
		vd_fail(&why, VDISK_CORRUPT, at, "VDI block %" PRIu64 " is at place %" PRIu32 ", which another block has, too",
		        block, entry);
		return trouble(r, &why, err);
	}
	used[entry / 8] |= (uint8_t)(1u << entry % 8);
	return 0;
}

int vdi_places_read(const struct vd_layer *l, struct vdi *v, struct vd_report *r, uint8_t **used, vd_error *err)
{
	uint64_t blocks = vd_div_up(l->size, v->h.block_bytes);
	struct vd_cursor c = { 0 };
	int rc = 0;

	*used = vd_calloc(v->h.allocated / 8 + 1, 1);
	if (!*used)
		return vd_fail_nomem(err, v->h.allocated / 8 + 1);
	for (uint64_t b = 0; !rc && b < blocks; b++) {
		uint32_t entry;

		rc = vdi_entry_get(v, &c, b, &entry, err);
		if (!rc && entry < VDI_ZERO)
			rc = place_note(l, v, b, entry, *used, r, err);
	}
	vd_cursor_end(v->cache, &c);
	if (!rc)
		return 0;
	vd_free(*used);
	*used = NULL;
	return -1;
}

int vdi_check(struct vd_layer *l, struct vd_report *r, vd_error *err)
{
	struct vdi *v = l->priv;
	VD_AUTO_FREE uint8_t *used = NULL;

	r->result->total_units = vd_div_up(l->size, v->h.block_bytes);
	r->result->image_end = v->h.data_off;
	return vdi_places_read(l, v, r, &used, err);
}

int vdi_values(struct vd_layer *l, vdisk_value_fn fn, void *ctx, vd_error *err)
{
	const struct vdi *v = l->priv;
	char shown[VDI_COMMENT * 4];
	const struct vd_ear e = { fn, ctx };

	(void)err;
	vd_say_uuid(&e, "uuid", v->h.uuid);
	vd_say_uuid(&e, "modified-uuid", v->h.modified);
	vd_say_number(&e, "block-size", v->h.block_bytes);
	if (v->h.comment[0])
		vd_say_text(&e, "comment", vd_printable(shown, sizeof(shown), v->h.comment, strlen(v->h.comment)));
	if (vdi_is_diff(v)) {
		vd_say_uuid(&e, "parent-uuid", v->h.link);
		vd_say_uuid(&e, "parent-modified-uuid", v->h.parent_modified);
	}
	return 0;
}

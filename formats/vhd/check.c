/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checking: footer, copy, header, each BAT entry, overlapping blocks.  A VHD cannot leak: space that no entry points at is free.
 *
 * Mended: the footer or its copy, from the other.  A wrong BAT entry is not: nothing says what it should be.  Salvage reads around
 * it.
 */
#include "vhd.h"

#include "base/alloc.h"

static void check_tables(const struct vhd *v, struct vd_report *r)
{
	if (v->tail_bad && (v->type == VHD_FIXED || v->copy_bad))
		r->problem(r, false, v->footer_off, "VHD footer's checksum is wrong%s",
			   v->type == VHD_FIXED ? "" : ", and its copy's, too");
	else if (v->tail_bad)
		r->problem(r, false, v->footer_off, "VHD footer at the end is missing or damaged");
	else if (v->copy_bad)
		r->problem(r, false, 0, "copy of the VHD footer is missing or damaged");
	if (v->copy_differs)
		r->problem(r, false, 0, "copy of the VHD footer differs from the footer");
	if (v->header_bad)
		r->problem(r, false, v->footer.data_offset, "VHD dynamic header's checksum is wrong");
}

static int check_entries(struct vd_layer *l, struct vhd *v, struct vd_report *r, vd_error *err)
{
	struct vd_cursor c = { 0 };

	r->result->total_units = v->n_blocks;
	for (uint64_t b = 0; b < v->n_blocks; b++) {
		uint64_t data, held;
		vd_error why = { 0 };
		uint32_t entry;

		if (vhd_bat_get(v, &c, b, &entry, err))
			return -1;
		if (entry == VHD_ABSENT)
			continue;
		r->result->allocated_units++;
		if (vhd_block_judge(l, v, b, entry, &data, &held, &why))
			r->result->image_end = vd_max(r->result->image_end, data + held);
		else
			r->problem(r, false, why.offset, "%s", why.message);
	}
	vd_cursor_end(v->cache, &c);
	return 0;
}

static int check_overlaps(struct vd_layer *l, struct vhd *v, struct vd_report *r, vd_error *err)
{
	VD_AUTO_FREE uint32_t *entries = NULL;
	size_t n, from = 0;

	if (vhd_space_entries(l, v, false, &entries, &n, err))
		return -1;
	while (from < n) {
		size_t i = from + vhd_space_overlap(v, entries + from, n - from);

		if (i < n)
			r->problem(r, false, (uint64_t)entries[i] * VHD_SECTOR,
				   "VHD blocks at sectors %" PRIu32 " and %" PRIu32 " overlap", entries[i], entries[i + 1]);
		from = i + 1;
	}
	return 0;
}

static int check_mend(struct vd_layer *l, struct vhd *v, struct vd_report *r, vd_error *err)
{
	uint64_t found = v->tail_bad + v->copy_bad + v->copy_differs;

	if (v->type == VHD_FIXED || !found || (v->tail_bad && v->copy_bad))
		return 0;
	/* Where the BAT is damaged, the footer still has its place. */
	if (vhd_space_scan(l, v, NULL))
		v->end = vd_up(v->footer_off, VHD_SECTOR);
	if (vhd_footers_mend(l, v, err))
		return -1;
	r->result->corruptions_fixed += found;
	return 0;
}

int vhd_check(struct vd_layer *l, struct vd_report *r, vd_error *err)
{
	struct vhd *v = l->priv;

	check_tables(v, r);
	if (v->type == VHD_FIXED) {
		if (l->size > v->footer_off)
			r->problem(r, false, v->footer_off, "fixed VHD of %" PRIu64 " bytes has only %" PRIu64 " before its footer",
				   l->size, v->footer_off);
		r->result->total_units = r->result->allocated_units = vd_div_up(l->size, VHD_SECTOR);
	} else if (check_entries(l, v, r, err) || check_overlaps(l, v, r, err)) {
		return -1;
	}
	if (r->repair & VDISK_CHECK_REPAIR_ALL && check_mend(l, v, r, err))
		return -1;
	if (!v->tail_bad)
		r->result->image_end = vd_max(r->result->image_end, v->footer_off + VHD_FOOTER_BYTES);
	return 0;
}

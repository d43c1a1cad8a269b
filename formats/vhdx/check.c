/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checking: identifier, region tables, each BAT entry, each bitmap, and whether two of them share a place.  A VHDX cannot leak:
 * space that nothing points at is free.  A header that is not whole is what a power cut leaves; the other one serves, and no
 * problem is made of it.
 *
 * Mended: the identifier, a region table, from the other one, and (by opening for writing) headers and log.  A wrong BAT entry is
 * not: nothing says what it should be.  Salvage reads around it.
 */
#include "vhdx.h"

#include "base/alloc.h"

static int identifier_ok(struct vd_layer *l, bool *ok, vd_error *err)
{
	uint8_t b[8];

	if (vd_file_pread(l->files[0], b, sizeof(b), 0, err))
		return -1;
	*ok = !memcmp(b, "vhdxfile", 8);
	return 0;
}

/* A table from its twin, byte by byte: entries that are not ours, too. */
static int region_mend(struct vd_layer *l, unsigned bad, vd_error *err)
{
	VD_AUTO_FREE uint8_t *b = vd_malloc(VHDX_TABLE_BYTES);

	if (!b)
		return vd_fail_nomem(err, VHDX_TABLE_BYTES);
	return vd_file_pread(l->files[0], b, VHDX_TABLE_BYTES, VHDX_REGION_OFF(!bad), err) ||
	                       vd_file_pwrite(l->files[0], b, VHDX_TABLE_BYTES, VHDX_REGION_OFF(bad), err) ||
	                       vd_file_flush(l->files[0], err)
	               ? -1
	               : 0;
}

static int check_tables(struct vd_layer *l, struct vhdx *v, struct vd_report *r, vd_error *err)
{
	bool mend = r->repair & VDISK_CHECK_REPAIR_ALL, ok;

	if (identifier_ok(l, &ok, err))
		return -1;
	if (!ok) {
		r->problem(r, false, 0, "VHDX identifier is missing");
		if (mend && (vd_file_pwrite(l->files[0], "vhdxfile", 8, 0, err) || vd_file_flush(l->files[0], err)))
			return -1;
		r->result->corruptions_fixed += mend;
	}
	for (unsigned i = 0; i < 2; i++) {
		if (!v->region_bad[i])
			continue;
		r->problem(r, false, VHDX_REGION_OFF(i), "VHDX region table %u is damaged", i + 1);
		if (!mend)
			continue;
		if (region_mend(l, i, err))
			return -1;
		v->region_bad[i] = false;
		r->result->corruptions_fixed++;
	}
	return 0;
}

static int check_partial(struct vd_layer *l, struct vhdx *v, struct vd_report *r, vd_error *err)
{
	struct vd_cursor c = { 0 };
	uint64_t entry;

	for (uint64_t b = 0; vhdx_is_diff(v) && b < v->n_blocks; b++) {
		vd_error why = { 0 };
		uint64_t host;

		if (vhdx_bat_get(v, &c, vhdx_index(v, b), &entry, err))
			return -1;
		/* A bitmap that is wrong is told once, by the scan. */
		if (vhdx_entry_state(entry) == VHDX_PARTIAL && !vhdx_bitmap_find(l, v, b / v->chunk_blocks, &host, &why) && !host)
			r->problem(r, false, v->bat.off + vhdx_index(v, b) * 8,
			           "VHDX block %" PRIu64 " is partly present, but has no bitmap", b);
	}
	vd_cursor_end(v->cache, &c);
	return 0;
}

int vhdx_check(struct vd_layer *l, struct vd_report *r, vd_error *err)
{
	struct vhdx *v = l->priv;

	r->result->total_units = v->n_blocks;
	if (check_tables(l, v, r, err) || vhdx_space_judge(l, v, r, err) || check_partial(l, v, r, err))
		return -1;
	r->result->image_end = vd_max(r->result->image_end, v->bat.off + v->bat.len);
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Another parent for a differencing disk, or none: then it is a dynamic one.
 *
 * Invariant: at each moment footer and copy each name (by their data offset) a dynamic header that is whole, and the header's
 * locators lie where nothing else is.  A header in use is never written to.  So the new one is made behind the last block, the
 * footers are switched to it (each is a sector; where a crash leaves them different, the footer at the end counts), then it is made
 * again in the old one's place and they are switched back, so that the file ends up in its usual order.
 *
 * Of a dynamic disk a sector whose bit is unset must be zeros.  The caller has seen to it that all bits of blocks that came with
 * such sectors are set; blocks made since they were opened hold zeros there (space.c, S2).
 */
#include "vhd.h"

#include "base/alloc.h"

static uint64_t locators_bytes(const struct vhd_header *h)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < VHD_LOCATORS && h->locators[i].code; i++)
		sum += vd_up(h->locators[i].length, VHD_SECTOR);
	return sum;
}

/* Header h at `at`, its locators from `names_at` on; durable, but nothing names it yet. */
static int header_place(struct vd_layer *l, struct vhd *v, struct vhd_header *h, const struct vhd_parent_write *w, uint64_t at,
                        uint64_t names_at, vd_error *err)
{
	struct vd_file *f = l->files[0];
	unsigned n = 0;

	for (unsigned i = 0; i < 2; i++) {
		struct vhd_locator *k = &h->locators[n];

		if (!w->bytes[i])
			continue;
		k->off = names_at;
		k->space = (uint32_t)vd_up(k->length, VHD_SECTOR);
		names_at += k->space;
		if (vd_file_pwrite(f, w->bytes[i], w->len[i], k->off, err))
			return -1;
		n++;
	}
	vhd_header_encode(h, v->header_raw);
	return vd_file_pwrite(f, v->header_raw, VHD_HEADER_BYTES, at, err) || vd_file_flush(f, err) ? -1 : 0;
}

static int footers_switch(struct vd_layer *l, struct vhd *v, uint64_t header_at, enum vhd_type type, vd_error *err)
{
	v->footer.data_offset = header_at;
	v->footer.type = type;
	return vhd_footers_write(l, v, err);
}

static int reparent(struct vd_layer *l, struct vhd *v, struct vhd_header *h, const struct vhd_parent_write *w, enum vhd_type type,
                    vd_error *err)
{
	uint64_t home = v->footer.data_offset, away = v->end, names = locators_bytes(h), names_at;
	struct vd_file *f = l->files[0];
	bool fits = h->table_offset > home && names <= h->table_offset - (home + VHD_HEADER_BYTES);

	/* The footer moves first; until it is durable its copy serves. */
	if (vhd_write_tail(l, v, away + VHD_HEADER_BYTES + names, err) || vd_file_flush(f, err))
		return -1;
	v->end = away + VHD_HEADER_BYTES + names;
	names_at = away + VHD_HEADER_BYTES;
	if (header_place(l, v, h, w, away, names_at, err) || footers_switch(l, v, away, type, err))
		return -1;
	if (fits)
		names_at = home + VHD_HEADER_BYTES;
	if (header_place(l, v, h, w, home, names_at, err) || footers_switch(l, v, home, type, err))
		return -1;
	if (names && !fits)
		return 0;
	if (vhd_write_tail(l, v, away, err) || vd_file_flush(f, err))
		return -1;
	v->end = away;
	return vd_file_truncate(f, away + VHD_FOOTER_BYTES, err) || vd_file_flush(f, err) ? -1 : 0;
}

static int header_fill(struct vd_layer *l, const struct vd_new_parent *p, struct vhd_header *h, struct vhd_parent_write *w,
                       vd_error *err)
{
	memset(h->parent_uuid, 0, sizeof(h->parent_uuid));
	memset(h->parent_name, 0, sizeof(h->parent_name));
	memset(h->locators, 0, sizeof(h->locators));
	h->parent_timestamp = 0;
	if (!p)
		return 0;
	{
		struct vd_create c = {
			.size = l->size,
			.backing = p->name,
			.backing_format = p->format,
			.parent = p->layer,
			.parent_path = p->path,
			.parent_mtime = p->mtime,
		};
		vd_error inner = { 0 };

		/* Whatever it does not like can be said before anything is written. */
		if (!vhd_parent_prepare(&c, h, w, &inner))
			return 0;
		return inner.kind == VDISK_NOMEM ? vd_fail_nomem(err, VHD_HEADER_BYTES) :
		                                   vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s", inner.message);
	}
}

int vhd_set_parent(struct vd_layer *l, const struct vd_new_parent *p, vd_error *err)
{
	struct vhd *v = l->priv;
	struct vhd_header h = v->header;
	struct vhd_parent_write w = { 0 };
	int r;

	if (v->type != VHD_DIFFERENCING)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "a %s VHD cannot be given a parent; a differencing one can be given another", l->variant);
	r = header_fill(l, p, &h, &w, err);
	if (!r)
		r = reparent(l, v, &h, &w, p ? VHD_DIFFERENCING : VHD_DYNAMIC, err);
	vhd_parent_clear(&w);
	if (r)
		return -1;
	v->header = h;
	if (p)
		return 0;
	v->type = VHD_DYNAMIC;
	l->presence_grain = v->block_bytes;
	memcpy(l->variant, "dynamic", sizeof("dynamic"));
	return 0;
}

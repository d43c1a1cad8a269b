/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fixed disks: the data from byte 0 on, the footer behind it.  Guest byte n lies at host byte n, so there is nothing to allocate;
 * the file may be longer than the size says.
 */
#include "vhd.h"

int vhd_fixed_map(struct vd_layer *l, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err)
{
	const struct vhd *v = l->priv;
	uint64_t held = v->salvage ? vd_min(vd_file_size(l->files[0]), l->size) : l->size;
	struct vd_extent x = { .off = off, .flags = VD_EXT_MAPPED, .host = off };
	bool more = true;

	if (l->flags & VD_LAYER_WRITABLE)
		x.flags |= VD_EXT_WRITABLE;
	if (off < held) {
		x.len = vd_min(len, held - off);
		if (vd_extents_add_plain(e, l->files[0], x, flags, &more, err))
			return -1;
	}
	if (more && off + len > held) {
		struct vd_extent lost = { .off = vd_max(off, held), .kind = VD_ZERO, .flags = VD_EXT_LOST };

		lost.len = off + len - lost.off;
		vd_extents_add(e, &lost);
	}
	return 0;
}

int vhd_fixed_reserve(struct vd_layer *l, struct vd_resv *r, vd_error *err)
{
	(void)err;
	r->len = vd_min(r->len, l->size - r->off);
	r->file = 0;
	r->host = r->off;
	if (r->kind == VD_DATA)
		r->flags |= VD_RESV_INPLACE;
	return 0;
}

int vhd_fixed_publish(struct vd_layer *l, const struct vd_resv *r, size_t n, vd_error *err)
{
	const struct vhd *v = l->priv;

	for (size_t i = 0; i < n; i++) {
		if (r[i].kind == VD_ZERO && vd_file_zero(l->files[0], r[i].off, r[i].len, !v->append, err))
			return -1;
	}
	return 0;
}

int vhd_fixed_unmap(struct vd_layer *l, uint64_t off, uint64_t len, vd_error *err)
{
	const struct vhd *v = l->priv;

	if (v->append || l->files[0]->flags & VD_FILE_BLOCKDEV)
		return 0;
	return vd_file_punch(l->files[0], off, len, err);
}

/* The new footer is durable before the old place becomes data or is cut off: a file that ends in a footer at every moment. */
int vhd_fixed_resize(struct vd_layer *l, uint64_t size, vd_error *err)
{
	struct vhd *v = l->priv;
	struct vd_file *f = l->files[0];
	uint64_t old_end = v->footer_off, old_size = l->size;

	if (v->footer.current_size == size)
		return 0;
	vhd_footer_resize(v, size);
	vhd_footer_encode(&v->footer, v->footer_raw);
	if (vhd_write_tail(l, v, size, err) || vd_file_flush(f, err))
		return -1;
	if (size > old_size) {
		/* What lay between the old size and the end of the file was no part of the disk. */
		if (vd_file_zero(f, old_size, vd_min(vd_up(old_end + VHD_FOOTER_BYTES, VHD_SECTOR), size) - old_size, true, err))
			return -1;
	}
	if (vd_file_size(f) > size + VHD_FOOTER_BYTES && vd_file_truncate(f, size + VHD_FOOTER_BYTES, err))
		return -1;
	l->size = size;
	return vd_file_flush(f, err);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Another size for flat disks and hosted sparse extents.  Growing: space and tables first, then the header, then the descriptor.
 * Shrinking: the descriptor first.  A crash between the last two leaves a header that holds more than the descriptor says, which
 * open accepts of an extent that was not closed cleanly.
 */
#include "vmdk.h"

#include "base/alloc.h"
#include "base/bytes.h"

#include <stdio.h>

/* ---------------------------------------------------------------- the descriptor */

static char *set_number(char *text, const char *key, uint32_t value)
{
	VD_AUTO_FREE char *before = text;
	char number[16];
	snprintf(number, sizeof(number), "%u", value);
	return before ? vmdk_desc_set(before, key, number, true) : NULL;
}

static int describe(struct vd_layer *l, uint64_t size, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	char adapter[32] = "lsilogic";
	struct vmdk_geometry g;
	if (s->desc_room == VMDK_NO_DESC)
		return 0;
	vmdk_desc_value(s->desc.text, "ddb.adapterType", adapter, sizeof(adapter));
	vmdk_geometry(&g, size / VMDK_SECTOR, adapter);
	char *text = vmdk_desc_set_sectors(s->desc.text, s->n - 1, (size - s->v[s->n - 1].off) / VMDK_SECTOR);
	text = set_number(text, "ddb.geometry.cylinders", g.cylinders);
	text = set_number(text, "ddb.geometry.heads", g.heads);
	text = set_number(text, "ddb.geometry.sectors", g.sectors);
	if (vmdk_desc_store(l, text, err))
		return -1;
	s->desc.lines[s->n - 1].sectors = (size - s->v[s->n - 1].off) / VMDK_SECTOR;
	return vd_file_flush(l->files[0], err);
}

/* ---------------------------------------------------------------- sparse extents */

/* The last grain's bytes past the disk's end become the guest's when it grows, so they must be zeros. */
static int zero_tail(struct vd_layer *l, struct vmdk_extent *x, uint64_t len, vd_error *err)
{
	uint64_t g = len / x->grain, cut = len % x->grain;
	enum vmdk_table_state state;
	struct vd_table *t;
	struct vmdk_grain w;
	if (!cut)
		return 0;
	if (vmdk_table_get(l, x, (uint32_t)(g / x->gtes), false, &state, &t, err))
		return -1;
	if (!t)
		return 0;
	int ret = vmdk_grain_judge(l, x, g, le32_get(t->data + 4 * (g % x->gtes)), &w, err);
	vd_cache_put(x->tables, t);
	return ret || w.kind != VD_DATA ? ret : vd_file_zero(l->files[x->file], w.host + cut, x->grain - cut, false, err);
}

static uint32_t *longer(const uint32_t *old, uint32_t n, uint64_t n_new, uint64_t first, uint32_t table)
{
	uint32_t *gd = vd_calloc(vd_up(n_new, VMDK_SECTOR / 4), 4);
	if (!gd)
		return NULL;
	memcpy(gd, old, n * 4ull);
	for (uint64_t i = n; i < n_new; i++)
		gd[i] = (uint32_t)((first + (i - n) * table) / VMDK_SECTOR);
	return gd;
}

/* Longer directories, with tables for the new part, at the file's end; the old directories are of no more use. */
static int move_directories(struct vd_layer *l, struct vmdk_extent *x, uint64_t n_new, vd_error *err)
{
	struct vd_file *f = l->files[x->file];
	uint32_t table = (uint32_t)vmdk_table_bytes(x), copies = x->rgd ? 2 : 1;
	uint64_t gd_bytes = vd_up(n_new * 4, VMDK_SECTOR), part = gd_bytes + (n_new - x->n_gts) * table, host;
	struct vmdk_range old[2] = {{x->gd_off, vd_up(x->n_gts * 4ull, VMDK_SECTOR)},
				    {x->rgd_off, vd_up(x->n_gts * 4ull, VMDK_SECTOR)}};
	if (vmdk_space_append(l, x, part * copies, &host, err))
		return -1;
	uint32_t *gd = longer(x->gd, x->n_gts, n_new, host + gd_bytes, table);
	uint32_t *rgd = x->rgd ? longer(x->rgd, x->n_gts, n_new, host + part + gd_bytes, table) : NULL;
	uint8_t *dirty = vd_calloc(1, gd_bytes / VMDK_SECTOR);
	if (!gd || (x->rgd && !rgd) || !dirty) {
		vd_free(gd);
		vd_free(rgd);
		vd_free(dirty);
		return vd_fail_nomem(err, gd_bytes);
	}
	vd_free(x->gd);
	vd_free(x->rgd);
	vd_free(x->gd_dirty);
	x->gd = gd;
	x->rgd = rgd;
	x->gd_dirty = dirty;
	x->n_gts = (uint32_t)n_new;
	x->gd_off = host;
	x->rgd_off = rgd ? host + part : 0;
	x->h.gd_off = x->gd_off / VMDK_SECTOR;
	if (rgd)
		x->h.rgd_off = x->rgd_off / VMDK_SECTOR;
	/* The tables are zeros: a hole, or on a device written out. */
	if (f->flags & VD_FILE_BLOCKDEV ? vd_file_zero(f, host, part * copies, false, err)
					: vmdk_file_grow(f, host + part * copies, err))
		return -1;
	if (vd_file_pwrite(f, gd, gd_bytes, x->gd_off, err) || (rgd && vd_file_pwrite(f, rgd, gd_bytes, x->rgd_off, err)))
		return -1;
	/* Free after the next flush, which comes after the header that no longer names them; those at the file's head have tables
	 * around them. */
	for (unsigned i = 0; i < copies; i++)
		if (old[i].off >= x->data_min)
			vmdk_space_add(&x->space.pending, old[i].off, old[i].len);
	return vd_file_flush(f, err);
}

/* What a growing extent was. */
struct grown {
	uint64_t len, file, cursor, gd_off, rgd_off;
	uint32_t n_gts;
};

static void grow_begin(const struct vd_layer *l, const struct vmdk_extent *x, struct grown *was)
{
	*was = (struct grown){ x->len, vd_file_size(l->files[x->file]), x->cursor, x->gd_off, x->rgd_off, x->n_gts };
}

/* After a failure it is that again, as far as the file can still be written to: header and descriptor first, then the space behind
   the end, which nothing names any more. */
static void grow_undo(struct vd_layer *l, struct vmdk_extent *x, const struct grown *was)
{
	struct vd_file *f = l->files[x->file];
	x->len = was->len;
	x->n_gts = was->n_gts;
	x->cursor = was->cursor;
	x->gd_off = was->gd_off;
	x->rgd_off = was->rgd_off;
	x->h.capacity = was->len / VMDK_SECTOR;
	x->h.gd_off = was->gd_off / VMDK_SECTOR;
	if (x->rgd)
		x->h.rgd_off = was->rgd_off / VMDK_SECTOR;
	if (describe(l, x->off + was->len, NULL) || vmdk_header_write(l, x, true, NULL) || vd_file_flush(f, NULL))
		return;
	if (!(f->flags & VD_FILE_BLOCKDEV) && vd_file_size(f) > was->file && !vd_file_truncate(f, was->file, NULL))
		vd_file_flush(f, NULL);
}

static int grow_sparse(struct vd_layer *l, struct vmdk_extent *x, uint64_t len, uint64_t n_new, vd_error *err)
{
	if (n_new > x->n_gts && move_directories(l, x, n_new, err))
		return -1;
	x->len = len;
	x->h.capacity = len / VMDK_SECTOR;
	if (vmdk_header_write(l, x, true, err) || vd_file_flush(l->files[x->file], err))
		return -1;
	return describe(l, x->off + len, err);
}

static int resize_sparse(struct vd_layer *l, struct vmdk_extent *x, uint64_t len, vd_error *err)
{
	uint64_t n_new = vd_div_up(len, vmdk_table_span(x)), old = x->len;
	struct grown was;
	if (vd_div_up(x->data_min + len, VMDK_SECTOR) > UINT32_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
			       "a sparse extent cannot hold %" PRIu64 " bytes: it ends at 2 TiB", len);
	if (len < old) {
		if (describe(l, x->off + len, err) ||
		    vmdk_unmap(l, x->off + vd_up(len, x->grain), old > vd_up(len, x->grain) ? old - vd_up(len, x->grain) : 0,
			       VD_ABSENT, err))
			return -1;
	}
	if (zero_tail(l, x, vd_min(old, len), err) || vmdk_flush(l, err))
		return -1;
	if (len > old) {
		grow_begin(l, x, &was);
		if (!grow_sparse(l, x, len, n_new, err))
			return 0;
		grow_undo(l, x, &was);
		return -1;
	}
	x->len = len;
	x->h.capacity = len / VMDK_SECTOR;
	x->n_gts = (uint32_t)n_new; /* tables stay where they are, for when it grows again */
	return vmdk_header_write(l, x, true, err) || vd_file_flush(l->files[x->file], err) ? -1 : 0;
}

/* ---------------------------------------------------------------- flat extents */

static int resize_flat(struct vd_layer *l, struct vmdk_extent *x, uint64_t len, vd_error *err)
{
	struct vd_file *f = l->files[x->file];
	if ((f->flags & VD_FILE_BLOCKDEV) || vd_file_size(f) != x->flat_off + x->len)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "%s: holds more than the extent, or is a device; it cannot be resized", f->name);
	if (len > x->len && (vd_file_truncate(f, x->flat_off + len, err) || vd_file_flush(f, err)))
		return -1;
	if (describe(l, x->off + len, err))
		return -1;
	if (len < x->len && vd_file_truncate(f, x->flat_off + len, err))
		return -1;
	x->len = len;
	return 0;
}

int vmdk_resize_judge(const struct vd_layer *l, uint64_t size, vd_error *err)
{
	const struct vmdk *s = vmdk_of(l);
	const struct vmdk_extent *x = &s->v[s->n - 1];
	if (s->out || s->in)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "a streamOptimized VMDK cannot be resized");
	if (s->has_parent)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "a VMDK with a parent cannot be resized: VMware wants both to have the same size");
	if (x->kind != VMDK_FLAT && x->kind != VMDK_SPARSE)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: this kind of extent cannot be resized", l->variant);
	if (size % VMDK_SECTOR || size <= x->off)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "size of %" PRIu64 " bytes: %s", size,
			       size % VMDK_SECTOR ? "not a multiple of 512" : "whole extents would have to go");
	if (s->n > 1 && size - x->off > vd_max(x->len, UINT64_C(2047) << 20))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "the last of %zu extents can grow to 2047 MiB, so the disk to %" PRIu64
			       " bytes; extents are not added",
			       s->n, x->off + (UINT64_C(2047) << 20));
	return 0;
}

int vmdk_resize(struct vd_layer *l, uint64_t size, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	struct vmdk_extent *x = &s->v[s->n - 1];
	if (x->kind == VMDK_FLAT ? resize_flat(l, x, size - x->off, err) : resize_sparse(l, x, size - x->off, err))
		return -1;
	l->size = size;
	return 0;
}

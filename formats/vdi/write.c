/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing blocks.  A place, once taken, is never given back (VirtualBox counts places, it does not look for free ones): what
 * becomes zeros is zeroed where it is.
 *
 * Crash order of a new block: the header's count of places, so that nobody takes the place again (C2; a cut after it leaves a place
 * that nobody points at, which the next one to write takes), then its entry.  The cache's ranks keep that, its data barrier what
 * comes before: bytes copied from elsewhere (C5), and in differencing disks all, since the entry hides what the parent had there
 * (C1).
 *
 * Under the layer's exclusive lock.
 */
#include "vdi.h"

#include "base/alloc.h"
#include "base/uuid.h"

/* ---------------------------------------------------------------- before the first change */

static int spare_find(struct vd_layer *l, struct vdi *v, vd_error *err)
{
	VD_AUTO_FREE uint8_t *used = NULL;
	size_t n = 0;

	if (v->scanned)
		return 0;
	if (vdi_places_read(l, v, NULL, &used, err))
		return -1;
	for (uint32_t i = 0; i < v->h.allocated; i++)
		n += !(used[i / 8] >> i % 8 & 1);
	v->spare = n ? vd_calloc(n, sizeof(*v->spare)) : NULL;
	if (n && !v->spare)
		return vd_fail_nomem(err, n * sizeof(*v->spare));
	for (uint32_t i = v->h.allocated; i-- > 0;) /* the lowest is taken first */
		if (!(used[i / 8] >> i % 8 & 1))
			v->spare[v->n_spare++] = i;
	v->scanned = true;
	return 0;
}

/* Whoever lies over it must notice. */
static int identity_renew(struct vd_layer *l, struct vdi *v, vd_error *err)
{
	uint8_t b[16];

	if (v->keep_id || v->checking)
		return 0;
	if (vd_uuid_random(v->h.modified, err))
		return -1;
	vdi_uuid_get(b, v->h.modified);
	if (vd_file_pwrite(l->files[0], b, 16, VDI_MODIFIED_AT, err) || vd_file_flush(l->files[0], err))
		return -1;
	vd_cache_forget(v->cache, 0);
	memcpy(l->id.uuid, v->h.modified, 16);
	return 0;
}

int vdi_begin_write(struct vd_layer *l, vd_error *err)
{
	struct vdi *v = l->priv;

	if (!v->checking && spare_find(l, v, err))
		return -1;
	return identity_renew(l, v, err);
}

/* ---------------------------------------------------------------- reserve */

static int count_set(struct vdi *v, uint32_t n, vd_error *err)
{
	struct vd_table *t;

	if (vd_cache_get(v->cache, 0, VDI_RANK_HEADER, false, &t, err))
		return -1;
	le32_put(t->data + VDI_ALLOCATED_AT, n);
	vd_cache_dirty(v->cache, t);
	vd_cache_put(v->cache, t);
	v->h.allocated = n;
	return 0;
}

static int place_take(struct vd_layer *l, struct vdi *v, uint32_t *place, vd_error *err)
{
	struct vd_file *f = l->files[0];
	uint64_t from, end, size = vd_file_size(f);
	bool spare = v->n_spare;

	*place = spare ? v->spare[v->n_spare - 1] : v->h.allocated;
	if (*place >= v->h.blocks)
		return vd_fail(err, VDISK_CORRUPT, 388, "VDI has no place left for a block, though one has none");
	from = v->h.data_off + *place * vdi_stride(v);
	end = from + vdi_stride(v);
	if (!(f->flags & VD_FILE_ZERO_TAIL))
		size = end;
	if (from < size && vd_file_zero(f, from, vd_min(end, size) - from, true, err))
		return -1;
	if (vd_file_grow(f, end, err) || (!spare && count_set(v, *place + 1, err)))
		return -1;
	/* The zeros and the file's length are durable before the entry: no change of the count sees to that for a spare one. */
	if (spare || from < size)
		vd_cache_need_barrier(v->cache);
	v->n_spare -= spare;
	return 0;
}

int vdi_reserve(struct vd_layer *l, struct vd_resv *r, vd_error *err)
{
	struct vdi *v = l->priv;
	uint64_t block = r->off / v->h.block_bytes, in = r->off % v->h.block_bytes, held;
	struct vd_cursor c = { 0 };
	struct vd_promise *p;
	uint32_t entry, place;

	if (r->flags & VD_RESV_PACKED)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "a VDI has no compressed blocks");
	r->len = vd_min(r->len, v->h.block_bytes - in);
	r->file = 0;
	r->priv = 0;
	if (vdi_entry_get(v, &c, block, &entry, err))
		return -1;
	vd_cursor_end(v->cache, &c);
	if (entry < VDI_ZERO) {
		if (!vdi_block_judge(l, v, block, entry, &held, err))
			return -1;
		r->host = vdi_host(v, entry) + in;
		r->flags |= r->kind == VD_DATA ? VD_RESV_INPLACE : 0;
		return 0;
	}
	if (r->kind == VD_ZERO)
		return 0;
	p = vd_promise_find(&v->promises, block);
	if (p) {
		p->refs++;
		place = (uint32_t)p->host;
	} else if (vd_promise_room(&v->promises, err) || place_take(l, v, &place, err) ||
	           vd_promise_add(&v->promises, block, place, err)) { /* never fails, and the place is not lost: there is room */
		return -1;
	}
	r->priv = 1;
	r->host = vdi_host(v, place) + in;
	r->flags |= VD_RESV_ZEROED;
	return 0;
}

/* The place stays counted, and is taken by the next one. */
void vdi_abandon(struct vd_layer *l, struct vd_resv *r)
{
	struct vdi *v = l->priv;
	struct vd_promise *p = r->priv ? vd_promise_find(&v->promises, r->off / v->h.block_bytes) : NULL;
	uint32_t *more;

	if (!p || --p->refs)
		return;
	more = vd_realloc(v->spare, v->n_spare + 1, sizeof(*more));
	if (more) {
		v->spare = more;
		v->spare[v->n_spare++] = (uint32_t)p->host;
	}
	vd_promise_remove(&v->promises, p);
}

/* ---------------------------------------------------------------- publish, unmap */

static int publish_zero(struct vd_layer *l, struct vdi *v, const struct vd_resv *r, uint64_t block, uint32_t entry, vd_error *err)
{
	if (entry < VDI_ZERO)
		return vd_file_zero(l->files[0], r->host, vd_min(r->len, l->size - r->off), true, err);
	return entry == VDI_FREE ? vdi_entry_set(v, block, VDI_ZERO, err) : 0;
}

int vdi_publish(struct vd_layer *l, const struct vd_resv *r, size_t n, vd_error *err)
{
	struct vdi *v = l->priv;

	for (size_t i = 0; i < n; i++) {
		uint64_t block = r[i].off / v->h.block_bytes;
		struct vd_promise *p = r[i].priv ? vd_promise_find(&v->promises, block) : NULL;
		struct vd_cursor c = { 0 };
		uint32_t entry;

		if (vdi_entry_get(v, &c, block, &entry, err))
			return -1;
		vd_cursor_end(v->cache, &c);
		if (r[i].kind == VD_ZERO) {
			if (publish_zero(l, v, &r[i], block, entry, err))
				return -1;
			continue;
		}
		if (entry < VDI_ZERO || !p)
			continue;
		if (vdi_is_diff(v) || r[i].flags & VD_RESV_COPIED)
			vd_cache_need_barrier(v->cache);
		if (vdi_entry_set(v, block, (uint32_t)p->host, err))
			return -1;
		vd_promise_remove(&v->promises, p);
	}
	return 0;
}

/* Blocks keep their places; zeros are given back to the host. */
int vdi_unmap(struct vd_layer *l, uint64_t off, uint64_t len, enum vd_kind to, vd_error *err)
{
	struct vdi *v = l->priv;
	uint64_t first = vd_div_up(off, v->h.block_bytes), end = off + len;
	struct vd_cursor c = { 0 };
	int rc = 0;

	end = end >= l->size ? vd_div_up(l->size, v->h.block_bytes) : end / v->h.block_bytes;
	for (uint64_t b = first; !rc && b < end; b++) {
		uint64_t held;
		uint32_t entry;

		rc = vdi_entry_get(v, &c, b, &entry, err);
		if (rc || entry >= VDI_ZERO)
			continue;
		if (to == VD_ABSENT && vdi_is_diff(v)) {
			rc = vdi_entry_set(v, b, VDI_FREE, err); /* whoever opens it next takes the place */
			continue;
		}
		rc = vdi_block_judge(l, v, b, entry, &held, err) ? vd_file_zero(l->files[0], vdi_host(v, entry), held, true, err)
		                                                 : -1;
	}
	vd_cursor_end(v->cache, &c);
	return rc;
}

int vdi_flush(struct vd_layer *l, vd_error *err)
{
	struct vdi *v = l->priv;

	return vd_cache_write_back(v->cache, err);
}

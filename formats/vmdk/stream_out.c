/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing a streamOptimized extent, front to back: header and descriptor, packed grains in the order of the guest's sectors, after
 * the last grain of each table's region its marker and table, then directory, footer and end, each behind its marker.
 *
 * Places are given out by reserve() in order.  A region's table gets its place when the next region begins, but is written only
 * when all grains of its region are published: on a pipe a write waits for everything before it, and those who write the grains
 * must not wait for us while we, with the layer's lock held, wait for them.
 */
#include "vmdk.h"

#include "base/alloc.h"
#include "base/bytes.h"

struct region { /* of one grain table */
	struct region *next;
	uint32_t index;
	uint32_t reserved, published;
	uint64_t at; /* of the marker; 0: not closed */
	uint8_t table[];
};

struct vmdk_stream_out {
	bool append, torn, done;
	uint64_t cursor;
	uint64_t next_grain; /* the lowest that may come */
	uint32_t *gd;
	struct region *regions; /* oldest first; the last one may be open */
};

int vmdk_stream_out_new(struct vd_layer *l, bool append, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	struct vmdk_extent *x = &s->v[0];
	struct vmdk_stream_out *out = vd_calloc(1, sizeof(*out));
	s->out = out;
	if (!out || !(out->gd = vd_calloc(x->n_gts, 4)))
		return vd_fail_nomem(err, x->n_gts * 4ull);
	out->append = append;
	out->cursor = x->data_min;
	VD_AUTO_FREE uint8_t *front = vd_calloc(1, x->data_min);
	if (!front)
		return vd_fail_nomem(err, x->data_min);
	vmdk_sparse_encode(&x->h, s->unfinished, front);
	memcpy(front + s->desc_off, s->desc.text, strlen(s->desc.text));
	return vd_file_pwrite(l->files[0], front, x->data_min, 0, err);
}

void vmdk_stream_out_free(struct vmdk_stream_out *out)
{
	if (!out)
		return;
	while (out->regions) {
		struct region *next = out->regions->next;
		vd_free(out->regions);
		out->regions = next;
	}
	vd_free(out->gd);
	vd_free(out);
}

/* ---------------------------------------------------------------- regions */

static struct region *region_find(struct vmdk_stream_out *out, uint32_t index)
{
	struct region *r = out->regions;
	while (r && r->index != index)
		r = r->next;
	return r;
}

static struct region *region_last(struct vmdk_stream_out *out)
{
	struct region *r = out->regions;
	while (r && r->next)
		r = r->next;
	return r;
}

/* Writes and frees the regions at the head of the list that are complete. */
static int regions_write(struct vd_layer *l, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	uint64_t bytes = vmdk_table_bytes(&s->v[0]);
	for (struct region *r; (r = s->out->regions) && r->at && r->published == r->reserved;) {
		VD_AUTO_FREE uint8_t *buf = vd_malloc(VMDK_SECTOR + bytes);
		if (!buf)
			return vd_fail_nomem(err, VMDK_SECTOR + bytes);
		vmdk_marker_encode(&(struct vmdk_marker){.value = bytes / VMDK_SECTOR, .type = VMDK_MARKER_GT}, buf);
		memcpy(buf + VMDK_SECTOR, r->table, bytes);
		if (vd_file_pwrite(l->files[0], buf, VMDK_SECTOR + bytes, r->at, err))
			return -1;
		s->out->regions = r->next;
		vd_free(r);
	}
	return 0;
}

static int region_close(struct vd_layer *l, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	struct vmdk_stream_out *out = s->out;
	struct region *r = region_last(out);
	if (!r || r->at)
		return 0;
	r->at = out->cursor;
	out->gd[r->index] = (uint32_t)((r->at + VMDK_SECTOR) / VMDK_SECTOR);
	out->cursor += VMDK_SECTOR + vmdk_table_bytes(&s->v[0]);
	return regions_write(l, err);
}

static struct region *region_open(struct vd_layer *l, uint32_t index, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	struct region *last = region_last(s->out);
	if (last && last->index == index)
		return last;
	if (region_close(l, err))
		return NULL;
	size_t bytes = sizeof(struct region) + vmdk_table_bytes(&s->v[0]);
	struct region *r = vd_calloc(1, bytes);
	if (!r) {
		vd_fail_nomem(err, bytes);
		return NULL;
	}
	r->index = index;
	last = region_last(s->out);
	*(last ? &last->next : &s->out->regions) = r;
	return r;
}

/* ---------------------------------------------------------------- reserve, publish, abandon */

int vmdk_stream_out_reserve(struct vd_layer *l, struct vd_resv *r, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	struct vmdk_stream_out *out = s->out;
	struct vmdk_extent *x = &s->v[0];
	uint64_t g = r->off / x->grain, len = vd_up(r->packed_len, VMDK_SECTOR);
	if (r->kind == VD_ZERO)
		return 0; /* what no grain says is zeros */
	if (!(r->flags & VD_RESV_PACKED))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "a streamOptimized VMDK holds compressed grains only");
	if (g < out->next_grain || out->done)
		return vd_fail(
		    err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		    "a streamOptimized VMDK is written front to back, each grain once; offset %" PRIu64 " comes too late", r->off);
	struct region *reg = region_open(l, (uint32_t)(g / x->gtes), err);
	if (!reg)
		return -1;
	if ((out->cursor + len) / VMDK_SECTOR >= UINT32_MAX - 16)
		return vd_fail(err, VDISK_UNSUPPORTED, out->cursor, "the stream is full: grains lie below 2 TiB of the file");
	reg->reserved++;
	out->next_grain = g + 1;
	r->file = 0;
	r->host = out->cursor;
	r->len = x->grain;
	out->cursor += len;
	return 0;
}

int vmdk_stream_out_publish(struct vd_layer *l, const struct vd_resv *r, size_t n, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	struct vmdk_extent *x = &s->v[0];
	for (size_t i = 0; i < n; i++) {
		uint64_t g = r[i].off / x->grain;
		if (r[i].kind == VD_ZERO)
			continue;
		struct region *reg = region_find(s->out, (uint32_t)(g / x->gtes));
		if (!reg)
			return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "grain %" PRIu64 " was not reserved", g);
		le32_put(reg->table + 4 * (g % x->gtes), (uint32_t)(r[i].host / VMDK_SECTOR));
		reg->published++;
	}
	return regions_write(l, err);
}

/* A gap in a stream makes it unreadable from a pipe: only the last place can be given back. */
void vmdk_stream_out_abandon(struct vd_layer *l, struct vd_resv *r)
{
	struct vmdk *s = vmdk_of(l);
	struct vmdk_stream_out *out = s->out;
	struct region *reg = region_find(out, (uint32_t)(r->off / s->v[0].grain / s->v[0].gtes));
	if (r->kind == VD_ZERO || !reg)
		return;
	reg->reserved--;
	if (r->host + vd_up(r->packed_len, VMDK_SECTOR) == out->cursor && !out->append)
		out->cursor = r->host;
	else
		out->torn = true;
}

/* ---------------------------------------------------------------- the end */

static int write_end(struct vd_layer *l, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	struct vmdk_stream_out *out = s->out;
	struct vmdk_extent *x = &s->v[0];
	uint64_t gd = vd_up(x->n_gts * 4ull, VMDK_SECTOR), bytes = gd + 4 * VMDK_SECTOR;
	VD_AUTO_FREE uint8_t *buf = vd_calloc(1, bytes);
	if (!buf)
		return vd_fail_nomem(err, bytes);
	struct vmdk_sparse foot = x->h;
	foot.gd_off = (out->cursor + VMDK_SECTOR) / VMDK_SECTOR;
	vmdk_marker_encode(&(struct vmdk_marker){.value = gd / VMDK_SECTOR, .type = VMDK_MARKER_GD}, buf);
	memcpy(buf + VMDK_SECTOR, out->gd, x->n_gts * 4ull);
	uint8_t *p = buf + VMDK_SECTOR + gd;
	vmdk_marker_encode(&(struct vmdk_marker){.value = 1, .type = VMDK_MARKER_FOOTER}, p);
	vmdk_sparse_encode(&foot, false, p + VMDK_SECTOR);
	vmdk_marker_encode(&(struct vmdk_marker){.type = VMDK_MARKER_EOS}, p + 2 * VMDK_SECTOR);
	if (vd_file_pwrite(l->files[0], buf, bytes, out->cursor, err))
		return -1;
	out->cursor += bytes;
	return 0;
}

int vmdk_stream_out_finish(struct vd_layer *l, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	struct vmdk_stream_out *out = s->out;
	uint8_t head[VMDK_SPARSE_BYTES];
	if (out->done)
		return 0;
	if (region_close(l, err))
		return -1;
	if (out->torn || out->regions)
		return vd_fail(err, VDISK_IO, VDISK_NO_OFFSET, "the stream lacks grains that could not be written");
	if (write_end(l, err))
		return -1;
	out->done = true;
	if (out->append || !s->unfinished)
		return vd_file_flush(l->files[0], err);
	if (vd_file_flush(l->files[0], err))
		return -1;
	s->unfinished = false;
	vmdk_sparse_encode(&s->v[0].h, false, head);
	if (vd_file_pwrite(l->files[0], head, sizeof(head), 0, err))
		return -1;
	return vd_file_flush(l->files[0], err);
}

/* ---------------------------------------------------------------- reading back */

static int table_read(struct vd_layer *l, uint32_t index, uint8_t *table, bool *any, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	struct region *r = region_find(s->out, index);
	uint64_t bytes = vmdk_table_bytes(&s->v[0]);
	*any = r || s->out->gd[index];
	if (r)
		memcpy(table, r->table, bytes);
	else if (*any)
		return vd_file_pread(l->files[0], table, bytes, (uint64_t)s->out->gd[index] * VMDK_SECTOR, err);
	return 0;
}

static bool add_grain(struct vmdk_extent *x, uint64_t g, const struct vmdk_grain *w, struct vd_extents *e)
{
	struct vd_extent n = {.off = g * x->grain, .kind = w->kind};
	n.len = vd_min(x->grain, x->len - n.off);
	if (w->kind == VD_DATA) {
		n.flags = VD_EXT_COMPRESSED;
		n.host = w->host;
		n.host_len = w->host_len;
	}
	return vd_extents_add(e, &n);
}

int vmdk_stream_out_map(struct vd_layer *l, uint64_t off, uint64_t len, struct vd_extents *e, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	struct vmdk_extent *x = &s->v[0];
	uint64_t g = off / x->grain, end = vd_div_up(off + len, x->grain);
	VD_AUTO_FREE uint8_t *table = vd_malloc(vmdk_table_bytes(x));
	if (!table)
		return vd_fail_nomem(err, vmdk_table_bytes(x));
	if (s->out->append && g < s->out->next_grain)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "what went to a pipe cannot be read back");
	while (g < end) {
		uint64_t stop = vd_min(end, (g / x->gtes + 1) * x->gtes);
		bool any;
		if (table_read(l, (uint32_t)(g / x->gtes), table, &any, err))
			return -1;
		if (!any) {
			struct vd_extent n = {.off = g * x->grain, .kind = VD_ABSENT};
			n.len = vd_min(stop * x->grain, x->len) - n.off;
			if (!vd_extents_add(e, &n))
				return 0;
			g = stop;
			continue;
		}
		for (; g < stop; g++) {
			struct vmdk_grain w;
			if (vmdk_grain_judge(l, x, g, le32_get(table + 4 * (g % x->gtes)), &w, err))
				return -1;
			if (!add_grain(x, g, &w, e))
				return 0;
		}
	}
	return 0;
}

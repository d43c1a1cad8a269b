/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The block map, and map().  An entry is judged each time it is used. */
#include "vdi.h"


int vdi_entry_get(struct vdi *v, struct vd_cursor *c, uint64_t block, uint32_t *entry, vd_error *err)
{
	uint8_t *p;

	/* The file may end inside the last sector of the map, behind its entries. */
	if (vd_cursor_entry(v->cache, c, v->h.map_off, block * 4, VDI_RANK_MAP, true, &p, err))
		return -1;
	*entry = le32_get(p);
	return 0;
}

int vdi_entry_set(struct vdi *v, uint64_t block, uint32_t entry, vd_error *err)
{
	struct vd_cursor c = { 0 };
	uint8_t *p;

	if (vd_cursor_entry(v->cache, &c, v->h.map_off, block * 4, VDI_RANK_MAP, true, &p, err))
		return -1;
	le32_put(p, entry);
	vd_cache_dirty(v->cache, c.table);
	vd_cursor_end(v->cache, &c);
	return 0;
}

bool vdi_block_judge(const struct vd_layer *l, const struct vdi *v, uint64_t block, uint32_t entry, uint64_t *held, vd_error *err)
{
	uint64_t host, at = v->h.map_off + block * 4, file_size = vd_file_size(l->files[0]);
	/* Of the disk's last block a file may hold only what the disk has. */
	uint64_t need = vd_min(v->h.block_bytes, l->size - block * v->h.block_bytes);

	*held = 0;
	if (entry >= v->h.blocks) {
		vd_fail(err, VDISK_CORRUPT, at, "VDI block %" PRIu64 " is at place %" PRIu32 ", of %" PRIu32, block, entry,
		        v->h.blocks);
		return false;
	}
	host = vdi_host(v, entry);
	if (vd_within(host, need, file_size)) {
		*held = need;
		return true;
	}
	*held = host < file_size ? file_size - host : 0;
	vd_fail(err, VDISK_CORRUPT, at,
	        "VDI block %" PRIu64 " at place %" PRIu32 " reaches past the end of the file (%" PRIu64
	        " bytes): it is cut short or damaged",
	        block, entry, file_size);
	return false;
}

struct mapping {
	struct vd_layer *l;
	struct vdi *v;
	struct vd_extents *e;
	uint32_t flags;
	bool more;
};

static void map_plain(struct mapping *m, uint64_t off, uint64_t len, enum vd_kind kind, uint32_t flags)
{
	struct vd_extent x = { .off = off, .len = len, .kind = kind, .flags = flags };

	m->more = vd_extents_add(m->e, &x);
}

static int map_data(struct mapping *m, uint64_t off, uint64_t len, uint64_t host, vd_error *err)
{
	struct vd_extent x = { .off = off, .len = len, .host = host, .flags = VD_EXT_MAPPED };

	x.flags |= m->l->flags & VD_LAYER_WRITABLE ? VD_EXT_WRITABLE : 0;
	return vd_extents_add_plain(m->e, m->l->files[0], x, m->flags, &m->more, err);
}

static int map_entry(struct mapping *m, uint64_t block, uint32_t entry, uint64_t off, uint64_t len, vd_error *err)
{
	uint64_t in = off % m->v->h.block_bytes, held, have = len;

	if (entry >= VDI_ZERO) {
		map_plain(m, off, len, entry == VDI_ZERO ? VD_ZERO : VD_ABSENT, 0);
		return 0;
	}
	if (!vdi_block_judge(m->l, m->v, block, entry, &held, err)) {
		if (!m->v->salvage)
			return -1;
		vd_error_clear(err);
		have = in < held ? vd_min(len, held - in) : 0;
	}
	if (have && map_data(m, off, have, vdi_host(m->v, entry) + in, err))
		return -1;
	if (m->more && have < len)
		map_plain(m, off + have, len - have, VD_ZERO, VD_EXT_LOST);
	return 0;
}

int vdi_map(struct vd_layer *l, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err)
{
	struct mapping m = { .l = l, .v = l->priv, .e = e, .flags = flags, .more = true };
	struct vd_cursor c = { 0 };
	uint64_t end = off + len;
	int r = 0;

	while (!r && m.more && off < end) {
		uint64_t block = off / m.v->h.block_bytes, stop = vd_min(end, (block + 1) * m.v->h.block_bytes);
		uint32_t entry;

		r = vdi_entry_get(m.v, &c, block, &entry, err);
		if (!r)
			r = map_entry(&m, block, entry, off, stop - off, err);
		off = stop;
	}
	vd_cursor_end(m.v->cache, &c);
	/* What was found before the trouble is an answer; the trouble is met again by whoever asks from there on. */
	if (r && e->n) {
		vd_error_clear(err);
		r = 0;
	}
	return r;
}

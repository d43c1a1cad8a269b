/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making VDIs: the map at 1 MiB, the data on the next whole MiB behind it, as VirtualBox does.  An unfinished image has no header:
 * finish() writes it when all else is durable.
 */
#include "vdi.h"

#include "base/alloc.h"
#include "base/uuid.h"

#define MIB (UINT64_C(1) << 20)
#define BLOCK ((uint32_t)MIB) /* VirtualBox makes no others */

const struct vdisk_option_info vdi_options[] = {
	{"subformat", VDISK_OPT_ENUM, "dynamic|fixed", "dynamic",
	 "dynamic: blocks are allocated as they are written; fixed: all of them at once, in order", VDISK_OPT_FOR_CREATE},
	{"uuid", VDISK_OPT_STRING, NULL, NULL, "the disk's UUID, by which VirtualBox knows it; default: random",
	 VDISK_OPT_FOR_CREATE},
	{NULL},
};

static bool is_fixed(const struct vd_create *c)
{
	return !strcmp(vd_options_str(c->options, "subformat"), "fixed");
}

static uint64_t data_off(uint64_t blocks)
{
	return MIB + vd_max(vd_up(blocks * 4, MIB), MIB);
}

int vdi_round_size(const struct vd_create *c, uint64_t size, uint64_t *rounded, vd_error *err)
{
	(void)c;
	if (size > (uint64_t)VDI_BLOCKS_MAX * BLOCK)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "a VDI of %" PRIu64 " bytes is past what is made here, 128 TiB",
		               size);
	*rounded = vd_up(size, 512);
	return 0;
}

int vdi_measure(const struct vd_create *c, uint64_t data, uint64_t units, uint64_t *required, uint64_t *full, vd_error *err)
{
	uint64_t blocks = vd_div_up(c->size, BLOCK);

	(void)err;
	*full = data_off(blocks) + blocks * BLOCK;
	*required = data_off(blocks) + (is_fixed(c) ? data : vd_min(units, blocks) * BLOCK);
	return 0;
}

static int header_fill(struct vdi_header *h, const struct vd_create *c, vd_error *err)
{
	const char *text = vd_options_str(c->options, "uuid");
	uint64_t blocks = vd_div_up(c->size, BLOCK);

	if (c->size % 512 || blocks > VDI_BLOCKS_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "a VDI cannot have %" PRIu64 " bytes", c->size);
	h->version = 0x10001;
	h->header_len = 0x190;
	h->type = is_fixed(c) ? VDI_FIXED : c->backing ? VDI_DIFFERENCING : VDI_DYNAMIC;
	h->map_off = (uint32_t)MIB;
	h->data_off = (uint32_t)data_off(blocks);
	h->sector_bytes = 512;
	h->size = c->size;
	h->block_bytes = BLOCK;
	h->blocks = (uint32_t)blocks;
	if (text && !vd_uuid_parse(h->uuid, text))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "option uuid=%s is no UUID", text);
	if ((!text && vd_uuid_seeded(h->uuid, c->seed, "vdi uuid", err)) ||
	    vd_uuid_seeded(h->modified, c->seed, "vdi modified", err))
		return -1;
	if (c->backing && is_fixed(c))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "option subformat=fixed: a fixed VDI has no parent (%s)",
		               c->backing);
	return c->backing ? vdi_parent_fill(h, c->parent, c->backing, c->size, err) : 0;
}

static int map_write(struct vd_file *f, const struct vdi *v, vd_error *err)
{
	uint64_t bytes = vd_up((uint64_t)v->h.blocks * 4, VDI_TABLE_BYTES), chunk = vd_max(vd_min(bytes, MIB), 4);
	VD_AUTO_FREE uint8_t *b = vd_malloc(chunk);

	if (!b)
		return vd_fail_nomem(err, chunk);
	memset(b, 0xff, chunk);
	for (uint64_t off = 0; off < bytes; off += chunk) {
		for (uint64_t i = 0; v->h.type == VDI_FIXED && i < chunk / 4; i++)
			le32_put(b + i * 4, (uint32_t)(off / 4 + i));
		if (vd_file_pwrite(f, b, vd_min(chunk, bytes - off), v->h.map_off + off, err))
			return -1;
	}
	return vd_file_grow(f, v->h.data_off, err);
}

static int header_write(struct vd_layer *l, struct vdi *v, vd_error *err)
{
	uint8_t b[VDI_HEADER_BYTES];

	vdi_header_encode(&v->h, b);
	vd_cache_forget(v->cache, 0);
	return vd_file_flush(l->files[0], err) || vd_file_pwrite(l->files[0], b, sizeof(b), 0, err) ||
	                       vd_file_flush(l->files[0], err)
	               ? -1
	               : 0;
}

static int create_all(struct vd_layer *l, struct vdi *v, const struct vd_create *c, vd_error *err)
{
	struct vd_file *f = l->files[0];

	if (c->flags & VD_CREATE_APPEND || !(f->flags & VD_FILE_SEEKABLE))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "a VDI cannot be written to a pipe");
	v->unfinished = c->flags & VD_CREATE_UNFINISHED;
	if (header_fill(&v->h, c, err) || vdi_setup(l, v, 8 << 20, err))
		return -1;
	if (!(f->flags & VD_FILE_ZERO_TAIL) && vd_file_zero(f, 0, v->h.data_off, true, err))
		return -1;
	if (map_write(f, v, err))
		return -1;
	v->scanned = true;
	if (v->h.type == VDI_FIXED) {
		v->h.allocated = v->h.blocks;
		l->flags |= VD_LAYER_FIXED;
		if (vd_file_grow(f, v->h.data_off + (uint64_t)v->h.blocks * BLOCK, err))
			return -1;
	}
	if (!vdi_is_diff(v) && (v->h.type == VDI_DYNAMIC || f->flags & VD_FILE_ZERO_TAIL))
		l->flags |= VD_LAYER_NEW_ZERO;
	vd_cache_set_relaxed(v->cache, v->unfinished);
	return v->unfinished ? 0 : header_write(l, v, err);
}

int vdi_create(struct vd_layer *l, const struct vd_create *c, vd_error *err)
{
	struct vdi *v = vd_calloc(1, sizeof(*v));

	if (!v)
		return vd_fail_nomem(err, sizeof(*v));
	l->priv = v;
	return create_all(l, v, c, err);
}

int vdi_finish(struct vd_layer *l, vd_error *err)
{
	struct vdi *v = l->priv;

	if (vdi_flush(l, err))
		return -1;
	if (!v->unfinished)
		return 0;
	if (header_write(l, v, err))
		return -1;
	vd_cache_set_relaxed(v->cache, false);
	v->unfinished = false;
	return 0;
}

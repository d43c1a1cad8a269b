/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making VHDXs, and what they will take.
 *
 * Layout: headers and region tables, the log, the metadata (a MiB), the BAT, then blocks.  All begin on a MiB, and so do blocks:
 * what is copied between aligned files can be shared by the host.  A fixed disk has all its blocks, in order, from the beginning.
 *
 * An unfinished image has neither identifier nor headers: finish() writes them when all else is durable, the identifier last.
 *
 * Blocks that were never written are NOT_PRESENT, as Hyper-V leaves them, which reads as zeros everywhere.
 */
#include "vhdx.h"

#include "base/alloc.h"
#include "base/text.h"
#include "base/uuid.h"

const struct vdisk_option_info vhdx_options[] = {
	{"subformat", VDISK_OPT_ENUM, "dynamic|fixed", "dynamic",
	 "dynamic: blocks are allocated as they are written; fixed: all of them at once, in order", VDISK_OPT_FOR_CREATE},
	{"block_size", VDISK_OPT_SIZE, NULL, NULL,
	 "a power of two, 1M to 256M; default: 32M, of a differencing disk 2M, as Hyper-V makes them", VDISK_OPT_FOR_CREATE},
	{"log_size", VDISK_OPT_SIZE, NULL, "1M", "of the log of metadata changes: whole MiB, 1M to 64M", VDISK_OPT_FOR_CREATE},
	{"logical_sector_size", VDISK_OPT_ENUM, "512|4096", NULL,
	 "what the disk tells its guest; default: 512, of a differencing disk its parent's", VDISK_OPT_FOR_CREATE},
	{"physical_sector_size", VDISK_OPT_ENUM, "512|4096", "4096", "what the disk tells its guest", VDISK_OPT_FOR_CREATE},
	{"uuid", VDISK_OPT_STRING, NULL, NULL, "the virtual disk ID, which the guest sees; default: random",
	 VDISK_OPT_FOR_CREATE | VDISK_OPT_FOR_AMEND},
	{NULL},
};

static const char creator[] = "vdisk";

static bool is_fixed(const struct vd_create *c)
{
	return !strcmp(vd_options_str(c->options, "subformat"), "fixed");
}

static uint32_t logical_of(const struct vd_create *c)
{
	const char *text = vd_options_str(c->options, "logical_sector_size");

	if (text)
		return strcmp(text, "4096") ? 512 : 4096;
	if (c->parent && !strcmp(c->parent->drv->info.name, "vhdx"))
		return ((const struct vhdx *)c->parent->priv)->meta.logical;
	return 512;
}

/* ---------------------------------------------------------------- sizes */

int vhdx_round_size(const struct vd_create *c, uint64_t size, uint64_t *rounded, vd_error *err)
{
	if (size > VHDX_SIZE_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "a VHDX of %" PRIu64 " bytes is past the format's end, 64 TiB",
		               size);
	*rounded = vd_up(size, logical_of(c));
	return 0;
}

struct layout {
	uint32_t block, log;
	uint64_t blocks, bat_off, data_off;
	uint32_t bat_len;
};

static int layout_make(const struct vd_create *c, struct layout *y, vd_error *err)
{
	uint64_t block = vd_options_u64(c->options, "block_size"), log = vd_options_u64(c->options, "log_size"), bat;
	uint32_t logical = logical_of(c);

	if (!vd_options_given(c->options, "block_size"))
		block = c->backing ? 2 * VHDX_MIB : 32 * VHDX_MIB;
	if (block < VHDX_MIB || block > VHDX_BLOCK_MAX || !vd_is_pow2(block))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "option block_size=%" PRIu64 " is no power of two from 1M to 256M", block);
	if (log < VHDX_MIB || log > VHDX_LOG_MAX || log % VHDX_MIB)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "option log_size=%" PRIu64 " is not made of whole MiB, 1M to 64M", log);
	y->block = (uint32_t)block;
	y->log = (uint32_t)log;
	y->blocks = vd_div_up(c->size, block);
	bat = vhdx_bat_needed(y->blocks, (uint32_t)(((uint64_t)logical << 23) / block), c->backing != NULL) * 8;
	y->bat_len = (uint32_t)vd_max(vd_up(bat, VHDX_MIB), VHDX_MIB);
	y->bat_off = VHDX_MIB + log + VHDX_MIB;
	y->data_off = y->bat_off + y->bat_len;
	return 0;
}

int vhdx_measure(const struct vd_create *c, uint64_t data, uint64_t units, uint64_t *required, uint64_t *full, vd_error *err)
{
	struct layout y;
	uint64_t bitmaps;

	if (layout_make(c, &y, err))
		return -1;
	bitmaps = c->backing ? vhdx_chunks(y.blocks, (uint32_t)(((uint64_t)logical_of(c) << 23) / y.block)) * VHDX_MIB : 0;
	*full = y.data_off + bitmaps + y.blocks * y.block;
	*required = is_fixed(c) ? y.data_off + data : y.data_off + bitmaps + vd_min(units, y.blocks) * y.block;
	return 0;
}

/* ---------------------------------------------------------------- identities */

static int header_fill(struct vhdx *v, const struct vd_create *c, const struct layout *y, vd_error *err)
{
	struct vhdx_header *h = &v->header;

	h->version = 1;
	h->log_off = VHDX_MIB;
	h->log_len = y->log;
	return vd_uuid_seeded(h->file_guid, c->seed, "vhdx file", err) || vd_uuid_seeded(h->data_guid, c->seed, "vhdx data", err) ||
	                       (!v->unfinished && vd_uuid_seeded(h->log_guid, c->seed, "vhdx log", err)) ?
	               -1 :
	               0;
}

static int meta_fill(struct vhdx *v, const struct vd_create *c, const struct layout *y, vd_error *err)
{
	const char *text = vd_options_str(c->options, "uuid");
	struct vhdx_meta *m = &v->meta;

	m->block_bytes = y->block;
	m->fixed = is_fixed(c);
	m->has_parent = c->backing != NULL;
	m->size = c->size;
	m->logical = logical_of(c);
	m->physical = strcmp(vd_options_str(c->options, "physical_sector_size"), "512") ? 4096 : 512;
	if (m->fixed && m->has_parent)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "option subformat=fixed: a fixed VHDX has no parent (%s)",
		               c->backing);
	if (c->size % m->logical || c->size > VHDX_SIZE_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "a VHDX with sectors of %" PRIu32 " bytes cannot have %" PRIu64 " bytes", m->logical, c->size);
	if (text)
		return vd_uuid_parse(m->uuid, text)
		               ? 0
		               : vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "option uuid=%s is no UUID", text);
	return vd_uuid_seeded(m->uuid, c->seed, "vhdx disk", err);
}

static int regions_fill(struct vhdx *v, const struct layout *y, vd_error *err)
{
	struct vhdx_region *r = vd_calloc(2, sizeof(*r));

	if (!r)
		return vd_fail_nomem(err, 2 * sizeof(*r));
	v->regions = (struct vhdx_regions){ r, 2 };
	r[0] = (struct vhdx_region){ .off = y->bat_off, .len = y->bat_len, .required = true };
	memcpy(r[0].guid, vhdx_guid_bat, 16);
	r[1] = (struct vhdx_region){ .off = VHDX_MIB + y->log, .len = (uint32_t)VHDX_MIB, .required = true };
	memcpy(r[1].guid, vhdx_guid_meta, 16);
	v->bat = r[0];
	v->meta_at = r[1];
	return 0;
}

/* ---------------------------------------------------------------- writing */

static int identifier_write(struct vd_file *f, vd_error *err)
{
	uint8_t b[8 + 512] = "vhdxfile";

	for (size_t i = 0; i < sizeof(creator) - 1; i++)
		b[8 + 2 * i] = (uint8_t)creator[i];
	return vd_file_pwrite(f, b, sizeof(b), 0, err) || vd_file_flush(f, err) ? -1 : 0;
}

static int tables_write(struct vd_file *f, struct vhdx *v, const void *locator, size_t locator_len, vd_error *err)
{
	VD_AUTO_FREE uint8_t *b = vd_calloc(1, VHDX_META_USED);

	if (!b)
		return vd_fail_nomem(err, VHDX_META_USED);
	vhdx_meta_make(&v->meta, locator, locator_len, b);
	if (vd_file_pwrite(f, b, VHDX_META_USED, v->meta_at.off, err))
		return -1;
	vhdx_regions_encode(&v->regions, b);
	for (unsigned i = 0; i < 2; i++)
		if (vd_file_pwrite(f, b, VHDX_TABLE_BYTES, VHDX_REGION_OFF(i), err))
			return -1;
	return 0;
}

static int fixed_write(struct vd_layer *l, struct vhdx *v, const struct layout *y, vd_error *err)
{
	uint64_t bytes = v->n_blocks * v->block_bytes;

	if (vd_file_grow(l->files[0], y->data_off + bytes, err))
		return -1;
	if (!vhdx_space_mark(&v->space, y->data_off, bytes))
		return vd_fail_nomem(err, bytes / VHDX_MIB);
	for (uint64_t b = 0; b < v->n_blocks; b++)
		if (vhdx_bat_set(v, vhdx_index(v, b), (y->data_off + b * v->block_bytes) | VHDX_FULL, err))
			return -1;
	return 0;
}

static int headers_finish(struct vd_layer *l, struct vhdx *v, vd_error *err)
{
	return vhdx_headers_write(l, v, err) || identifier_write(l->files[0], err) ? -1 : 0;
}

static int blocks_write(struct vd_layer *l, struct vhdx *v, const struct layout *y, vd_error *err)
{
	struct vd_file *f = l->files[0];

	/* What a block device held before must not pass for a BAT. */
	if (!(f->flags & VD_FILE_ZERO_TAIL) && vd_file_zero(f, 0, y->data_off, true, err))
		return -1;
	if (vd_file_grow(f, y->data_off, err))
		return -1;
	if (!vhdx_space_mark(&v->space, 0, y->data_off))
		return vd_fail_nomem(err, y->data_off / VHDX_MIB);
	v->space.hint = v->space.end;
	v->scanned = true;
	vd_cache_set_relaxed(v->cache, true);
	return v->meta.fixed && fixed_write(l, v, y, err) ? -1 : 0;
}

static int create_all(struct vd_layer *l, struct vhdx *v, const struct vd_create *c, vd_error *err)
{
	struct vd_file *f = l->files[0];
	VD_AUTO_FREE void *locator = NULL;
	size_t locator_len = 0;
	struct layout y;

	if (c->flags & VD_CREATE_APPEND || !(f->flags & VD_FILE_SEEKABLE))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "a VHDX cannot be written to a pipe");
	v->unfinished = c->flags & VD_CREATE_UNFINISHED;
	if (layout_make(c, &y, err) || meta_fill(v, c, &y, err) || header_fill(v, c, &y, err) || regions_fill(v, &y, err))
		return -1;
	if (c->backing && vhdx_parent_make(c, v->meta.logical, &locator, &locator_len, err))
		return -1;
	if (vhdx_setup(l, v, 8 << 20, err) || blocks_write(l, v, &y, err) || tables_write(f, v, locator, locator_len, err) ||
	    vhdx_log_start(l, v, err))
		return -1;
	if (!vhdx_is_diff(v) && (v->meta.fixed ? f->flags & VD_FILE_ZERO_TAIL : 1))
		l->flags |= VD_LAYER_NEW_ZERO;
	if (v->meta.fixed)
		l->flags |= VD_LAYER_FIXED;
	if (v->unfinished)
		return 0;
	v->begun = true;
	if (vd_cache_write_back(v->cache, err) || vd_file_flush(f, err))
		return -1;
	vd_cache_set_relaxed(v->cache, false);
	return vhdx_log_mark(l, v, UINT64_MAX, err) || headers_finish(l, v, err) ? -1 : 0;
}

int vhdx_create(struct vd_layer *l, const struct vd_create *c, vd_error *err)
{
	struct vhdx *v = vd_calloc(1, sizeof(*v));

	if (!v)
		return vd_fail_nomem(err, sizeof(*v));
	l->priv = v;
	return create_all(l, v, c, err);
}

int vhdx_finish(struct vd_layer *l, vd_error *err)
{
	struct vhdx *v = l->priv;

	if (vhdx_flush(l, err))
		return -1;
	if (!v->unfinished && !v->begun)
		return 0;
	/* All in its place before the log counts no more. */
	if (vd_file_flush(l->files[0], err))
		return -1;
	memcpy(v->header.log_guid, vhdx_guid_none, 16);
	if (v->unfinished ? headers_finish(l, v, err) : vhdx_headers_write(l, v, err))
		return -1;
	vd_cache_set_relaxed(v->cache, false);
	v->unfinished = v->begun = false;
	return 0;
}

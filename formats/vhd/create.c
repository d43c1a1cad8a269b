/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making VHDs, and what they will take.
 *
 * Layout: copy of the footer, dynamic header, parent locators (each in whole sectors), BAT of absent entries, footer.  An
 * unfinished image has neither footers nor header: finish() writes the footer and the header, and when all is durable the copy at
 * 0, which is what most readers look at first.
 *
 * The creator is "vdsk".  Readers that go by the creator whether the current size or the geometry counts find both the same, or the
 * largest geometry (geometry.c).
 */
#include "vhd.h"

#include "base/alloc.h"
#include "base/uuid.h"

#define BLOCK_MIN 4096u
#define BLOCK_MAX (256u << 20)

const struct vdisk_option_info vhd_options[] = {
	{ "subformat", VDISK_OPT_ENUM, "dynamic|fixed", "dynamic",
	  "dynamic: blocks are allocated as they are written; fixed: a raw disk and a footer", VDISK_OPT_FOR_CREATE },
	{ "force_size", VDISK_OPT_BOOL, NULL, "on",
	  "on: exactly the size asked for; off: rounded up to what cylinders, heads and sectors express", VDISK_OPT_FOR_CREATE },
	{ "block_size", VDISK_OPT_SIZE, NULL, "2M", "of a dynamic disk: a power of two, 4K to 256M; Microsoft tested 512K and 2M",
	  VDISK_OPT_FOR_CREATE },
	{ "uuid", VDISK_OPT_STRING, NULL, NULL, "the disk's UUID, which differencing disks go by; default: random",
	  VDISK_OPT_FOR_CREATE | VDISK_OPT_FOR_AMEND },
	{ "vhd-size", VDISK_OPT_ENUM, "current|chs", "current",
	  "which of the footer's sizes counts: the current size or the geometry's", VDISK_OPT_FOR_OPEN },
	{ NULL },
};

static bool is_fixed(const struct vd_create *c)
{
	return !strcmp(vd_options_str(c->options, "subformat"), "fixed");
}

/* ---------------------------------------------------------------- sizes */

int vhd_round_size(const struct vd_create *c, uint64_t size, uint64_t *rounded, vd_error *err)
{
	if (size > VHD_SIZE_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "a VHD of %" PRIu64 " bytes is past the format's end, 2040 GiB",
			       size);
	*rounded = vd_up(size, VHD_SECTOR);
	/* A differencing disk has its parent's size, whatever that is. */
	if (!vd_options_bool(c->options, "force_size") && !c->backing)
		*rounded = vhd_geometry_round(size);
	return 0;
}

static int block_size_judge(const struct vd_create *c, uint64_t *block, vd_error *err)
{
	*block = vd_options_u64(c->options, "block_size");
	if (*block < BLOCK_MIN || *block > BLOCK_MAX || !vd_is_pow2(*block))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
			       "option block_size=%" PRIu64 " is no power of two from 4K to 256M", *block);
	if (vd_div_up(c->size, *block) > VHD_BAT_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
			       "option block_size=%" PRIu64 ": a disk of %" PRIu64 " bytes would have more than %" PRIu32 " blocks",
			       *block, c->size, VHD_BAT_MAX);
	return 0;
}

int vhd_measure(const struct vd_create *c, uint64_t data, uint64_t units, uint64_t *required, uint64_t *full, vd_error *err)
{
	uint64_t block, blocks, stride, tables;

	if (is_fixed(c)) {
		*required = data + VHD_FOOTER_BYTES;
		*full = c->size + VHD_FOOTER_BYTES;
		return 0;
	}
	if (block_size_judge(c, &block, err))
		return -1;
	blocks = vd_div_up(c->size, block);
	/* Bitmap, padding and data. */
	stride = vd_up(vhd_bitmap_bytes((uint32_t)block) + VHD_FOOTER_BYTES, 4096) + block;
	tables = 2 * VHD_FOOTER_BYTES + VHD_HEADER_BYTES + vd_up(blocks * 4, VHD_SECTOR) + (c->backing ? 8192 : 0) + 4096;
	*required = tables + vd_min(units, blocks) * stride;
	*full = tables + blocks * stride;
	return 0;
}

/* ---------------------------------------------------------------- headers */

static int uuid_choose(const struct vd_create *c, uint8_t uuid[16], vd_error *err)
{
	const char *text = vd_options_str(c->options, "uuid");

	if (text)
		return vd_uuid_parse(uuid, text) ? 0
						 : vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "option uuid=%s is no UUID", text);
	return vd_uuid_seeded(uuid, c->seed, "vhd uuid", err);
}

static int footer_fill(struct vhd *v, const struct vd_create *c, vd_error *err)
{
	struct vhd_footer *f = &v->footer;

	f->type = is_fixed(c) ? VHD_FIXED : c->backing ? VHD_DIFFERENCING : VHD_DYNAMIC;
	if (c->backing && f->type == VHD_FIXED)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "option subformat=fixed: a fixed VHD has no parent (%s)",
			       c->backing);
	if (c->size % VHD_SECTOR || c->size > VHD_SIZE_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "a VHD cannot have %" PRIu64 " bytes", c->size);
	f->features = 2; /* "Reserved": always set */
	f->version = 0x10000;
	f->data_offset = f->type == VHD_FIXED ? UINT64_MAX : VHD_FOOTER_BYTES;
	f->timestamp = c->now > VHD_EPOCH ? (uint32_t)vd_min(c->now - VHD_EPOCH, UINT32_MAX) : 0;
	memcpy(f->app, "vdsk", 4);
	f->app_version = 1;
	memcpy(f->os, "Wi2k", 4); /* the specification knows Windows and Macintosh */
	f->original_size = f->current_size = c->size;
	f->geometry = vhd_geometry_for(c->size);
	return uuid_choose(c, f->uuid, err);
}

static int header_fill(struct vhd *v, const struct vd_create *c, struct vhd_parent_write *w, vd_error *err)
{
	struct vhd_header *h = &v->header;
	uint64_t block, at = VHD_FOOTER_BYTES + VHD_HEADER_BYTES;

	if (block_size_judge(c, &block, err) || (c->backing && vhd_parent_prepare(c, h, w, err)))
		return -1;
	for (unsigned i = 0; i < VHD_LOCATORS && h->locators[i].code; i++) {
		h->locators[i].off = at;
		h->locators[i].space = (uint32_t)vd_up(h->locators[i].length, VHD_SECTOR); /* in bytes, as Windows does */
		at += h->locators[i].space;
	}
	h->version = 0x10000;
	h->block_bytes = (uint32_t)block;
	h->max_entries = (uint32_t)vd_div_up(c->size, block);
	h->table_offset = at;
	return 0;
}

/* ---------------------------------------------------------------- writing */

static int bat_write(struct vd_file *f, const struct vhd *v, vd_error *err)
{
	uint64_t bytes = vhd_bat_bytes(&v->header), chunk = vd_min(bytes, 1 << 20);
	VD_AUTO_FREE uint8_t *b = vd_malloc(chunk);

	if (!b)
		return vd_fail_nomem(err, chunk);
	memset(b, 0xff, chunk);
	for (uint64_t off = 0; off < bytes; off += chunk) {
		if (vd_file_pwrite(f, b, vd_min(chunk, bytes - off), v->header.table_offset + off, err))
			return -1;
	}
	return 0;
}

static int locators_write(struct vd_file *f, const struct vhd *v, const struct vhd_parent_write *w, vd_error *err)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 2; i++) {
		if (w->bytes[i] && vd_file_pwrite(f, w->bytes[i], w->len[i], v->header.locators[n++].off, err))
			return -1;
	}
	return 0;
}

/* Footer, header, and last of all the copy. */
static int headers_write(struct vd_layer *l, struct vhd *v, vd_error *err)
{
	bool fixed = v->type == VHD_FIXED;

	if (vhd_write_tail(l, v, fixed ? l->size : v->end, err) || (!fixed && vhd_write_header(l, v, err)))
		return -1;
	if (v->append)
		return 0;
	if (vd_file_flush(l->files[0], err))
		return -1;
	if (fixed)
		return 0;
	return vhd_write_copy(l, v, err) || vd_file_flush(l->files[0], err) ? -1 : 0;
}

static int create_fixed(struct vd_layer *l, struct vhd *v, const struct vd_create *c, vd_error *err)
{
	struct vd_file *f = l->files[0];

	v->append = c->flags & VD_CREATE_APPEND;
	if (v->append)
		return 0;
	if (f->flags & VD_FILE_BLOCKDEV) {
		if (vd_file_size(f) != c->size + VHD_FOOTER_BYTES)
			return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
				       "a VHD ends with its footer: the block device has %" PRIu64 " bytes, %" PRIu64 " are needed",
				       vd_file_size(f), c->size + VHD_FOOTER_BYTES);
		return 0;
	}
	if (vd_file_truncate(f, c->size, err))
		return -1;
	l->flags |= VD_LAYER_NEW_ZERO;
	return 0;
}

static int create_blocks(struct vd_layer *l, struct vhd *v, const struct vhd_parent_write *w, vd_error *err)
{
	struct vd_file *f = l->files[0];

	if (!(f->flags & VD_FILE_SEEKABLE) || f->flags & VD_FILE_BLOCKDEV)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "a %s VHD can only be made in a regular file%s", l->variant,
		               v->type == VHD_DYNAMIC ? "; -o subformat=fixed can go to a pipe" : "");
	if (locators_write(f, v, w, err) || bat_write(f, v, err))
		return -1;
	v->end = v->footer_off = vhd_bat_end_off(v);
	v->scanned = true;
	vd_cache_set_relaxed(v->cache, v->unfinished);
	if (v->type == VHD_DYNAMIC)
		l->flags |= VD_LAYER_NEW_ZERO;
	return 0;
}

static int create_all(struct vd_layer *l, struct vhd *v, const struct vd_create *c, struct vhd_parent_write *w, vd_error *err)
{
	bool fixed = is_fixed(c);

	if (footer_fill(v, c, err) || (!fixed && header_fill(v, c, w, err)))
		return -1;
	vhd_footer_encode(&v->footer, v->footer_raw);
	if (!fixed)
		vhd_header_encode(&v->header, v->header_raw);
	l->size = c->size;
	v->unfinished = c->flags & (VD_CREATE_UNFINISHED | VD_CREATE_APPEND);
	if (vhd_setup(l, v, 8 << 20, err))
		return -1;
	if (fixed ? create_fixed(l, v, c, err) : create_blocks(l, v, w, err))
		return -1;
	return v->unfinished ? 0 : headers_write(l, v, err);
}

int vhd_create(struct vd_layer *l, const struct vd_create *c, vd_error *err)
{
	struct vhd_parent_write w = { 0 };
	struct vhd *v = vd_calloc(1, sizeof(*v));
	int r;

	if (!v)
		return vd_fail_nomem(err, sizeof(*v));
	l->priv = v;
	r = create_all(l, v, c, &w, err);
	vhd_parent_clear(&w);
	return r;
}

int vhd_finish(struct vd_layer *l, vd_error *err)
{
	struct vhd *v = l->priv;
	struct vd_file *f = l->files[0];
	uint64_t size = vd_file_size(f);

	if (!v->unfinished)
		return vhd_flush(l, err);
	if (v->append && size < l->size && vd_file_zero(f, size, l->size - size, false, err))
		return -1;
	if (v->cache) {
		if (vd_cache_write_back(v->cache, err) || vd_file_flush(f, err))
			return -1;
		vd_cache_set_relaxed(v->cache, false);
	}
	if (headers_write(l, v, err))
		return -1;
	v->unfinished = false;
	return 0;
}

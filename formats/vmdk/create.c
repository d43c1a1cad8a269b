/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making a VMDK.  Until finish() says otherwise it is marked unfinished where that was asked for: sparse extents by VMware's own
 * mark of temporary files ("kdmv"), disks with a descriptor file by the lack of a descriptor.
 */
#include "plan.h"

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/uuid.h"

#include <stdio.h>

/* ---------------------------------------------------------------- extents */

static int write_directory(struct vd_file *f, uint64_t at, uint32_t n_gts, uint32_t table_sectors, vd_error *err)
{
	uint64_t gd_bytes = vd_up(n_gts * 4ull, VMDK_SECTOR);
	VD_AUTO_FREE uint8_t *gd = vd_calloc(1, gd_bytes);
	if (!gd)
		return vd_fail_nomem(err, gd_bytes);
	uint64_t first = at + gd_bytes / VMDK_SECTOR;
	for (uint32_t i = 0; i < n_gts; i++)
		le32_put(gd + 4ull * i, (uint32_t)(first + (uint64_t)i * table_sectors));
	return vd_file_pwrite(f, gd, gd_bytes, at * VMDK_SECTOR, err);
}

static int clear_front(struct vd_file *f, uint64_t bytes, vd_error *err)
{
	if (!(f->flags & VD_FILE_BLOCKDEV))
		return vd_file_truncate(f, bytes, err);
	if (vd_file_size(f) < bytes)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
			       "the device has %" PRIu64 " bytes, the tables alone take %" PRIu64, vd_file_size(f), bytes);
	return vd_file_zero(f, 0, bytes, false, err);
}

static int make_sparse(struct vd_layer *l, struct vmdk_extent *x, const struct vmdk_plan *p, vd_error *err)
{
	struct vd_file *f = l->files[x->file];
	vmdk_plan_sparse(p, x->len, &x->h);
	vmdk_extent_adopt_sparse(x);
	if (p->packed)
		return 0;
	if (clear_front(f, x->h.overhead * VMDK_SECTOR, err))
		return -1;
	uint32_t table = x->gtes * 4 / VMDK_SECTOR;
	if (write_directory(f, x->h.rgd_off, x->n_gts, table, err) || write_directory(f, x->h.gd_off, x->n_gts, table, err))
		return -1;
	return vmdk_header_write(l, x, false, err);
}

static int make_cowd(struct vd_layer *l, struct vmdk_extent *x, const struct vmdk_plan *p, vd_error *err)
{
	vmdk_plan_cowd(p, x->len, &x->cowd);
	vmdk_extent_adopt_cowd(x);
	x->cursor = vd_up(x->data_min, 4096);
	return clear_front(l->files[x->file], x->data_min, err) ? -1 : vmdk_header_write(l, x, false, err);
}

static int make_extent(struct vd_layer *l, struct vmdk_extent *x, const struct vmdk_plan *p, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	x->kind = p->kind;
	if (p->kind == VMDK_FLAT) {
		if (vd_file_truncate(l->files[x->file], x->len, err))
			return -1;
		return p->falloc || p->full ? vd_file_preallocate(l->files[x->file], x->len, p->full, err) : 0;
	}
	if (p->kind == VMDK_COWD ? make_cowd(l, x, p, err) : make_sparse(l, x, p, err))
		return -1;
	if (p->packed)
		return 0;
	if (vmdk_extent_load(l, x, s->cache_bytes / p->n, err) || vmdk_extent_prepare_write(l, x, err))
		return -1;
	if (l->files[x->file]->flags & VD_FILE_BLOCKDEV)
		x->cursor = vd_up(x->data_min, vd_max(x->grain, 4096));
	vd_cache_set_relaxed(x->tables, s->unfinished);
	return 0;
}

/* ---------------------------------------------------------------- names and lines */

/* "disk" of "disk.vmdk"; returns owned. */
static char *stem(const char *base_name)
{
	size_t n = strlen(base_name);
	return n > 5 && !strcmp(base_name + n - 5, ".vmdk") ? vd_strndup(base_name, n - 5) : vd_strdup(base_name);
}

static int judge_name(const char *name, vd_error *err)
{
	for (const char *c = name; *c; c++)
		if (*c == '"' || (unsigned char)*c < ' ')
			return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
				       "a VMDK's descriptor has no way to write a name with quotes or control characters");
	return 0;
}

static char *extent_name(const struct vmdk_plan *p, const char *base, size_t i)
{
	VD_AUTO_FREE char *s = stem(base);
	if (!p->files)
		return vd_strdup(base);
	if (!s)
		return NULL;
	switch (p->line) {
	case VMDK_LINE_VMFSSPARSE:
		return vd_asprintf("%s-delta.vmdk", s);
	case VMDK_LINE_VMFS:
		return vd_asprintf("%s-flat.vmdk", s);
	case VMDK_LINE_SPARSE:
		return vd_asprintf("%s-s%03u.vmdk", s, (unsigned)i + 1);
	default:
		return p->split_up ? vd_asprintf("%s-f%03u.vmdk", s, (unsigned)i + 1) : vd_asprintf("%s-flat.vmdk", s);
	}
}

static int make_extents(struct vd_layer *l, const struct vd_create *c, const struct vmdk_plan *p, const char *base, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	s->desc.lines = vd_calloc(p->n, sizeof(*s->desc.lines));
	if (!s->desc.lines)
		return vd_fail_nomem(err, p->n * sizeof(*s->desc.lines));
	for (size_t i = 0; i < p->n; i++) {
		struct vmdk_line *line = &s->desc.lines[s->desc.n_lines++];
		struct vmdk_extent *x = vmdk_extent_add(s);
		line->name = extent_name(p, base, i);
		if (!x || !line->name)
			return vd_fail_nomem(err, sizeof(*x));
		x->off = i ? x[-1].off + x[-1].len : 0;
		x->len = vmdk_plan_extent(p, c->size, i);
		line->type = p->line;
		line->access = p->packed ? VMDK_RDONLY : VMDK_RW; /* as ovftool says of streams */
		line->sectors = x->len / VMDK_SECTOR;
		x->file = 0;
		if (p->files && c->host->create_file(c->host, l, line->name, &x->file, err))
			return -1;
		if (make_extent(l, x, p, err))
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- the descriptor */

static int make_descriptor(struct vd_layer *l, const struct vd_create *c, const struct vmdk_plan *p, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	const char *image_uuid = vd_options_str(c->options, "uuid");
	char image_uuid_text[VD_UUID_TEXT];
	uint8_t r[4], image_uuid_bytes[16];
	struct vmdk_desc_new n = {
	    .parent_cid = s->has_parent ? c->parent->id.cid : VMDK_CID_NONE,
	    .create_type = p->create_type,
	    .parent_hint = c->backing,
	    .lines = s->desc.lines,
	    .n_lines = s->desc.n_lines,
	    .sectors = c->size / VMDK_SECTOR,
	    .adapter_type = vd_options_str(c->options, "adapter_type"),
	    .hwversion = vd_options_str(c->options, "hwversion"),
	    .toolsversion = vd_options_str(c->options, "toolsversion"),
	    .thin = p->thin,
	};
	if (image_uuid && !vd_uuid_parse(image_uuid_bytes, image_uuid))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "option uuid=%s is no UUID", image_uuid);
	if (image_uuid) {
		vd_uuid_format(image_uuid_text, image_uuid_bytes);
		n.image_uuid = image_uuid_text;
	}
	if (vmdk_random(&s->seed, n.uuid, sizeof(n.uuid), err) || vmdk_random(&s->seed, n.long_id, sizeof(n.long_id), err) ||
	    vmdk_random(&s->seed, r, sizeof(r), err))
		return -1;
	n.cid = vmdk_cid_from(le32_get(r));
	s->desc.text = vmdk_desc_write(&n);
	s->desc.create_type = vd_strdup(p->create_type);
	if (!s->desc.text || !s->desc.create_type)
		return vd_fail_nomem(err, 1024);
	s->desc.cid = n.cid;
	s->desc.parent_cid = n.parent_cid;
	l->id = (struct vd_id){.kind = VD_ID_CID, .cid = n.cid};
	return 0;
}

/* Embedded, it lies where the header says; in a file of its own it comes last where the image is to be unfinished until then. */
static int place_descriptor(struct vd_layer *l, const struct vmdk_plan *p, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	const char *text = s->unfinished ? VMDK_UNFINISHED_TEXT : s->desc.text;
	if (p->files)
		return vd_file_pwrite(l->files[0], text, strlen(text), 0, err);
	s->desc_off = VMDK_EMBEDDED_OFF * VMDK_SECTOR;
	s->desc_room = VMDK_EMBEDDED_LEN * VMDK_SECTOR;
	size_t len = strlen(s->desc.text);
	if (len >= s->desc_room)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
			       "the descriptor would take %zu bytes; there is room for %" PRIu64, len, s->desc_room - 1);
	/* streams write theirs with the header */
	return p->packed ? 0 : vd_file_pwrite(l->files[0], s->desc.text, len, s->desc_off, err);
}

static int judge_create(const struct vd_create *c, const struct vmdk_plan *p, const char *base, vd_error *err)
{
	if (!c->size || c->size % VMDK_SECTOR)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
			       "a VMDK cannot have %" PRIu64 " bytes: it has whole sectors of 512, at least one", c->size);
	if (c->backing && (!c->parent || c->parent->id.kind != VD_ID_CID))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "the backing file \"%s\" has no CID that a child could name", c->backing);
	if (p->n > VMDK_LINES_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%zu extents; at most %u are written", p->n, VMDK_LINES_MAX);
	return judge_name(base, err) || (c->backing && judge_name(c->backing, err)) ? -1 : 0;
}

int vmdk_create(struct vd_layer *l, const struct vd_create *c, vd_error *err)
{
	struct vmdk_plan p;
	const char *base = c->host && c->host->base_name && *c->host->base_name && strcmp(c->host->base_name, "-")
			       ? c->host->base_name
			       : "disk.vmdk";
	if (vmdk_plan_make(c, c->size, &p, err) || judge_create(c, &p, base, err))
		return -1;
	struct vmdk *s = vd_calloc(1, sizeof(*s));
	if (!s)
		return vd_fail_nomem(err, sizeof(*s));
	l->priv = s;
	s->created = true;
	s->unfinished = c->flags & VD_CREATE_UNFINISHED && !(c->flags & VD_CREATE_APPEND);
	s->has_parent = c->backing != NULL;
	s->seed = c->seed;
	s->cache_bytes = 16u << 20;
	snprintf(l->variant, sizeof(l->variant), "%s", p.create_type);
	l->size = c->size;
	l->alloc_grain = l->presence_grain = p.grain;
	if (make_extents(l, c, &p, base, err) || make_descriptor(l, c, &p, err) || place_descriptor(l, &p, err))
		return -1;
	l->flags |= VD_LAYER_NEW_ZERO | (p.kind == VMDK_FLAT ? VD_LAYER_FIXED : 0);
	if (!p.packed)
		return 0;
	if (vd_packer_new(VD_PACK_ZLIB, c->level, &s->packer, err) || vd_unpacker_new(VD_PACK_ZLIB, &s->unpacker, err))
		return -1;
	return vmdk_stream_out_new(l, c->flags & VD_CREATE_APPEND, err);
}

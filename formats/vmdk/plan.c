/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Subformats and their limits, and the layout of new sparse extents: header, descriptor, redundant directory and tables, directory
 * and tables, then grains from a multiple of the grain on, as VMware lays them out.  All tables have their place from the start;
 * they are zeros, hence holes.
 */
#include "plan.h"

#include "base/bytes.h"

#define GTES 512u
#define STREAM_OVERHEAD 128u /* sectors */
#define SPARSE_SECTORS_MAX UINT64_C(0xffffffff)
#define FLAT_MAX (UINT64_C(62) << 40) /* ESXi's end */

const struct vdisk_option_info vmdk_options[] = {
	{"subformat", VDISK_OPT_ENUM,
	 "monolithicSparse|monolithicFlat|twoGbMaxExtentSparse|twoGbMaxExtentFlat|streamOptimized|vmfs|vmfsThin|vmfsSparse", NULL,
	 "kind of VMDK; default: streamOptimized where compression or a pipe asks for it, otherwise monolithicSparse",
	 VDISK_OPT_FOR_CREATE},
	/* Disks made for "ide" do not attach to the SCSI controllers that ESXi gives a machine; "lsilogic" is taken everywhere. */
	{"adapter_type", VDISK_OPT_ENUM, "ide|buslogic|lsilogic|legacyESX|pvscsi", "lsilogic",
	 "controller that the disk says it is for", VDISK_OPT_FOR_CREATE | VDISK_OPT_FOR_AMEND},
	/* A product refuses disks of a higher version than its own; what the version adds lies in the machine, not in the disk. */
	{"hwversion", VDISK_OPT_UINT, NULL, "4", "virtual hardware version; 4 is taken by every product",
	 VDISK_OPT_FOR_CREATE | VDISK_OPT_FOR_AMEND},
	{"toolsversion", VDISK_OPT_UINT, NULL, "2147483647",
	 "version of the guest's VMware Tools; the default says: not VMware's to manage",
	 VDISK_OPT_FOR_CREATE | VDISK_OPT_FOR_AMEND},
	{"uuid", VDISK_OPT_STRING, NULL, NULL,
	 "the UUID by which VirtualBox knows the image (ddb.uuid.image); default: none, it makes one up", VDISK_OPT_FOR_CREATE},
	{"zeroed_grain", VDISK_OPT_BOOL, NULL, "off",
	 "grains of zeros cost a table entry only; needs a reader of version 2 extents", VDISK_OPT_FOR_CREATE},
	{"preallocation", VDISK_OPT_ENUM, "off|falloc|full", "off",
	 "of flat extents; off: sparse files; falloc: reserve their space; full: write zeros", VDISK_OPT_FOR_CREATE},
	{"grain_size", VDISK_OPT_SIZE, NULL, NULL, "unit of allocation; default 64K, for vmfsSparse 512", VDISK_OPT_FOR_CREATE},
	{NULL},
};

static const struct vmdk_plan plans[] = {
    {"monolithicSparse", "monolithicSparse", VMDK_SPARSE, VMDK_LINE_SPARSE},
    {"monolithicFlat", "monolithicFlat", VMDK_FLAT, VMDK_LINE_FLAT, .files = true},
    {"twoGbMaxExtentSparse", "twoGbMaxExtentSparse", VMDK_SPARSE, VMDK_LINE_SPARSE, .files = true, .split_up = true},
    {"twoGbMaxExtentFlat", "twoGbMaxExtentFlat", VMDK_FLAT, VMDK_LINE_FLAT, .files = true, .split_up = true},
    {"streamOptimized", "streamOptimized", VMDK_SPARSE, VMDK_LINE_SPARSE, .packed = true},
    {"vmfs", "vmfs", VMDK_FLAT, VMDK_LINE_VMFS, .files = true},
    /* ESXi itself writes "vmfs" into thin disks, and tells them apart by ddb.thinProvisioned. */
    {"vmfsThin", "vmfs", VMDK_FLAT, VMDK_LINE_VMFS, .files = true, .thin = true},
    {"vmfsSparse", "vmfsSparse", VMDK_COWD, VMDK_LINE_VMFSSPARSE, .files = true},
};

static int choose(const struct vd_create *c, struct vmdk_plan *p, vd_error *err)
{
	bool packed = c->flags & (VD_CREATE_COMPRESSED | VD_CREATE_APPEND);
	const char *name = vd_options_str(c->options, "subformat");
	if (!name)
		name = packed ? "streamOptimized" : "monolithicSparse";
	for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++)
		if (!strcmp(plans[i].subformat, name))
			*p = plans[i];
	if ((c->flags & VD_CREATE_APPEND) && !p->packed)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "a %s VMDK cannot be written to a pipe; subformat=streamOptimized can", name);
	if ((c->flags & VD_CREATE_COMPRESSED) && !p->packed)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "a %s VMDK cannot be compressed; subformat=streamOptimized can", name);
	return 0;
}

static int judge_options(const struct vd_create *c, struct vmdk_plan *p, vd_error *err)
{
	bool sparse = p->kind != VMDK_FLAT;
	p->zero_gte = vd_options_bool(c->options, "zeroed_grain");
	if (p->zero_gte && (p->kind != VMDK_SPARSE || p->packed))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "option zeroed_grain: %s has no such entries",
			       p->subformat);
	const char *prealloc = vd_options_str(c->options, "preallocation");
	p->falloc = !strcmp(prealloc, "falloc");
	p->full = !strcmp(prealloc, "full");
	if (sparse && (p->falloc || p->full))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "option preallocation=%s: %s takes its space as it is written to", prealloc, p->subformat);
	p->grain = !sparse ? 1 : p->kind == VMDK_COWD ? VMDK_SECTOR : 65536;
	if (vd_options_given(c->options, "grain_size")) {
		uint64_t grain = vd_options_u64(c->options, "grain_size");
		uint64_t min = p->kind == VMDK_COWD ? VMDK_SECTOR : 4096;
		if (!sparse)
			return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "option grain_size: %s has no grains",
				       p->subformat);
		if (!vd_is_pow2(grain) || grain < min || grain > 65536) /* VMware's programs stop at 64 KiB */
			return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
				       "option grain_size=%" PRIu64 ": not a power of two from %" PRIu64 " to 65536", grain, min);
		p->grain = (uint32_t)grain;
	}
	if (c->backing && (!sparse || p->packed))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "a %s VMDK cannot have a backing file", p->subformat);
	if (c->backing && c->backing_format && strcmp(c->backing_format, "vmdk"))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "the parent of a VMDK is a VMDK, not %s",
			       c->backing_format);
	return 0;
}

static int judge_size(struct vmdk_plan *p, uint64_t size, vd_error *err)
{
	bool split = p->split_up;
	uint64_t max = FLAT_MAX;
	p->split = split ? (uint64_t)VMDK_SPLIT_SECTORS * VMDK_SECTOR : UINT64_MAX;
	p->n = split && size ? vd_div_up(size, p->split) : 1;
	if (split) {
		max = p->split * VMDK_LINES_MAX;
	} else if (p->kind == VMDK_COWD) {
		max = SPARSE_SECTORS_MAX * VMDK_SECTOR;
	} else if (p->kind == VMDK_SPARSE && p->packed) {
		max = UINT64_C(64) << 40; /* what bounds a stream is its packed size; this bounds the directory */
	} else if (p->kind == VMDK_SPARSE) {
		struct vmdk_sparse h;
		max = SPARSE_SECTORS_MAX * VMDK_SECTOR;
		if (size <= max) {
			vmdk_plan_sparse(p, size, &h);
			max = (SPARSE_SECTORS_MAX - h.overhead) * VMDK_SECTOR; /* full, it must still be addressable */
		}
	}
	if (size > max)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "a %s VMDK cannot have %" PRIu64 " bytes; its end is %" PRIu64 "%s",
			       p->subformat, size, max,
			       max < (uint64_t)VMDK_SPLIT_SECTORS * VMDK_SECTOR * VMDK_LINES_MAX ? ", and that of twoGbMaxExtentSparse is higher"
			                                                                         : "");
	return 0;
}

int vmdk_plan_make(const struct vd_create *c, uint64_t size, struct vmdk_plan *p, vd_error *err)
{
	if (choose(c, p, err) || judge_options(c, p, err))
		return -1;
	return judge_size(p, size, err);
}

uint64_t vmdk_plan_extent(const struct vmdk_plan *p, uint64_t size, size_t i)
{
	return p->n == 1 ? size : vd_min(p->split, size - i * p->split);
}

void vmdk_plan_sparse(const struct vmdk_plan *p, uint64_t bytes, struct vmdk_sparse *h)
{
	bool embedded = !p->files;
	*h = (struct vmdk_sparse){
	    .version = p->packed     ? 3
		       : p->zero_gte ? 2
				     : 1,
	    .flags = VMDK_FLAG_NEWLINES | (p->packed ? VMDK_FLAG_COMPRESSED | VMDK_FLAG_MARKERS : VMDK_FLAG_REDUNDANT) |
		     (p->zero_gte ? VMDK_FLAG_ZERO_GTE : 0),
	    .capacity = bytes / VMDK_SECTOR,
	    .grain = p->grain / VMDK_SECTOR,
	    .desc_off = embedded ? VMDK_EMBEDDED_OFF : 0,
	    .desc_len = embedded ? VMDK_EMBEDDED_LEN : 0,
	    .gtes = GTES,
	    .compression = p->packed,
	};
	if (p->packed) {
		h->gd_off = VMDK_GD_AT_END;
		h->overhead = STREAM_OVERHEAD;
		return;
	}
	uint64_t n_gts = vd_div_up(h->capacity, h->grain * GTES), gd = vd_div_up(n_gts * 4, VMDK_SECTOR),
		 gts = n_gts * (GTES * 4 / VMDK_SECTOR);
	h->rgd_off = VMDK_EMBEDDED_OFF + VMDK_EMBEDDED_LEN;
	h->gd_off = h->rgd_off + gd + gts;
	h->overhead = vd_up(h->gd_off + gd + gts, vd_max(h->grain, 8));
}

void vmdk_plan_cowd(const struct vmdk_plan *p, uint64_t bytes, struct vmdk_cowd *h)
{
	*h = (struct vmdk_cowd){
	    .version = 1,
	    .flags = 3,
	    .capacity = (uint32_t)(bytes / VMDK_SECTOR),
	    .grain = p->grain / VMDK_SECTOR,
	    .gd_off = VMDK_COWD_BYTES / VMDK_SECTOR,
	};
	h->n_gts = (uint32_t)vd_div_up(h->capacity, (uint64_t)h->grain * VMDK_COWD_GTES);
}

/* ---------------------------------------------------------------- measure, round */

int vmdk_round_size(const struct vd_create *c, uint64_t size, uint64_t *rounded, vd_error *err)
{
	struct vmdk_plan p;
	if (size > INT64_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "a VMDK cannot have %" PRIu64 " bytes", size);
	*rounded = vd_up(size, VMDK_SECTOR);
	return vmdk_plan_make(c, *rounded, &p, err);
}

static uint64_t measure_extent(const struct vmdk_plan *p, uint64_t bytes, uint64_t units)
{
	struct vmdk_sparse h;
	if (p->kind == VMDK_FLAT)
		return 0;
	uint64_t tables = vd_div_up(vd_div_up(bytes, p->grain), p->kind == VMDK_COWD ? VMDK_COWD_GTES : GTES);
	uint64_t used = vd_min(tables, units);
	if (p->kind == VMDK_COWD)
		return VMDK_COWD_BYTES + vd_up(tables * 4, VMDK_SECTOR) + 4096 + used * VMDK_COWD_GTES * 4;
	vmdk_plan_sparse(p, bytes, &h);
	if (!p->packed)
		return h.overhead * VMDK_SECTOR;
	/* A marker for each table; directory, footer and end with theirs. */
	return h.overhead * VMDK_SECTOR + used * (GTES * 4 + VMDK_SECTOR) + vd_up(tables * 4, VMDK_SECTOR) + 4 * VMDK_SECTOR;
}

int vmdk_measure(const struct vd_create *c, uint64_t data, uint64_t units, uint64_t *required, uint64_t *full, vd_error *err)
{
	struct vmdk_plan p;
	if (vmdk_plan_make(c, c->size, &p, err))
		return -1;
	uint64_t grain = p.packed ? p.grain + 2 * VMDK_SECTOR : p.grain, all = vd_div_up(c->size, p.grain);
	*required = *full = p.files ? 4096 : 0;
	for (size_t i = 0; i < p.n; i++) {
		uint64_t bytes = vmdk_plan_extent(&p, c->size, i);
		*required += measure_extent(&p, bytes, units);
		*full += measure_extent(&p, bytes, UINT64_MAX);
	}
	*required += p.falloc || p.full ? c->size : p.kind == VMDK_FLAT ? data : vd_min(units, all) * grain;
	*full += p.kind == VMDK_FLAT ? c->size : all * grain;
	return 0;
}

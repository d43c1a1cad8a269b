/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening sparse extents: from a header to directories in memory and a cache of tables.  Nothing is allocated before it was
 * bounded. */
#include "vmdk.h"

#include "base/alloc.h"
#include "base/bytes.h"

/* The header at the front says "see the end": the footer is 1,024 bytes before it, between its marker and the end-of-stream marker.
 */
static int read_footer(struct vd_file *f, struct vmdk_sparse *h, vd_error *err)
{
	uint8_t tail[3 * VMDK_SECTOR];
	uint64_t size = vd_file_size(f);
	struct vmdk_sparse foot;
	struct vmdk_marker m, eos;
	if (size < sizeof(tail) + VMDK_SECTOR)
		return vd_fail(err, VDISK_CORRUPT, size, "%s: no footer in %" PRIu64 " bytes: the file is cut short", f->name,
			       size);
	uint64_t at = size - sizeof(tail);
	if (vd_file_pread(f, tail, sizeof(tail), at, err))
		return -1;
	vmdk_marker_decode(tail, &m);
	vmdk_marker_decode(tail + 2 * VMDK_SECTOR, &eos);
	if (m.size || m.type != VMDK_MARKER_FOOTER || eos.size || eos.type != VMDK_MARKER_EOS || eos.value ||
	    memcmp(tail + VMDK_SECTOR, VMDK_SPARSE_MAGIC, 4))
		return vd_fail(err, VDISK_CORRUPT, at, "%s: no footer at %#" PRIx64 ": the file is cut short", f->name, at);
	if (vmdk_sparse_decode(tail + VMDK_SECTOR, at + VMDK_SECTOR, &foot, err))
		return vd_fail_in(err, "%s, footer", f->name);
	if (foot.capacity != h->capacity || foot.grain != h->grain || foot.gtes != h->gtes || foot.gd_off == VMDK_GD_AT_END ||
	    (foot.flags ^ h->flags) & (VMDK_FLAG_COMPRESSED | VMDK_FLAG_MARKERS))
		return vd_fail(err, VDISK_CORRUPT, at + VMDK_SECTOR, "%s: header and footer contradict each other", f->name);
	h->gd_off = foot.gd_off;
	h->rgd_off = foot.rgd_off;
	h->flags = foot.flags;
	return 0;
}

void vmdk_extent_adopt_sparse(struct vmdk_extent *x)
{
	const struct vmdk_sparse *h = &x->h;
	x->kind = VMDK_SPARSE;
	x->grain = (uint32_t)h->grain * VMDK_SECTOR;
	x->gtes = h->gtes;
	x->n_gts = (uint32_t)vd_div_up(h->capacity, h->grain * h->gtes);
	x->packed = h->flags & VMDK_FLAG_COMPRESSED;
	x->zero_gte = h->flags & VMDK_FLAG_ZERO_GTE;
	x->data_min = vd_max(h->overhead, 1) * VMDK_SECTOR;
	x->gd_off = h->gd_off * VMDK_SECTOR;
	if ((h->flags & VMDK_FLAG_REDUNDANT) && h->rgd_off && h->rgd_off != VMDK_GD_AT_END)
		x->rgd_off = h->rgd_off * VMDK_SECTOR;
}

void vmdk_extent_adopt_cowd(struct vmdk_extent *x)
{
	const struct vmdk_cowd *h = &x->cowd;
	x->kind = VMDK_COWD;
	x->grain = h->grain * VMDK_SECTOR;
	x->gtes = VMDK_COWD_GTES;
	x->n_gts = (uint32_t)vd_div_up(h->capacity, (uint64_t)h->grain * VMDK_COWD_GTES);
	x->gd_off = (uint64_t)h->gd_off * VMDK_SECTOR;
	x->data_min = x->gd_off + vd_up(h->n_gts * 4ull, VMDK_SECTOR);
}

static int read_sparse(struct vd_layer *l, struct vmdk_extent *x, const uint8_t *head, vd_error *err)
{
	struct vd_file *f = l->files[x->file];
	struct vmdk_sparse *h = &x->h;
	bool seekable = f->flags & VD_FILE_SEEKABLE;
	if (vmdk_sparse_decode(head, 0, h, err))
		return vd_fail_in(err, "%s", f->name);
	if (seekable && h->gd_off == VMDK_GD_AT_END && read_footer(f, h, err)) {
		if (!(vmdk_of(l)->open_flags & VD_OPEN_SALVAGE))
			return -1;
		vd_error_clear(err); /* its markers are followed as far as they go */
	}
	if (seekable && h->overhead * VMDK_SECTOR > vd_file_size(f))
		return vd_fail(err, VDISK_CORRUPT, 64,
			       "%s: the metadata take %" PRIu64 " bytes, the file has %" PRIu64 ": it is cut short", f->name,
			       h->overhead * VMDK_SECTOR, vd_file_size(f));
	vmdk_extent_adopt_sparse(x);
	return 0;
}

static int read_cowd(struct vd_layer *l, struct vmdk_extent *x, const uint8_t *head, vd_error *err)
{
	struct vd_file *f = l->files[x->file];
	if (vmdk_cowd_decode(head, &x->cowd, err))
		return vd_fail_in(err, "%s", f->name);
	vmdk_extent_adopt_cowd(x);
	return 0;
}

static int read_se(struct vd_layer *l, struct vmdk_extent *x, const uint8_t *head, vd_error *err)
{
	struct vd_file *f = l->files[x->file];
	uint8_t bytes[VMDK_SECTOR];
	x->kind = VMDK_SE;
	if (vmdk_se_decode(head, &x->se, err))
		return vd_fail_in(err, "%s", f->name);
	uint64_t at = x->se.volatile_off * VMDK_SECTOR;
	if (vd_file_pread(f, bytes, sizeof(bytes), at, err))
		return -1;
	if (vmdk_se_volatile(bytes, at, err))
		return vd_fail_in(err, "%s", f->name);
	x->grain = (uint32_t)x->se.grain * VMDK_SECTOR;
	x->gtes = VMDK_SE_GTES;
	x->n_gts = (uint32_t)vd_div_up(x->se.capacity, x->se.grain * VMDK_SE_GTES);
	x->gd_off = x->se.gd_off * VMDK_SECTOR;
	x->data_min = x->se.grains_off * VMDK_SECTOR;
	return 0;
}

static uint64_t capacity_of(const struct vmdk_extent *x)
{
	uint64_t sectors = x->kind == VMDK_SPARSE ? x->h.capacity : x->kind == VMDK_COWD ? x->cowd.capacity : x->se.capacity;
	return sectors * VMDK_SECTOR;
}

/* The header's capacity against the descriptor's line.  A capacity rounded up to the grain is legal; a larger one is what a resize
   leaves behind that was cut off between the header and the descriptor. */
static int judge_capacity(struct vd_layer *l, struct vmdk_extent *x, struct vd_host *host, vd_error *err)
{
	uint64_t capacity = capacity_of(x);
	bool unclean = x->kind == VMDK_SPARSE && x->h.unclean;
	if (!x->len) {
		x->len = capacity;
		return 0;
	}
	if (x->len == capacity || (x->len < capacity && capacity - x->len < x->grain))
		return 0;
	if ((x->len < capacity && unclean) || (vmdk_of(l)->open_flags & VD_OPEN_SALVAGE)) {
		host->log(host, VDISK_LOG_WARNING,
			  "%s: holds %" PRIu64 " bytes, the descriptor says %" PRIu64 ": the smaller one is taken",
			  l->files[x->file]->name, capacity, x->len);
		x->len = vd_min(x->len, capacity);
		return 0;
	}
	return vd_fail(err, VDISK_CORRUPT, 12, "%s: holds %" PRIu64 " bytes, the descriptor says %" PRIu64, l->files[x->file]->name,
		       capacity, x->len);
}

int vmdk_extent_read_header(struct vd_layer *l, struct vmdk_extent *x, struct vd_host *host, vd_error *err)
{
	struct vd_file *f = l->files[x->file];
	uint8_t head[VMDK_COWD_BYTES] = {0};
	size_t got;
	int ret;
	if (vd_file_pread_some(f, head, sizeof(head), 0, &got, err))
		return -1;
	if (got < VMDK_SECTOR)
		return vd_fail(err, VDISK_CORRUPT, 0, "%s: %zu bytes are too few for a sparse extent", f->name, got);
	if (!memcmp(head, VMDK_COWD_MAGIC, 4) || !memcmp(head, VMDK_COWD_UNFINISHED, 4))
		ret = read_cowd(l, x, head, err);
	else if (le64_get(head) == VMDK_SE_MAGIC)
		ret = read_se(l, x, head, err);
	else
		ret = read_sparse(l, x, head, err);
	if (ret || judge_capacity(l, x, host, err))
		return -1;
	if (!x->len)
		return vd_fail(err, VDISK_CORRUPT, 12, "%s: the extent's capacity is 0", f->name);
	return 0;
}

static int load_directory(struct vd_layer *l, const struct vmdk_extent *x, uint64_t off, uint32_t **out, vd_error *err)
{
	struct vd_file *f = l->files[x->file];
	uint64_t bytes = (uint64_t)x->n_gts * (x->kind == VMDK_SE ? 8 : 4);
	if (off < VMDK_SECTOR || !vd_within(off, bytes, vd_file_size(f)))
		return vd_fail(err, VDISK_CORRUPT, off,
			       "%s: grain directory at %#" PRIx64 " (%" PRIu64 " bytes) is outside the file (%" PRIu64 " bytes)",
			       f->name, off, bytes, vd_file_size(f));
	void *gd = vd_malloc(bytes);
	if (!gd)
		return vd_fail_nomem(err, bytes);
	if (vd_file_pread(f, gd, bytes, off, err)) {
		vd_free(gd);
		return -1;
	}
	*out = gd; /* little-endian, as every host here (base/bytes.h) */
	return 0;
}

int vmdk_extent_load(struct vd_layer *l, struct vmdk_extent *x, uint64_t cache_bytes, vd_error *err)
{
	bool lenient = vmdk_of(l)->open_flags & (VD_OPEN_CHECK | VD_OPEN_SALVAGE);
	uint32_t *gd = NULL;
	if (load_directory(l, x, x->gd_off, &gd, err)) {
		if (!lenient || !x->rgd_off || load_directory(l, x, x->rgd_off, &gd, NULL))
			return -1;
		vd_error_clear(err);
		x->gd_lost = true;
	}
	if (x->kind == VMDK_SE)
		x->se_gd = (uint64_t *)(void *)gd;
	else
		x->gd = gd;
	return vd_cache_new(l->files[x->file], NULL, (uint32_t)vmdk_table_bytes(x), cache_bytes, &x->tables, err);
}

int vmdk_extent_load_redundant(struct vd_layer *l, struct vmdk_extent *x, vd_error *err)
{
	if (!x->rgd_off || x->rgd || x->gd_lost)
		return 0;
	if (load_directory(l, x, x->rgd_off, &x->rgd, err))
		return vd_fail_in(err, "redundant");
	return 0;
}

const char *vmdk_extent_ro_reason(const struct vmdk_extent *x)
{
	if (x->access != VMDK_RW)
		return "an extent is not RW";
	switch (x->kind) {
	case VMDK_FLAT:
	case VMDK_COWD:
		return NULL;
	case VMDK_ZERO:
		return "a ZERO extent has no place for data";
	case VMDK_SE:
		return "seSparse extents are read only";
	default:
		/* VMware's KB 2064959: from version 3 on another file may track changed blocks. */
		return x->packed          ? "streamOptimized extents are read only"
		       : x->h.version > 2 ? "version 3 extents are read only"
					  : NULL;
	}
}

/* A device does not end where the data do: the last grain or table that is used tells. */
static int used_end(struct vd_layer *l, struct vmdk_extent *x, uint64_t *end, vd_error *err)
{
	*end = x->data_min;
	for (uint32_t i = 0; i < x->n_gts; i++) {
		enum vmdk_table_state state;
		struct vd_table *t;
		if (vmdk_table_get(l, x, i, false, &state, &t, err))
			return -1;
		if (!t)
			continue;
		*end = vd_max(*end, t->off + vmdk_table_bytes(x));
		for (uint32_t k = 0; k < x->gtes; k++)
			*end = vd_max(*end, (uint64_t)le32_get(t->data + 4ull * k) * VMDK_SECTOR + x->grain);
		vd_cache_put(x->tables, t);
	}
	return 0;
}

int vmdk_extent_prepare_write(struct vd_layer *l, struct vmdk_extent *x, vd_error *err)
{
	struct vd_file *f = l->files[x->file];
	uint64_t end = vd_file_size(f);
	if (vmdk_extent_load_redundant(l, x, err))
		return -1;
	if ((f->flags & VD_FILE_BLOCKDEV) && used_end(l, x, &end, err))
		return -1;
	if (x->kind == VMDK_COWD)
		end = vd_max(end, (uint64_t)x->cowd.free_sector * VMDK_SECTOR);
	x->cursor = vd_up(vd_max(end, x->data_min), vd_max(x->grain, 4096));
	uint64_t sectors = vd_div_up(x->n_gts * 4ull, VMDK_SECTOR);
	x->gd_dirty = vd_calloc(1, sectors);
	return x->gd_dirty ? 0 : vd_fail_nomem(err, sectors);
}

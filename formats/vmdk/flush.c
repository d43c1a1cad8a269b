/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The beginning and the end of writing, and durability in between (V2, V4 and V5 of vmdk.h). */
#include "vmdk.h"

#include "base/alloc.h"
#include "base/bytes.h"

/* ---------------------------------------------------------------- headers */

static int header_write_sparse(struct vd_layer *l, struct vmdk_extent *x, bool unclean, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	struct vd_file *f = l->files[x->file];
	uint8_t now[VMDK_SPARSE_BYTES], fresh[VMDK_SPARSE_BYTES];
	x->h.unclean = unclean;
	vmdk_sparse_encode(&x->h, s->unfinished, fresh);
	if (s->created)
		return vd_file_pwrite(f, fresh, sizeof(fresh), 0, err);
	/* What we do not know of stays as it is: only what may have changed is put in. */
	if (vd_file_pread(f, now, sizeof(now), 0, err))
		return -1;
	memcpy(now + 12, fresh + 12, 8);
	memcpy(now + 48, fresh + 48, 16);
	now[VMDK_UNCLEAN_AT] = fresh[VMDK_UNCLEAN_AT];
	return vd_file_pwrite(f, now, sizeof(now), 0, err);
}

static int header_write_cowd(struct vd_layer *l, struct vmdk_extent *x, bool unclean, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	struct vd_file *f = l->files[x->file];
	uint8_t now[VMDK_COWD_BYTES];
	x->cowd.unclean = unclean;
	x->cowd.free_sector = (uint32_t)vd_min(x->cursor / VMDK_SECTOR, UINT32_MAX);
	if (s->created) {
		vmdk_cowd_encode(&x->cowd, s->unfinished, now);
		return vd_file_pwrite(f, now, sizeof(now), 0, err);
	}
	if (vd_file_pread(f, now, sizeof(now), 0, err))
		return -1;
	le32_put(now + VMDK_COWD_FREE_AT, x->cowd.free_sector);
	le32_put(now + VMDK_COWD_UNCLEAN_AT, x->cowd.unclean);
	return vd_file_pwrite(f, now, sizeof(now), 0, err);
}

int vmdk_header_write(struct vd_layer *l, struct vmdk_extent *x, bool unclean, vd_error *err)
{
	if (x->kind == VMDK_SPARSE)
		return header_write_sparse(l, x, unclean, err);
	return x->kind == VMDK_COWD ? header_write_cowd(l, x, unclean, err) : 0;
}

static int headers_write(struct vd_layer *l, bool unclean, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	for (size_t i = 0; i < s->n; i++) {
		struct vmdk_extent *x = &s->v[i];
		if (!vmdk_is_sparse(x))
			continue;
		if (vmdk_header_write(l, x, unclean, err) || vd_file_flush(l->files[x->file], err))
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- begin */

/* A new opener's first write: children must notice (the CID), and so must whoever finds the file after a crash (unclean).  Both are
   durable before anything changes. */
int vmdk_begin_write(struct vd_layer *l, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	if (s->created)
		return 0;
	for (size_t i = 0; !(s->open_flags & VD_OPEN_CHECK) && i < s->n; i++)
		if (vmdk_is_sparse(&s->v[i]) && vmdk_whole_judge(l, &s->v[i], err))
			return -1;
	if (s->unclean && !(s->open_flags & (VD_OPEN_CHECK | VD_OPEN_FORCE)) && vmdk_check_quick(l, err))
		return vd_fail_in(err, "not closed cleanly, and damaged (check can repair it)");
	if (vmdk_desc_home(l, err))
		return -1;
	l->flags &= ~VD_LAYER_UNSETTLED;
	if (s->desc_room != VMDK_NO_DESC && !(s->open_flags & VD_OPEN_KEEP_ID)) {
		if (vmdk_desc_renew(l, err) || vd_file_flush(l->files[0], err))
			return -1;
	}
	return headers_write(l, true, err);
}

/* ---------------------------------------------------------------- flush */

static int directory_write(struct vd_layer *l, struct vmdk_extent *x, vd_error *err)
{
	struct vd_file *f = l->files[x->file];
	uint64_t bytes = x->n_gts * 4ull;
	for (uint64_t at = 0; at < bytes; at += VMDK_SECTOR) {
		if (!x->gd_dirty[at / VMDK_SECTOR])
			continue;
		size_t n = vd_min(VMDK_SECTOR, bytes - at);
		if (vd_file_pwrite(f, (uint8_t *)x->gd + at, n, x->gd_off + at, err) ||
		    (x->rgd && vd_file_pwrite(f, (uint8_t *)x->rgd + at, n, x->rgd_off + at, err)))
			return -1;
		x->gd_dirty[at / VMDK_SECTOR] = 0;
	}
	return 0;
}

static int flush_extent(struct vd_layer *l, struct vmdk_extent *x, vd_error *err)
{
	struct vd_file *f = l->files[x->file];
	if (vd_cache_write_back(x->tables, err) || directory_write(l, x, err) || vd_file_flush(f, err))
		return -1;
	/* The removals are durable: the space may go back to the host, and be used again.  If the host does not want it now, then
	 * at the end. */
	for (size_t i = 0; i < x->space.pending.n; i++)
		vd_file_punch(f, x->space.pending.v[i].off, x->space.pending.v[i].len, NULL);
	vmdk_space_settle(&x->space);
	return 0;
}

/* Nobody will know of this space any more. */
static int space_return(struct vd_layer *l, const struct vmdk_extent *x, vd_error *err)
{
	for (size_t i = 0; i < x->space.ready.n; i++)
		if (vd_file_punch(l->files[x->file], x->space.ready.v[i].off, x->space.ready.v[i].len, err))
			return -1;
	return 0;
}

int vmdk_flush(struct vd_layer *l, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	if (s->out)
		return l->files[0]->flags & VD_FILE_SEEKABLE ? vd_file_flush(l->files[0], err) : 0;
	for (size_t i = 0; i < s->n; i++) {
		struct vmdk_extent *x = &s->v[i];
		if (x->file == VMDK_NO_FILE)
			continue;
		if (vmdk_is_sparse(x) && x->gd_dirty ? flush_extent(l, x, err) : vd_file_flush(l->files[x->file], err))
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- finish */

static int finish_created(struct vd_layer *l, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	size_t len = strlen(s->desc.text);
	s->unfinished = false;
	if (headers_write(l, false, err))
		return -1;
	if (s->desc_room)
		return 0;
	/* Last of all the descriptor, which makes the disk one. */
	if (vd_file_pwrite(l->files[0], s->desc.text, len, 0, err) || vd_file_truncate(l->files[0], len, err))
		return -1;
	return vd_file_flush(l->files[0], err);
}

int vmdk_finish(struct vd_layer *l, vd_error *err)
{
	struct vmdk *s = vmdk_of(l);
	if (s->out)
		return vmdk_stream_out_finish(l, err);
	if (!(l->flags & VD_LAYER_WRITABLE))
		return 0;
	if (vmdk_flush(l, err))
		return -1;
	for (size_t i = 0; i < s->n; i++)
		if (vmdk_is_sparse(&s->v[i]) && space_return(l, &s->v[i], err))
			return -1;
	return s->created ? finish_created(l, err) : headers_write(l, false, err);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a kind of file that lies over another one passes on as it is. */
#include "io/kind.h"
#include "base/alloc.h"

static struct vd_file *inner_of(struct vd_file *f) { return ((struct vd_over *)f)->inner; }

int vd_over_preadv(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, size_t *got, vd_error *err)
{
	return inner_of(f)->ops->preadv(inner_of(f), iov, n, total, off, got, err);
}

int vd_over_flush(struct vd_file *f, vd_error *err) { return vd_file_flush(inner_of(f), err); }

int vd_over_extent(struct vd_file *f, uint64_t off, uint64_t *len, bool *data, vd_error *err)
{
	return vd_file_extent(inner_of(f), off, len, data, err);
}

int vd_over_allocated(struct vd_file *f, uint64_t *bytes, vd_error *err) { return vd_file_allocated(inner_of(f), bytes, err); }

int vd_over_lock(struct vd_file *f, bool write, vd_error *err) { return vd_file_lock(inner_of(f), write, err); }

void vd_over_release(struct vd_file *f, uint64_t off, uint64_t len) { vd_file_release(inner_of(f), off, len); }

void vd_over_cache_spare(struct vd_file *f, bool own) { vd_file_cache_spare(inner_of(f), own); }

void vd_over_close(struct vd_file *f)
{
	vd_file_close(inner_of(f));
	vd_free(f);
}

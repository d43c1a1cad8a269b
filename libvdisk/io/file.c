/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The front of every vd_file: checks that hold for all kinds, then the kind's own operation. */
#include "io/kind.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <errno.h>

int vd_file_head(struct vd_file *f, const struct vd_file_ops *ops, const char *name, uint32_t flags, uint64_t size, vd_error *err)
{
	f->ops = ops;
	f->flags = flags;
	f->fd = -1;
	atomic_init(&f->size, size);
	f->name = vd_strdup(name);
	return f->name ? 0 : vd_fail_nomem(err, strlen(name) + 1);
}

void vd_file_size_reach(struct vd_file *f, uint64_t end)
{
	uint64_t size = atomic_load_explicit(&f->size, memory_order_relaxed);

	while (size < end &&
	       !atomic_compare_exchange_weak_explicit(&f->size, &size, end, memory_order_acq_rel, memory_order_relaxed))
		;
}

static int iov_total(const struct vd_file *f, const struct iovec *iov, int n, size_t *total, vd_error *err)
{
	*total = 0;
	for (int i = 0; i < n; i++)
		if (__builtin_add_overflow(*total, iov[i].iov_len, total))
			return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: more bytes than memory can hold in one call",
			               f->name);
	return 0;
}

static int writable(const struct vd_file *f, uint64_t off, vd_error *err)
{
	if (f->flags & VD_FILE_RDONLY)
		return vd_fail(err, VDISK_INVALID, off, "%s: not open for writing", f->name);
	return 0;
}

int vd_file_preadv(struct vd_file *f, const struct iovec *iov, int n, uint64_t off, vd_error *err)
{
	size_t total, got;

	if (iov_total(f, iov, n, &total, err))
		return -1;
	if (!total)
		return 0;
	if (f->ops->preadv(f, iov, n, total, off, &got, err))
		return -1;
	if (got < total)
		return vd_fail(err, VDISK_CORRUPT, off,
		               "%s: cut short: %zu bytes at offset %" PRIu64 " wanted, only %zu of them are there", f->name, total,
		               off, got);
	return 0;
}

int vd_file_pread(struct vd_file *f, void *buf, size_t len, uint64_t off, vd_error *err)
{
	struct iovec iov = {buf, len};

	return vd_file_preadv(f, &iov, 1, off, err);
}

int vd_file_pread_some(struct vd_file *f, void *buf, size_t len, uint64_t off, size_t *got, vd_error *err)
{
	struct iovec iov = {buf, len};

	*got = 0;
	return len ? f->ops->preadv(f, &iov, 1, len, off, got, err) : 0;
}

int vd_file_pwritev(struct vd_file *f, const struct iovec *iov, int n, uint64_t off, vd_error *err)
{
	size_t total;

	if (iov_total(f, iov, n, &total, err) || writable(f, off, err))
		return -1;
	if (!total)
		return 0;
	if (!vd_within(off, total, INT64_MAX))
		return vd_fail_errno(err, EFBIG, off, "%s: cannot write %zu bytes at offset %" PRIu64, f->name, total, off);
	return f->ops->pwritev(f, iov, n, total, off, err);
}

int vd_file_pwrite(struct vd_file *f, const void *buf, size_t len, uint64_t off, vd_error *err)
{
	struct iovec iov = {(void *)(uintptr_t)buf, len};

	return vd_file_pwritev(f, &iov, 1, off, err);
}

int vd_file_flush(struct vd_file *f, vd_error *err)
{
	return f->flags & VD_FILE_RDONLY ? 0 : f->ops->flush(f, err);
}

int vd_file_truncate(struct vd_file *f, uint64_t size, vd_error *err)
{
	if (writable(f, VDISK_NO_OFFSET, err))
		return -1;
	if (size > INT64_MAX)
		return vd_fail_errno(err, EFBIG, VDISK_NO_OFFSET, "%s: cannot make it %" PRIu64 " bytes long", f->name, size);
	return f->ops->truncate(f, size, err);
}

int vd_file_grow(struct vd_file *f, uint64_t size, vd_error *err)
{
	if (size <= vd_file_size(f))
		return 0;
	if (writable(f, VDISK_NO_OFFSET, err))
		return -1;
	if (f->flags & VD_FILE_BLOCKDEV)
		return vd_fail_errno(err, ENOSPC, VDISK_NO_OFFSET, "%s: has %" PRIu64 " bytes, %" PRIu64 " are needed", f->name,
		                     vd_file_size(f), size);
	if (size > INT64_MAX)
		return vd_fail_errno(err, EFBIG, VDISK_NO_OFFSET, "%s: cannot make it %" PRIu64 " bytes long", f->name, size);
	if (!f->ops->grow)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: cannot be made longer but by writing", f->name);
	return f->ops->grow(f, size, err);
}

int vd_file_zero(struct vd_file *f, uint64_t off, uint64_t len, bool may_punch, vd_error *err)
{
	if (writable(f, off, err))
		return -1;
	if (!len)
		return 0;
	if (!vd_within(off, len, INT64_MAX))
		return vd_fail_errno(err, EFBIG, off, "%s: cannot zero %" PRIu64 " bytes at offset %" PRIu64, f->name, len, off);
	return f->ops->zero(f, off, len, may_punch, err);
}

int vd_file_preallocate(struct vd_file *f, uint64_t size, bool full, vd_error *err)
{
	enum { CHUNK = 1 << 20 };
	VD_AUTO_FREE uint8_t *zeros = NULL;

	if (!full)
		return vd_file_zero(f, 0, size, false, err);
	zeros = vd_calloc(1, CHUNK);
	if (!zeros)
		return vd_fail_nomem(err, CHUNK);
	for (uint64_t off = 0; off < size; off += CHUNK) {
		if (vd_file_pwrite(f, zeros, vd_min(CHUNK, size - off), off, err))
			return -1;
	}
	return 0;
}

int vd_file_punch(struct vd_file *f, uint64_t off, uint64_t len, vd_error *err)
{
	uint64_t size = vd_file_size(f);

	if (writable(f, off, err))
		return -1;
	if (off >= size || !len || !f->ops->punch)
		return 0;
	return f->ops->punch(f, off, vd_min(len, size - off), err);
}

int vd_file_extent(struct vd_file *f, uint64_t off, uint64_t *len, bool *data, vd_error *err)
{
	*data = true;
	if (!*len)
		*len = 1;
	return f->ops->extent ? f->ops->extent(f, off, len, data, err) : 0;
}

int vd_file_allocated(struct vd_file *f, uint64_t *bytes, vd_error *err)
{
	*bytes = vd_file_size(f);
	return f->ops->allocated ? f->ops->allocated(f, bytes, err) : 0;
}

int vd_file_lock(struct vd_file *f, bool write, vd_error *err)
{
	return f->ops->lock ? f->ops->lock(f, write, err) : 0;
}

void vd_file_cache_spare(struct vd_file *f, bool own)
{
	if (f->ops->cache_spare)
		f->ops->cache_spare(f, own);
}

void vd_file_release(struct vd_file *f, uint64_t off, uint64_t len)
{
	if (f->ops->release && len)
		f->ops->release(f, off, len);
}

void vd_file_close(struct vd_file *f)
{
	char *name;

	if (!f)
		return;
	name = f->name;
	f->ops->close(f);
	vd_free(name);
}

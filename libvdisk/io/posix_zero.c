/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Zeroing and giving back space.  The host's own ways come first (fallocate(2), the block layer's ioctls), for the aligned inner
 * part; ragged edges and hosts without such ways get zeros written from a small static buffer.
 */
#include "io/posix.h"
#include "base/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

/* What file systems and devices answer where they cannot. */
static bool cannot(int e)
{
	return e == EOPNOTSUPP || e == ENOSYS || e == ENOTTY || e == EINVAL || e == ENODEV || e == EPERM || e == EREMOTEIO;
}

static int fallocate_all(int fd, int mode, uint64_t off, uint64_t len)
{
	int r;

	do
		r = fallocate(fd, mode, (off_t)off, (off_t)len);
	while (r && errno == EINTR);
	return r;
}

/* Through pwritev(), so that the size moves as with any write. */
static int zeros_write(struct vd_file *f, uint64_t off, uint64_t len, vd_error *err)
{
	struct iovec iov[VD_IOV_WINDOW];
	size_t total;

	for (; len; off += total, len -= total) {
		int n = vd_iov_zeros(iov, VD_IOV_WINDOW, len, &total);

		if (vd_file_pwritev(f, iov, n, off, err))
			return -1;
	}
	return 0;
}

/* The host zeroes the aligned range, all inside the file: 0 done, 1 it cannot, -1 failed. */
static int range_zero(struct posix_file *p, uint64_t off, uint64_t len, bool may_punch, vd_error *err)
{
	struct vd_file *f = &p->file;
	uint64_t range[2] = {off, len};

	if (may_punch && !atomic_load_explicit(&p->no_punch, memory_order_relaxed)) {
		if (!fallocate_all(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len))
			return 0;
		if (!cannot(errno))
			goto fail;
		atomic_store_explicit(&p->no_punch, true, memory_order_relaxed);
	}
	if (!atomic_load_explicit(&p->no_zero_range, memory_order_relaxed)) {
		if (!fallocate_all(f->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, off, len))
			return 0;
		if (!cannot(errno))
			goto fail;
		if ((f->flags & VD_FILE_BLOCKDEV) && !ioctl(f->fd, BLKZEROOUT, range))
			return 0;
		atomic_store_explicit(&p->no_zero_range, true, memory_order_relaxed);
	}
	return 1;
fail:
	return vd_fail_errno(err, errno, off, "%s: cannot zero %" PRIu64 " bytes at offset %" PRIu64, f->name, len, off);
}

/* Zeroes [off, off+len) inside the present size. */
static int inside_zero(struct posix_file *p, uint64_t off, uint64_t len, bool may_punch, vd_error *err)
{
	uint64_t grain = vd_max(p->sector, 4096), from, to;
	int r;

	/* A small range is written sooner than the file system changes its map; only whole blocks become holes anyway. */
	from = vd_up(off, grain);
	to = vd_down(off + len, grain);
	if (from >= to || (!may_punch && len <= 65536))
		return zeros_write(&p->file, off, len, err);
	r = range_zero(p, from, to - from, may_punch, err);
	if (r)
		return r < 0 ? -1 : zeros_write(&p->file, off, len, err);
	if (zeros_write(&p->file, off, from - off, err))
		return -1;
	return zeros_write(&p->file, to, off + len - to, err);
}

int vd_posix_zero(struct vd_file *f, uint64_t off, uint64_t len, bool may_punch, vd_error *err)
{
	struct posix_file *p = posix_of(f);
	uint64_t end = off + len, size = vd_file_size(f);

	if (end > size) {
		if (f->flags & VD_FILE_BLOCKDEV)
			return vd_fail_errno(err, ENOSPC, off,
			                     "%s: cannot zero %" PRIu64 " bytes at offset %" PRIu64 " of %" PRIu64, f->name, len,
			                     off, size);
		/* What the file grows over is a hole and reads as zeros; where space is wanted too, it is filled in below. */
		if (vd_posix_grow(p, end, err))
			return -1;
		if (may_punch) {
			if (off >= size)
				return 0;
			len = size - off;
		}
	}
	return inside_zero(p, off, len, may_punch, err);
}

int vd_posix_punch(struct vd_file *f, uint64_t off, uint64_t len, vd_error *err)
{
	struct posix_file *p = posix_of(f);
	uint64_t grain = p->sector, from = vd_up(off, grain), to = vd_down(off + len, grain), range[2] = {from, to - from};

	if (!(f->flags & VD_FILE_BLOCKDEV)) {
		if (atomic_load_explicit(&p->no_punch, memory_order_relaxed))
			return 0;
		if (!fallocate_all(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off, len))
			return 0;
		if (cannot(errno))
			atomic_store_explicit(&p->no_punch, true, memory_order_relaxed);
	} else if (from >= to || !ioctl(f->fd, BLKDISCARD, range)) {
		return 0;
	}
	if (cannot(errno))
		return 0;
	return vd_fail_errno(err, errno, off, "%s: cannot give back %" PRIu64 " bytes at offset %" PRIu64, f->name, len, off);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The public road for guest data: judges the range, takes the claim, and hands on to read.c, write.c and zero.c.  Start reading
 * here: a read asks map() where the bytes lie (map.c) and fetches them (read.c); a write overwrites in place or goes through
 * reserve and publish (write.c); layer.c is the guarded door to the driver behind each of these.
 */
#include "core/io.h"
#include "base/bytes.h"

#include <limits.h>

static int range_check(const vdisk_image *img, uint64_t off, uint64_t len, vd_error *err)
{
	if (img->flags & VDISK_OPEN_INFO)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: opened for facts only", img->path);
	if (vd_within(off, len, img->top->size))
		return 0;
	return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
	               "%s: range %" PRIu64 "+%" PRIu64 " is outside the disk (%" PRIu64 " bytes)", img->path, off, len,
	               img->top->size);
}

static int write_check(const vdisk_image *img, uint64_t off, uint64_t len, vd_error *err)
{
	if (!img->claims)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: not open for writing%s%s", img->path,
		               img->top->ro_reason ? ": " : "", img->top->ro_reason ? img->top->ro_reason : "");
	return range_check(img, off, len, err);
}

static int iov_length(const struct iovec *iov, int n, uint64_t *len, vd_error *err)
{
	*len = 0;
	for (int i = 0; i < n; i++)
		if (vd_add64(*len, iov[i].iov_len, len))
			return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "the pieces' lengths add up to more than 64 bits");
	return 0;
}

int vdisk_preadv(vdisk_image *img, const struct iovec *iov, int iovcnt, uint64_t off, vdisk_error *err)
{
	struct vd_iov it = { .v = iov, .n = iovcnt };
	struct vd_claim k;
	uint64_t len, start = vd_down(off, 512);
	int rc;

	if (iov_length(iov, iovcnt, &len, err) || range_check(img, off, len, err))
		return -1;
	if (!len)
		return 0;
	if (!img->claims)
		return vd_read_unclaimed(img, off, len, &it, err);
	vd_claim_take(img->claims, &k, start, vd_up(off + len, 512) - start, false);
	rc = vd_read_unclaimed(img, off, len, &it, err);
	vd_claim_drop(img->claims, &k);
	return rc;
}

int vdisk_pwritev(vdisk_image *img, const struct iovec *iov, int iovcnt, uint64_t off, vdisk_error *err)
{
	struct vd_iov it = { .v = iov, .n = iovcnt };
	uint64_t len;

	if (iov_length(iov, iovcnt, &len, err) || write_check(img, off, len, err))
		return -1;
	return len ? vd_write(img, off, len, &it, err) : 0;
}

int vdisk_pread(vdisk_image *img, void *buf, size_t len, uint64_t off, vdisk_error *err)
{
	struct iovec v = { .iov_base = buf, .iov_len = len };

	return vdisk_preadv(img, &v, 1, off, err);
}

int vdisk_pwrite(vdisk_image *img, const void *buf, size_t len, uint64_t off, vdisk_error *err)
{
	struct iovec v = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };

	return vdisk_pwritev(img, &v, 1, off, err);
}

int vdisk_zero(vdisk_image *img, uint64_t off, uint64_t len, vdisk_error *err)
{
	if (write_check(img, off, len, err))
		return -1;
	return len ? vd_zero(img, off, len, err) : 0;
}

int vdisk_discard(vdisk_image *img, uint64_t off, uint64_t len, vdisk_error *err)
{
	if (write_check(img, off, len, err))
		return -1;
	return len ? vd_discard(img, off, len, err) : 0;
}

int vdisk_flush(vdisk_image *img, vdisk_error *err)
{
	if (!img->claims || !(img->top->begun || img->created))
		return 0;
	return vd_layer_flush(img->top, err);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A read-only file that is made of ranges of another one, in any order there, with zeros between them: what an archive holds of an
 * image.  It owns the other file and its own copy of the ranges, which are ascending and apart; both are fixed, so there is no
 * lock.  It has no descriptor to show (fd is -1), since its offsets are not those of the file below.
 */
#include "io/kind.h"
#include "base/alloc.h"
#include "base/bytes.h"

struct parts_file {
	struct vd_over over;
	struct vdisk_part *v;
	size_t n;
};

static struct parts_file *parts_of(struct vd_file *f) { return (struct parts_file *)f; }

/* The first part that ends behind `off`; n: none. */
static size_t part_find(const struct parts_file *p, uint64_t off)
{
	return vd_range_find(p->v, p->n, sizeof(*p->v), off);
}

static void iov_zero(const struct iovec *iov, int n)
{
	for (int i = 0; i < n; i++)
		memset(iov[i].iov_base, 0, iov[i].iov_len);
}

/* `iov` without what is behind its first `len` bytes; returns the number of vectors, at most `cap`, *total: their bytes. */
static int iov_head(const struct iovec *iov, int n, size_t done, size_t len, struct iovec *out, int cap, size_t *total)
{
	int k = vd_iov_window(iov, n, done, out, cap), i = 0;

	for (*total = 0; i < k && *total < len; i++) {
		out[i].iov_len = (size_t)vd_min(out[i].iov_len, len - *total);
		*total += out[i].iov_len;
	}
	return i;
}

static int parts_preadv(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, size_t *got, vd_error *err)
{
	struct parts_file *p = parts_of(f);
	uint64_t size = vd_file_size(f);
	size_t want = off < size ? (size_t)vd_min(total, size - off) : 0, i = part_find(p, off);

	for (*got = 0; *got < want;) {
		uint64_t at = off + *got;
		bool inside = i < p->n && p->v[i].off <= at;
		uint64_t stop = inside ? p->v[i].off + p->v[i].len : i < p->n ? p->v[i].off : size;
		struct iovec piece[VD_IOV_WINDOW];
		size_t len;
		int k = iov_head(iov, n, *got, (size_t)vd_min(want - *got, stop - at), piece, VD_IOV_WINDOW, &len);

		if (!inside)
			iov_zero(piece, k);
		else if (vd_file_preadv(p->over.inner, piece, k, p->v[i].host + (at - p->v[i].off), err))
			return -1;
		*got += len;
		i += inside && at + len == stop;
	}
	return 0;
}

static int parts_extent(struct vd_file *f, uint64_t off, uint64_t *len, bool *data, vd_error *err)
{
	struct parts_file *p = parts_of(f);
	size_t i = part_find(p, off);

	if (i == p->n || p->v[i].off > off) {
		*len = vd_min(*len, (i < p->n ? p->v[i].off : vd_file_size(f)) - off);
		*data = false;
		return 0;
	}
	*len = vd_min(*len, p->v[i].off + p->v[i].len - off);
	return vd_file_extent(p->over.inner, p->v[i].host + (off - p->v[i].off), len, data, err);
}

static int parts_allocated(struct vd_file *f, uint64_t *bytes, vd_error *err)
{
	struct parts_file *p = parts_of(f);

	(void)err;
	*bytes = 0;
	for (size_t i = 0; i < p->n; i++)
		*bytes += p->v[i].len;
	return 0;
}

static void parts_close(struct vd_file *f)
{
	vd_free(parts_of(f)->v);
	vd_over_close(f);
}

/* VD_FILE_RDONLY: the front turns away everything that would change it. */
static const struct vd_file_ops parts_ops = {
	.kind = "parts",
	.preadv = parts_preadv,
	.extent = parts_extent,
	.allocated = parts_allocated,
	.close = parts_close,
	.cache_spare = vd_over_cache_spare,
};

static int parts_judge(const struct vd_file *inner, const struct vdisk_part *v, size_t n, uint64_t len, vd_error *err)
{
	uint64_t size = vd_file_size(inner), end = 0;

	if (!(inner->flags & VD_FILE_SEEKABLE) || len > INT64_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: no file of %" PRIu64 " bytes can be made of parts of it",
		               inner->name, len);
	for (size_t i = 0; i < n; end = v[i].off + v[i].len, i++) {
		if (v[i].off < end || !v[i].len || !vd_within(v[i].off, v[i].len, len))
			return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
			               "%s: part %zu of %" PRIu64 " bytes at %" PRIu64 " is not in order, or outside %" PRIu64
			               " bytes",
			               inner->name, i, v[i].len, v[i].off, len);
		if (!vd_within(v[i].host, v[i].len, size))
			return vd_fail(err, VDISK_CORRUPT, v[i].host,
			               "%s: is cut short: %" PRIu64 " bytes at offset %" PRIu64 " are outside the file (%" PRIu64
			               " bytes)",
			               inner->name, v[i].len, v[i].host, size);
	}
	return 0;
}

int vd_file_parts(struct vd_file *inner, const struct vdisk_part *v, size_t n, uint64_t len, struct vd_file **out, vd_error *err)
{
	struct parts_file *p = NULL;

	if (parts_judge(inner, v, n, len, err))
		goto fail;
	p = vd_calloc(1, sizeof(*p));
	if (!p || (n && !(p->v = vd_calloc(n, sizeof(*v))))) {
		vd_fail_nomem(err, n * sizeof(*v));
		goto fail;
	}
	if (vd_file_head(&p->over.file, &parts_ops, inner->name, VD_FILE_SEEKABLE | VD_FILE_RDONLY, len, err))
		goto fail;
	if (n)
		memcpy(p->v, v, n * sizeof(*v));
	p->n = n;
	p->over.inner = inner;
	*out = &p->over.file;
	return 0;
fail:
	vd_file_close(inner);
	if (p)
		vd_free(p->v);
	vd_free(p);
	return -1;
}

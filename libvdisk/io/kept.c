/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file that an earlier run left unfinished, shown as an empty one that is written anew.  Some ranges of it are known to hold what
 * they are to hold in the end; they are kept:
 *
 *  K1. All else is a hole when the view is made, so that the file behaves as a fresh one does: what it grows over reads as zeros.
 *  K2. Whatever is done to a kept range (written, zeroed, punched, cut off) is left undone.
 *
 * The size shown starts at 0 and follows what is done here; the inner file is always at least as long as the last kept byte.  Owns
 * the inner file and a copy of the ranges, which never change, so that no lock is needed beyond the inner one's.
 */
#include "io/kind.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <string.h>

struct kept_file {
	struct vd_over over;
	struct vd_range *v; /* ascending, apart */
	size_t n;
	uint64_t end;       /* of the last one */
};

static struct kept_file *kept_of(struct vd_file *f) { return (struct kept_file *)f; }

/* The first stretch of [*off, end) that is not kept: *off moves to it; its length, 0: there is none. */
static uint64_t gap_next(const struct kept_file *k, uint64_t *off, uint64_t end)
{
	return vd_range_gap(k->v, k->n, off, end);
}

static int kept_preadv(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, size_t *got, vd_error *err)
{
	struct kept_file *k = kept_of(f);
	uint64_t size = vd_file_size(f);

	*got = 0;
	if (off >= size)
		return 0;
	if (k->over.inner->ops->preadv(k->over.inner, iov, n, total, off, got, err))
		return -1;
	*got = vd_min(*got, size - off);
	return 0;
}

static int part_write(struct kept_file *k, const struct iovec *iov, int n, size_t skip, size_t len, uint64_t off, vd_error *err)
{
	struct iovec part[VD_IOV_WINDOW];

	while (len) {
		int c = vd_iov_window(iov, n, skip, part, VD_IOV_WINDOW);
		size_t now = 0;

		for (int i = 0; i < c; i++) {
			part[i].iov_len = vd_min(part[i].iov_len, len - now);
			now += part[i].iov_len;
			if (now == len)
				c = i + 1;
		}
		if (vd_file_pwritev(k->over.inner, part, c, off, err))
			return -1;
		skip += now;
		off += now;
		len -= now;
	}
	return 0;
}

static int kept_pwritev(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, vd_error *err)
{
	struct kept_file *k = kept_of(f);
	uint64_t at = off, len;

	if (off >= k->end) {
		if (vd_file_pwritev(k->over.inner, iov, n, off, err))
			return -1;
	} else {
		while ((len = gap_next(k, &at, off + total))) {
			if (part_write(k, iov, n, at - off, len, at, err))
				return -1;
			at += len;
		}
	}
	vd_file_size_reach(f, off + total);
	return 0;
}

static int kept_zero(struct vd_file *f, uint64_t off, uint64_t len, bool may_punch, vd_error *err)
{
	struct kept_file *k = kept_of(f);
	uint64_t at = off, gap;

	while ((gap = gap_next(k, &at, off + len))) {
		if (vd_file_zero(k->over.inner, at, gap, may_punch, err))
			return -1;
		at += gap;
	}
	vd_file_size_reach(f, off + len);
	return 0;
}

static int kept_grow(struct vd_file *f, uint64_t size, vd_error *err)
{
	if (vd_file_grow(kept_of(f)->over.inner, size, err))
		return -1;
	vd_file_size_reach(f, size);
	return 0;
}

static int kept_truncate(struct vd_file *f, uint64_t size, vd_error *err)
{
	struct kept_file *k = kept_of(f);
	uint64_t now = vd_file_size(f);

	if (size < now) { /* what is cut off here may be grown over again */
		if (size < k->end && kept_zero(f, size, vd_min(now, k->end) - size, true, err))
			return -1;
		if (vd_file_truncate(k->over.inner, vd_max(size, k->end), err))
			return -1;
	} else if (vd_file_grow(k->over.inner, size, err)) {
		return -1;
	}
	atomic_store_explicit(&f->size, size, memory_order_release);
	return 0;
}

static int kept_punch(struct vd_file *f, uint64_t off, uint64_t len, vd_error *err)
{
	struct kept_file *k = kept_of(f);
	uint64_t at = off, gap;

	while ((gap = gap_next(k, &at, off + len))) {
		if (vd_file_punch(k->over.inner, at, gap, err))
			return -1;
		at += gap;
	}
	return 0;
}

static void kept_close(struct vd_file *f)
{
	vd_free(kept_of(f)->v);
	vd_over_close(f);
}

static const struct vd_file_ops kept_ops = {
	.kind = "kept",
	.preadv = kept_preadv,
	.pwritev = kept_pwritev,
	.flush = vd_over_flush,
	.truncate = kept_truncate,
	.grow = kept_grow,
	.zero = kept_zero,
	.punch = kept_punch,
	.extent = vd_over_extent,
	.allocated = vd_over_allocated,
	.lock = vd_over_lock,
	.close = kept_close,
	.cache_spare = vd_over_cache_spare,
};

static int gaps_empty(struct kept_file *k, vd_error *err)
{
	uint64_t at = 0, gap;

	/* What is kept may end in zeros that were never written. */
	if (vd_file_truncate(k->over.inner, k->end, err))
		return -1;
	while ((gap = gap_next(k, &at, k->end))) {
		if (vd_file_zero(k->over.inner, at, gap, true, err))
			return -1;
		at += gap;
	}
	return 0;
}

int vd_file_kept(struct vd_file *inner, const struct vd_range *ranges, size_t n, struct vd_file **out, vd_error *err)
{
	struct kept_file *k = vd_calloc(1, sizeof(*k));

	if (!k || !(k->v = vd_calloc(n ? n : 1, sizeof(*k->v)))) {
		vd_free(k);
		vd_file_close(inner);
		return vd_fail_nomem(err, n * sizeof(*ranges));
	}
	if (n)
		memcpy(k->v, ranges, n * sizeof(*ranges));
	k->n = n;
	k->end = n ? ranges[n - 1].off + ranges[n - 1].len : 0;
	k->over.inner = inner;
	if (vd_file_head(&k->over.file, &kept_ops, inner->name, inner->flags, 0, err)) {
		kept_close(&k->over.file);
		return -1;
	}
	k->over.file.fd = inner->fd;
	if (gaps_empty(k, err)) {
		vd_file_close(&k->over.file);
		return -1;
	}
	*out = &k->over.file;
	return 0;
}

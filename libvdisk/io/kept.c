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
	struct vd_file file;
	struct vd_file *inner;
	struct vd_range *v; /* ascending, apart */
	size_t n;
	uint64_t end;       /* of the last one */
};

static struct kept_file *kept_of(struct vd_file *f) { return (struct kept_file *)f; }

/* The first range that ends past `off`; k->n: none. */
static size_t range_at(const struct kept_file *k, uint64_t off)
{
	size_t lo = 0, hi = k->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (k->v[mid].off + k->v[mid].len <= off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The first stretch of [*off, end) that is not kept: *off moves to it; its length, 0: there is none. */
static uint64_t gap_next(const struct kept_file *k, uint64_t *off, uint64_t end)
{
	size_t i = range_at(k, *off);

	for (; i < k->n && k->v[i].off <= *off; i++)
		*off = k->v[i].off + k->v[i].len;
	if (*off >= end)
		return 0;
	return (i < k->n ? vd_min(k->v[i].off, end) : end) - *off;
}

static int kept_preadv(struct vd_file *f, const struct iovec *iov, int n, size_t total, uint64_t off, size_t *got, vd_error *err)
{
	struct kept_file *k = kept_of(f);
	uint64_t size = vd_file_size(f);

	*got = 0;
	if (off >= size)
		return 0;
	if (k->inner->ops->preadv(k->inner, iov, n, total, off, got, err))
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
		if (vd_file_pwritev(k->inner, part, c, off, err))
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
		if (vd_file_pwritev(k->inner, iov, n, off, err))
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

static int kept_flush(struct vd_file *f, vd_error *err)
{
	return vd_file_flush(kept_of(f)->inner, err);
}

static int kept_zero(struct vd_file *f, uint64_t off, uint64_t len, bool may_punch, vd_error *err)
{
	struct kept_file *k = kept_of(f);
	uint64_t at = off, gap;

	while ((gap = gap_next(k, &at, off + len))) {
		if (vd_file_zero(k->inner, at, gap, may_punch, err))
			return -1;
		at += gap;
	}
	vd_file_size_reach(f, off + len);
	return 0;
}

static int kept_grow(struct vd_file *f, uint64_t size, vd_error *err)
{
	if (vd_file_grow(kept_of(f)->inner, size, err))
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
		if (vd_file_truncate(k->inner, vd_max(size, k->end), err))
			return -1;
	} else if (vd_file_grow(k->inner, size, err)) {
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
		if (vd_file_punch(k->inner, at, gap, err))
			return -1;
		at += gap;
	}
	return 0;
}

static int kept_extent(struct vd_file *f, uint64_t off, uint64_t *len, bool *data, vd_error *err)
{
	return vd_file_extent(kept_of(f)->inner, off, len, data, err);
}

static int kept_allocated(struct vd_file *f, uint64_t *bytes, vd_error *err)
{
	return vd_file_allocated(kept_of(f)->inner, bytes, err);
}

static int kept_lock(struct vd_file *f, bool write, vd_error *err)
{
	return vd_file_lock(kept_of(f)->inner, write, err);
}

static void kept_cache_spare(struct vd_file *f, bool own)
{
	vd_file_cache_spare(kept_of(f)->inner, own);
}

static void kept_close(struct vd_file *f)
{
	struct kept_file *k = kept_of(f);

	vd_file_close(k->inner);
	vd_free(k->v);
	vd_free(k);
}

static const struct vd_file_ops kept_ops = {
	.kind = "kept",
	.preadv = kept_preadv,
	.pwritev = kept_pwritev,
	.flush = kept_flush,
	.truncate = kept_truncate,
	.grow = kept_grow,
	.zero = kept_zero,
	.punch = kept_punch,
	.extent = kept_extent,
	.allocated = kept_allocated,
	.lock = kept_lock,
	.close = kept_close,
	.cache_spare = kept_cache_spare,
};

static int gaps_empty(struct kept_file *k, vd_error *err)
{
	uint64_t at = 0, gap;

	/* What is kept may end in zeros that were never written. */
	if (vd_file_truncate(k->inner, k->end, err))
		return -1;
	while ((gap = gap_next(k, &at, k->end))) {
		if (vd_file_zero(k->inner, at, gap, true, err))
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
	k->inner = inner;
	if (vd_file_head(&k->file, &kept_ops, inner->name, inner->flags, 0, err)) {
		kept_close(&k->file);
		return -1;
	}
	k->file.fd = inner->fd;
	if (gaps_empty(k, err)) {
		vd_file_close(&k->file);
		return -1;
	}
	*out = &k->file;
	return 0;
}

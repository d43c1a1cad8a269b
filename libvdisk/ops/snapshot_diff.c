/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where two images differ, sector by sector, or may do so.  Clusters that snapshots share, and layers that chains share, are not
   read. */
#include "ops/surgery.h"
#include "ops/walk.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <sys/stat.h>

#define DIFF_BATCH 64
#define DIFF_BUFFER (1u << 20)
#define DIFF_SECTOR 512u

/* The extents of one side, held until the other side is done with them. */
struct side {
	vdisk_image *img;
	struct vd_extent v[DIFF_BATCH];
	struct vd_extents e;
	size_t at;
	uint8_t *buf;
};

struct diff {
	struct side a, b;
	vdisk_diff_fn fn;
	void *ctx;
	uint64_t off, len; /* the range found last, not told yet */
	bool unread;       /* the places tell */
	bool stop;
};

static void range_tell(struct diff *d)
{
	if (d->len && !d->stop)
		d->stop = !d->fn(d->ctx, d->off, d->len);
	d->len = 0;
}

static void range_add(struct diff *d, uint64_t off, uint64_t len)
{
	if (d->len && d->off + d->len == off) {
		d->len += len;
		return;
	}
	range_tell(d);
	d->off = off;
	d->len = len;
}

/* The extent that `off` is in; past the image's end, nothing up to `end`. */
static int extent_at(struct side *s, uint64_t off, uint64_t end, struct vd_extent *x, vd_error *err)
{
	uint64_t size = s->img->top->size;

	if (off >= size) {
		*x = (struct vd_extent){ .off = off, .len = end - off, .kind = VD_ABSENT };
		return 0;
	}
	while (s->at < s->e.n && s->v[s->at].off + s->v[s->at].len <= off)
		s->at++;
	if (s->at >= s->e.n) {
		vd_extents_init(&s->e, s->v, DIFF_BATCH, off, vd_min(end, size) - off);
		s->at = 0;
		if (vd_image_map(s->img, off, vd_min(end, size) - off, 0, &s->e, err))
			return -1;
	}
	*x = s->v[s->at];
	return 0;
}

static bool file_same(const struct vd_file *a, const struct vd_file *b)
{
	struct stat x, y;

	return a == b ||
	       (a->fd >= 0 && b->fd >= 0 && !fstat(a->fd, &x) && !fstat(b->fd, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

/* Both read the same bytes of the same file, or zeros. */
static bool extents_same(const struct diff *d, const struct vd_extent *a, const struct vd_extent *b, uint64_t off)
{
	if (a->kind != VD_DATA && b->kind != VD_DATA)
		return true;
	if (a->kind != VD_DATA || b->kind != VD_DATA ||
	    ((a->flags ^ b->flags) & (VD_EXT_COMPRESSED | VD_EXT_CIPHERED | VD_EXT_MAPPED)))
		return false;
	if (a->flags & VD_EXT_COMPRESSED ? a->host != b->host || a->unit_off != b->unit_off :
	                                   a->host + (off - a->off) != b->host + (off - b->off))
		return false;
	return file_same(vd_extent_file(d->a.img, a), vd_extent_file(d->b.img, b));
}

static int piece_read(struct side *s, const struct vd_extent *x, uint64_t off, size_t len, vd_error *err)
{
	if (x->kind == VD_DATA)
		return vd_image_read_extent(s->img, x, off, s->buf, len, err);
	memset(s->buf, 0, len);
	return 0;
}

static int piece_compare(struct diff *d, const struct vd_extent *a, const struct vd_extent *b, uint64_t off, uint64_t end,
                         vd_error *err)
{
	while (off < end) {
		size_t n = vd_min(DIFF_BUFFER - off % DIFF_SECTOR, end - off);

		if (piece_read(&d->a, a, off, n, err) || piece_read(&d->b, b, off, n, err))
			return -1;
		for (size_t at = 0; at < n;) {
			size_t k = vd_min(DIFF_SECTOR - (off + at) % DIFF_SECTOR, n - at);

			if (memcmp(d->a.buf + at, d->b.buf + at, k))
				range_add(d, off + at, k);
			at += k;
		}
		off += n;
	}
	return 0;
}

static int diff_piece(void *ctx, uint64_t off, uint64_t len, uint64_t *copied, vd_error *err)
{
	struct diff *d = ctx;
	uint64_t end = off + len;

	(void)copied;
	while (off < end && !d->stop) {
		struct vd_extent a, b;
		uint64_t stop;

		if (extent_at(&d->a, off, end, &a, err) || extent_at(&d->b, off, end, &b, err))
			return -1;
		stop = vd_min(end, vd_min(a.off + a.len, b.off + b.len));
		if (!extents_same(d, &a, &b, off)) {
			if (d->unread)
				range_add(d, off, stop - off);
			else if (piece_compare(d, &a, &b, off, stop, err))
				return -1;
		}
		off = stop;
	}
	return 0;
}

static int diff_run(vdisk_image *a, vdisk_image *b, bool unread, const struct vdisk_job_options *opts, vdisk_diff_fn fn, void *ctx,
                    vd_error *err)
{
	VD_AUTO_FREE struct diff *d = vd_calloc(1, sizeof(*d));
	VD_AUTO_FREE uint8_t *buf = vd_malloc(2 * DIFF_BUFFER);
	struct vd_sweep s = {
	    .opts = opts, .size = vd_max(a->top->size, b->top->size), .grain = DIFF_BUFFER, .ctx = d, .piece = diff_piece};

	if (!d || !buf)
		return vd_fail_nomem(err, 2 * DIFF_BUFFER);
	if (vd_image_whole(a, err) || vd_image_whole(b, err))
		return -1;
	d->unread = unread;
	d->fn = fn;
	d->ctx = ctx;
	d->a.img = a;
	d->a.buf = buf;
	d->b.img = b;
	d->b.buf = buf + DIFF_BUFFER;
	if (vd_sweep_run(&s, err))
		return -1;
	range_tell(d);
	return 0;
}

int vdisk_diff(vdisk_image *a, vdisk_image *b, const struct vdisk_job_options *opts, vdisk_diff_fn fn, void *ctx, vdisk_error *err)
{
	return diff_run(a, b, false, opts, fn, ctx, err);
}

int vdisk_diff_places(vdisk_image *a, vdisk_image *b, const struct vdisk_job_options *opts, vdisk_diff_fn fn, void *ctx,
                      vdisk_error *err)
{
	return diff_run(a, b, true, opts, fn, ctx, err);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading: bytes of mapped extents come straight from the host file, packed and ciphered ones through the layer's codec. */
#include "core/image.h"
#include "core/iov.h"
#include "core/io.h"
#include "base/alloc.h"
#include "base/bytes.h"

#define READ_BATCH 32

/* A unit's packed bytes, fewer where the file ends inside them (qcow2 tells their length in whole sectors only). */
static int read_packed(vdisk_image *img, const struct vd_extent *x, uint8_t *packed, size_t *got, vd_error *err)
{
	struct vd_file *f = vd_extent_file(img, x);

	if (vd_file_pread_some(f, packed, x->host_len, x->host, got, err))
		return -1;
	if (!*got)
		return vd_fail(err, VDISK_CORRUPT, x->host, "%s: packed data at %#" PRIx64 " is past the file's end", f->name,
		               x->host);
	return 0;
}

static int read_unit(vdisk_image *img, const struct vd_extent *x, uint8_t *out, vd_error *err)
{
	struct vd_layer *l = img->chain[x->depth];
	struct vd_extent unit = *x;
	VD_AUTO_FREE uint8_t *packed = vd_malloc(x->host_len);
	size_t got;

	if (!packed)
		return vd_fail_nomem(err, x->host_len);
	if (read_packed(img, x, packed, &got, err))
		return -1;
	unit.off = x->unit_off;
	unit.len = x->unit_len;
	if (l->drv->codec->unpack(l, &unit, packed, got, out, err))
		return vd_fail_in(err, "%s: at guest offset %" PRIu64, l->path, x->unit_off);
	return 0;
}

int vd_image_try_unit(vdisk_image *img, const struct vd_extent *x, vd_error *err)
{
	VD_AUTO_FREE uint8_t *unit = vd_malloc(x->unit_len);

	return unit ? read_unit(img, x, unit, err) : vd_fail_nomem(err, x->unit_len);
}

static int read_compressed(vdisk_image *img, const struct vd_extent *x, uint64_t off, void *buf, size_t len, vd_error *err)
{
	VD_AUTO_FREE uint8_t *unit = NULL;

	if (off == x->unit_off && len == x->unit_len)
		return read_unit(img, x, buf, err);
	unit = vd_malloc(x->unit_len);
	if (!unit)
		return vd_fail_nomem(err, x->unit_len);
	if (read_unit(img, x, unit, err))
		return -1;
	memcpy(buf, unit + (off - x->unit_off), len);
	return 0;
}

/* Ciphers work on whole sectors of 512 bytes; extents are whole sectors of them. */
static int read_ciphered(vdisk_image *img, const struct vd_extent *x, uint64_t off, void *buf, size_t len, vd_error *err)
{
	struct vd_layer *l = img->chain[x->depth];
	uint64_t start = vd_down(off, 512), end = vd_up(off + len, 512);
	uint64_t host = x->host + (start - x->off);
	VD_AUTO_FREE uint8_t *bounce = NULL;
	uint8_t *to = buf;

	if (start != off || end != off + len) {
		to = bounce = vd_malloc(end - start);
		if (!bounce)
			return vd_fail_nomem(err, end - start);
	}
	if (vd_file_pread(vd_extent_file(img, x), to, end - start, host, err) ||
	    l->drv->codec->crypt(l, false, start, host, to, end - start, err))
		return vd_fail_in(err, "%s", l->path);
	if (to != buf)
		memcpy(buf, to + (off - start), len);
	return 0;
}

static int read_absent(vdisk_image *img, const struct vd_extent *x, void *buf, size_t len, vd_error *err)
{
	struct vd_layer *l = img->chain[x->depth];

	if (l->parent_ref.n_names && !l->parent && x->off < l->size)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "%s: guest offset %" PRIu64 " is the parent's, which was not opened", l->path, x->off);
	memset(buf, 0, len);
	return 0;
}

int vd_image_read_extent(vdisk_image *img, const struct vd_extent *x, uint64_t off, void *buf, size_t len, vd_error *err)
{
	if (x->kind == VD_ABSENT)
		return read_absent(img, x, buf, len, err);
	if (x->kind == VD_ZERO) {
		memset(buf, 0, len);
		return 0;
	}
	if (x->flags & VD_EXT_COMPRESSED)
		return read_compressed(img, x, off, buf, len, err);
	if (x->flags & VD_EXT_CIPHERED)
		return read_ciphered(img, x, off, buf, len, err);
	return vd_file_pread(vd_extent_file(img, x), buf, len, x->host + (off - x->off), err);
}

/* Plain extents go into the caller's pieces with one preadv; the others through a buffer where there are several pieces. */
static int read_slices(vdisk_image *img, const struct vd_extent *x, uint64_t off, const struct iovec *v, int n, size_t len,
                       vd_error *err)
{
	VD_AUTO_FREE uint8_t *bounce = NULL;

	if (n == 1)
		return vd_image_read_extent(img, x, off, v[0].iov_base, len, err);
	if (x->kind == VD_DATA && !(x->flags & (VD_EXT_COMPRESSED | VD_EXT_CIPHERED)))
		return vd_file_preadv(vd_extent_file(img, x), v, n, x->host + (off - x->off), err);
	bounce = vd_malloc(len);
	if (!bounce)
		return vd_fail_nomem(err, len);
	if (vd_image_read_extent(img, x, off, bounce, len, err))
		return -1;
	vd_iov_from_buf(v, n, bounce);
	return 0;
}

static int read_extents(vdisk_image *img, const struct vd_extents *e, struct vd_iov *it, vd_error *err)
{
	for (size_t i = 0; i < e->n; i++) {
		const struct vd_extent *x = &e->v[i];

		for (uint64_t done = 0; done < x->len;) {
			struct iovec v[VD_IOV_SLICES];
			int n;
			/* A piece at a time, so that no bounce buffer grows with the caller's request. */
			size_t got = vd_iov_take(it, vd_min(x->len - done, 8u << 20), v, VD_IOV_SLICES, &n);

			if (read_slices(img, x, x->off + done, v, n, got, err))
				return -1;
			done += got;
		}
	}
	return 0;
}

int vd_read_unclaimed(vdisk_image *img, uint64_t off, uint64_t len, struct vd_iov *it, vd_error *err)
{
	struct vd_extent buf[READ_BATCH];
	uint64_t end = off + len;

	while (off < end) {
		struct vd_extents e;

		vd_extents_init(&e, buf, READ_BATCH, off, end - off);
		if (vd_image_map(img, off, end - off, 0, &e, err) || read_extents(img, &e, it, err))
			return -1;
		off = e.next;
	}
	return 0;
}

int vd_read_buf(vdisk_image *img, uint64_t off, void *buf, size_t len, vd_error *err)
{
	struct iovec v = { .iov_base = buf, .iov_len = len };
	struct vd_iov it = { .v = &v, .n = 1 };
	size_t inside = off >= vdisk_size(img) ? 0 : vd_min(len, vdisk_size(img) - off);

	memset((uint8_t *)buf + inside, 0, len - inside);
	return inside ? vd_read_unclaimed(img, off, inside, &it, err) : 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Unpacking blocks, which come from images and are not trusted: output never exceeds what was asked for. */
#include "base/pack.h"
#include "base/alloc.h"
#include "base/freelist.h"

#include <libdeflate.h>
#include <zstd.h>
#include <zstd_errors.h>

struct vd_unpacker {
	enum vd_pack_method method;
	struct vd_freelist idle;
};

static void obj_free_deflate(void *d)
{
	libdeflate_free_decompressor(d);
}

static void obj_free_zstd(void *d)
{
	ZSTD_freeDCtx(d);
}

int vd_unpacker_new(enum vd_pack_method m, struct vd_unpacker **out, vd_error *err)
{
	struct vd_unpacker *u = vd_calloc(1, sizeof(*u));

	if (!u)
		return vd_fail_nomem(err, sizeof(*u));
	u->method = m;
	vd_freelist_init(&u->idle);
	*out = u;
	return 0;
}

void vd_unpacker_free(struct vd_unpacker *u)
{
	if (!u)
		return;
	vd_freelist_end(&u->idle, u->method == VD_PACK_ZSTD ? obj_free_zstd : obj_free_deflate);
	vd_free(u);
}

static int deflate_unpack(struct libdeflate_decompressor *d, bool zlib, const void *in, size_t in_len, void *out, size_t out_len,
                          size_t *used, vd_error *err)
{
	enum libdeflate_result r;

	/* Without a place for the actual length, fewer bytes are an error too. */
	r = zlib ? libdeflate_zlib_decompress_ex(d, in, in_len, out, out_len, used, NULL)
	         : libdeflate_deflate_decompress_ex(d, in, in_len, out, out_len, used, NULL);
	switch (r) {
	case LIBDEFLATE_SUCCESS:
		return 0;
	case LIBDEFLATE_SHORT_OUTPUT:
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "compressed data gives fewer than %zu bytes", out_len);
	case LIBDEFLATE_INSUFFICIENT_SPACE:
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "compressed data gives more than %zu bytes", out_len);
	case LIBDEFLATE_BAD_DATA:
		break;
	}
	return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "compressed data (%s, %zu bytes) is damaged", zlib ? "zlib" : "deflate",
	               in_len);
}

/* One frame after the other until the output is full: a writer may have cut its input into several. */
static int zstd_unpack(ZSTD_DCtx *d, const uint8_t *in, size_t in_len, uint8_t *out, size_t out_len, size_t *used, vd_error *err)
{
	size_t done = 0, frame, r;

	for (*used = 0; !*used || done < out_len; *used += frame, done += r) {
		if (*used == in_len)
			return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "compressed data gives %zu bytes, not %zu", done,
			               out_len);
		frame = ZSTD_findFrameCompressedSize(in + *used, in_len - *used);
		if (ZSTD_isError(frame))
			return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET,
			               "compressed data (zstd, %zu bytes) is damaged at byte %zu: %s", in_len, *used,
			               ZSTD_getErrorName(frame));
		r = ZSTD_decompressDCtx(d, out + done, out_len - done, in + *used, frame);
		if (ZSTD_isError(r) && ZSTD_getErrorCode(r) == ZSTD_error_memory_allocation)
			return vd_fail_nomem(err, out_len);
		if (ZSTD_isError(r) && ZSTD_getErrorCode(r) == ZSTD_error_dstSize_tooSmall)
			return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "compressed data gives more than %zu bytes", out_len);
		if (ZSTD_isError(r))
			return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "compressed data (zstd, %zu bytes) is damaged: %s",
			               in_len, ZSTD_getErrorName(r));
	}
	return 0;
}

int vd_unpack(struct vd_unpacker *u, const void *in, size_t in_len, void *out, size_t out_len, size_t *in_used, vd_error *err)
{
	struct vd_free_slot *s = vd_freelist_take(&u->idle);
	size_t used = 0;
	int r;

	if (!s)
		return vd_fail_nomem(err, sizeof(*s));
	if (!s->obj)
		s->obj = u->method == VD_PACK_ZSTD ? (void *)ZSTD_createDCtx() : (void *)libdeflate_alloc_decompressor();
	if (!s->obj)
		r = vd_fail_nomem(err, out_len);
	else if (u->method == VD_PACK_ZSTD)
		r = zstd_unpack(s->obj, in, in_len, out, out_len, &used, err);
	else
		r = deflate_unpack(s->obj, u->method == VD_PACK_ZLIB, in, in_len, out, out_len, &used, err);
	vd_freelist_give(&u->idle, s);
	if (!r && in_used)
		*in_used = used;
	return r;
}

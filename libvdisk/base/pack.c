/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packing blocks.  A packer is immutable but for its free lists of compressors, which have the lock. */
#include "base/pack.h"
#include "base/alloc.h"
#include "base/dense.h"
#include "base/freelist.h"

#include <libdeflate.h>
#include <zstd.h>
#include <zstd_errors.h>

#define DEFLATE_LEVEL 2
#define DEFLATE_LEVEL_MAX 12
#define DEFLATE_PATIENT 7 /* from here on every byte counts, and nothing is passed over */
#define ZSTD_LEVEL 3
#define ZSTD_LEVEL_MAX 19 /* above, the memory for decoding grows */

struct vd_packer {
	enum vd_pack_method method;
	int level;
	struct vd_freelist idle;
	struct vd_freelist storing; /* compressors of deflate's level 0, for what is dense */
};

static void obj_free_deflate(void *c)
{
	libdeflate_free_compressor(c);
}

static void obj_free_zstd(void *c)
{
	ZSTD_freeCCtx(c);
}

int vd_packer_new(enum vd_pack_method m, int level, struct vd_packer **out, vd_error *err)
{
	int max = m == VD_PACK_ZSTD ? ZSTD_LEVEL_MAX : DEFLATE_LEVEL_MAX;
	struct vd_packer *p;

	if (level < 0 || level > max)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "compression level %d is outside 1 to %d (0: the default)",
		               level, max);
	p = vd_calloc(1, sizeof(*p));
	if (!p)
		return vd_fail_nomem(err, sizeof(*p));
	p->method = m;
	p->level = level ? level : m == VD_PACK_ZSTD ? ZSTD_LEVEL : DEFLATE_LEVEL;
	vd_freelist_init(&p->idle);
	vd_freelist_init(&p->storing);
	*out = p;
	return 0;
}

void vd_packer_free(struct vd_packer *p)
{
	if (!p)
		return;
	vd_freelist_end(&p->idle, p->method == VD_PACK_ZSTD ? obj_free_zstd : obj_free_deflate);
	vd_freelist_end(&p->storing, obj_free_deflate);
	vd_free(p);
}

static int deflate_pack(struct vd_packer *p, struct vd_freelist *list, int level, const void *in, size_t in_len, void *out,
                        size_t cap, size_t *out_len, vd_error *err)
{
	struct vd_free_slot *s = vd_freelist_take(list);
	int r = 0;

	if (!s)
		return vd_fail_nomem(err, sizeof(*s));
	if (!s->obj)
		s->obj = libdeflate_alloc_compressor(level);
	if (!s->obj)
		r = vd_fail_nomem(err, in_len);
	else if (p->method == VD_PACK_ZLIB)
		*out_len = libdeflate_zlib_compress(s->obj, in, in_len, out, cap);
	else
		*out_len = libdeflate_deflate_compress(s->obj, in, in_len, out, cap);
	vd_freelist_give(list, s);
	return r;
}

static int zstd_pack(struct vd_packer *p, const void *in, size_t in_len, void *out, size_t cap, size_t *out_len, vd_error *err)
{
	struct vd_free_slot *s = vd_freelist_take(&p->idle);
	size_t n;
	int r = 0;

	if (!s)
		return vd_fail_nomem(err, sizeof(*s));
	if (!s->obj)
		s->obj = ZSTD_createCCtx();
	n = s->obj ? ZSTD_compressCCtx(s->obj, out, cap, in, in_len, p->level) : 0;
	*out_len = 0;
	if (!s->obj || (ZSTD_isError(n) && ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation))
		r = vd_fail_nomem(err, in_len);
	else if (!ZSTD_isError(n))
		*out_len = n;
	else if (ZSTD_getErrorCode(n) != ZSTD_error_dstSize_tooSmall)
		r = vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "cannot compress %zu bytes with zstd: %s", in_len,
		            ZSTD_getErrorName(n));
	vd_freelist_give(&p->idle, s);
	return r;
}

int vd_pack(struct vd_packer *p, const void *in, size_t in_len, void *out, size_t out_cap, size_t *out_len, vd_error *err)
{
	if (p->method == VD_PACK_ZSTD) /* sees by itself, soon, what is dense */
		return zstd_pack(p, in, in_len, out, out_cap, out_len, err);
	if (p->level >= DEFLATE_PATIENT || !vd_dense(in, in_len))
		return deflate_pack(p, &p->idle, p->level, in, in_len, out, out_cap, out_len, err);
	*out_len = 0;
	return out_cap > in_len ? deflate_pack(p, &p->storing, 0, in, in_len, out, out_cap, out_len, err) : 0;
}

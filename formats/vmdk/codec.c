/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packed grains: a marker (the first sector, the length), a zlib stream, zeros up to the next sector.  The last grain's stream may
 * give a whole grain or stop at the disk's end: both are written by somebody.
 */
#include "vmdk.h"

#include "base/alloc.h"
#include "base/bytes.h"

static int codec_unpack(const struct vd_layer *l, const struct vd_extent *u, const void *in, size_t in_len, void *out,
			vd_error *err)
{
	const struct vmdk *s = vmdk_of(l);
	const struct vmdk_extent *x = vmdk_extent_at(s, u->off);
	size_t head = x->h.flags & VMDK_FLAG_MARKERS ? VMDK_GRAIN_MARKER : 4;
	const uint8_t *p = in;
	if (in_len <= head)
		return vd_fail(err, VDISK_CORRUPT, u->host, "packed grain at %#" PRIx64 " is cut short", u->host);
	size_t size = le32_get(p + head - 4);
	if (size > in_len - head)
		return vd_fail(err, VDISK_CORRUPT, u->host, "packed grain at %#" PRIx64 " is cut short: %zu bytes of %zu", u->host,
			       in_len - head, size);
	if (!vd_unpack(s->unpacker, p + head, size, out, u->len, NULL, err))
		return 0;
	if (u->len == x->grain)
		return vd_fail_in(err, "packed grain at %#" PRIx64, u->host);
	VD_AUTO_FREE void *whole = vd_malloc(x->grain);
	if (!whole)
		return vd_fail_nomem(err, x->grain);
	if (vd_unpack(s->unpacker, p + head, size, whole, x->grain, NULL, err))
		return vd_fail_in(err, "packed grain at %#" PRIx64, u->host);
	memcpy(out, whole, u->len);
	return 0;
}

static int codec_pack(const struct vd_layer *l, uint64_t off, const void *in, size_t len, void *out, size_t *out_len, vd_error *err)
{
	const struct vmdk *s = vmdk_of(l);
	uint8_t *p = out;
	size_t room = l->alloc_grain + 4096 - VMDK_GRAIN_MARKER - VMDK_SECTOR, got;
	if (vd_pack(s->packer, in, len, p + VMDK_GRAIN_MARKER, room, &got, err))
		return -1;
	if (!got)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "a grain at %" PRIu64 " grew by more than %zu bytes when packed", off, room - l->alloc_grain);
	vmdk_grain_marker_encode(off / VMDK_SECTOR, (uint32_t)got, p);
	size_t end = VMDK_GRAIN_MARKER + got, padded = vd_up(end, VMDK_SECTOR);
	memset(p + end, 0, padded - end);
	*out_len = padded;
	return 0;
}

const struct vd_codec vmdk_codec = {
    .unpack = codec_unpack,
    .pack = codec_pack,
};

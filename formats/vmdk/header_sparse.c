/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The header of a hosted sparse extent.  (VMware, Virtual Disk Format 5.0, "Hosted Sparse Extents".) */
#include "header.h"

#include "base/bytes.h"

#define KNOWN_INCOMPAT (VMDK_FLAG_COMPRESSED | VMDK_FLAG_MARKERS)
#define GRAIN_MAX 16384u  /* sectors: 8 MiB; VMware's programs stop at 128 */
#define GD_MAX (4u << 20) /* entries: bounds memory at 16 MiB a directory */

static void read_fields(const uint8_t *p, struct vmdk_sparse *h)
{
	h->version = le32_get(p + 4);
	h->flags = le32_get(p + 8);
	h->capacity = le64_get(p + 12);
	h->grain = le64_get(p + 20);
	h->desc_off = le64_get(p + 28);
	h->desc_len = le64_get(p + 36);
	h->gtes = le32_get(p + 44);
	h->rgd_off = le64_get(p + 48);
	h->gd_off = le64_get(p + 56);
	h->overhead = le64_get(p + 64);
	h->unclean = p[VMDK_UNCLEAN_AT];
	h->compression = le16_get(p + 77);
}

/* Flags and version: what must be understood to read at all. */
static int judge_features(const uint8_t *p, uint64_t at, const struct vmdk_sparse *h, vd_error *err)
{
	static const uint8_t newlines[4] = {'\n', ' ', '\r', '\n'};
	if (h->version < 1 || h->version > 3)
		return vd_fail(err, VDISK_UNSUPPORTED, at + 4, "sparse extent version %u; 1 to 3 are known", h->version);
	if (h->flags & 0xffff0000u & ~KNOWN_INCOMPAT)
		return vd_fail(err, VDISK_UNSUPPORTED, at + 8, "sparse extent with unknown incompatible flags %#x",
			       h->flags & 0xffff0000u & ~KNOWN_INCOMPAT);
	if ((h->flags & VMDK_FLAG_NEWLINES) && memcmp(p + 73, newlines, 4))
		return vd_fail(
		    err, VDISK_CORRUPT, at + 73,
		    "the newline bytes are %02x %02x %02x %02x, not 0a 20 0d 0a: a transfer in text mode damaged the file", p[73],
		    p[74], p[75], p[76]);
	if ((h->flags & VMDK_FLAG_MARKERS) && !(h->flags & VMDK_FLAG_COMPRESSED))
		return vd_fail(err, VDISK_CORRUPT, at + 8, "flags %#x: markers without compressed grains", h->flags);
	if (h->compression > 1)
		return vd_fail(err, VDISK_UNSUPPORTED, at + 77, "compression algorithm %u; 1 (deflate) is known", h->compression);
	if ((h->flags & VMDK_FLAG_COMPRESSED) && h->compression != 1)
		return vd_fail(err, VDISK_CORRUPT, at + 77, "grains are compressed with no algorithm");
	return 0;
}

static int judge_sizes(uint64_t at, const struct vmdk_sparse *h, vd_error *err)
{
	uint64_t bytes;
	if (!vd_is_pow2(h->grain) || h->grain > GRAIN_MAX)
		return vd_fail(err, VDISK_CORRUPT, at + 20, "grain size of %" PRIu64 " sectors: not a power of two up to %u",
			       h->grain, GRAIN_MAX);
	if (!vd_is_pow2(h->gtes) || h->gtes < 128 || h->gtes > 4096)
		return vd_fail(err, VDISK_CORRUPT, at + 44, "%u entries in a grain table: not a power of two from 128 to 4096",
			       h->gtes);
	if (vd_mul64(h->capacity, VMDK_SECTOR, &bytes) || bytes > INT64_MAX)
		return vd_fail(err, VDISK_CORRUPT, at + 12, "capacity of %" PRIu64 " sectors", h->capacity);
	uint64_t n_gts = vd_div_up(h->capacity, h->grain * h->gtes);
	if (n_gts > GD_MAX)
		return vd_fail(err, VDISK_UNSUPPORTED, at + 12, "grain directory of %" PRIu64 " entries; at most %u are read",
			       n_gts, GD_MAX);
	if (vd_mul64(h->overhead, VMDK_SECTOR, &bytes) || bytes > INT64_MAX)
		return vd_fail(err, VDISK_CORRUPT, at + 64, "overhead of %" PRIu64 " sectors", h->overhead);
	if (h->gd_off != VMDK_GD_AT_END && h->gd_off > INT64_MAX / VMDK_SECTOR)
		return vd_fail(err, VDISK_CORRUPT, at + 56, "grain directory at sector %" PRIu64, h->gd_off);
	if ((h->flags & VMDK_FLAG_REDUNDANT) && h->rgd_off != VMDK_GD_AT_END && h->rgd_off > INT64_MAX / VMDK_SECTOR)
		return vd_fail(err, VDISK_CORRUPT, at + 48, "redundant grain directory at sector %" PRIu64, h->rgd_off);
	return 0;
}

int vmdk_sparse_decode(const uint8_t *bytes, uint64_t at, struct vmdk_sparse *h, vd_error *err)
{
	if (!memcmp(bytes, VMDK_UNFINISHED_MAGIC, 4))
		return vd_fail(err, VDISK_CORRUPT, at, "marked unfinished: whatever wrote it did not complete");
	if (memcmp(bytes, VMDK_SPARSE_MAGIC, 4))
		return vd_fail(err, VDISK_CORRUPT, at, "not a sparse extent: magic %#010x instead of \"KDMV\"", le32_get(bytes));
	read_fields(bytes, h);
	if (judge_features(bytes, at, h, err))
		return -1;
	return judge_sizes(at, h, err);
}

void vmdk_sparse_encode(const struct vmdk_sparse *h, bool unfinished, uint8_t p[VMDK_SPARSE_BYTES])
{
	memset(p, 0, VMDK_SPARSE_BYTES);
	memcpy(p, unfinished ? VMDK_UNFINISHED_MAGIC : VMDK_SPARSE_MAGIC, 4);
	le32_put(p + 4, h->version);
	le32_put(p + 8, h->flags);
	le64_put(p + 12, h->capacity);
	le64_put(p + 20, h->grain);
	le64_put(p + 28, h->desc_off);
	le64_put(p + 36, h->desc_len);
	le32_put(p + 44, h->gtes);
	le64_put(p + 48, h->rgd_off);
	le64_put(p + 56, h->gd_off);
	le64_put(p + 64, h->overhead);
	p[VMDK_UNCLEAN_AT] = h->unclean;
	memcpy(p + 73, "\n \r\n", 4);
	le16_put(p + 77, h->compression);
}

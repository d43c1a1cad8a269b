/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Headers of the extents that ESX makes: COWD (libvmdk's documentation, "The COWD sparse extent data file") and seSparse, which
 * VMware never documented; what is here is common knowledge of its readers, and anything else in it is refused.
 */
#include "header.h"

#include "base/bytes.h"
#include "base/zero.h"

int vmdk_cowd_decode(const uint8_t *p, struct vmdk_cowd *h, vd_error *err)
{
	if (!memcmp(p, VMDK_COWD_UNFINISHED, 4))
		return vd_fail(err, VDISK_CORRUPT, 0, "marked unfinished: whatever wrote it did not complete");
	if (memcmp(p, VMDK_COWD_MAGIC, 4))
		return vd_fail(err, VDISK_CORRUPT, 0, "not an ESX sparse extent: magic %#010x instead of \"COWD\"", le32_get(p));
	h->version = le32_get(p + 4);
	h->flags = le32_get(p + 8);
	h->capacity = le32_get(p + 12);
	h->grain = le32_get(p + 16);
	h->gd_off = le32_get(p + 20);
	h->n_gts = le32_get(p + 24);
	h->free_sector = le32_get(p + VMDK_COWD_FREE_AT);
	h->unclean = le32_get(p + VMDK_COWD_UNCLEAN_AT);
	if (h->version != 1)
		return vd_fail(err, VDISK_UNSUPPORTED, 4, "ESX sparse extent version %u; 1 is known", h->version);
	if (!vd_is_pow2(h->grain) || h->grain > 16384)
		return vd_fail(err, VDISK_CORRUPT, 16, "grain size of %u sectors: not a power of two up to 16384", h->grain);
	uint64_t need = vd_div_up(h->capacity, (uint64_t)h->grain * VMDK_COWD_GTES);
	if (h->n_gts < need)
		return vd_fail(err, VDISK_CORRUPT, 24, "grain directory of %u entries; the capacity of %u sectors takes %" PRIu64,
			       h->n_gts, h->capacity, need);
	if (h->gd_off < VMDK_COWD_BYTES / VMDK_SECTOR)
		return vd_fail(err, VDISK_CORRUPT, 20, "grain directory at sector %u, inside the header", h->gd_off);
	return 0;
}

void vmdk_cowd_encode(const struct vmdk_cowd *h, bool unfinished, uint8_t p[VMDK_COWD_BYTES])
{
	memset(p, 0, VMDK_COWD_BYTES);
	memcpy(p, unfinished ? VMDK_COWD_UNFINISHED : VMDK_COWD_MAGIC, 4);
	le32_put(p + 4, h->version);
	le32_put(p + 8, h->flags);
	le32_put(p + 12, h->capacity);
	le32_put(p + 16, h->grain);
	le32_put(p + 20, h->gd_off);
	le32_put(p + 24, h->n_gts);
	le32_put(p + VMDK_COWD_FREE_AT, h->free_sector);
	le32_put(p + VMDK_COWD_UNCLEAN_AT, h->unclean);
}

int vmdk_se_decode(const uint8_t *p, struct vmdk_se *h, vd_error *err)
{
	uint64_t bytes;
	if (le64_get(p) != VMDK_SE_MAGIC)
		return vd_fail(err, VDISK_CORRUPT, 0, "not a seSparse extent: magic %#" PRIx64, le64_get(p));
	if (le64_get(p + 8) != VMDK_SE_VERSION)
		return vd_fail(err, VDISK_UNSUPPORTED, 8, "seSparse version %#" PRIx64 "; %#" PRIx64 " is known", le64_get(p + 8),
			       VMDK_SE_VERSION);
	h->capacity = le64_get(p + 16);
	h->grain = le64_get(p + 24);
	h->table = le64_get(p + 32);
	if (le64_get(p + 40))
		return vd_fail(err, VDISK_UNSUPPORTED, 40, "seSparse flags %#" PRIx64 "; none are known", le64_get(p + 40));
	if (!vd_is_zero(p + 48, 32))
		return vd_fail(err, VDISK_UNSUPPORTED, 48, "seSparse header uses reserved fields");
	h->volatile_off = le64_get(p + 80);
	h->gd_off = le64_get(p + 128);
	h->gd_len = le64_get(p + 136);
	h->gts_off = le64_get(p + 144);
	h->gts_len = le64_get(p + 152);
	h->grains_off = le64_get(p + 192);
	h->grains_len = le64_get(p + 200);
	if (h->grain != 8)
		return vd_fail(err, VDISK_UNSUPPORTED, 24, "seSparse grain size of %" PRIu64 " sectors; 8 is known", h->grain);
	if (h->table != VMDK_SE_GTES * 8 / VMDK_SECTOR)
		return vd_fail(err, VDISK_UNSUPPORTED, 32, "seSparse grain table of %" PRIu64 " sectors; 64 is known", h->table);
	for (unsigned at = 80; at < 208; at += 8)
		if (vd_mul64(le64_get(p + at), VMDK_SECTOR, &bytes) || bytes > INT64_MAX)
			return vd_fail(err, VDISK_CORRUPT, at, "seSparse header field of %" PRIu64 " sectors", le64_get(p + at));
	if (h->capacity > UINT64_C(64) << 31) /* VMware's end is 62 TiB; this bounds the directory at 32 MiB */
		return vd_fail(err, VDISK_UNSUPPORTED, 16, "seSparse capacity of %" PRIu64 " sectors is more than 64 TiB",
			       h->capacity);
	if (h->gd_len * (VMDK_SECTOR / 8) < vd_div_up(h->capacity, h->grain * VMDK_SE_GTES))
		return vd_fail(err, VDISK_CORRUPT, 136,
			       "seSparse grain directory of %" PRIu64 " sectors is too short for %" PRIu64 " sectors", h->gd_len,
			       h->capacity);
	return 0;
}

int vmdk_se_volatile(const uint8_t *p, uint64_t at, vd_error *err)
{
	if (le64_get(p) != VMDK_SE_VOLATILE_MAGIC)
		return vd_fail(err, VDISK_CORRUPT, at, "seSparse volatile header has magic %#" PRIx64, le64_get(p));
	if (le64_get(p + 24))
		return vd_fail(err, VDISK_UNSUPPORTED, at + 24,
			       "the seSparse extent's journal was not replayed: open it in ESXi first");
	return 0;
}

enum vmdk_se_kind vmdk_se_entry(uint64_t entry, uint64_t *grain)
{
	*grain = 0;
	switch (entry >> 60) {
	case 0:
		return entry ? VMDK_SE_BAD : VMDK_SE_ABSENT;
	case 1: /* unmapped by the guest: hides the parent, as zeros do */
	case 2:
		return VMDK_SE_ZERO;
	case 3: /* the number's low 12 bits stand above its 48 high ones */
		*grain = (entry >> 48 & 0xfff) | (entry & UINT64_C(0xffffffffffff)) << 12;
		return VMDK_SE_DATA;
	default:
		return VMDK_SE_BAD;
	}
}

bool vmdk_se_table(uint64_t entry, bool *present, uint32_t *table)
{
	*present = entry != 0;
	*table = (uint32_t)entry;
	return !entry || entry >> 32 == UINT64_C(0x10000000);
}

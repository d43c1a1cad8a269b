/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* File systems, told by their superblocks, and the sectors that they can lie on.  What is not known is not believed to fit longer
   ones. */
#include "ops/sectors.h"
#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>

static enum vd_content bad(char *why, size_t cap, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static enum vd_content bad(char *why, size_t cap, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, cap, fmt, ap);
	va_end(ap);
	return VD_CONTENT_BAD;
}

static bool has(const uint8_t *b, size_t len, size_t off, const char *magic, size_t n)
{
	return vd_within(off, n, len) && !memcmp(b + off, magic, n);
}

static bool is_fat(const uint8_t *b, size_t len)
{
	return len >= 512 && b[510] == 0x55 && b[511] == 0xaa && (b[0] == 0xeb || b[0] == 0xe9) && le16_get(b + 11) >= 512 &&
	       vd_is_pow2(le16_get(b + 11)) && vd_is_pow2(b[13]) && le16_get(b + 14) && (b[16] == 1 || b[16] == 2);
}

/* Those that write down the sectors of their disk, and must have them. */
static uint32_t sectors_written(const uint8_t *b, size_t len, const char **name)
{
	if (has(b, len, 3, "NTFS    ", 8)) {
		*name = "NTFS";
		return le16_get(b + 11);
	}
	if (has(b, len, 3, "EXFAT   ", 8)) {
		*name = "exFAT";
		return b[108] < 32 ? 1u << b[108] : 0;
	}
	*name = "FAT";
	return is_fat(b, len) ? le16_get(b + 11) : UINT32_MAX;
}

/* Those that read and write no less than a block at once: how long that is; 0: none of them. */
static uint64_t block_bytes(const uint8_t *b, size_t len, const char **name)
{
	if (has(b, len, 1024 + 56, "\x53\xef", 2)) {
		*name = "ext";
		return le32_get(b + 1024 + 24) < 16 ? UINT64_C(1024) << le32_get(b + 1024 + 24) : 1;
	}
	if (has(b, len, 0, "XFSB", 4)) {
		*name = "XFS";
		return be16_get(b + 102);
	}
	if (has(b, len, 0x10040, "_BHRfS_M", 8)) {
		*name = "btrfs";
		return le32_get(b + 0x10000 + 0x90);
	}
	if (has(b, len, 4086, "SWAPSPACE2", 10) || has(b, len, 4086, "SWAP-SPACE", 10)) {
		*name = "swap";
		return 4096;
	}
	return 0;
}

static bool is_zeros(const uint8_t *b, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (b[i])
			return false;
	return true;
}

enum vd_content vd_content_judge(const uint8_t *b, size_t len, uint32_t to, char *why, size_t cap)
{
	const char *name;
	uint32_t written = sectors_written(b, len, &name);
	uint64_t block;

	if (written != UINT32_MAX)
		return written == to ? VD_CONTENT_FINE : bad(why, cap, "holds %s with sectors of %" PRIu32 " bytes", name, written);
	block = block_bytes(b, len, &name);
	if (block)
		return block >= to ? VD_CONTENT_FINE
		                   : bad(why, cap, "holds %s with blocks of %" PRIu64 " bytes, less than a sector of %" PRIu32,
		                         name, block, to);
	for (size_t i = 0; i < 4; i++)
		if (has(b, len, i * 512, "LABELONE", 8))
			return VD_CONTENT_VOLUMES;
	if (has(b, len, 3, "-FVE-FS-", 8))
		return bad(why, cap, "holds BitLocker, which counts in sectors");
	if (to == 512)
		return VD_CONTENT_FINE;
	if (has(b, len, 0, "LUKS\xba\xbe", 6))
		return bad(why, cap, "is encrypted (LUKS): what it holds cannot be seen");
	if (has(b, len, 0, "\xfc\x4e\x2b\xa9", 4) || has(b, len, 4096, "\xfc\x4e\x2b\xa9", 4))
		return bad(why, cap, "is a part of an MD array: what that holds cannot be seen");
	return is_zeros(b, len) ? VD_CONTENT_FINE : bad(why, cap, "holds something that is not known here");
}

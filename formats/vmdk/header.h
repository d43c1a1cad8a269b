/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Headers of the three kinds of sparse extents, and the markers of streams: bytes to native structs and back.  Pure. */
#ifndef VMDK_HEADER_H
#define VMDK_HEADER_H

#include "base/error.h"

#define VMDK_SECTOR 512u

/* ---- hosted sparse extents: KDMV */

#define VMDK_SPARSE_BYTES 512u
#define VMDK_SPARSE_MAGIC "KDMV"
#define VMDK_UNFINISHED_MAGIC "kdmv" /* what VMware, too, marks temporary files with: nothing opens it */
#define VMDK_UNCLEAN_AT 72u
#define VMDK_GD_AT_END UINT64_MAX

#define VMDK_FLAG_NEWLINES 1u
#define VMDK_FLAG_REDUNDANT 2u
#define VMDK_FLAG_ZERO_GTE 4u
#define VMDK_FLAG_COMPRESSED 0x10000u
#define VMDK_FLAG_MARKERS 0x20000u

struct vmdk_sparse {
	uint32_t version, flags;
	uint64_t capacity, grain; /* in sectors, as all that follows */
	uint64_t desc_off, desc_len;
	uint32_t gtes; /* entries in a grain table */
	uint64_t rgd_off, gd_off;
	uint64_t overhead;
	uint8_t unclean;
	uint16_t compression; /* 0: none; 1: deflate */
};

/* Decodes and judges all that does not need the file's size.  bytes: VMDK_SPARSE_BYTES of them; `at`: their offset, for messages.
 */
int vmdk_sparse_decode(const uint8_t *bytes, uint64_t at, struct vmdk_sparse *h, vd_error *err);
void vmdk_sparse_encode(const struct vmdk_sparse *h, bool unfinished, uint8_t bytes[VMDK_SPARSE_BYTES]);

/* ---- ESX sparse extents: COWD */

#define VMDK_COWD_BYTES 2048u
#define VMDK_COWD_MAGIC "COWD"
#define VMDK_COWD_UNFINISHED "cowd"
#define VMDK_COWD_GTES 4096u
#define VMDK_COWD_FREE_AT 28u
#define VMDK_COWD_UNCLEAN_AT 1648u

struct vmdk_cowd {
	uint32_t version, flags;
	uint32_t capacity, grain; /* in sectors */
	uint32_t gd_off, n_gts;
	uint32_t free_sector; /* the next one to give out */
	uint32_t unclean;
};
int vmdk_cowd_decode(const uint8_t *bytes, struct vmdk_cowd *h, vd_error *err);
void vmdk_cowd_encode(const struct vmdk_cowd *h, bool unfinished, uint8_t bytes[VMDK_COWD_BYTES]);

/* ---- space-efficient sparse extents: read only */

#define VMDK_SE_BYTES 512u
#define VMDK_SE_MAGIC UINT64_C(0xcafebabe)
#define VMDK_SE_VOLATILE_MAGIC UINT64_C(0xcafecafe)
#define VMDK_SE_VERSION UINT64_C(0x0000000200000001)
#define VMDK_SE_GTES 4096u

struct vmdk_se { /* in sectors */
	uint64_t capacity, grain, table;
	uint64_t volatile_off;
	uint64_t gd_off, gd_len, gts_off, gts_len, grains_off, grains_len;
};
int vmdk_se_decode(const uint8_t *bytes, struct vmdk_se *h, vd_error *err);
/* The volatile header: VDISK_UNSUPPORTED where a journal waits for its replay. */
int vmdk_se_volatile(const uint8_t *bytes, uint64_t at, vd_error *err);

enum vmdk_se_kind { VMDK_SE_ABSENT, VMDK_SE_ZERO, VMDK_SE_DATA, VMDK_SE_BAD };
/* A grain table entry: its kind, and for DATA the number of the grain in the grain area. */
enum vmdk_se_kind vmdk_se_entry(uint64_t entry, uint64_t *grain);
/* A grain directory entry: the number of the table; false if it is none.  *present = false: no table. */
bool vmdk_se_table(uint64_t entry, bool *present, uint32_t *table);

/* ---- markers in streamOptimized extents */

enum vmdk_marker_type { VMDK_MARKER_EOS, VMDK_MARKER_GT, VMDK_MARKER_GD, VMDK_MARKER_FOOTER, VMDK_MARKER_PROGRESS };
#define VMDK_GRAIN_MARKER 12u /* bytes before a compressed grain */

struct vmdk_marker {
	uint64_t value; /* a grain's first sector; otherwise how many sectors follow */
	uint32_t size;  /* of the compressed bytes; 0: not a grain */
	uint32_t type;  /* enum vmdk_marker_type, where size is 0 */
};
/* bytes: 16 of them */
void vmdk_marker_decode(const uint8_t *bytes, struct vmdk_marker *m);
void vmdk_marker_encode(const struct vmdk_marker *m, uint8_t bytes[VMDK_SECTOR]);
void vmdk_grain_marker_encode(uint64_t sector, uint32_t size, uint8_t bytes[VMDK_GRAIN_MARKER]);
/* No compressed grain is longer: what zlib may make of incompressible bytes, with room to spare. */
static inline uint64_t vmdk_packed_max(uint64_t grain_bytes)
{
	return grain_bytes + (grain_bytes >> 3) + 4096;
}

#endif

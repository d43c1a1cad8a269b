/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vhd: Microsoft's Virtual Hard Disk, version 1 (fixed, dynamic, differencing).  "The specification" in these files is Microsoft's
 * "Virtual Hard Disk Image Format Specification" of October 11, 2006.  All integers are big-endian.
 *
 *   dynamic, differencing:  copy of the footer · dynamic header · parent locators · BAT · blocks · footer
 *   fixed:                  data · footer
 *
 * A block is a sector bitmap, padded to a sector, and block_bytes of data; its BAT entry is the sector where the bitmap begins.
 */
#ifndef VD_FORMATS_VHD_H
#define VD_FORMATS_VHD_H

#include "base/bytes.h"
#include "base/promise.h"
#include "core/driver.h"
#include "io/cache.h"

#define VHD_SECTOR       512u
#define VHD_FOOTER_BYTES 512u
#define VHD_HEADER_BYTES 1024u
#define VHD_TABLE_BYTES  512u                /* of the cache: a sector of the BAT or of a bitmap */
#define VHD_SIZE_MAX     (UINT64_C(2040) << 30)
#define VHD_BAT_MAX      (UINT32_C(1) << 24) /* entries: 64 MiB of them, 128 KiB blocks at the largest size */
#define VHD_EPOCH        UINT64_C(946684800) /* January 1, 2000, UTC, in seconds since 1970 */
#define VHD_ABSENT       UINT32_C(0xffffffff) /* a BAT entry without a block */
#define VHD_LOCATORS     8u
#define VHD_NAME_BYTES   512u

/* Ranks in the cache: a bitmap says which guest bytes count, a BAT entry points at a bitmap. */
#define VHD_RANK_BITMAP 2u
#define VHD_RANK_BAT    3u

enum vhd_type { VHD_FIXED = 2, VHD_DYNAMIC = 3, VHD_DIFFERENCING = 4 };

struct vhd_geometry {
	uint16_t cylinders;
	uint8_t heads, sectors;
};

struct vhd_footer {
	uint32_t features, version;
	uint64_t data_offset;
	uint32_t timestamp; /* since VHD_EPOCH */
	char app[4];
	uint32_t app_version;
	char os[4];
	uint64_t original_size, current_size;
	struct vhd_geometry geometry;
	uint32_t type; /* enum vhd_type once validated */
	uint32_t checksum;
	uint8_t uuid[16];
	uint8_t saved_state;
};

struct vhd_locator {
	uint32_t code, space, length;
	uint64_t off;
};
#define VHD_CODE(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

struct vhd_header {
	uint64_t table_offset;
	uint32_t version, max_entries, block_bytes, checksum;
	uint8_t parent_uuid[16];
	uint32_t parent_timestamp; /* since VHD_EPOCH */
	uint8_t parent_name[VHD_NAME_BYTES]; /* UTF-16BE */
	struct vhd_locator locators[VHD_LOCATORS];
};

struct vhd_ranges {
	struct vd_range *v;
	size_t n, cap;
};

/* Guarded by the layer's lock: shared for reading it, exclusive for changing it. */
struct vhd {
	enum vhd_type type;
	struct vhd_footer footer;
	struct vhd_header header;                /* dynamic, differencing */
	uint8_t footer_raw[VHD_FOOTER_BYTES];    /* as read or to be written: fields that we do not know stay as they are */
	uint8_t header_raw[VHD_HEADER_BYTES];
	uint64_t footer_off;                     /* where the footer lies or belongs */
	bool tail_bad, copy_bad, copy_differs;   /* the footer; its copy at 0 */
	bool header_bad;                         /* wrong checksum, let through by salvage or check */
	bool by_chs;                             /* the size is the geometry's */
	bool salvage, checking;                  /* as opened */
	bool append;                             /* created on a pipe */
	bool unfinished;                         /* created, without footer and header until finish() */

	/* Blocks. */
	struct vd_cache *cache;
	uint32_t block_bytes, bitmap_bytes;
	uint64_t n_blocks;

	/* Space (space.c): known once scanned. */
	bool scanned;
	uint64_t end;                            /* of the last block: the next one is appended here, the footer follows */
	struct vhd_ranges free, freed;           /* usable; usable once the BAT without them is durable */
	struct vd_promises promises;
};

/* ---- header.c: pure */
uint32_t vhd_checksum(const uint8_t *b, size_t len, size_t field);
bool vhd_footer_has_cookie(const uint8_t *b);
bool vhd_footer_sum_ok(const uint8_t *b);
void vhd_footer_decode(struct vhd_footer *f, const uint8_t b[VHD_FOOTER_BYTES]);
/* Over what is in b; cookie and checksum too. */
void vhd_footer_encode(const struct vhd_footer *f, uint8_t b[VHD_FOOTER_BYTES]);
/* `at`: where it was read, for messages. */
int vhd_footer_validate(const struct vhd_footer *f, uint64_t at, uint64_t file_size, vd_error *err);
bool vhd_header_has_cookie(const uint8_t *b);
bool vhd_header_sum_ok(const uint8_t *b);
void vhd_header_decode(struct vhd_header *h, const uint8_t b[VHD_HEADER_BYTES]);
void vhd_header_encode(const struct vhd_header *h, uint8_t b[VHD_HEADER_BYTES]);
int vhd_header_validate(const struct vhd_header *h, uint64_t at, uint64_t size, uint64_t file_size, vd_error *err);
static inline uint64_t vhd_bat_bytes(const struct vhd_header *h) { return vd_up((uint64_t)h->max_entries * 4, VHD_SECTOR); }
static inline uint32_t vhd_bitmap_bytes(uint32_t block_bytes)
{
	return (uint32_t)vd_up(vd_div_up(block_bytes / VHD_SECTOR, 8), VHD_SECTOR);
}

/* ---- geometry.c: pure */
extern const struct vhd_geometry vhd_geometry_max;
struct vhd_geometry vhd_geometry_of(uint64_t sectors); /* the specification's appendix; rounds down */
static inline uint64_t vhd_geometry_bytes(struct vhd_geometry g)
{
	return (uint64_t)g.cylinders * g.heads * g.sectors * VHD_SECTOR;
}
/* The smallest size at or above `size` that a geometry expresses; `size` itself past the largest geometry. */
uint64_t vhd_geometry_round(uint64_t size);
/* What the footer of a disk of `size` says: the exact geometry, or else the largest, which tells readers to take the size. */
struct vhd_geometry vhd_geometry_for(uint64_t size);

/* ---- parent.c */
/* Candidates for the parent's name from the locators and the header.  Logs what it does not use. */
int vhd_parent_read(struct vd_layer *l, struct vhd *v, const struct vd_open *o, vd_error *err);
struct vhd_parent_write { /* what a new differencing disk says of its parent */
	void *bytes[2];       /* of the locators: W2ru, W2ku; owned; NULL: there is none */
	size_t len[2];
};
/* Fills in header fields but the locators' offsets. */
int vhd_parent_prepare(const struct vd_create *c, struct vhd_header *h, struct vhd_parent_write *w, vd_error *err);
void vhd_parent_clear(struct vhd_parent_write *w);
/* "dir\\file" to "dir/file"; whether a name made so is absolute (a drive letter, too). */
bool vhd_name_is_absolute(const char *name);

/* ---- open.c */
int vhd_probe(const struct vd_peek *peek);
int vhd_open(struct vd_layer *l, const struct vd_open *o, vd_error *err);
void vhd_close(struct vd_layer *l);
/* Sets the layer's fields from v's headers. */
int vhd_setup(struct vd_layer *l, struct vhd *v, uint64_t cache_bytes, vd_error *err);
int vhd_write_tail(struct vd_layer *l, struct vhd *v, uint64_t at, vd_error *err); /* the footer; moves footer_off */
int vhd_write_copy(struct vd_layer *l, struct vhd *v, vd_error *err);
int vhd_write_header(struct vd_layer *l, struct vhd *v, vd_error *err); /* the dynamic header */

/* ---- create.c */
extern const struct vdisk_option_info vhd_options[];
int vhd_create(struct vd_layer *l, const struct vd_create *c, vd_error *err);
int vhd_measure(const struct vd_create *c, uint64_t data, uint64_t units, uint64_t *required, uint64_t *full, vd_error *err);
int vhd_round_size(const struct vd_create *c, uint64_t size, uint64_t *rounded, vd_error *err);
int vhd_finish(struct vd_layer *l, vd_error *err);

/* ---- block.c: the BAT and the bitmaps */
int vhd_bat_get(struct vhd *v, struct vd_cursor *c, uint64_t block, uint32_t *entry, vd_error *err);
int vhd_bat_set(struct vhd *v, uint64_t block, uint32_t entry, vd_error *err);
/* Judges an entry: *data is where the block's data begins; *len how much of it the file holds (0 of a wrong entry).  False, with
   the reason in *err, unless all that the disk needs is there. */
bool vhd_block_judge(const struct vd_layer *l, const struct vhd *v, uint64_t block, uint32_t entry, uint64_t *data, uint64_t *len,
                     vd_error *err);
/* Bits of the block whose bitmap begins at `host`, for [in, in + len) of its data, in bytes. */
int vhd_bits_set(struct vhd *v, uint64_t host, uint64_t in, uint64_t len, vd_error *err);
int vhd_bits_all(struct vhd *v, uint64_t host, bool *all, vd_error *err);
/* A new bitmap in the cache: all zeros or all ones. */
int vhd_bits_new(struct vhd *v, uint64_t host, bool ones, vd_error *err);
void vhd_bits_forget(struct vhd *v, uint64_t host);
int vhd_map(struct vd_layer *l, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err);

/* ---- fixed.c */
int vhd_fixed_map(struct vd_layer *l, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err);
int vhd_fixed_reserve(struct vd_layer *l, struct vd_resv *r, vd_error *err);
int vhd_fixed_publish(struct vd_layer *l, const struct vd_resv *r, size_t n, vd_error *err);
int vhd_fixed_unmap(struct vd_layer *l, uint64_t off, uint64_t len, vd_error *err);
int vhd_fixed_resize(struct vd_layer *l, uint64_t size, vd_error *err);

/* ---- space.c */
/* BAT entries in use, ascending, `n` of them; owned.  A wrong one fails (strict) or is left out. */
int vhd_space_entries(const struct vd_layer *l, struct vhd *v, bool strict, uint32_t **entries, size_t *n, vd_error *err);
/* Index of the first entry whose block overlaps the next one's, or n. */
size_t vhd_space_overlap(const struct vhd *v, const uint32_t *entries, size_t n);
int vhd_space_scan(struct vd_layer *l, struct vhd *v, vd_error *err);
/* Space for a block; its data reads as zeros. */
int vhd_space_take(struct vd_layer *l, struct vhd *v, uint64_t *host, vd_error *err);
void vhd_space_give(struct vhd *v, struct vhd_ranges *to, uint64_t host);
void vhd_space_release(struct vd_layer *l, struct vhd *v); /* freed → free */
/* Cuts off free space at the end of the file.  Nothing may be dirty or promised. */
int vhd_space_trim(struct vd_layer *l, struct vhd *v, vd_error *err);
void vhd_space_clear(struct vhd *v);
/* Where a block may begin at or after `off`: its data lies on 4 KiB. */
uint64_t vhd_space_place(const struct vhd *v, uint64_t off);
static inline uint64_t vhd_stride(const struct vhd *v) { return (uint64_t)v->bitmap_bytes + v->block_bytes; }
static inline uint64_t vhd_bat_end_off(const struct vhd *v) { return v->header.table_offset + vhd_bat_bytes(&v->header); }

/* ---- write.c */
/* Writes anew which of footer and copy is wrong; v->end must be known. */
int vhd_footers_mend(struct vd_layer *l, struct vhd *v, vd_error *err);
int vhd_begin_write(struct vd_layer *l, vd_error *err);
int vhd_reserve(struct vd_layer *l, struct vd_resv *r, vd_error *err);
int vhd_publish(struct vd_layer *l, const struct vd_resv *r, size_t n, vd_error *err);
/* Blocks [first, end) lose their entries; their space is on `freed`. */
int vhd_blocks_remove(struct vhd *v, uint64_t first, uint64_t end, vd_error *err);
void vhd_abandon(struct vd_layer *l, struct vd_resv *r);
int vhd_unmap(struct vd_layer *l, uint64_t off, uint64_t len, enum vd_kind to, vd_error *err);
int vhd_flush(struct vd_layer *l, vd_error *err);

/* ---- resize.c, check.c, values.c */
void vhd_footer_resize(struct vhd *v, uint64_t size);
int vhd_resize(struct vd_layer *l, uint64_t size, vd_error *err);
/* Footer and copy say what v->footer says, one after the other. */
int vhd_footers_write(struct vd_layer *l, struct vhd *v, vd_error *err);
/* reparent.c */
int vhd_set_parent(struct vd_layer *l, const struct vd_new_parent *p, vd_error *err);
int vhd_check(struct vd_layer *l, struct vd_report *r, vd_error *err);
int vhd_amend(struct vd_layer *l, const struct vd_options *o, vd_error *err);
int vhd_values(struct vd_layer *l, vdisk_value_fn fn, void *ctx, vd_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vhdx: Microsoft's Virtual Hard Disk, version 2 (fixed, dynamic, differencing).  "The specification" in these files is [MS-VHDX].
 * All integers are little-endian; GUIDs are kept here in the order in which they are written, and turned when they are read.
 *
 *   0 identifier · 64K, 128K headers · 192K, 256K region tables · 1M … log, metadata region, BAT, blocks, in any order, each on a
 *   MiB
 *
 * The BAT has an entry for each payload block, and after those of each chunk (2^23 sectors) one for the chunk's bitmap block, which
 * is a MiB with a bit for each sector; only differencing disks have those.  All changes of metadata pass through the log
 * (log_write.c).
 */
#ifndef VD_FORMATS_VHDX_H
#define VD_FORMATS_VHDX_H

#include "base/bytes.h"
#include "base/promise.h"
#include "core/driver.h"
#include "io/cache.h"
#include "io/patched.h"

#define VHDX_MIB          (UINT64_C(1) << 20)
#define VHDX_SECTOR       4096u               /* of the log, of the cache's tables, of the headers */
#define VHDX_HEADER_OFF(i) ((uint64_t)65536 * (1 + (i)))
#define VHDX_REGION_OFF(i) ((uint64_t)65536 * (3 + (i)))
#define VHDX_TABLE_BYTES  65536u              /* a region table; the metadata table */
#define VHDX_TABLE_MAX    2047u               /* entries of either */
#define VHDX_SIZE_MAX     (UINT64_C(64) << 40)
#define VHDX_FILE_MAX     (UINT64_C(128) << 40) /* of a file that is written to: bounds the account of its space */
#define VHDX_BLOCK_MAX    (UINT32_C(256) << 20)
#define VHDX_LOG_MAX      (UINT32_C(64) << 20)  /* that is replayed */
#define VHDX_ITEM_MAX     (UINT32_C(1) << 20) /* specification, 2.6.1.2 */
#define VHDX_LOCATOR_MAX  65536u              /* bytes of a parent locator that is read */
#define VHDX_META_MAX     (UINT32_C(16) << 20) /* of a metadata region that is changed */

/* Ranks in the cache: a bitmap says which guest bytes count, a BAT entry points at a block. */
#define VHDX_RANK_BITMAP 2u
#define VHDX_RANK_BAT    3u

enum vhdx_state {
	VHDX_NOT_PRESENT = 0, /* the parent's; zeros where there is none */
	VHDX_UNDEFINED = 1,
	VHDX_ZERO = 2,
	VHDX_UNMAPPED = 3,
	VHDX_FULL = 6,        /* of a bitmap block: present */
	VHDX_PARTIAL = 7,     /* differencing only */
};
static inline enum vhdx_state vhdx_entry_state(uint64_t e) { return (enum vhdx_state)(e & 7); }
static inline uint64_t vhdx_entry_off(uint64_t e) { return e & ~(VHDX_MIB - 1); }
static inline bool vhdx_entry_here(uint64_t e) { return (e & 6) == 6; }

struct vhdx_header {
	uint64_t sequence;
	uint8_t file_guid[16], data_guid[16], log_guid[16];
	uint16_t log_version, version;
	uint32_t log_len;
	uint64_t log_off;
};

struct vhdx_region {
	uint8_t guid[16];
	uint64_t off;
	uint32_t len;
	bool required;
};
struct vhdx_regions { /* what a region table says */
	struct vhdx_region *v;
	uint32_t n;
};

struct vhdx_item {
	uint8_t guid[16];
	uint32_t off, len; /* off within the metadata region */
	uint32_t flags;
};
#define VHDX_ITEM_USER     1u
#define VHDX_ITEM_DISK     2u
#define VHDX_ITEM_REQUIRED 4u

struct vhdx_meta {
	struct vhdx_item items[VHDX_TABLE_MAX];
	uint32_t n;
	uint32_t block_bytes;
	bool fixed, has_parent;       /* LeaveBlocksAllocated, HasParent */
	uint64_t size;
	uint32_t logical, physical;   /* sector sizes */
	uint8_t uuid[16];             /* "virtual disk ID" */
};

/* The file's MiB that are taken: space.c. */
struct vhdx_space {
	uint8_t *used;         /* a bit each, for those below `cap` */
	uint64_t cap, end;     /* from `end` on nothing is used */
	uint64_t n_free, hint; /* unused ones below `end`; none below `hint` */
};

/* Guarded by the layer's lock: shared for reading it, exclusive for changing it. */
struct vhdx {
	struct vhdx_header header;
	unsigned current;             /* which of the two headers that is */
	bool header_bad[2], region_bad[2];
	struct vhdx_regions regions;
	struct vhdx_region bat, meta_at;
	struct vhdx_meta meta;
	struct vd_file *patched;      /* files[0], while what the log holds is not in its places yet; NULL: no such log */
	bool salvage, checking, keep_id;
	bool unfinished;              /* created, without headers until finish() */
	bool begun;                   /* the log is ours */

	/* Blocks. */
	struct vd_cache *cache;
	uint32_t block_bytes, chunk_blocks;
	uint64_t n_blocks;
	uint64_t bat_entries;         /* that the disk needs */

	/* The log (log_write.c). */
	uint64_t log_head, log_sequence;
	uint8_t *log_buf;

	/* Space (space.c): known once scanned. */
	bool scanned;
	struct vhdx_space space;
	struct vd_range *freed;     /* usable once the BAT without them is durable */
	size_t n_freed, cap_freed;
	struct vd_promises promises;
};

/* ---- header.c: pure */
extern const uint8_t vhdx_guid_bat[16], vhdx_guid_meta[16], vhdx_guid_none[16];
void vhdx_guid_get(uint8_t guid[16], const uint8_t *b);
void vhdx_guid_put(uint8_t *b, const uint8_t guid[16]);
bool vhdx_header_decode(struct vhdx_header *h, const uint8_t b[VHDX_SECTOR]); /* false: no header, or its checksum is wrong */
void vhdx_header_encode(const struct vhdx_header *h, uint8_t b[VHDX_SECTOR]);
int vhdx_header_validate(const struct vhdx_header *h, unsigned i, vd_error *err);
/* Of a table's bytes; `v` is owned by the caller then.  False: no table, or its checksum is wrong. */
bool vhdx_regions_intact(const uint8_t b[VHDX_TABLE_BYTES]);
int vhdx_regions_decode(struct vhdx_regions *r, const uint8_t b[VHDX_TABLE_BYTES], vd_error *err);
void vhdx_regions_encode(const struct vhdx_regions *r, uint8_t b[VHDX_TABLE_BYTES]);

/* ---- metadata.c */
extern const uint8_t vhdx_item_parameters[16], vhdx_item_size[16], vhdx_item_uuid[16], vhdx_item_logical[16],
	vhdx_item_physical[16], vhdx_item_parent[16];
int vhdx_meta_read(struct vd_layer *l, struct vhdx *v, vd_error *err);
const struct vhdx_item *vhdx_meta_find(const struct vhdx_meta *m, const uint8_t guid[16]);
/* The region's first VHDX_META_USED bytes (zeros before) for a new disk, and m's items; `locator` may be NULL. */
void vhdx_meta_make(struct vhdx_meta *m, const void *locator, size_t locator_len, uint8_t *b);
/* The metadata become what m says, with this locator (NULL: none), at one stroke, durable. */
int vhdx_meta_change(struct vd_layer *l, struct vhdx *v, const struct vhdx_meta *m, const void *locator, size_t locator_len,
                     vd_error *err);
#define VHDX_META_USED 131072u /* bytes that vhdx_meta_make() fills at most */
#define VHDX_LOCATOR_WRITE_MAX 61440u

/* ---- parent.c */
int vhdx_parent_read(struct vd_layer *l, struct vhdx *v, const struct vd_open *o, vd_error *err);
/* What a differencing disk says of its parent; returns owned. */
int vhdx_parent_make(const struct vd_create *c, uint32_t logical, void **out, size_t *len, vd_error *err);
int vhdx_set_parent(struct vd_layer *l, const struct vd_new_parent *p, vd_error *err);

/* ---- log.c: reading it */
/* What the log holds, as patches over the file; *patches NULL: nothing.  *size: how long the file has to be.  *lost: it is in use,
   and has no entry that counts, though the specification wants one. */
int vhdx_log_read(struct vd_file *f, const struct vhdx_header *h, struct vd_patch **patches, size_t *n, uint64_t *size, bool *lost,
                  vd_error *err);

/* ---- log_write.c */
#define VHDX_LOG_TABLES 84u /* in one entry: three entries fit into the smallest log */
int vhdx_log_replay(struct vd_layer *l, struct vhdx *v, vd_error *err); /* writes what was only laid over the file, durable */
int vhdx_log_start(struct vd_layer *l, struct vhdx *v, vd_error *err);  /* a buffer; the cache goes through the log */
/* After the replay: a log of our own, with a first entry, which counts once a header has its GUID; the one that was there no longer
   does. */
int vhdx_log_open(struct vd_layer *l, struct vhdx *v, vd_error *err);
struct vhdx_change { /* VHDX_SECTOR bytes of metadata */
	uint64_t off;
	const uint8_t *data;
};
/* Durable, together with all that was written before, when it returns; but in its place only after vhdx_change_apply(). */
int vhdx_log_commit(struct vd_layer *l, struct vhdx *v, const struct vhdx_change *c, size_t n, vd_error *err);
/* An entry without changes, durable after all that was written before; whoever replays it takes a file of `file_size` bytes for
   whole. */
int vhdx_log_mark(struct vd_layer *l, struct vhdx *v, uint64_t file_size, vd_error *err);
/* Both, for up to VHDX_LOG_TABLES of them. */
int vhdx_change_all(struct vd_layer *l, struct vhdx *v, const struct vhdx_change *c, size_t n, vd_error *err);
/* Both headers say what v->header says, one after the other. */
int vhdx_headers_write(struct vd_layer *l, struct vhdx *v, vd_error *err);

/* ---- open.c */
int vhdx_probe(const struct vd_peek *peek);
int vhdx_open(struct vd_layer *l, const struct vd_open *o, vd_error *err);
void vhdx_close(struct vd_layer *l);
/* Sets the layer's fields from v's headers. */
int vhdx_setup(struct vd_layer *l, struct vhdx *v, uint64_t cache_bytes, vd_error *err);
void vhdx_geometry_set(struct vd_layer *l, struct vhdx *v); /* what follows from the size and the kind */

/* ---- create.c */
extern const struct vdisk_option_info vhdx_options[];
int vhdx_create(struct vd_layer *l, const struct vd_create *c, vd_error *err);
int vhdx_measure(const struct vd_create *c, uint64_t data, uint64_t units, uint64_t *required, uint64_t *full, vd_error *err);
int vhdx_round_size(const struct vd_create *c, uint64_t size, uint64_t *rounded, vd_error *err);
int vhdx_finish(struct vd_layer *l, vd_error *err);

/* ---- bat.c: the BAT and the bitmaps */
static inline uint64_t vhdx_chunks(uint64_t blocks, uint32_t chunk_blocks) { return vd_div_up(blocks, chunk_blocks); }
/* Where a block's entry stands, and that of a chunk's bitmap. */
static inline uint64_t vhdx_index(const struct vhdx *v, uint64_t block) { return block + block / v->chunk_blocks; }
static inline uint64_t vhdx_bitmap_index(const struct vhdx *v, uint64_t chunk) { return (chunk + 1) * v->chunk_blocks + chunk; }
uint64_t vhdx_bat_needed(uint64_t blocks, uint32_t chunk_blocks, bool differencing);
int vhdx_bat_get(struct vhdx *v, struct vd_cursor *c, uint64_t index, uint64_t *entry, vd_error *err);
int vhdx_bat_set(struct vhdx *v, uint64_t index, uint64_t entry, vd_error *err);
/* Judges a block's entry that is FULL or PARTIAL, or a state that there is not; *held: how much of the block the file holds.
   False, with the reason in *err, unless all that the disk needs is there. */
bool vhdx_block_judge(const struct vd_layer *l, const struct vhdx *v, uint64_t block, uint64_t entry, uint64_t *held,
                      vd_error *err);
/* Where the chunk's bitmap is; 0: it has none. */
int vhdx_bitmap_find(const struct vd_layer *l, struct vhdx *v, uint64_t chunk, uint64_t *host, vd_error *err);
/* Chunks [from, to) have no bitmap afterwards; no block of theirs may be PARTIAL. */
int vhdx_bitmaps_remove(struct vd_layer *l, struct vhdx *v, uint64_t from, uint64_t to, vd_error *err);
/* Bits for [in, in + len) of the block, in bytes; those of the rest of the block are cleared if `fresh`. */
int vhdx_bits_set(struct vd_layer *l, struct vhdx *v, uint64_t block, uint64_t in, uint64_t len, bool fresh, vd_error *err);
/* Makes what the block at `host` leaves to its parent zeros, in its own place. */
int vhdx_gaps_zero(struct vd_layer *l, struct vhdx *v, uint64_t block, uint64_t host, vd_error *err);
int vhdx_bits_all(struct vd_layer *l, struct vhdx *v, uint64_t block, bool *all, vd_error *err);
int vhdx_map(struct vd_layer *l, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err);
static inline bool vhdx_is_diff(const struct vhdx *v) { return v->meta.has_parent; }

/* ---- space.c */
int vhdx_space_scan(struct vd_layer *l, struct vhdx *v, vd_error *err);
/* The same with an ear for what is wrong; nothing is kept. */
int vhdx_space_judge(struct vd_layer *l, struct vhdx *v, struct vd_report *r, vd_error *err);
/* Marks, without a look at what was there; false: out of memory. */
bool vhdx_space_mark(struct vhdx_space *s, uint64_t off, uint64_t len);
/* `len` bytes (whole MiB) that read as zeros. */
int vhdx_space_take(struct vd_layer *l, struct vhdx *v, uint64_t len, uint64_t *host, vd_error *err);
void vhdx_space_give(struct vhdx *v, uint64_t host, uint64_t len);
void vhdx_space_release(struct vd_layer *l, struct vhdx *v); /* freed → free */
/* Cuts off free space at the end of the file.  Nothing may be dirty or promised. */
int vhdx_space_trim(struct vd_layer *l, struct vhdx *v, vd_error *err);
void vhdx_space_clear(struct vhdx *v);

/* ---- write.c */
int vhdx_begin_write(struct vd_layer *l, vd_error *err);
int vhdx_reserve(struct vd_layer *l, struct vd_resv *r, vd_error *err);
int vhdx_publish(struct vd_layer *l, const struct vd_resv *r, size_t n, vd_error *err);
void vhdx_abandon(struct vd_layer *l, struct vd_resv *r);
/* Blocks [first, end) get the state `to`, and no space. */
int vhdx_blocks_remove(struct vhdx *v, uint64_t first, uint64_t end, enum vhdx_state to, vd_error *err);
int vhdx_unmap(struct vd_layer *l, uint64_t off, uint64_t len, enum vd_kind to, vd_error *err);
int vhdx_flush(struct vd_layer *l, vd_error *err);

/* ---- resize.c, check.c, values.c */
int vhdx_resize(struct vd_layer *l, uint64_t size, vd_error *err);
int vhdx_resize_judge(const struct vd_layer *l, uint64_t size, vd_error *err);
int vhdx_amend(struct vd_layer *l, const struct vd_options *o, vd_error *err);
int vhdx_check(struct vd_layer *l, struct vd_report *r, vd_error *err);
int vhdx_values(struct vd_layer *l, vdisk_value_fn fn, void *ctx, vd_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdi: VirtualBox's disk image (dynamic, fixed, differencing), header version 1.1.  All integers are little-endian.
 *
 *   text · magic · version · header · block map · blocks
 *
 * The map has the number of each block's place, counted from the data's beginning, or one of two values that stand for none.
 */
#ifndef VD_FORMATS_VDI_H
#define VD_FORMATS_VDI_H

#include "base/bytes.h"
#include "base/promise.h"
#include "core/driver.h"
#include "io/cache.h"

#define VDI_MAGIC        UINT32_C(0xbeda107f)
#define VDI_HEADER_BYTES 512u                  /* all of a header that is looked at */
#define VDI_TABLE_BYTES  512u                  /* of the cache */
#define VDI_FREE         UINT32_C(0xffffffff)  /* the parent's; zeros where there is none */
#define VDI_ZERO         UINT32_C(0xfffffffe)
#define VDI_BLOCKS_MAX   (UINT32_C(1) << 27)   /* entries of a map: 512 MiB of them */
#define VDI_BLOCK_MIN    4096u
#define VDI_BLOCK_MAX    (UINT32_C(256) << 20)
#define VDI_COMMENT      256u
#define VDI_COMMENT_PARENT "parent: "

/* Ranks in the cache: the header counts blocks before the map points at them. */
#define VDI_RANK_HEADER 2u
#define VDI_RANK_MAP    3u

enum vdi_type { VDI_DYNAMIC = 1, VDI_FIXED = 2, VDI_UNDO = 3, VDI_DIFFERENCING = 4 };

struct vdi_header {
	uint32_t version, header_len; /* major << 16 | minor */
	uint32_t type, flags;
	char comment[VDI_COMMENT + 1];
	uint32_t map_off, data_off;
	uint32_t sector_bytes;        /* of the geometry */
	uint64_t size;
	uint32_t block_bytes, extra_bytes;
	uint32_t blocks, allocated;   /* of the disk; places that are in use, or were */
	uint8_t uuid[16], modified[16], link[16], parent_modified[16];
};

/* Guarded by the layer's lock: shared for reading it, exclusive for changing it. */
struct vdi {
	struct vdi_header h;
	bool salvage, checking, keep_id, unfinished;
	struct vd_cache *cache;
	bool scanned;
	uint32_t *spare;              /* places below h.allocated that no entry points at */
	size_t n_spare;
	struct vd_promises promises;
};

/* ---- header.c: pure */
void vdi_uuid_get(uint8_t uuid[16], const uint8_t *b);
bool vdi_magic_ok(const uint8_t *b, size_t len);
void vdi_header_decode(struct vdi_header *h, const uint8_t b[VDI_HEADER_BYTES]);
void vdi_header_encode(const struct vdi_header *h, uint8_t b[VDI_HEADER_BYTES]);
int vdi_header_validate(const struct vdi_header *h, uint64_t file_size, vd_error *err);
/* Where header fields that change stand. */
#define VDI_ALLOCATED_AT 388u
#define VDI_MODIFIED_AT  408u

/* ---- open.c */
int vdi_probe(const struct vd_peek *peek);
int vdi_open(struct vd_layer *l, const struct vd_open *o, vd_error *err);
void vdi_close(struct vd_layer *l);
int vdi_setup(struct vd_layer *l, struct vdi *v, uint64_t cache_bytes, vd_error *err);
static inline bool vdi_is_diff(const struct vdi *v) { return v->h.type == VDI_DIFFERENCING || v->h.type == VDI_UNDO; }
static inline uint64_t vdi_stride(const struct vdi *v) { return (uint64_t)v->h.extra_bytes + v->h.block_bytes; }
/* Of a place's data. */
static inline uint64_t vdi_host(const struct vdi *v, uint32_t place)
{
	return v->h.data_off + place * vdi_stride(v) + v->h.extra_bytes;
}

/* ---- map.c */
int vdi_entry_get(struct vdi *v, struct vd_cursor *c, uint64_t block, uint32_t *entry, vd_error *err);
int vdi_entry_set(struct vdi *v, uint64_t block, uint32_t entry, vd_error *err);
/* *held: how much of the block the file has.  False, with the reason in *err, unless that is all that the disk needs. */
bool vdi_block_judge(const struct vd_layer *l, const struct vdi *v, uint64_t block, uint32_t entry, uint64_t *held, vd_error *err);
int vdi_map(struct vd_layer *l, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err);

/* ---- write.c */
int vdi_begin_write(struct vd_layer *l, vd_error *err);
int vdi_reserve(struct vd_layer *l, struct vd_resv *r, vd_error *err);
int vdi_publish(struct vd_layer *l, const struct vd_resv *r, size_t n, vd_error *err);
void vdi_abandon(struct vd_layer *l, struct vd_resv *r);
int vdi_unmap(struct vd_layer *l, uint64_t off, uint64_t len, enum vd_kind to, vd_error *err);
int vdi_flush(struct vd_layer *l, vd_error *err);

/* ---- create.c */
extern const struct vdisk_option_info vdi_options[];
int vdi_create(struct vd_layer *l, const struct vd_create *c, vd_error *err);
int vdi_measure(const struct vd_create *c, uint64_t data, uint64_t units, uint64_t *required, uint64_t *full, vd_error *err);
int vdi_round_size(const struct vd_create *c, uint64_t size, uint64_t *rounded, vd_error *err);
int vdi_finish(struct vd_layer *l, vd_error *err);

/* ---- reparent.c */
/* The parent's name in the comment, which no NUL ends; its length, 0: there is none. */
size_t vdi_parent_name(const struct vdi_header *h, const char **name);
/* VDISK_INVALID or VDISK_UNSUPPORTED, and h as it was: that is no parent for a disk of this size. */
int vdi_parent_fill(struct vdi_header *h, const struct vd_layer *parent, const char *name, uint64_t size, vd_error *err);
int vdi_set_parent(struct vd_layer *l, const struct vd_new_parent *p, vd_error *err);

/* ---- resize.c */
/* Writes what of the header may change, at one stroke, after all that was written before; v->h is it then. */
int vdi_header_change(struct vd_layer *l, struct vdi *v, const struct vdi_header *h, vd_error *err);
int vdi_resize_judge(const struct vd_layer *l, uint64_t size, vd_error *err);
int vdi_resize(struct vd_layer *l, uint64_t size, vd_error *err);

/* ---- check.c */
/* Marks each place that an entry points at in a map of h.allocated bits; what is wrong is told to r, or, without it, an error. */
int vdi_places_read(const struct vd_layer *l, struct vdi *v, struct vd_report *r, uint8_t **used, vd_error *err);
int vdi_check(struct vd_layer *l, struct vd_report *r, vd_error *err);
int vdi_values(struct vd_layer *l, vdisk_value_fn fn, void *ctx, vd_error *err);

#endif

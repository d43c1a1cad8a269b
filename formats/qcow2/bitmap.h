/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Persistent dirty bitmaps (spec: "Bitmaps extension", "Bitmaps").  Files: bitmap_dir (the directory, read and written anew),
 * bitmap_bits (a bitmap's table and its bits), bitmap_track (following the writes), bitmap (the driver's calls).
 *
 * Like everything of the layer these are called under its lock, exclusively but for qcow2_bitmaps_touch(), _list(), and _ranges().
 */
#ifndef QCOW2_BITMAP_H
#define QCOW2_BITMAP_H

#include "qcow2.h"

#define QCOW2_BITMAP_FIXED 24u
#define QCOW2_BITMAP_IN_USE   1u /* not to be believed: changes of the disk may be missing from it */
#define QCOW2_BITMAP_AUTO     2u /* follows every change of the disk */
#define QCOW2_BITMAP_EXTRA_OK 4u /* may be used by who does not know its extra data */
#define QCOW2_BITMAP_GRAN_MIN 9u
#define QCOW2_BITMAP_GRAN_MAX 31u
#define QCOW2_BITMAP_BYTES_MAX (512u << 20) /* of one bitmap, as QEMU has it */

struct qcow2_bitmap {
	uint64_t table_off;
	uint32_t table_size, flags;  /* table_size: entries */
	uint8_t type, granularity_bits;
	uint16_t name_len;
	uint32_t extra_len;
	uint64_t at;                 /* of its entry, in the file */
	uint8_t *tail;               /* extra data, then the name; NULL in qcow2_bitmaps_each(), which does not read them */
};

/* ---- bitmap_dir.c */

struct qcow2_bitmaps { struct qcow2_bitmap *v; uint32_t n; };

/* Pure. */
void qcow2_bitmap_decode(const uint8_t p[QCOW2_BITMAP_FIXED], struct qcow2_bitmap *b);
/* NULL, or why it can only be deleted: static. */
const char *qcow2_bitmap_fault(const struct qcow2 *q, const struct qcow2_bitmap *b);
/* Entries of the table that a bitmap of the disk wants. */
uint64_t qcow2_bitmap_entries(const struct qcow2 *q, unsigned granularity_bits);

typedef int (*qcow2_bitmap_fn)(struct qcow2 *q, struct qcow2_bitmap *b, void *ctx, vd_error *err);
/* Calls fn for each entry of the directory, in bounded memory; for none where the image says that the extension is not
   consistent. */
int qcow2_bitmaps_each(struct qcow2 *q, qcow2_bitmap_fn fn, void *ctx, vd_error *err);
/* The whole directory; free it, whatever the result. */
int qcow2_bitmaps_load(struct qcow2 *q, struct qcow2_bitmaps *d, vd_error *err);
void qcow2_bitmaps_free(struct qcow2_bitmaps *d);
/* By the name's bytes, or as it is shown.  VDISK_INVALID where there is none. */
int qcow2_bitmap_find(const struct qcow2_bitmaps *d, const char *name, uint32_t *i, vd_error *err);
/* The name, made printable; cap is enough for VDISK_BITMAP_SHOWN_MAX. */
const char *qcow2_bitmap_name(const struct qcow2_bitmap *b, char *buf, size_t cap);
/* Writes b->flags to its entry in the file: one aligned word. */
int qcow2_bitmap_flags_write(struct qcow2 *q, const struct qcow2_bitmap *b, vd_error *err);
/* The directory as `d` has it, in new space, counted from one write of the header's sector on: durable when it returns 0; else
   nothing has changed, or the layer is broken.  What d names besides was written before. */
int qcow2_bitmaps_store(struct qcow2 *q, const struct qcow2_bitmaps *d, vd_error *err);

/* ---- bitmap_bits.c */

#define QCOW2_BITMAP_SHOWN_MAX (1023u * 4 + 1)
#define QCOW2_ALL_ONES 1ull

struct qcow2_runs { struct qcow2_run *v; size_t n, cap; };
int qcow2_runs_add(struct qcow2_runs *r, uint64_t first, uint64_t n, vd_error *err);
/* Takes the references off, as far as that goes: at worst a leak. */
void qcow2_runs_release(struct qcow2 *q, struct qcow2_runs *r);

/* A bitmap whose bits are being set. */
struct qcow2_bits {
	struct qcow2 *q;
	unsigned granularity_bits;
	uint64_t n_bits;
	uint64_t *table;
	uint32_t n;
	bool in_place;           /* its clusters may be written over: nobody believes them meanwhile */
	uint8_t *buf;            /* the cluster of table entry `at` */
	uint32_t at;             /* UINT32_MAX: none */
	bool dirty, changed;     /* the buffer; the table */
	struct qcow2_runs gone;  /* clusters that the table has no more */
	struct qcow2_runs fresh; /* clusters that were taken for it */
};

/* The bits of b; or all zeros for a disk of the layer's size.  End it, whatever the result. */
int qcow2_bits_load(struct qcow2_bits *w, struct qcow2 *q, const struct qcow2_bitmap *b, bool in_place, vd_error *err);
int qcow2_bits_new(struct qcow2_bits *w, struct qcow2 *q, unsigned granularity_bits, vd_error *err);
/* Sets what [off, off+len) of the disk touches. */
int qcow2_bits_add(struct qcow2_bits *w, uint64_t off, uint64_t len, vd_error *err);
/* Bits and table into the file: the table over the old one (in_place; durable then), or in new space, which *b tells from then
   on. */
int qcow2_bits_finish(struct qcow2_bits *w, struct qcow2_bitmap *b, vd_error *err);
void qcow2_bits_end(struct qcow2_bits *w);

/* Every cluster of the bitmap and of its table, as far as they can be. */
int qcow2_bitmap_clusters(struct qcow2 *q, const struct qcow2_bitmap *b, struct qcow2_runs *r, vd_error *err);
/* The ranges below `size` whose bits are set: ascending, joined.  1: fn wanted no more. */
int qcow2_bitmap_ranges(struct qcow2 *q, const struct qcow2_bitmap *b, uint64_t size, vdisk_diff_fn fn, void *ctx, vd_error *err);

/* ---- bitmap_track.c */

/* Looks for bitmaps that follow the writes, and gets ready for it. */
int qcow2_tracking_init(struct qcow2 *q, vd_error *err);
void qcow2_tracking_free(struct qcow2 *q);
/* Durable when it returns: the bitmaps that follow writes (`all`: every one that is believed) are marked as in use. */
int qcow2_bitmaps_hold(struct qcow2 *q, bool all, vd_error *err);
/* 1: they have to be held first. */
int qcow2_bitmaps_touch(struct vd_layer *l, uint64_t off, uint64_t len, vd_error *err);
int qcow2_bitmaps_begin(struct vd_layer *l, vd_error *err);
/* What was touched goes into the bitmaps, which are believed again. */
int qcow2_bitmaps_settle(struct vd_layer *l, vd_error *err);
/* The same of all that are held, after the disk of old_size bytes got another size or content: they get tables for its size, and
   those that follow writes have [dirty_from, end) set. */
int qcow2_bitmaps_remake(struct qcow2 *q, uint64_t old_size, uint64_t dirty_from, vd_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The qcow2 driver's own declarations.  Specification: docs/interop/qcow2.rst of QEMU ("spec" in comments).
 *
 * Files: header (the fixed fields), extension (what follows them), refcount (counts of host clusters), alloc (finding and freeing
 * space), l1l2 (reading and writing the two tables), map, write (reserve, publish, unmap), create, snapshot, bitmap (bitmap.h),
 * codec (compression), crypt and luks, check and repair, resize, amend, measure, driver (open, close, facts, the driver's table).
 *
 * Everything in struct qcow2 is guarded by the layer's lock: map() and the codecs only read it.
 */
#ifndef QCOW2_QCOW2_H
#define QCOW2_QCOW2_H

#include "base/alloc.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/options.h"
#include "base/pack.h"
#include "core/driver.h"
#include "io/cache.h"
#include "io/file.h"

#define QCOW2_MAGIC          0x514649fbu /* "QFI\xfb" */
#define QCOW2_HEADER_V2      72u
#define QCOW2_HEADER_V3      104u
#define QCOW2_HEADER_OURS    112u
#define QCOW2_CLUSTER_BITS_MIN 9u
#define QCOW2_CLUSTER_BITS_MAX 21u
#define QCOW2_L1_BYTES_MAX   (32u << 20)
#define QCOW2_REFTABLE_BYTES_MAX (8u << 20)
#define QCOW2_SNAPSHOTS_MAX  65536u
#define QCOW2_SNAPSHOT_TABLE_MAX (64u << 20)
#define QCOW2_BITMAPS_MAX    65535u
#define QCOW2_BACKING_MAX    1023u
#define QCOW2_TABLE_BYTES_MAX 65536u
#define QCOW2_PENDING_MAX    65536u /* runs; more are worth a flush */

/* Ranks of the cache's tables. */
#define QCOW2_RANK_BLOCK 0u
#define QCOW2_RANK_REFTABLE 1u
#define QCOW2_RANK_L2 2u
#define QCOW2_RANK_L1 3u

#define QCOW2_INCOMPAT_DIRTY     (1ull << 0)
#define QCOW2_INCOMPAT_CORRUPT   (1ull << 1)
#define QCOW2_INCOMPAT_DATA_FILE (1ull << 2)
#define QCOW2_INCOMPAT_COMPRESSION (1ull << 3)
#define QCOW2_INCOMPAT_EXT_L2    (1ull << 4)
#define QCOW2_INCOMPAT_UNFINISHED (1ull << 63) /* ours, while an image is being created; see extension.c */
#define QCOW2_INCOMPAT_KNOWN     0x1full
#define QCOW2_COMPAT_LAZY        (1ull << 0)
#define QCOW2_AUTOCLEAR_BITMAPS  (1ull << 0)
#define QCOW2_AUTOCLEAR_RAW_DATA (1ull << 1)

#define QCOW2_EXT_END       0u
#define QCOW2_EXT_BACKING_FORMAT 0xe2792acau
#define QCOW2_EXT_FEATURES  0x6803f857u
#define QCOW2_EXT_BITMAPS   0x23852875u
#define QCOW2_EXT_CRYPTO    0x0537be77u
#define QCOW2_EXT_DATA_FILE 0x44415441u

#define QCOW2_CRYPT_NONE 0u
#define QCOW2_CRYPT_AES  1u
#define QCOW2_CRYPT_LUKS 2u

#define QCOW2_OFF_MASK   0x00fffffffffffe00ull /* bits 9-55 of L1, L2 and bitmap table entries */
#define QCOW2_COPIED     (1ull << 63)
#define QCOW2_COMPRESSED (1ull << 62)
#define QCOW2_ZERO       (1ull << 0)
#define QCOW2_SUBCLUSTERS 32u

struct qcow2_header {
	uint32_t version, cluster_bits;
	uint64_t size;
	uint64_t backing_off;
	uint32_t backing_len;
	uint32_t crypt_method;
	uint64_t l1_off;
	uint32_t l1_size;
	uint32_t rt_clusters;
	uint64_t rt_off;
	uint64_t snap_off;
	uint32_t n_snap;
	uint32_t refcount_order;
	uint64_t incompat, compat, autoclear;
	uint32_t header_len;
	uint8_t compression;
};

/* What the header extensions say. */
struct qcow2_exts {
	char *backing_format; /* NULL: none */
	char *data_name;      /* NULL: none */
	bool has_crypto, has_bitmaps;
	uint64_t crypto_off, crypto_len;
	uint32_t n_bitmaps;
	uint64_t bitmap_dir_off, bitmap_dir_len;
	uint8_t *features;    /* the feature name table as it is; NULL: none */
	uint32_t features_len;
	uint8_t *kept;        /* extensions that we do not know, whole and padded, to be written back */
	uint32_t kept_len;
};

struct qcow2_run { uint64_t first, n; }; /* host clusters */
struct qcow2_meta { uint64_t *slot; size_t n, cap; };

struct qcow2_crypt;
struct qcow2_tracking;

struct qcow2 {
	struct vd_layer *layer;
	struct vd_file *file;   /* files[0]: the metadata, and guest clusters too unless there is a data file */
	struct vd_file *data;   /* where guest clusters lie: file, the external data file, or NULL (only facts were wanted) */
	uint16_t data_idx;
	bool external, external_raw;
	bool salvage;
	bool for_check;         /* opened with VD_OPEN_CHECK: dirty and corrupt marks are check's to clear */
	bool sparse;            /* the data file had holes worth asking for when it was opened: preallocated clusters */
	bool lenient;           /* during check: a refcount table entry that cannot be counts as none */
	bool data_fresh;        /* the external data file was made with this image: what was not written to it reads as zeros */
	bool ext_l2;
	bool unfinished;        /* being created: relaxed, marked by QCOW2_INCOMPAT_UNFINISHED */
	bool shadowed;          /* h, cursor and the cache are a change's that the file does not show yet (shadow.c) */
	struct qcow2_header h;  /* as it stands on the disk */
	struct qcow2_exts x;
	char *backing;          /* the name as stored; NULL: none */

	uint32_t cluster;       /* bytes */
	unsigned bits;          /* log2 of it */
	uint32_t table;         /* bytes of a cached table: a cluster or a slice of one */
	unsigned entry_bytes;   /* of an L2 entry: 8 or 16 */
	uint32_t l2_entries;
	uint64_t l1_off;        /* the active L1 table, or a snapshot's */
	uint32_t l1_size;
	struct vd_cache *cache;
	uint64_t cache_bytes;

	/* Refcounts.  No cluster below `hint` is free.  Nothing at or after `cursor` is in use.  What lies at or after `virgin`
	   reads as zeros and was never given out. */
	unsigned block_bits;    /* log2 of the counts in a refcount block */
	uint64_t count_max;
	uint64_t cursor, hint, virgin; /* cluster numbers */
	uint64_t pack_off;      /* where the next compressed cluster may begin; 0: in a new host cluster */
	struct qcow2_run *pending; /* counts to be taken down once the references' removal is durable */
	size_t n_pending, cap_pending;

	struct qcow2_meta meta; /* clusters of the active L2 tables and of the refcount blocks */

	struct vd_packer *packer;
	struct vd_unpacker *unpacker;
	struct qcow2_crypt *crypt; /* NULL: plain, or no key was given */
	uint32_t crypt_method;

	struct qcow2_tracking *tracking; /* of writes, for bitmaps; NULL: opened for reading */
};

static inline struct qcow2 *qcow2_of(const struct vd_layer *l) { return l->priv; }
static inline uint64_t qcow2_cluster_of(const struct qcow2 *q, uint64_t off) { return off >> q->bits; }

/* header.c */
/* Pure: the first `len` bytes of a file of `file_size`. */
int qcow2_header_decode(const uint8_t *p, size_t len, struct qcow2_header *h, vd_error *err);
int qcow2_header_validate(const struct qcow2_header *h, uint64_t file_size, bool for_check, vd_error *err);
void qcow2_header_encode(const struct qcow2_header *h, uint8_t *p);
/* Writes the fixed fields only: one sector, so it happens or not. */
int qcow2_header_write(struct qcow2 *q, vd_error *err);
/* Writes header, extensions and backing name anew. */
int qcow2_header_rewrite(struct qcow2 *q, vd_error *err);

/* extension.c */
int qcow2_exts_decode(const struct qcow2_header *h, const uint8_t *p, size_t len, struct qcow2_exts *x, vd_error *err);
int qcow2_features_judge(const struct qcow2_header *h, const struct qcow2_exts *x, vd_error *err);
/* Bytes used of buf (cap of them); with the feature name table only where it fits.  VDISK_INVALID when the rest does not. */
int qcow2_exts_encode(const struct qcow2_header *h, const struct qcow2_exts *x, size_t reserve, uint8_t *buf, size_t cap,
                      size_t *used, vd_error *err);
void qcow2_exts_free(struct qcow2_exts *x);

/* refcount.c */
uint64_t qcow2_count_get(const uint8_t *p, unsigned order, uint64_t i);
void qcow2_count_put(uint8_t *p, unsigned order, uint64_t i, uint64_t count);
uint64_t qcow2_reftable_entries(const struct qcow2 *q);
int qcow2_block_at(struct qcow2 *q, uint64_t block, uint64_t *off, vd_error *err); /* 0: none */
int qcow2_reftable_put(struct qcow2 *q, uint64_t block, uint64_t off, vd_error *err);
/* Makes sure that the count of `cluster` has a place; may allocate, moving q->cursor. */
int qcow2_block_need(struct qcow2 *q, uint64_t cluster, vd_error *err);
int qcow2_refcount_get(struct qcow2 *q, uint64_t cluster, uint64_t *count, vd_error *err);
/* Its block must exist. */
int qcow2_refcount_put(struct qcow2 *q, uint64_t cluster, uint64_t count, vd_error *err);
/* Sets [first, first+n) from 0 to 1; stops at a count that is not 0: *done. */
int qcow2_refcount_claim(struct qcow2 *q, uint64_t first, uint64_t n, uint64_t *done, vd_error *err);
/* Length of the run of counts from `first` on, at most n, that are zero (or not): *zero. */
int qcow2_refcount_scan(struct qcow2 *q, uint64_t first, uint64_t n, bool *zero, uint64_t *run, vd_error *err);
/* Adds delta, 1 or -1, to counts that are not 0: VDISK_CORRUPT where one is, VDISK_UNSUPPORTED past the largest count. */
int qcow2_refcount_add(struct qcow2 *q, uint64_t first, uint64_t n, int delta, vd_error *err);

/* Counts of [first, first+n) into out. */
int qcow2_refcount_read(struct qcow2 *q, uint64_t first, uint64_t n, uint64_t *out, vd_error *err);

/* entries.c: from *i on, the next entry of a table that is not 0; *i is then its number, or n (l1_size, all blocks): no more. */
int qcow2_entry_next(struct qcow2 *q, uint64_t table_off, uint64_t n, unsigned rank, uint64_t *i, uint64_t *entry, vd_error *err);
/* The first of the be64 entries [from, n) at p that is not 0, or n. */
uint64_t qcow2_entry_first(const uint8_t *p, uint64_t from, uint64_t n);
/* The first of the entries [at, n) of a slice of an L2 table that is not all zeros, or n. */
uint32_t qcow2_l2_first(const struct qcow2 *q, const struct vd_table *t, uint32_t at, uint32_t n);
int qcow2_l1_next(struct qcow2 *q, uint64_t l1_off, uint64_t l1_size, uint64_t *i, uint64_t *entry, vd_error *err);
/* The same of the refcount blocks, *off; fails as qcow2_block_at() does, *i being the one at fault. */
int qcow2_block_next(struct qcow2 *q, uint64_t *i, uint64_t *off, vd_error *err);

/* alloc.c */
/* Up to `want` clusters in a row, at least one: *first, *got; their count becomes 1.  *zeroed: they read as zeros. */
int qcow2_alloc(struct qcow2 *q, uint64_t want, uint64_t *first, uint64_t *got, bool *zeroed, vd_error *err);
/* Exactly n in a row, at the end. */
int qcow2_alloc_row(struct qcow2 *q, uint64_t n, uint64_t *first, bool *zeroed, vd_error *err);
int qcow2_alloc_packed(struct qcow2 *q, uint32_t len, uint64_t *host, vd_error *err);
/* Takes one reference off each cluster, at once: nothing durable may point there. */
int qcow2_free_now(struct qcow2 *q, uint64_t first, uint64_t n, vd_error *err);
/* The same, once the references' removal is durable (qcow2_flush). */
int qcow2_free_later(struct qcow2 *q, uint64_t first, uint64_t n, vd_error *err);
/* Takes all pending references off; the caller has written the tables back. */
int qcow2_free_pending(struct qcow2 *q, vd_error *err);
int qcow2_grow_file(struct qcow2 *q, vd_error *err);
int qcow2_trim_file(struct qcow2 *q, vd_error *err);
/* Finds where the used part ends, for q->cursor. */
int qcow2_cursor_init(struct qcow2 *q, vd_error *err);
int qcow2_flush_layer(struct qcow2 *q, vd_error *err);

/* meta.c */
bool qcow2_meta_has(const struct qcow2_meta *m, uint64_t cluster);
int qcow2_meta_add(struct qcow2_meta *m, uint64_t cluster, vd_error *err);
void qcow2_meta_remove(struct qcow2_meta *m, uint64_t cluster);
int qcow2_meta_load(struct qcow2 *q, vd_error *err);

/* l1l2.c */
/* A slice of an L2 table, pinned, and where an entry is in it. */
struct qcow2_l2_pos {
	uint64_t l2_off;     /* 0: no table */
	bool shared;         /* the L1 entry lacks "copied" */
	uint32_t idx;        /* of the entry in the table */
};
struct qcow2_entry { uint64_t desc, bitmap; };

/* Where the table for guest offset `off` is.  Refuses what an L1 entry cannot mean. */
int qcow2_l2_find(struct qcow2 *q, uint64_t off, struct qcow2_l2_pos *pos, vd_error *err);
/* The same, with a table of our own: allocates or copies it. */
int qcow2_l2_own(struct qcow2 *q, uint64_t off, struct qcow2_l2_pos *pos, vd_error *err);
/* Pins the slice that holds entry `idx`; *first, *n: the entries in it. */
int qcow2_l2_slice(struct qcow2 *q, uint64_t l2_off, uint32_t idx, struct vd_table **t, uint32_t *first, uint32_t *n,
                   vd_error *err);
struct qcow2_entry qcow2_entry_get(const struct qcow2 *q, const struct vd_table *t, uint32_t at);
void qcow2_entry_put(const struct qcow2 *q, struct vd_table *t, uint32_t at, struct qcow2_entry e);
int qcow2_l1_get(struct qcow2 *q, uint64_t l1_off, uint64_t idx, uint64_t *entry, vd_error *err);
int qcow2_l1_put(struct qcow2 *q, uint64_t idx, uint64_t entry, vd_error *err);
/* In the table at `l1_off`: a snapshot's. */
int qcow2_l1_put_at(struct qcow2 *q, uint64_t l1_off, uint64_t idx, uint64_t entry, vd_error *err);
static inline uint64_t qcow2_l2_span(const struct qcow2 *q) { return (uint64_t)q->l2_entries << q->bits; }
/* [off, off+len) touches the header, the active L1 table or the refcount table. */
bool qcow2_is_core_meta(const struct qcow2 *q, uint64_t off, uint64_t len);
/* Fills the new cluster of tables at `to`, in the cache, with those at `from`, or (0) with zeros; tail_ok: as in vd_cache_get(). */
int qcow2_tables_fill(struct qcow2 *q, uint64_t to, uint64_t from, unsigned rank, bool tail_ok, vd_error *err);
/* What an L2 table's offset cannot be; `what` names where it stands. */
int qcow2_l2_off_judge(const struct qcow2 *q, uint64_t entry, uint64_t where, vd_error *err);

/* The parts of an L2 entry. */
struct qcow2_packed { uint64_t host, len; };
struct qcow2_packed qcow2_packed_decode(unsigned cluster_bits, uint64_t desc);
uint64_t qcow2_packed_encode(unsigned cluster_bits, uint64_t host, uint32_t len);
uint64_t qcow2_packed_host_end(unsigned cluster_bits); /* hosts of compressed clusters lie below it */
/* The host clusters that the entry refers to. */
struct qcow2_run qcow2_entry_run(const struct qcow2 *q, struct qcow2_entry e);
/* NULL, or what is wrong with the entry for guest cluster `off`.  `valid` bytes of it lie within the disk. */
const char *qcow2_entry_fault(const struct qcow2 *q, struct qcow2_entry e, uint64_t off, uint64_t valid);

/* map.c, write.c */
int qcow2_map(struct vd_layer *l, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err);
int qcow2_begin_write(struct vd_layer *l, vd_error *err);
int qcow2_reserve(struct vd_layer *l, struct vd_resv *r, vd_error *err);
int qcow2_publish(struct vd_layer *l, const struct vd_resv *r, size_t n, vd_error *err);
void qcow2_abandon(struct vd_layer *l, struct vd_resv *r);
int qcow2_unmap(struct vd_layer *l, uint64_t off, uint64_t len, enum vd_kind to, vd_error *err);
int qcow2_flush(struct vd_layer *l, vd_error *err);
int qcow2_finish(struct vd_layer *l, vd_error *err);
uint32_t qcow2_layer_caps(const struct vd_layer *l);

/* create.c, measure.c */
extern const struct vdisk_option_info qcow2_options[];
struct qcow2_plan { /* what the create options amount to */
	struct qcow2_header h;
	uint64_t l1_clusters;
	int prealloc;         /* QCOW2_PREALLOC_* */
	const char *data_name;
	const char *key_file;
	uint64_t iter_ms;
};
#define QCOW2_PREALLOC_OFF 0
#define QCOW2_PREALLOC_METADATA 1
#define QCOW2_PREALLOC_FALLOC 2
#define QCOW2_PREALLOC_FULL 3
int qcow2_plan_make(const struct vd_create *c, struct qcow2_plan *p, vd_error *err);
/* Host clusters of an image: `data` guest clusters below n_l2 tables, plus header, L1 and `extra`; refcounts included. */
uint64_t qcow2_clusters_total(const struct qcow2_header *h, uint64_t l1_clusters, uint64_t n_l2, uint64_t data, uint64_t extra,
                              uint64_t *rt_clusters);
int qcow2_create(struct vd_layer *l, const struct vd_create *c, vd_error *err);
int qcow2_measure(const struct vd_create *c, uint64_t data, uint64_t units, uint64_t *required, uint64_t *full, vd_error *err);
int qcow2_round_size(const struct vd_create *c, uint64_t size, uint64_t *rounded, vd_error *err);
/* Sets what follows from q->h: cluster, entry and table sizes, the cache. */
int qcow2_geometry_init(struct qcow2 *q, uint64_t cache_bytes, vd_error *err);
void qcow2_free(struct qcow2 *q);

/* snapshot.c */
struct qcow2_snapshot {
	uint64_t l1_off;
	uint32_t l1_size;
	uint64_t size;       /* of its disk */
	uint64_t vm_state;
	uint32_t date_sec, date_nsec;
	uint64_t vm_clock, icount;
	char *id, *name;     /* made printable; valid until the next step */
};
struct qcow2_snapshots { /* a walk over the table, in bounded memory */
	struct qcow2 *q;
	uint32_t i;
	uint64_t at;         /* offset of the next entry; after the last one: the table's end */
	struct qcow2_snapshot s;
};
void qcow2_snapshots_begin(struct qcow2_snapshots *w, struct qcow2 *q);
/* 1: w->s is the next one; 0: no more; -1: error. */
int qcow2_snapshots_next(struct qcow2_snapshots *w, vd_error *err);
void qcow2_snapshots_end(struct qcow2_snapshots *w);
int qcow2_snapshot_choose(struct qcow2 *q, const char *which, vd_error *err);
/* The snapshot's L1 table can be one. */
int qcow2_snapshot_judge(const struct qcow2 *q, const struct qcow2_snapshot *s, vd_error *err);
extern const struct vd_snapshot_ops qcow2_snapshot_ops;

/* snapshot_change.c */
int qcow2_snapshot_create(struct vd_layer *l, const struct vd_new_snapshot *n, char *id, vd_error *err);
int qcow2_snapshot_apply(struct vd_layer *l, uint32_t i, vd_error *err);
int qcow2_snapshot_remove(struct vd_layer *l, uint32_t i, vd_error *err);

/* snapshot_table.c: the table, written anew while shadowed. */
struct qcow2_snapshot_edit {
	uint32_t drop;            /* this entry goes; UINT32_MAX: none */
	const uint8_t *entry;     /* this one comes, at the end; NULL: none */
	size_t entry_bytes;       /* a multiple of 8 */
};
/* Clusters that the table takes now, and that an entry more may take. */
int qcow2_snapshot_table_size(struct qcow2 *q, uint64_t *bytes, vd_error *err);
int qcow2_snapshot_table_write(struct qcow2 *q, const struct qcow2_snapshot_edit *e, vd_error *err);

/* shadow.c: between begin and commit, q->h is what the header is going to say; counts, new tables and q->h may be changed, and
   space is taken at the end only.  Whoever gets 0 from begin calls one of commit and abort. */
struct qcow2_shadow {
	struct qcow2 *q;
	struct qcow2_header old;  /* as it stands in the file */
	uint64_t cursor, file_size;
	struct qcow2_meta blocks; /* the refcount blocks that were copied */
};
/* `more`: clusters that the change will take. */
int qcow2_shadow_begin(struct qcow2_shadow *s, struct qcow2 *q, uint64_t more, vd_error *err);
/* Durable when it returns 0; else nothing has changed, or the layer is broken. */
int qcow2_shadow_commit(struct qcow2_shadow *s, vd_error *err);
void qcow2_shadow_abort(struct qcow2_shadow *s);
/* Discards the cache, dirty or not, and makes the set of tables anew. */
int qcow2_tables_forget(struct qcow2 *q, vd_error *err);

/* bitmap.h has the rest. */
extern const struct vd_bitmap_ops qcow2_bitmap_ops;

/* codec.c, crypt.c, luks.c */
int qcow2_codec_init(struct qcow2 *q, int level, vd_error *err);
extern const struct vd_codec qcow2_codec;
int qcow2_crypt_open(struct qcow2 *q, const struct vd_open *o, vd_error *err);
int qcow2_crypt_create(struct qcow2 *q, const struct qcow2_plan *p, const struct vd_create *c, vd_error *err);
int qcow2_crypt_run(const struct qcow2 *q, bool encrypt, uint64_t off, uint64_t host, uint8_t *buf, size_t len, vd_error *err);
void qcow2_crypt_free(struct qcow2_crypt *c);

/* walk.c: every reference from the image's metadata to host clusters. */
enum qcow2_ref { QCOW2_REF_DATA, QCOW2_REF_L2, QCOW2_REF_META }; /* may be shared by snapshots; the same; never shared */
struct qcow2_walk {
	struct qcow2 *q;
	/* [off, off+len) of the file is in use as `kind`; `what` names it.  1: if it is a table, it need not be walked. */
	int (*ref)(struct qcow2_walk *w, enum qcow2_ref kind, uint64_t off, uint64_t len, const char *what, vd_error *err);
	/* An L1 (idx) or L2 entry of the active tables that names one cluster at `host`; may change *desc, true in *dirty.
	   1: the same. */
	int (*active)(struct qcow2_walk *w, uint64_t host, uint64_t where, uint64_t *desc, bool *dirty, vd_error *err);
	/* What is wrong at `where` of the file. */
	void (*fault)(struct qcow2_walk *w, uint64_t where, const char *text);
	struct vdisk_check_result *stats; /* of the active tables; NULL: not wanted */
	bool to_sector; /* compressed clusters must be in the file to their last sector */
	/* The clusters of the tables that were walked, none of which is walked again; NULL: ref() decides. */
	struct qcow2_meta *walked;
};
int qcow2_walk_all(struct qcow2_walk *w, vd_error *err);
int qcow2_walk_active(struct qcow2_walk *w, vd_error *err);

/* whole.c: refuses a file that was cut short. */
int qcow2_whole_judge(struct qcow2 *q, vd_error *err);

/* check.c, repair.c */
struct qcow2_checker {
	struct qcow2_walk w; /* first: the walk's callbacks get back to us by it */
	struct vd_report *rep;
	uint32_t *uses;       /* of clusters [lo, hi): how often they are referred to, and as what */
	uint64_t lo, hi, end; /* end: clusters of the file */
	uint64_t image_end;   /* clusters */
	bool quiet;           /* faults were told in an earlier pass */
	bool skipped;         /* some tables could not be read: leaks may be theirs */
};
int qcow2_check(struct vd_layer *l, struct vd_report *rep, vd_error *err);
/* Sets the counts of clusters [first, first+n) from `have` to `want`, where the flags ask for that. */
int qcow2_counts_repair(struct qcow2_checker *k, uint64_t cluster, uint64_t have, uint64_t want, vd_error *err);
/* Refcount table entries and counts past the file's end that cannot be.  1: there is no table to go on with. */
int qcow2_reftable_check(struct qcow2_checker *k, vd_error *err);
/* Clears the dirty and corrupt marks, after a check that left nothing. */
int qcow2_marks_clear(struct qcow2 *q, vd_error *err);
/* Makes all counts right, quietly: for an image marked dirty. */
int qcow2_refcounts_mend(struct qcow2 *q, vd_error *err);

/* resize.c, amend.c */
int qcow2_resize(struct vd_layer *l, uint64_t size, vd_error *err);
int qcow2_amend(struct vd_layer *l, const struct vd_options *o, vd_error *err);
/* parent.c */
/* Header and extensions anew, with `name` (NULL: none) as the backing file's, durable: in one sector, so it happens or not.  The
   extensions that are in the file begin at old_len. */
int qcow2_header_strike(struct qcow2 *q, const char *name, uint32_t old_len, vd_error *err);
int qcow2_set_parent(struct vd_layer *l, const struct vd_new_parent *p, vd_error *err);

#endif

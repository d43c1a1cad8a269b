/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a format is: a driver that maps guest ranges to host ranges and manages its metadata.  It never moves guest data: the core
 * does, once for all formats (core/dispatch.c).  formats/raw is the smallest whole driver.
 *
 * Locking.  A layer's lock is held by the core around each call: shared for map() (so map is re-entrant), exclusive for everything
 * that changes the layer.  Codecs are called under no lock.  A driver takes no claim and calls nothing of the core.
 * Order: claim → layer → file.
 *
 * Crash invariants, which every writable driver keeps (numbered; drivers refer to them):
 *  C1. After a crash at any point every flushed byte reads back.
 *  C2. Metadata never points at space that something else owns: an allocation is durable before the reference to it, a reference's
 *      removal is durable before its space is used again.
 *  C3. What may be lost is space (a leak), never data.
 *  C4. A publish that failed makes the layer read-only until it is opened again (the core sees to that).
 *  C5. A reference to space that holds bytes copied from elsewhere (a copy-on-write fill) becomes durable only after those bytes.
 */
#ifndef VD_CORE_DRIVER_H
#define VD_CORE_DRIVER_H

#include "base/error.h"
#include "base/options.h"
#include "io/file.h"

#include <pthread.h>

struct vd_layer;

/* ---------------------------------------------------------------- extents */

enum vd_kind {
	VD_ABSENT, /* this layer does not say: ask its parent; zeros where there is none */
	VD_ZERO,
	VD_DATA,
};

/* The same bits as VDISK_EXT_*.
 *  MAPPED      host space [host, host+len) belongs to the range (host_len == len), whatever the kind: a preallocated zero cluster
 *              is ZERO and MAPPED, an unwritten part of an allocated VHD block ABSENT and MAPPED.
 *  WRITABLE    with MAPPED: the bytes may be overwritten in place, with nothing to reserve or publish, and count from then on.
 *              A hole of a raw file is ZERO, MAPPED and WRITABLE.  A cluster that a snapshot shares is not.
 *  COMPRESSED  one packed unit; host, host_len to the byte.  Never MAPPED or WRITABLE.  A driver gives the whole unit as off and
 *              len (cut at the disk's end); vd_extents_add() keeps that in unit_off and unit_len and cuts off and len to what was
 *              asked.
 *  CIPHERED    DATA whose bytes the codec's crypt() must pass; with MAPPED.
 *  LOST        ZERO only because salvage gave it up. */
#define VD_EXT_MAPPED     1u
#define VD_EXT_WRITABLE   2u
#define VD_EXT_COMPRESSED 4u
#define VD_EXT_CIPHERED   8u
#define VD_EXT_LOST      16u

struct vd_extent {
	uint64_t off, len; /* guest bytes of one layer; len is never 0 */
	enum vd_kind kind;
	uint32_t flags;
	uint16_t file;     /* index into layer->files */
	uint16_t depth;    /* the core's: 0 in a driver's answer */
	uint64_t host, host_len;
	uint64_t unit_off, unit_len; /* COMPRESSED: the whole unit; set by vd_extents_add() */
};

/* An answer to map(): ascending, contiguous from `off` on, never past `end`; may stop early, but never empty.  One call looks at
   VD_MAP_WORK pieces at most, or few more, however few extents they make: an image of a few hundred bytes may have as many as it
   likes, and whoever asked wants to be asked now and then whether to go on. */
#define VD_MAP_WORK 16384u
struct vd_extents {
	uint64_t off, end;    /* the range asked for */
	uint64_t next;        /* where the next extent must begin */
	size_t n, cap;
	uint32_t left;        /* pieces still to be looked at */
	struct vd_extent *v;
};

static inline void vd_extents_init(struct vd_extents *e, struct vd_extent *v, size_t cap, uint64_t off, uint64_t len)
{
	e->off = e->next = off;
	e->end = off + len;
	e->n = 0;
	e->cap = cap;
	e->left = VD_MAP_WORK;
	e->v = v;
}

/* Notes n more pieces; false: they were the last. */
static inline bool vd_extents_spend(struct vd_extents *e, uint32_t n)
{
	e->left -= n < e->left ? n : e->left;
	return e->left > 0;
}

/* Appends, cutting what lies outside [next, end) (MAPPED host ranges are cut along) and merging with the last one where both agree
   and their host ranges join; a piece is spent.  An extent that ends at or before `next` is passed over.  False when the answer is
   complete or full, or nothing is left: stop. */
bool vd_extents_add(struct vd_extents *e, const struct vd_extent *x);

/* Appends x, whose bytes lie plain in `f` from x.host on, with x.flags: as DATA, or, with VD_MAP_HOLES in `flags`, as ZERO where
   `f` has holes.  *more: what vd_extents_add() said last. */
int vd_extents_add_plain(struct vd_extents *e, struct vd_file *f, struct vd_extent x, uint32_t flags, bool *more, vd_error *err);

/* map() of a driver that only reads and finds one piece after the other.  `find` gets x with off, and len up to the end of what was
   asked; it says what lies at off and how far (len; off may go back to a packed unit's beginning).  With `salvage` a piece for
   which it says VDISK_CORRUPT is LOST, as far as its len says by then. */
typedef int vd_piece_fn(struct vd_layer *l, struct vd_extent *x, vd_error *err);
int vd_map_pieces(struct vd_layer *l, uint64_t off, uint64_t len, bool salvage, vd_piece_fn *find, struct vd_extents *e,
                  vd_error *err);

/* vd_driver.map flags */
#define VD_MAP_HOLES 1u /* the caller gains by knowing zeros that only the host's file system tells (SEEK_DATA) */
#define VD_MAP_TABLES 2u /* what the tables say is enough: of a packed unit, host_len may be less than it takes, if to know it the unit
                            would have to be read */

/* ---------------------------------------------------------------- writing */

#define VD_RESV_PACKED  1u /* in: one unit, compressed to packed_len bytes */
#define VD_RESV_COPIED  2u /* in, set before publish: holds bytes copied from elsewhere (C5: a data barrier is due) */
#define VD_RESV_ZEROED  4u /* out: the space reads as zeros before anything is written to it (fresh past the end of a regular
                              file) */
#define VD_RESV_CIPHERED 8u /* out: encrypt before writing */
#define VD_RESV_INPLACE 16u /* out: WRITABLE already; publish will do nothing for it */

struct vd_resv {
	uint64_t off, len;   /* guest; both multiples of the presence grain (the last may stick out over the disk's end); the driver
	                        may shorten len to what is contiguous on the host, never to 0 */
	enum vd_kind kind;   /* DATA: space for the bytes; ZERO: only what publish will need to say "zeros" (whole presence
	                        grains) */
	uint32_t flags;
	uint32_t packed_len; /* PACKED: exact bytes to store */
	uint16_t file;       /* out, for DATA */
	uint64_t host;       /* out, for DATA: where the caller writes len (packed_len) bytes */
	uint64_t priv;       /* the driver's */
};

/* ---------------------------------------------------------------- opening and creating */

#define VD_PEEK_HEAD 4096u
#define VD_PEEK_TAIL 1024u
struct vd_peek {
	const uint8_t *head; size_t head_len; /* the file's first bytes, at most VD_PEEK_HEAD */
	const uint8_t *tail; size_t tail_len; /* its last ones, at most VD_PEEK_TAIL; none of a pipe */
	uint64_t size;                        /* UINT64_MAX: unknown */
	const char *suffix;                   /* of the file name, without the dot; "" if none */
};

enum vd_id_kind { VD_ID_NONE, VD_ID_CID, VD_ID_UUID };
struct vd_id { enum vd_id_kind kind; uint32_t cid; uint8_t uuid[16]; };

/* What a layer says of its parent.  Filled in by open(); strings owned by the layer (the core frees them). */
#define VD_PARENT_NAMES 8
struct vd_parent_ref {
	char *names[VD_PARENT_NAMES]; /* candidates as written in the image (UTF-8), best first; n_names 0: no parent */
	unsigned n_names;
	char *format;                 /* declared by the image or by its format; NULL: not declared (refused unless the user
	                                 says) */
	struct vd_id id;              /* what the parent must carry; NONE: the format has no such check */
	uint64_t mtime;               /* VHD's time stamp, seconds since 1970, 0: none; a mismatch is a warning only */
};

/* Services that the core gives a driver while it opens or creates.  Paths go through the trust policy. */
struct vd_host {
	void *ctx;
	/* Opens a file that the image names (an extent, a data file), relative to the image's folder, as the layer's next file; its
	   index in *file.  Read-only unless the layer is open for writing and `write`.  Locked like the image. */
	int (*open_file)(struct vd_host *, struct vd_layer *, const char *name, bool write, uint16_t *file, vd_error *);
	/* While creating: makes a file beside the image, which appears under `name` when all is done.  As the next file. */
	int (*create_file)(struct vd_host *, struct vd_layer *, const char *name, uint16_t *file, vd_error *);
	/* The image's own file name without its folder ("disk.vmdk"), the final one while creating. */
	const char *base_name;
	void (*log)(struct vd_host *, enum vdisk_log_level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
};

#define VD_OPEN_RW       1u
#define VD_OPEN_SALVAGE  2u
#define VD_OPEN_FORCE    4u
#define VD_OPEN_KEEP_ID  8u
#define VD_OPEN_CHECK   16u /* tolerate what check() can mend */
#define VD_OPEN_INFO    32u /* only facts are wanted: a missing extent file is no error */
struct vd_open {
	uint32_t flags;                  /* VD_OPEN_* */
	const struct vd_options *options; /* VDISK_OPT_FOR_OPEN ones; "snapshot" opens that internal snapshot read-only */
	uint64_t cache_bytes;
	struct vd_host *host;
};

#define VD_CREATE_UNFINISHED 1u /* mark the image so that no program accepts it until finish(); metadata needs no barriers */
#define VD_CREATE_COMPRESSED 2u /* packed units will be written */
#define VD_CREATE_ROUND_UP   4u
#define VD_CREATE_APPEND     8u /* to a pipe: only appending */
#define VD_CREATE_ORDERED   16u /* reserve() will be called with ascending offsets, each range once */
struct vd_create {
	uint64_t size;
	uint32_t flags;                  /* VD_CREATE_* */
	int level;                       /* of compression, 0: default */
	const struct vd_options *options; /* VDISK_OPT_FOR_CREATE ones */
	const char *backing;             /* NULL: none; as it is to be written */
	const char *backing_format;
	const struct vd_layer *parent;   /* the opened backing layer, for its id, size and time; NULL: none */
	const char *parent_path;         /* its resolved path, absolute; NULL: none */
	uint64_t parent_mtime;           /* seconds since 1970 */
	uint64_t now;                    /* seconds since 1970: SOURCE_DATE_EPOCH where given */
	uint64_t seed;                   /* non-zero: ids derive from it, for identical output; 0: random */
	struct vd_host *host;
};

/* What a layer is to say of its parent from now on. */
struct vd_new_parent {
	const char *name, *format;     /* as it is to be written; the format by its name here */
	const struct vd_layer *layer;  /* opened, for its id and size */
	const char *path;              /* its resolved path, absolute */
	uint64_t mtime;                /* seconds since 1970 */
};

/* ---------------------------------------------------------------- check, info, snapshots */

struct vd_report { /* check()'s ear */
	void *ctx;
	void (*problem)(struct vd_report *, bool is_leak, uint64_t host_off, const char *fmt, ...)
		__attribute__((format(printf, 4, 5)));
	struct vdisk_check_result *result; /* problem() counts corruptions and leaks; check() fills in the rest */
	uint32_t repair;                   /* VDISK_CHECK_REPAIR_*; 0: write nothing */
};

struct vd_new_snapshot {
	const char *name;        /* UTF-8, 1 to VDISK_SNAPSHOT_NAME_MAX bytes; others may have it, too */
	uint64_t date_sec;       /* since 1970, UTC */
	uint32_t date_nsec;
	uint64_t vm_clock_nsec;
};

/*
 * Internal snapshots.  The core calls begin_write() before the first of create, apply and remove, and no I/O runs meanwhile.  Each
 * of the three happens at one stroke (C1 to C3): what went before is durable when it begins, new metadata lies in space that
 * nothing uses until one write of one sector makes all of it count, and the space that this frees is used again only after that is
 * durable.  So a crash leaves the image with the change or without it, whole, and at most a leak.  Durable when they return 0; on
 * failure nothing was changed, or the layer is broken (C4).  They work on an image that is being created, too.
 */
struct vd_snapshot_ops {
	int (*list)(struct vd_layer *, vdisk_snapshot_fn fn, void *ctx, vd_error *);
	/* The disk as it is now, to be kept.  *id (VDISK_SNAPSHOT_ID_MAX): what it is called besides its name.  NULL: refused by
	   the core. */
	int (*create)(struct vd_layer *, const struct vd_new_snapshot *, char *id, vd_error *);
	/* The disk becomes what the i-th of list() holds, with its size; the snapshots stay. */
	int (*apply)(struct vd_layer *, uint32_t i, vd_error *);
	int (*remove)(struct vd_layer *, uint32_t i, vd_error *);
};

enum vd_bitmap_what { VD_BITMAP_CREATE, VD_BITMAP_DELETE, VD_BITMAP_CLEAR, VD_BITMAP_ENABLE, VD_BITMAP_DISABLE, VD_BITMAP_MERGE };
struct vd_bitmap_change {
	enum vd_bitmap_what what;
	const char *name;
	uint64_t granularity;    /* CREATE: bytes, a power of two; 0: as the format likes */
	bool disabled;           /* CREATE: does not follow writes */
	struct vd_layer *from;   /* MERGE: of the same driver, locked; perhaps the layer itself */
	const char *from_name;
};

/*
 * Bitmaps that tell which parts of the disk were changed.  While the layer is `tracked`, the core calls touch() for each range
 * whose content is about to change, under the claim that the change is made under and the lock held for reading; where it says 1,
 * first begin(), with the lock held alone.  finish() stores what was touched; without it no bitmap that follows changes is believed
 * any more.  The others are called with the lock held alone and no I/O running, except that list() and ranges() of a layer that is
 * open for reading need it for reading only.
 */
struct vd_bitmap_ops {
	int (*list)(struct vd_layer *, vdisk_bitmap_fn fn, void *ctx, vd_error *);
	int (*ranges)(struct vd_layer *, const char *name, vdisk_diff_fn fn, void *ctx, vd_error *);
	int (*change)(struct vd_layer *, const struct vd_bitmap_change *, vd_error *); /* at one stroke, as snapshots are; stores
	                                                                                  first */
	int (*settle)(struct vd_layer *, vd_error *);                                  /* stores what was touched so far */
	int (*touch)(struct vd_layer *, uint64_t off, uint64_t len, vd_error *);
	int (*begin)(struct vd_layer *, vd_error *);
};

/* Pure and thread-safe: they read nothing of the layer but what open() fixed. */
struct vd_codec {
	/* The unit x (off and len are the whole unit's here) from its packed bytes to x->len bytes. */
	int (*unpack)(const struct vd_layer *, const struct vd_extent *x, const void *in, size_t in_len, void *out, vd_error *);
	/* One unit at guest `off`, `len` bytes, into out (room for alloc_grain + 4096): *out_len bytes, with whatever header the
	   format wants before and after; 0: incompressible, store it plainly (a driver with caps VD_CAP_PACKED_ONLY never says
	   0). */
	int (*pack)(const struct vd_layer *, uint64_t off, const void *in, size_t len, void *out, size_t *out_len, vd_error *);
	/* In place, whole sectors of 512; both offsets of the first byte. */
	int (*crypt)(const struct vd_layer *, bool encrypt, uint64_t off, uint64_t host, void *buf, size_t len, vd_error *);
};

/* ---------------------------------------------------------------- the layer */

#define VD_LAYER_WRITABLE     1u /* set by the core before open/create; a driver may clear it (and say why in ro_reason) */
#define VD_LAYER_NEW_ZERO     2u /* set by create(): everything not written reads as zeros already */
#define VD_LAYER_FIXED        4u /* set by open/create: map() never changes kind or place (raw, flat): all WRITABLE */
#define VD_LAYER_FORWARD      8u /* set by open: maps forward only, from a pipe */
#define VD_LAYER_UNSETTLED   32u /* set by open: a change of its parent's name was broken off when it counted already, but other
                                    programs may still find the old one; begin_write() finishes it */

#define VD_LAYER_FILES 4096u

struct vd_layer {
	const struct vd_driver *drv;
	struct vd_file **files; /* [0] is the file that was named; the layer closes them */
	uint16_t n_files;
	char *path;             /* as opened, for messages */
	uint64_t size;          /* virtual, bytes; set by open/create/resize */
	uint32_t flags;         /* VD_LAYER_* */
	uint32_t alloc_grain;   /* powers of two, set by open/create; 1 for raw */
	uint32_t presence_grain;
	char variant[32];       /* "monolithicSparse", "dynamic", "v3" */
	const char *ro_reason;  /* static */
	struct vd_parent_ref parent_ref;
	struct vd_id id;        /* what children compare with */
	void *priv;             /* the driver's; freed by its close() */
	_Atomic bool tracked;   /* the driver's: changes of content go by bitmaps->touch(); becomes another while no I/O runs
	                           only */

	/* the core's: */
	pthread_rwlock_t lock;
	struct vd_layer *parent;
	uint64_t dev, ino;      /* of files[0], set when it is opened, or joins a chain; ino 0: no file of the host's */
	char *parent_problem;   /* VDISK_OPEN_CHAIN; owned */
	_Atomic bool begun;     /* begin_write() was called */
	_Atomic bool broken;    /* C4 */
};

#define VD_CAP_ZERO        1u /* has a zero state: reserve/publish with kind VD_ZERO work for whole presence grains */
#define VD_CAP_PACKED_ONLY 2u /* the created variant stores packed units only (streamOptimized); see layer_caps */

struct vd_driver {
	struct vdisk_format_info info; /* name, aliases, suffixes, VDISK_FORMAT_* caps, option table */

	/* How sure: 0 not mine, 100 magic and more.  Pure. */
	int (*probe)(const struct vd_peek *);
	/* files[0] is open.  Sets size, grains, variant, id, parent_ref.  Refuses what the header cannot mean. */
	int (*open)(struct vd_layer *, const struct vd_open *, vd_error *);
	/* files[0] is open, empty (or a block device) and writable.  Leaves the layer open for writing. */
	int (*create)(struct vd_layer *, const struct vd_create *, vd_error *);
	/* What create() would need, for the same arguments: *required for `data` bytes of guest data in `units` touched allocation
	   grains (no compression), *full when every byte is stored. */
	int (*measure)(const struct vd_create *, uint64_t data, uint64_t units, uint64_t *required, uint64_t *full, vd_error *);
	/* The size that this format can express nearest above `size` with these options: *rounded (may be the same).  VDISK_INVALID
	   past the format's end. */
	int (*round_size)(const struct vd_create *, uint64_t size, uint64_t *rounded, vd_error *);
	int (*finish)(struct vd_layer *, vd_error *);  /* complete and clean, durable; the last call before close() of a layer that
	                                                  was created, or begun.  Clears the unfinished, dirty, unclean marks. */
	void (*close)(struct vd_layer *);              /* frees priv; writes nothing */

	/* Appends extents for [off, off+len), which lies within the disk, to *e. */
	int (*map)(struct vd_layer *, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *);
	/* Called once, before the first change after open(): refuse a file that was cut short (unless VD_OPEN_CHECK), before
	   anything is written; then renew the CID, clear autoclear bits, mark dirty. */
	int (*begin_write)(struct vd_layer *, vd_error *);
	int (*reserve)(struct vd_layer *, struct vd_resv *, vd_error *);
	int (*publish)(struct vd_layer *, const struct vd_resv *, size_t n, vd_error *); /* allocates nothing on the host */
	void (*abandon)(struct vd_layer *, struct vd_resv *);
	/* Whole allocation grains of the range (a tail at the disk's end counts as whole) become `to` (ZERO; ABSENT where the layer
	   has no parent, or where the parent says the same: only commit asks for that), their space free for use once that is
	   durable.  What cannot be freed cheaply is left as it is. */
	int (*unmap)(struct vd_layer *, uint64_t off, uint64_t len, enum vd_kind to, vd_error *);
	/* Metadata and data of all files durable. */
	int (*flush)(struct vd_layer *, vd_error *);

	int (*resize)(struct vd_layer *, uint64_t size, vd_error *);
	/* What resize() would refuse; called before begin_write(), so that a refusal leaves the image as it was.  NULL: nothing. */
	int (*resize_judge)(const struct vd_layer *, uint64_t size, vd_error *);
	int (*amend)(struct vd_layer *, const struct vd_options *, vd_error *);
	/* Another parent, or none (NULL).  Everything written before is flushed.  Durable when it returns; a crash leaves the old
	   reference or the new one, whole.  What cannot be written so is VDISK_UNSUPPORTED, and nothing was changed.  NULL: refused
	   by the core. */
	int (*set_parent)(struct vd_layer *, const struct vd_new_parent *, vd_error *);
	int (*check)(struct vd_layer *, struct vd_report *, vd_error *);
	int (*values)(struct vd_layer *, vdisk_value_fn fn, void *ctx, vd_error *); /* info's facts */
	const struct vd_snapshot_ops *snapshots; /* NULL: none */
	const struct vd_bitmap_ops *bitmaps;     /* NULL: none */
	const struct vd_codec *codec;            /* NULL: never COMPRESSED nor CIPHERED */
	uint32_t (*layer_caps)(const struct vd_layer *); /* VD_CAP_* of this layer */
};

/* formats/registry.c: NULL-terminated, the order in which probes of equal certainty win. */
extern const struct vd_driver *const vd_drivers[];
extern const char vd_version_text[]; /* vdisk_version() */

#endif

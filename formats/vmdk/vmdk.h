/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The VMDK driver's own state.  A disk is a list of extents, each a stretch of guest bytes in a host file of one of these kinds:
 * flat bytes, nothing (ZERO), or grains found through a grain directory and grain tables (KDMV, COWD, seSparse).
 *
 * Invariants, kept by table.c, alloc.c and flush.c:
 *  V1. A grain table entry reaches the disk after the bytes of its grain and the file's growth over it (C1, C2, C5): a data barrier
 * in the cache of tables.  Else what was flushed before (zeros, the parent's bytes) would be lost to whatever the space held. V2. A
 * directory entry reaches the disk after its table (C2): directories lie in memory and are written by flush only, behind a
 *      write-back of the tables.
 *  V3. The redundant table is changed with the primary one, under the same rank: after a crash either may be the newer, and both
 * are true. V4. Space that was freed is given out again only when flush has made the entry's removal durable in both tables (C2).
 *  V5. From begin_write() to finish() the header says uncleanShutdown.
 * All of it is guarded by the layer's lock; nothing here has a lock of its own but the forward reader (stream_in.c).
 */
#ifndef VMDK_H
#define VMDK_H

#include "descriptor.h"
#include "header.h"
#include "space.h"

#include "base/pack.h"
#include "core/driver.h"
#include "io/cache.h"

enum vmdk_kind { VMDK_FLAT, VMDK_ZERO, VMDK_SPARSE, VMDK_COWD, VMDK_SE };
#define VMDK_NO_FILE UINT16_MAX

struct vmdk_extent {
	enum vmdk_kind kind;
	enum vmdk_access access;
	uint16_t file;     /* of the layer; VMDK_NO_FILE: missing (only with VD_OPEN_INFO), or ZERO */
	uint64_t off, len; /* guest bytes of the disk */
	uint64_t flat_off; /* FLAT: where they begin in the file */

	/* the sparse kinds: */
	struct vmdk_sparse h; /* SPARSE */
	struct vmdk_cowd cowd;
	struct vmdk_se se;
	uint32_t grain;       /* bytes */
	uint32_t gtes, n_gts; /* entries in a table; tables */
	uint64_t data_min;    /* no grain lies below this host offset */
	bool packed;          /* grains are compressed */
	bool zero_gte;        /* an entry of 1 is zeros */
	uint32_t *gd;         /* sector of each table, 0: none */
	uint32_t *rgd;        /* of the redundant ones; NULL: there are none, or they are not needed */
	uint64_t *se_gd;      /* SE: as in the file */
	struct vd_cache *tables;

	/* open for writing: */
	uint64_t gd_off, rgd_off; /* host bytes */
	bool gd_lost;             /* gd is what the redundant directory says (VD_OPEN_CHECK) */
	uint8_t *gd_dirty;        /* a byte for each sector of the directory */
	uint64_t cursor;          /* where new space begins, a multiple of the grain */
	struct vmdk_space space;
};

struct vmdk {
	struct vmdk_desc desc;
	uint64_t desc_off;  /* in files[0] */
	uint64_t desc_room; /* bytes; 0: a file of its own.  UINT64_MAX: there is no descriptor */
	struct vmdk_extent *v;
	size_t n;
	uint32_t open_flags; /* VD_OPEN_* */
	bool has_parent;
	bool created, unfinished; /* by us, just now; and marked so */
	bool unclean;             /* some extent said so when it was opened */
	uint64_t seed;            /* of new ids; 0: random */
	uint64_t cache_bytes;
	struct vd_packer *packer;
	struct vd_unpacker *unpacker;
	struct vmdk_stream_in *in;   /* read from a pipe */
	struct vmdk_stream_out *out; /* streamOptimized being written */
};
#define VMDK_NO_DESC UINT64_MAX

static inline struct vmdk *vmdk_of(const struct vd_layer *l)
{
	return l->priv;
}

/* ---- extent.c: the list */
/* The extent that holds guest offset `off`, which lies within the disk. */
struct vmdk_extent *vmdk_extent_at(const struct vmdk *s, uint64_t off);
/* A new last extent, zeroed; NULL: out of memory.  Moves the others. */
struct vmdk_extent *vmdk_extent_add(struct vmdk *s);
void vmdk_extents_clear(struct vmdk *s);
static inline bool vmdk_is_sparse(const struct vmdk_extent *x)
{
	return x->kind == VMDK_SPARSE || x->kind == VMDK_COWD || x->kind == VMDK_SE;
}
static inline uint64_t vmdk_table_bytes(const struct vmdk_extent *x)
{
	return (uint64_t)x->gtes * (x->kind == VMDK_SE ? 8 : 4);
}
static inline uint64_t vmdk_table_span(const struct vmdk_extent *x) /* guest bytes of one table */
{
	return (uint64_t)x->gtes * x->grain;
}

/* ---- open.c, open_extent.c */
int vmdk_open(struct vd_layer *l, const struct vd_open *o, vd_error *err);
/* Fills in x, whose file is set, from the header that its file begins with, whatever sparse kind that is; x->len is what the
   descriptor says, 0: nothing. */
int vmdk_extent_read_header(struct vd_layer *l, struct vmdk_extent *x, struct vd_host *host, vd_error *err);
/* What follows from x->h or x->cowd. */
void vmdk_extent_adopt_sparse(struct vmdk_extent *x);
void vmdk_extent_adopt_cowd(struct vmdk_extent *x);
/* Reads the directory and makes the cache of tables. */
int vmdk_extent_load(struct vd_layer *l, struct vmdk_extent *x, uint64_t cache_bytes, vd_error *err);
/* What allocation needs: the redundant directory, the end of the used space. */
int vmdk_extent_prepare_write(struct vd_layer *l, struct vmdk_extent *x, vd_error *err);
int vmdk_extent_load_redundant(struct vd_layer *l, struct vmdk_extent *x, vd_error *err);
/* Why x cannot be written to; NULL: it can. */
const char *vmdk_extent_ro_reason(const struct vmdk_extent *x);
#define VMDK_UNFINISHED_TEXT "# Unfinished disk image: whatever wrote it did not complete\n"

/* ---- table.c: one table at a time */
enum vmdk_table_state { VMDK_TABLE_NONE, VMDK_TABLE_ZERO, VMDK_TABLE_HERE };
/* Where table i of x lies.  VDISK_CORRUPT if that is outside the file. */
int vmdk_table_find(const struct vd_layer *l, const struct vmdk_extent *x, uint32_t i, bool redundant, enum vmdk_table_state *state,
		    uint64_t *off, vd_error *err);
int vmdk_table_get(const struct vd_layer *l, const struct vmdk_extent *x, uint32_t i, bool redundant, enum vmdk_table_state *state,
		   struct vd_table **t, vd_error *err);
/* Which tables an entry of the directory before theirs names, too: a bit for each; owned by the caller.  Whoever looks at all tables
   passes over those, or a made-up image makes it look at one of them for hours. */
int vmdk_table_repeats(const struct vmdk_extent *x, bool redundant, uint8_t **bits, vd_error *err);
static inline bool vmdk_table_repeated(const uint8_t *bits, uint32_t i) { return bits[i / 8] >> i % 8 & 1; }
struct vmdk_grain {
	enum vd_kind kind;
	uint64_t host, host_len; /* DATA: host_len is the grain's, or of a packed one its marker and bytes */
};
/* What entry e (of grain g of x) says, by itself: of a packed grain, host_len is its marker's. */
int vmdk_grain_place(const struct vd_layer *l, const struct vmdk_extent *x, uint64_t g, uint64_t entry, struct vmdk_grain *out,
		     vd_error *err);
/* The same, and reads the marker of packed grains. */
int vmdk_grain_judge(const struct vd_layer *l, const struct vmdk_extent *x, uint64_t g, uint64_t entry, struct vmdk_grain *out,
		     vd_error *err);

/* ---- map.c */
int vmdk_map(struct vd_layer *l, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err);

/* ---- alloc.c */
int vmdk_reserve(struct vd_layer *l, struct vd_resv *r, vd_error *err);
int vmdk_publish(struct vd_layer *l, const struct vd_resv *r, size_t n, vd_error *err);
void vmdk_abandon(struct vd_layer *l, struct vd_resv *r);
/* New space of `len` bytes behind all that is used. */
int vmdk_space_append(struct vd_layer *l, struct vmdk_extent *x, uint64_t len, uint64_t *host, vd_error *err);
int vmdk_file_grow(struct vd_file *f, uint64_t end, vd_error *err);
int vmdk_unmap(struct vd_layer *l, uint64_t off, uint64_t len, enum vd_kind to, vd_error *err);

/* ---- flush.c */
int vmdk_begin_write(struct vd_layer *l, vd_error *err);
int vmdk_flush(struct vd_layer *l, vd_error *err);
int vmdk_finish(struct vd_layer *l, vd_error *err);
/* Writes the sparse header of x as it stands in memory. */
int vmdk_header_write(struct vd_layer *l, struct vmdk_extent *x, bool unclean, vd_error *err);

/* ---- whole.c: refuses a sparse extent whose file was cut short */
int vmdk_whole_judge(struct vd_layer *l, struct vmdk_extent *x, vd_error *err);

/* ---- desc_file.c: the descriptor where it lies */
/* Takes `text` (NULL: out of memory) as the descriptor's new text and writes it. */
int vmdk_desc_store(struct vd_layer *l, char *text, vd_error *err);
/* The same as it is: not filled up with line ends. */
int vmdk_desc_put(struct vd_layer *l, char *text, vd_error *err);
/* Where more than one sector changes, as vmdk_desc_store() does it to an embedded one; VDISK_UNSUPPORTED: its room is too small. */
int vmdk_desc_switch(struct vd_layer *l, const char *text, vd_error *err);
/* Whether a crash left it in the upper half of its room (D2), and the way back. */
bool vmdk_desc_astray(const struct vmdk *s);
int vmdk_desc_home(struct vd_layer *l, vd_error *err);
/* `text` (NULL: out of memory, and then NULL) with line ends up to the length of the one that is there.  Takes it. */
char *vmdk_desc_pad(const struct vmdk *s, char *text);
/* Of two texts with zeros behind them. */
unsigned vmdk_desc_sectors_changed(const char *a, const char *b);
/* A CID and a long content ID that were not there before. */
int vmdk_desc_renew(struct vd_layer *l, vd_error *err);
/* Random bytes; from `seed` where it is not 0, moved on by this call. */
int vmdk_random(uint64_t *seed, void *buf, size_t len, vd_error *err);
uint32_t vmdk_cid_from(uint32_t random);

/* ---- codec.c */
extern const struct vd_codec vmdk_codec;

/* ---- stream_in.c: streamOptimized from a pipe */
int vmdk_stream_in_open(struct vd_layer *l, struct vmdk_extent *x, vd_error *err);
int vmdk_stream_in_map(struct vd_layer *l, uint64_t off, uint64_t len, struct vd_extents *e, vd_error *err);
void vmdk_stream_in_free(struct vmdk_stream_in *in);

/* ---- stream_out.c: streamOptimized, written in order */
int vmdk_stream_out_new(struct vd_layer *l, bool append, vd_error *err);
int vmdk_stream_out_reserve(struct vd_layer *l, struct vd_resv *r, vd_error *err);
int vmdk_stream_out_publish(struct vd_layer *l, const struct vd_resv *r, size_t n, vd_error *err);
void vmdk_stream_out_abandon(struct vd_layer *l, struct vd_resv *r);
int vmdk_stream_out_finish(struct vd_layer *l, vd_error *err);
int vmdk_stream_out_map(struct vd_layer *l, uint64_t off, uint64_t len, struct vd_extents *e, vd_error *err);
void vmdk_stream_out_free(struct vmdk_stream_out *out);

/* ---- create.c, plan.c, check.c, resize.c, amend.c, values.c */
extern const struct vdisk_option_info vmdk_options[];
int vmdk_create(struct vd_layer *l, const struct vd_create *c, vd_error *err);
int vmdk_measure(const struct vd_create *c, uint64_t data, uint64_t units, uint64_t *required, uint64_t *full, vd_error *err);
int vmdk_round_size(const struct vd_create *c, uint64_t size, uint64_t *rounded, vd_error *err);
int vmdk_check(struct vd_layer *l, struct vd_report *r, vd_error *err);
/* Before writing to an image that was not closed cleanly: reads every table, lets the redundant ones follow the primary ones, and
   refuses what is worse. */
int vmdk_check_quick(struct vd_layer *l, vd_error *err);
/* repair.c: table i of one copy from the other one; the primary directory and its tables from the redundant ones (gd_lost). */
int vmdk_table_restore(struct vd_layer *l, struct vmdk_extent *x, uint32_t i, bool redundant, vd_error *err);
int vmdk_directory_restore(struct vd_layer *l, struct vmdk_extent *x, vd_error *err);
int vmdk_resize(struct vd_layer *l, uint64_t size, vd_error *err);
int vmdk_resize_judge(const struct vd_layer *l, uint64_t size, vd_error *err);
/* reparent.c */
int vmdk_set_parent(struct vd_layer *l, const struct vd_new_parent *p, vd_error *err);
int vmdk_amend(struct vd_layer *l, const struct vd_options *o, vd_error *err);
int vmdk_values(struct vd_layer *l, vdisk_value_fn fn, void *ctx, vd_error *err);

#endif

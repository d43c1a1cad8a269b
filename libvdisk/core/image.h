/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the operations (ops/) see of the core: the chain, its flattened map, reading by extent, and the guarded door to a new image.
 * The public vdisk_preadv() and friends are built on the same (core/dispatch.c).
 */
#ifndef VD_CORE_IMAGE_H
#define VD_CORE_IMAGE_H

#include "core/driver.h"

#define VD_CHAIN_MAX 256

struct vd_claims;
struct vd_mapcache;
struct vd_kept_file;
struct vd_undo;

struct vdisk_image {
	struct vd_layer *top;      /* parents by ->parent */
	struct vd_layer **chain;   /* [depth], n_layers of them */
	unsigned n_layers;
	struct vd_claims *claims;  /* NULL: opened read-only */
	struct vd_mapcache *mapcache; /* NULL: none */
	struct vd_undo *undo;      /* the caller's; guards what is written to the leaf; NULL: nothing does */
	uint32_t flags;            /* VDISK_OPEN_* */
	char *path;
	char *open_options;        /* what the leaf was opened with, "key=value" lines; "" where nothing was said */
	vdisk_log_fn log;
	void *log_ctx;
	struct vd_staging *staging; /* being created: temporary names (core/create.c); NULL otherwise */
	bool created;              /* finish() is due whether or not anything was written */
	bool finished;             /* vd_image_finish() was done */
};

/* ---- reading */

/* The flattened map: extents of [off, off+len) with `depth` set; what lies past a parent's end, or in no layer, is ABSENT.
   Appends to *e as a driver does: may be short, never empty.  Neighbours are merged where host ranges join. */
int vd_image_map(vdisk_image *img, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err);

/* The bytes of guest range [off, off+len), which lies inside extent x (from vd_image_map), into buf; no claim is taken.  x of kind
   ZERO or ABSENT gives zeros.  Unpacking uses a scratch buffer of its own. */
int vd_image_read_extent(vdisk_image *img, const struct vd_extent *x, uint64_t off, void *buf, size_t len, vd_error *err);

static inline struct vd_file *vd_extent_file(const vdisk_image *img, const struct vd_extent *x)
{
	return img->chain[x->depth]->files[x->file];
}

/* ---- the guarded door to one layer: checks the question and the driver's answer, takes the layer's lock */

int vd_layer_map(struct vd_layer *l, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err);
int vd_layer_begin(struct vd_layer *l, vd_error *err); /* begin_write once; refuses a read-only or broken layer */
/* The content of [off, off+len) is about to change: for bitmaps.  Under the claim that the change is made under. */
int vd_layer_touch(struct vd_layer *l, uint64_t off, uint64_t len, vd_error *err);
int vd_layer_reserve(struct vd_layer *l, struct vd_resv *r, vd_error *err);
int vd_layer_publish(struct vd_layer *l, const struct vd_resv *r, size_t n, vd_error *err); /* failure: broken */
void vd_layer_abandon(struct vd_layer *l, struct vd_resv *r);
int vd_layer_unmap(struct vd_layer *l, uint64_t off, uint64_t len, enum vd_kind to, vd_error *err);
int vd_layer_flush(struct vd_layer *l, vd_error *err);
/* The driver's call, and what the layer says of its parent, but not l->parent.  Flushes first. */
int vd_layer_set_parent(struct vd_layer *l, const struct vd_new_parent *p, vd_error *err);
uint32_t vd_layer_caps(const struct vd_layer *l);
/* Writes buf at the place that r names, ciphered if it must be (then through a copy). */
int vd_layer_write_at(struct vd_layer *l, const struct vd_resv *r, const void *buf, size_t len, vd_error *err);

/* ---- surgery on a chain (core/pull.c); the image is alone in use where it says so */

/* Where in [off, off+len) the top layer says nothing and the parents hold data, or where space of the top layer lies unused, the
   top layer says it itself afterwards: the same bytes.  `other` (may be NULL): what is the same in that image, which is going to be
   the parent, is left out; without it, what is zeros is left out, since there will be no parent.  *copied grows by the bytes
   written. */
int vd_image_pull(vdisk_image *img, vdisk_image *other, uint64_t off, uint64_t len, uint64_t *copied, vd_error *err);
/* img's parents are `parents` from now on (taken, its shell freed; NULL: none), as the image says already.  Alone. */
int vd_image_replace_parents(vdisk_image *img, vdisk_image *parents, vd_error *err);
/* Opens the first n layers of a chain; what the last one leaves to its parent reads as an error.  VDISK_INVALID if there are
   fewer. */
int vd_image_open_part(const char *path, const struct vdisk_open_options *o, unsigned n, vdisk_image **out, vd_error *err);
/* vdisk_open() for writing, with every change of the leaf's files guarded by `u` (io/undo.h), which must outlive the image. */
int vd_image_open_undo(const char *path, const struct vdisk_open_options *o, struct vd_undo *u, vdisk_image **out, vd_error *err);
/* The parent that `child` names has the identity that it expects. */
int vd_parent_judge(const vdisk_image *img, const struct vd_layer *child, const struct vd_layer *parent, vd_error *err);
/* Refuses, unless VDISK_OPEN_FORCE is among the flags, to change what the image reads as while it is protected (ops/children.h). */
int vd_protection_judge(const struct vd_file *f, const char *path, uint32_t flags, vd_error *err);
/* Whether the two, each in a chain, are the same file of the host. */
bool vd_layer_same_file(const struct vd_layer *a, const struct vd_layer *b);
/* Whether the host's file at `path`, a symbolic link's target, is one of the chain's. */
bool vd_image_has_file(const vdisk_image *img, const char *path);

/* ---- creating (core/create.c) */

struct vd_new_image {
	const char *path;             /* "-": standard output, or */
	int stream_fd;                /* this descriptor, borrowed; 0: that */
	const char *format;
	uint64_t size;                /* UINT64_MAX: the backing image's */
	const char *const *options;
	const char *backing, *backing_format;
	const char *const *allow_dirs;
	bool overwrite, round_up, dry_run;
	uint32_t create_flags;        /* VD_CREATE_COMPRESSED | VD_CREATE_ORDERED | VD_CREATE_UNFINISHED */
	int level;
	uint64_t now, seed;           /* 0: as SOURCE_DATE_EPOCH or the clock say, random ids; else as vd_create has it */
	const struct vd_kept_file *kept; /* goes on with what a run left behind (core/staging.h); must outlive the image; NULL:
	                                    anew */
	size_t n_kept;
	int (*backing_judge)(vdisk_image *backing, const volatile int *cancel, vd_error *); /* refuses one; NULL: any will do */
	const volatile int *cancel;   /* as in struct vdisk_job_options; for that, and while a server is waited for */
	uint64_t need_bytes;          /* host space that will be wanted (measure's answer); refused at once where the file system
	                                 has less */
	vdisk_log_fn log;
	void *log_ctx;
};
/* Makes the image under its temporary name (a block device or "-": in place) and opens it, writable, with its backing chain as
   parents.  Follow with vd_image_commit() or vd_image_abort().  dry_run: judges only, *out = NULL.  *size_out: the size it gets. */
int vd_image_create(const struct vd_new_image *n, vdisk_image **out, uint64_t *size_out, vd_error *err);
/* The first half of vd_image_commit(), so that the result may be read back before it has its name: finish() and flush.  Then
   nothing may be written any more. */
int vd_image_finish(vdisk_image *img, vd_error *err);
/* finish(), flush, rename all files (extents first, the named one last), sync the folder; frees img whatever the result; on failure
   removes what it made and leaves what was there. */
int vd_image_commit(vdisk_image *img, vd_error *err);
void vd_image_abort(vdisk_image *img);
/* From now on vd_image_abort(), and a commit that fails, leave the unfinished files under their temporary names. */
void vd_image_keep(vdisk_image *img);
/* measure() of a format for these arguments; also what vdisk_measure() calls. */
int vd_image_measure(const struct vd_new_image *n, uint64_t data, uint64_t units, uint64_t *required, uint64_t *full,
                     vd_error *err);

/* ---- for tests: an image of open files, without paths */

/* Opens the chain files[0] (leaf) … of the formats named; takes the files.  Multi-file formats open further files through `host`
   (NULL: refused).  VDISK_OPEN_* flags. */
int vd_image_open_file(struct vd_file *f, const char *format, uint32_t flags, const char *const *options, vdisk_image *parent,
                       struct vd_host *host, vdisk_image **out, vd_error *err);
/* The same with all that can be said (allow_dirs and parent_map do not count). */
int vd_image_open_file_as(struct vd_file *f, const struct vdisk_open_options *o, vdisk_image *parent, struct vd_host *host,
                          vdisk_image **out, vd_error *err);
/* Creates on f (takes it); `parent` (may be NULL) becomes the backing image and is taken.  Close with vdisk_close(), which finishes
   it. */
int vd_image_create_file(struct vd_file *f, const char *format, uint64_t size, const char *const *options, uint32_t create_flags,
                         vdisk_image *parent, struct vd_host *host, vdisk_image **out, vd_error *err);

#endif

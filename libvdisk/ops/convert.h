/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of a conversion share.  Each ticket is a window of the guest's disk, aligned to the target's allocation grain, so
 * that no unit of the target is in two tickets.
 *
 *   convert_plan.c    which windows there are, and what of the source lies in each          (coordinator)
 *   convert_read.c    a window's bytes: read, zeros found, hashed, compared with the backing (pool)
 *   convert_pack.c    its units packed                                                       (pool)
 *   convert_place.c   space for them in the target, and their publication                    (coordinator)
 *   convert_write.c   bytes into that space                                                  (pool)
 *   offload.c         bytes that the kernel moves, or shares, instead
 *   resume.c          going on with what another run left behind, or leaving it (checkpoint.h)
 *   punch.c           the source's space given back as the target becomes durable
 *   convert.c         the whole of it
 *
 * A target whose bytes have fixed places (VD_LAYER_FIXED) needs no decision between reading and writing: there the place comes
 * first (`direct`), and one job reads and writes, unless the target is a pipe.
 */
#ifndef VD_OPS_CONVERT_H
#define VD_OPS_CONVERT_H

#include "ops/digest.h"
#include "ops/flow.h"
#include "ops/walk.h"

/* A stretch of a window, by what the target has to make of it.  Runs follow each other without gaps. */
enum vd_run_kind {
	VD_RUN_NONE, /* zeros, and the target says zeros there already */
	VD_RUN_SAME, /* equal to what the backing image has there */
	VD_RUN_ZERO, /* zeros that must be made */
	VD_RUN_DATA,
};

struct vd_run {
	uint32_t off, len;
	enum vd_run_kind kind;
	bool loaded;     /* the buffer holds its bytes */
	uint32_t extent; /* of the source, where the kernel is to share it; else VD_RUN_READ */
};
#define VD_RUN_READ UINT32_MAX

struct vd_run_list {
	struct vd_run *v;
	size_t n, cap;
};

/* A place in the target; r.packed_len bytes at `packed`, or the window's own. */
struct vd_place {
	struct vd_resv r;
	const uint8_t *packed;
};

/* Where the walks stand. */
struct vd_walk_point {
	uint64_t pos;
	uint64_t from, back_from; /* where the map was asked last */
	uint64_t lost;
};

struct vd_conv;

struct vd_window {
	struct vd_ticket t;
	struct vd_walk_point after; /* when this window was planned */
	uint64_t off;
	uint64_t len;    /* up to the disk's end at most; 0: nothing but a step of progress */
	size_t span;     /* len, rounded up to the target's grain */
	bool zeros;      /* all zeros, of any length: no buffer, no runs */
	struct vd_extent_list src, back;
	struct vd_run_list runs;
	uint8_t *buf, *back_buf, *packed; /* packed: where results are collected */
	struct vd_place *places;
	struct vd_resv *resv; /* the same as an array for publish */
	size_t n_places, cap_places, n_reserved;
	uint8_t (*leaves)[32];
	bool *leaf_zero;
	uint64_t data, same, offloaded, packed_in, packed_out;
};

struct vd_offload;

struct vd_conv {
	struct vd_flow flow;
	const struct vdisk_convert_options *opts;
	vdisk_image *src, *dst;
	struct vd_layer *to;   /* dst's top layer */
	uint64_t size;         /* of the destination */
	uint64_t window;       /* bytes of a ticket: a multiple of the target's grain and of the digest's leaf */
	uint32_t fine;         /* granularity of zero detection */
	uint32_t skip;         /* shortest run of zeros that is left out inside reserved space */
	bool spare;            /* the host's page cache is left as it was found */
	bool direct, append, packed, backed, new_zero, has_zero;
	struct vd_walk walk, back_walk;
	struct vd_tree *tree;  /* NULL: no digest is wanted */
	struct vd_manifest *manifest; /* NULL: none is wanted */
	struct vd_offload *offload; /* NULL: none */
	struct vdisk_convert_report report;
	uint64_t same;
	struct vd_pacer pacer;
	struct vdisk_progress progress;
	struct vd_resume *resume; /* NULL: no record is kept */
	struct vd_punch *punch;   /* NULL: the source is left alone */
};

/* Digests of the leaves are wanted. */
static inline bool vd_conv_digests(const struct vdisk_convert_options *o)
{
	return o->flags & (VDISK_CONVERT_DIGEST | VDISK_CONVERT_VERIFY) || o->manifest;
}

int vd_window_init(struct vd_conv *c, struct vd_window *w, vd_error *err);
void vd_window_free(struct vd_window *w);
/* Memory that vd_window_init() takes, all told. */
uint64_t vd_window_bytes(const struct vd_conv *c);

int vd_conv_plan(struct vd_conv *c, struct vd_window *w, bool *more, vd_error *err);
int vd_conv_read(struct vd_conv *c, struct vd_window *w, vd_error *err);
int vd_conv_pack(struct vd_conv *c, struct vd_window *w, vd_error *err);
/* Makes the run's bytes in the buffer zeros if they are not. */
void vd_run_fill(struct vd_window *w, struct vd_run *run);
/* The same for all zeros in [from, to) of the window. */
void vd_runs_fill(struct vd_window *w, size_t from, size_t to);

/* Lists the places that the window's runs need, without asking the target. */
int vd_conv_list_places(struct vd_conv *c, struct vd_window *w, vd_error *err);
int vd_conv_add_place(struct vd_window *w, const struct vd_place *p, vd_error *err);
int vd_conv_reserve(struct vd_conv *c, struct vd_window *w, vd_error *err);
int vd_conv_publish(struct vd_conv *c, struct vd_window *w, vd_error *err);
void vd_conv_abandon(struct vd_conv *c, struct vd_window *w);
int vd_conv_write(struct vd_conv *c, struct vd_window *w, vd_error *err);

/* A window is done: digests and counts. */
int vd_conv_count(struct vd_conv *c, struct vd_window *w, vd_error *err);

/* ---- resume.c */

struct vd_new_image;

/* Before the target is made: what to go on with, if anything; fills in the rest of *n. */
int vd_resume_begin(struct vd_conv *c, const char *path, struct vd_new_image *n, vd_error *err);
/* When the target is there: does again what the record says, and begins to record. */
int vd_resume_start(struct vd_conv *c, vd_error *err);
void vd_resume_window(struct vd_conv *c, const struct vd_window *w);
void vd_resume_tick(struct vd_conv *c);
/* Everything up to now is durable and recorded; the guest offset that it reaches in *pos. */
int vd_resume_save(struct vd_conv *c, uint64_t *pos, vd_error *err);
/* All windows are through: the record is complete, and nothing is flushed behind the caller's back any more. */
void vd_resume_settle(struct vd_conv *c);
/* vd_image_commit(), but what an earlier run had done is not thrown away if that fails. */
int vd_resume_commit(struct vd_conv *c, vd_error *err);
/* After a failure, the image being open still: leaves what can be gone on with, if it is to be; then vd_image_abort() removes
   nothing. */
void vd_resume_leave(struct vd_conv *c, const vd_error *why);
/* Removes the record, unless it was left; frees. */
void vd_resume_end(struct vd_conv *c);

/* ---- punch.c */

int vd_punch_new(struct vd_conv *c, vd_error *err);
/* After each window. */
int vd_punch_tick(struct vd_conv *c, vd_error *err);
/* The target has its name: the source's files go. */
void vd_punch_finish(struct vd_conv *c);
void vd_punch_free(struct vd_conv *c);

/* ---- offload.c */

/* `path`: the destination's.  NULL in *out and success: nothing can be offloaded. */
int vd_offload_new(vdisk_image *src, const char *path, struct vd_offload **out, vd_error *err);
void vd_offload_free(struct vd_offload *o);
/* Whether this extent may be shared with the destination. */
bool vd_offload_takes(const struct vd_offload *o, const struct vd_extent *x);
/* Shares len bytes; false: it did not work, copy them. */
bool vd_offload_share(struct vd_file *from, uint64_t from_off, struct vd_file *to, uint64_t to_off, uint64_t len);
/* Has the kernel begin to write out what was written, so that the flush at the end finds little left. */
void vd_writeback_start(struct vd_file *f, uint64_t off, uint64_t len);

#endif

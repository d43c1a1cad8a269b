/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An image's flattened map read from front to back in bounded pieces, and what is learned from it before any data moves. */
#ifndef VD_OPS_WALK_H
#define VD_OPS_WALK_H

#include "core/image.h"

#define VD_WALK_EXTENTS 256
#define VD_WALK_ZERO_MAX (UINT64_C(1) << 40)

struct vd_extent_list {
	struct vd_extent *v;
	size_t n, cap;
};
void vd_extent_list_free(struct vd_extent_list *l);

struct vd_walk {
	vdisk_image *img;
	uint64_t pos;        /* asked for up to here */
	uint64_t size;       /* the walk's end; past the image's own: ABSENT */
	uint64_t piece;      /* asked of the map at once */
	uint32_t flags;      /* VD_MAP_*; set after vd_walk_init(), by default VD_MAP_HOLES */
	uint64_t lost;       /* bytes of LOST extents passed */
	vdisk_lost_fn on_lost; /* told of them; NULL: nobody; set after vd_walk_init() */
	void *lost_ctx;
	const struct vdisk_range *skip; /* taken for ABSENT, whatever the map says; ascending; set after vd_walk_init() */
	size_t n_skip;
	struct vd_extents answer;
	size_t next;         /* in answer */
	struct vd_extent v[VD_WALK_EXTENTS];
};
/* `forward_piece`: how much of a source that is a pipe may be mapped ahead. */
void vd_walk_init(struct vd_walk *w, vdisk_image *img, uint64_t size, uint64_t forward_piece);
/* Where the zeros (ZERO or ABSENT) that begin at w->pos end, as far as one look tells; w->pos itself if there is data. */
int vd_walk_zeros(struct vd_walk *w, uint64_t *end, vd_error *err);
/* Moves on to `to`, within what vd_walk_zeros() said. */
void vd_walk_skip(struct vd_walk *w, uint64_t to);
/* Makes *l the extents of [w->pos, end) and moves on to `end`. */
int vd_walk_collect(struct vd_walk *w, uint64_t end, struct vd_extent_list *l, vd_error *err);
/* The next extent from w->pos on, cut there and at `end`; moves past it. */
int vd_walk_next(struct vd_walk *w, uint64_t end, struct vd_extent *x, vd_error *err);

/* Refuses an image whose parent was left out: what that would say is unknown. */
int vd_image_whole(const vdisk_image *img, vd_error *err);
/* True where the image comes from a pipe. */
bool vd_image_is_forward(const vdisk_image *img);

/* ---- survey: one pass, or several, over the map */

struct vd_survey {
	uint64_t data;     /* guest bytes that are stored and not skipped */
	uint64_t skipped;  /* that are stored and skipped */
	uint64_t units;    /* of `grain`, touched by data */
	bool whole;        /* no zeros were found in the map: what is stored may well be zeros */
};
/* `skip`: as in struct vdisk_convert_options. */
int vd_skip_judge(const struct vdisk_range *skip, size_t n, uint64_t size, vd_error *err);
/* True if a range of `skip` covers `pos`, and then where it ends in *to; else where the next one begins (UINT64_MAX: nowhere). */
bool vd_skip_at(const struct vdisk_range *skip, size_t n, uint64_t pos, uint64_t *to);

/* Counts, and refuses host space that two guest ranges own (VDISK_CORRUPT), unless the image was opened for salvage.  Metadata is
   read, no data.  `grain`: power of two, for `units`.  Not for forward images. */
int vd_survey_image(vdisk_image *img, uint64_t grain, const struct vdisk_range *skip, size_t n_skip, const volatile int *cancel,
                    struct vd_survey *out, vd_error *err);

/* Refuses an image that a conversion would refuse before it moves data: without its parent, damaged, or cut short. */
int vd_image_sound(vdisk_image *img, const volatile int *cancel, vd_error *err);
/* The same by the tables alone (VD_MAP_TABLES). */
int vd_image_tables_sound(vdisk_image *img, vd_error *err);

/* ---- owners of host space (ops/owners.c) */

struct vd_owners;
/* NULL in *out and success: nothing to look for, as every layer's map is fixed. */
int vd_owners_new(vdisk_image *img, struct vd_owners **out, vd_error *err);
void vd_owners_free(struct vd_owners *o);
/* Told of each DATA extent of one pass over the whole map, in guest order. */
int vd_owners_add(struct vd_owners *o, const struct vd_extent *x, vd_error *err);
/* After a pass: true if another one is needed. */
bool vd_owners_again(struct vd_owners *o);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An image of a variant on its shelf, with its parents, and random operations on it. */
#ifndef T_IMAGE_H
#define T_IMAGE_H

#include "common/model.h"
#include "common/shelf.h"
#include "common/test.h"
#include "common/variant.h"
#include "core/image.h"

struct t_image {
	const struct t_variant *v;
	struct t_shelf shelf;
	char base_name[64];
	struct t_image *parent;  /* owned */
	vdisk_image *img;        /* NULL: closed */
	uint64_t cache_bytes;    /* as in vdisk_open_options: 1 makes the metadata cache as small as it gets */
	struct t_model model;
};

/* Makes the variant's parents (filled at random and closed) and the struct; no image yet. */
struct t_image *t_image_new(const struct t_variant *v, struct t_rng *rng);
void t_image_free(struct t_image *t);
/* Each leaves the image open for writing, or says why not.  `flags` are VDISK_OPEN_*; parents are opened read-only. */
int t_image_create(struct t_image *t, vd_error *err);
int t_image_open(struct t_image *t, uint32_t flags, vd_error *err);
/* The same on another shelf (a copy, a crash's leavings); the image is the caller's to close. */
int t_image_open_on(struct t_image *t, struct t_shelf *shelf, uint32_t flags, vdisk_image **out, vd_error *err);
int t_image_close(struct t_image *t, vd_error *err);

/* Stores a third of the units packed (half of them compressible); then the model knows.  Needs T_PACK or T_ONLY_PACKED. */
void t_image_pack(struct t_image *t, struct t_rng *rng);

/* vdisk_check() of the closed image: fails the test on corruptions, or on leaks unless allowed. */
void t_image_check(struct t_image *t, bool leaks_allowed);
/* Reads everything and compares with the model. */
void t_image_verify(struct t_image *t, uint64_t at);
/* The same of another image. */
bool t_image_right(struct t_image *t, vdisk_image *img, uint64_t at, uint64_t *bad, vd_error *err);

enum t_op_kind {
	T_OP_WRITE, T_OP_WRITEV, T_OP_WRITE_ZEROS, T_OP_ZERO, T_OP_DISCARD, T_OP_FLUSH, T_OP_READ, T_OP_READV, T_OP_KINDS
};
struct t_op {
	enum t_op_kind kind;
	uint64_t off, len;
	uint64_t seed; /* of the bytes */
};
extern const char *const t_op_names[];
struct t_op t_op_pick(struct t_rng *rng, uint64_t size);
/* What a write of this op writes; free() it.  NULL for zeros, reads and flush. */
uint8_t *t_op_bytes(const struct t_op *op);
/* Does it to the image; `buf` takes what reads give (len bytes). */
int t_op_do(vdisk_image *img, const struct t_op *op, const uint8_t *bytes, uint8_t *buf, vd_error *err);

#endif

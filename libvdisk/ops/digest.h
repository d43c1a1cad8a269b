/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tree digest (vdisk.h, vdisk_digest()): leaves hashed anywhere, put together in order; and who else is told of them. */
#ifndef VD_OPS_DIGEST_H
#define VD_OPS_DIGEST_H

#include "base/digest.h"

/* Told of every leaf in order, with whole leaves of zeros counted instead, by whatever way they were found. */
struct vd_leaf_sink {
	int (*leaf)(struct vd_leaf_sink *, const uint8_t leaf[32], vd_error *err);
	int (*zeros)(struct vd_leaf_sink *, uint64_t n, vd_error *err); /* n > 0; may come several times in a row */
};

struct vd_tree; /* the root being built; one thread at a time */
/* Before the first leaf; NULL: nobody else. */
void vd_tree_tell(struct vd_tree *t, struct vd_leaf_sink *sink);
/* `cancel` (may be NULL) is looked at while zeros are put in, which of a huge disk may take hours. */
int vd_tree_new(uint64_t size, const volatile int *cancel, struct vd_tree **out, vd_error *err);
void vd_tree_free(struct vd_tree *t);
/* The digest of the next leaf. */
int vd_tree_leaf(struct vd_tree *t, const uint8_t leaf[32], vd_error *err);
/* All leaves up to guest offset `to` (a leaf's end) that were not given are zeros. */
int vd_tree_zeros(struct vd_tree *t, uint64_t to, vd_error *err);
/* The rest is zeros. */
int vd_tree_end(struct vd_tree *t, uint8_t digest[32], vd_error *err);

/* vdisk_digest(), with somebody who is told. */
int vd_digest_image(vdisk_image *img, const struct vdisk_job_options *opts, struct vd_leaf_sink *sink, uint8_t digest[32],
                    vd_error *err);

/* Length of the leaf that begins at `off`. */
static inline uint64_t vd_leaf_len(uint64_t size, uint64_t off)
{
	return size - off < VDISK_DIGEST_LEAF ? size - off : VDISK_DIGEST_LEAF;
}
/* The digest of a whole leaf of zeros. */
extern const uint8_t vd_leaf_zero[32];

#endif

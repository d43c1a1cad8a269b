/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tree digest's root.  Leaves are handed over in guest order; a run of zeros costs 32 bytes of hashing for each MiB, from a
 * block of ready digests.
 */
#include "ops/digest.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <assert.h>

/* SHA-256 of 1 MiB of zeros; tests/unit/test_ops_digest.c computes it anew. */
const uint8_t vd_leaf_zero[32] = {
	0x30, 0xe1, 0x49, 0x55, 0xeb, 0xf1, 0x35, 0x22, 0x66, 0xdc, 0x2f, 0xf8, 0x06, 0x7e, 0x68, 0x10,
	0x46, 0x07, 0xe7, 0x50, 0xab, 0xb9, 0xd3, 0xb3, 0x65, 0x82, 0xb8, 0xaf, 0x90, 0x9f, 0xcb, 0x58,
};

#define ZEROS_AT_ONCE 512

struct vd_tree {
	struct vd_sha256 *hash;
	struct vd_leaf_sink *sink; /* may be NULL */
	const volatile int *cancel; /* may be NULL */
	uint64_t size, pos; /* leaves below pos are in */
	uint8_t zeros[ZEROS_AT_ONCE * 32];
};

int vd_tree_new(uint64_t size, const volatile int *cancel, struct vd_tree **out, vd_error *err)
{
	struct vd_tree *t = vd_calloc(1, sizeof(*t));

	*out = NULL;
	if (!t)
		return vd_fail_nomem(err, sizeof(*t));
	t->size = size;
	t->cancel = cancel;
	t->hash = vd_sha256_new();
	if (!t->hash) {
		vd_free(t);
		return vd_fail_nomem(err, 0);
	}
	for (unsigned i = 0; i < ZEROS_AT_ONCE; i++)
		memcpy(t->zeros + i * 32, vd_leaf_zero, 32);
	*out = t;
	return 0;
}

void vd_tree_free(struct vd_tree *t)
{
	if (!t)
		return;
	vd_sha256_free(t->hash);
	vd_free(t);
}

void vd_tree_tell(struct vd_tree *t, struct vd_leaf_sink *sink)
{
	t->sink = sink;
}

/* A leaf that was read and found to be zeros is told like one that was not. */
static int tree_tell(struct vd_tree *t, const uint8_t leaf[32], vd_error *err)
{
	if (!t->sink)
		return 0;
	return memcmp(leaf, vd_leaf_zero, 32) ? t->sink->leaf(t->sink, leaf, err) : t->sink->zeros(t->sink, 1, err);
}

int vd_tree_leaf(struct vd_tree *t, const uint8_t leaf[32], vd_error *err)
{
	assert(t->pos < t->size);
	if (tree_tell(t, leaf, err))
		return -1;
	t->pos += vd_leaf_len(t->size, t->pos);
	return vd_sha256_add(t->hash, leaf, 32, err);
}

/* The short leaf at the end. */
static int tree_zero_tail(struct vd_tree *t, vd_error *err)
{
	uint8_t leaf[32];
	size_t len = t->size - t->pos;
	VD_AUTO_FREE uint8_t *zeros = vd_calloc(1, len);

	if (!zeros)
		return vd_fail_nomem(err, len);
	if (vd_sha256_of(zeros, len, leaf, err))
		return -1;
	return vd_tree_leaf(t, leaf, err);
}

int vd_tree_zeros(struct vd_tree *t, uint64_t to, vd_error *err)
{
	uint64_t n = (vd_min(to, t->size) - t->pos) / VDISK_DIGEST_LEAF;

	if (n && t->sink && t->sink->zeros(t->sink, n, err))
		return -1;
	for (t->pos += n * VDISK_DIGEST_LEAF; n > 0;) {
		uint64_t now = vd_min(n, ZEROS_AT_ONCE);

		if (t->cancel && *t->cancel)
			return vd_fail(err, VDISK_CANCELLED, VDISK_NO_OFFSET, "stopped on request");
		if (vd_sha256_add(t->hash, t->zeros, now * 32, err))
			return -1;
		n -= now;
	}
	return to >= t->size && t->pos < t->size ? tree_zero_tail(t, err) : 0;
}

int vd_tree_end(struct vd_tree *t, uint8_t digest[32], vd_error *err)
{
	uint8_t size[8];

	if (vd_tree_zeros(t, t->size, err))
		return -1;
	be64_put(size, t->size);
	if (vd_sha256_add(t->hash, size, sizeof(size), err))
		return -1;
	return vd_sha256_end(t->hash, digest, err);
}

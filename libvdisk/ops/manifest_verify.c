/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk_manifest_make() and vdisk_manifest_verify().  A manifest is read twice: once to see that its leaves make the digest that it
 * ends with, before anything of the image is read, and once beside the image's own leaves.  One of a disk of another size is only
 * read, so that what it claims costs nothing: a line of a manifest can stand for hours of hashing.
 */
#include "ops/manifest.h"
#include "ops/walk.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <string.h>

int vdisk_manifest_make(vdisk_image *img, const char *path, bool overwrite, const struct vdisk_job_options *opts,
                        uint8_t digest[32], vdisk_error *err)
{
	struct vd_manifest *m = NULL;

	if (vd_image_whole(img, err))
		return -1;
	if (vd_manifest_new(path, img, img->top->size, overwrite, &m, err) ||
	    vd_digest_image(img, opts, vd_manifest_sink(m), digest, err) || vd_manifest_finish(m, digest, err)) {
		vd_manifest_abort(m);
		return -1;
	}
	return vd_manifest_commit(m, err);
}

/* ---- verifying */

struct verifier {
	struct vd_leaf_sink sink;
	struct vd_manifest_reader *r;
	uint64_t zeros, leaf;  /* of the manifest's line: zeros left of it; leaves passed */
	uint64_t size, from, to; /* a run of leaves that differ, not yet told: bytes; from == to: none */
	vdisk_differs_fn fn;
	void *ctx;
	struct vdisk_manifest_result *out;
};

static void run_tell(struct verifier *v)
{
	if (v->from != v->to && v->fn)
		v->fn(v->ctx, v->from, v->to - v->from);
	v->from = v->to = 0;
}

/* `n` leaves from v->leaf on. */
static void leaves_judge(struct verifier *v, uint64_t n, bool same)
{
	uint64_t from = v->leaf * VDISK_DIGEST_LEAF, to;

	v->leaf += n;
	if (same)
		return;
	to = vd_min(v->leaf * VDISK_DIGEST_LEAF, v->size);
	if (v->out->equal)
		v->out->offset = from;
	v->out->equal = false;
	v->out->differing += to - from;
	if (v->to != from)
		run_tell(v);
	if (v->from == v->to)
		v->from = from;
	v->to = to;
}

/* What the manifest says of the next leaf, or of *n of them, which are zeros then. */
static int expect(struct verifier *v, uint64_t most, uint64_t *n, bool *zero, uint8_t leaf[32], vd_error *err)
{
	bool end = false;

	*n = 1;
	*zero = v->zeros > 0;
	if (!v->zeros) {
		if (vd_manifest_next(v->r, &v->zeros, leaf, &end, err))
			return -1;
		if (end)
			return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "the manifest changed while it was read");
		*zero = v->zeros > 0;
	}
	if (*zero) {
		*n = vd_min(v->zeros, most);
		v->zeros -= *n;
	}
	return 0;
}

static int sink_leaf(struct vd_leaf_sink *sink, const uint8_t leaf[32], vd_error *err)
{
	struct verifier *v = (struct verifier *)sink;
	uint8_t want[32];
	bool zero;
	uint64_t n;

	if (expect(v, 1, &n, &zero, want, err))
		return -1;
	leaves_judge(v, 1, !zero && !memcmp(leaf, want, 32));
	return 0;
}

static int sink_zeros(struct vd_leaf_sink *sink, uint64_t n, vd_error *err)
{
	struct verifier *v = (struct verifier *)sink;

	while (n) {
		uint8_t want[32];
		uint64_t now;
		bool zero;

		if (expect(v, n, &now, &zero, want, err))
			return -1;
		leaves_judge(v, now, zero);
		n -= now;
	}
	return 0;
}

/* All lines; `t` (may be NULL) takes the leaves.  digest: the last one's. */
static int manifest_read(struct vd_manifest_reader *r, struct vd_tree *t, const volatile int *cancel, uint8_t digest[32],
                         vd_error *err)
{
	uint64_t pos = 0, zeros;
	uint8_t leaf[32];
	bool end;

	for (;;) {
		if (cancel && *cancel)
			return vd_fail(err, VDISK_CANCELLED, VDISK_NO_OFFSET, "stopped on request");
		if (vd_manifest_next(r, &zeros, leaf, &end, err))
			return -1;
		if (end)
			break;
		pos += (zeros ? zeros : 1) * VDISK_DIGEST_LEAF;
		if (t && (zeros ? vd_tree_zeros(t, pos, err) : vd_tree_leaf(t, leaf, err)))
			return -1;
	}
	memcpy(digest, leaf, 32);
	vd_manifest_rewind(r);
	return 0;
}

/* The leaves make the digest. */
static int manifest_judge(struct vd_manifest_reader *r, const char *path, const volatile int *cancel, uint8_t digest[32],
                          vd_error *err)
{
	struct vd_tree *t;
	uint8_t made[32];
	int rc;

	if (vd_tree_new(vd_manifest_size(r), cancel, &t, err))
		return -1;
	rc = manifest_read(r, t, cancel, digest, err) || vd_tree_end(t, made, err) ? -1 : 0;
	vd_tree_free(t);
	if (!rc && memcmp(digest, made, 32))
		rc = vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "%s: its leaves do not make the digest that it ends with", path);
	return rc;
}

static int verify(vdisk_image *img, struct verifier *v, const char *path, const struct vdisk_job_options *opts, vd_error *err)
{
	struct vdisk_manifest_result *out = v->out;
	uint8_t digest[32];

	if (manifest_judge(v->r, path, opts ? opts->cancel : NULL, out->digest, err))
		return -1;
	out->equal = true;
	v->size = out->size;
	if (vd_digest_image(img, opts, &v->sink, digest, err))
		return -1;
	run_tell(v);
	if (out->equal != !memcmp(digest, out->digest, 32))
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "%s: the manifest changed while it was read", img->path);
	return 0;
}

int vdisk_manifest_verify(vdisk_image *img, const char *path, const struct vdisk_job_options *opts, vdisk_differs_fn differs,
                          void *ctx, struct vdisk_manifest_result *out, vdisk_error *err)
{
	struct verifier v = { .sink = { .leaf = sink_leaf, .zeros = sink_zeros }, .fn = differs, .ctx = ctx, .out = out };
	int rc;

	memset(out, 0, sizeof(*out));
	if (vd_image_whole(img, err) || vd_manifest_open(path, &v.r, err))
		return -1;
	out->size = vd_manifest_size(v.r);
	out->size_differs = out->size != img->top->size;
	rc = out->size_differs ? manifest_read(v.r, NULL, opts ? opts->cancel : NULL, out->digest, err)
	                       : verify(img, &v, path, opts, err);
	vd_manifest_close(v.r);
	return rc;
}

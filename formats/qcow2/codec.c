/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Compressed clusters (spec: "Compressed Clusters Descriptor"): raw deflate or one zstd frame of a whole cluster, the last one
 * padded with zeros past the disk's end.  Pure; the packers keep their own locks.
 */
#include "qcow2.h"

int qcow2_codec_init(struct qcow2 *q, int level, vd_error *err)
{
	enum vd_pack_method m = q->h.compression == 1 ? VD_PACK_ZSTD : VD_PACK_DEFLATE;

	if (vd_packer_new(m, level, &q->packer, err) < 0)
		return -1;
	return vd_unpacker_new(m, &q->unpacker, err);
}

static int qcow2_unpack(const struct vd_layer *l, const struct vd_extent *x, const void *in, size_t in_len, void *out,
                        vd_error *err)
{
	const struct qcow2 *q = qcow2_of(l);
	VD_AUTO_FREE uint8_t *whole = NULL;

	if (x->len == q->cluster)
		return vd_unpack(q->unpacker, in, in_len, out, q->cluster, NULL, err);
	whole = vd_malloc(q->cluster);
	if (!whole)
		return vd_fail_nomem(err, q->cluster);
	if (vd_unpack(q->unpacker, in, in_len, whole, q->cluster, NULL, err) < 0)
		return -1;
	memcpy(out, whole, x->len);
	return 0;
}

static int qcow2_pack(const struct vd_layer *l, uint64_t off, const void *in, size_t len, void *out, size_t *out_len, vd_error *err)
{
	const struct qcow2 *q = qcow2_of(l);
	VD_AUTO_FREE uint8_t *whole = NULL;

	(void)off;
	*out_len = 0;
	if (q->crypt_method || q->external)
		return 0;
	if (len < q->cluster) {
		whole = vd_calloc(1, q->cluster);
		if (!whole)
			return vd_fail_nomem(err, q->cluster);
		memcpy(whole, in, len);
		in = whole;
	}
	/* It must be smaller than the cluster: the sector count has no room for more. */
	return vd_pack(q->packer, in, q->cluster, out, q->cluster - 1, out_len, err);
}

static int qcow2_crypt(const struct vd_layer *l, bool encrypt, uint64_t off, uint64_t host, void *buf, size_t len, vd_error *err)
{
	return qcow2_crypt_run(qcow2_of(l), encrypt, off, host, buf, len, err);
}

const struct vd_codec qcow2_codec = {
	.unpack = qcow2_unpack,
	.pack = qcow2_pack,
	.crypt = qcow2_crypt,
};

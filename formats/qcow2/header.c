/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The header's fixed fields (spec: "Header", "Additional fields"): decoded by one pure function, judged once, trusted after.
 * Limits on table sizes are here, before anything allocates by them.
 */
#include "qcow2.h"

int qcow2_header_decode(const uint8_t *p, size_t len, struct qcow2_header *h, vd_error *err)
{
	memset(h, 0, sizeof(*h));
	if (len < QCOW2_HEADER_V2)
		return vd_fail(err, VDISK_CORRUPT, 0, "qcow2 header is cut short: %zu bytes of at least %u", len, QCOW2_HEADER_V2);
	if (be32_get(p) != QCOW2_MAGIC)
		return vd_fail(err, VDISK_CORRUPT, 0, "not a qcow2 image: magic is %#" PRIx32, be32_get(p));
	h->version = be32_get(p + 4);
	h->backing_off = be64_get(p + 8);
	h->backing_len = be32_get(p + 16);
	h->cluster_bits = be32_get(p + 20);
	h->size = be64_get(p + 24);
	h->crypt_method = be32_get(p + 32);
	h->l1_size = be32_get(p + 36);
	h->l1_off = be64_get(p + 40);
	h->rt_off = be64_get(p + 48);
	h->rt_clusters = be32_get(p + 56);
	h->n_snap = be32_get(p + 60);
	h->snap_off = be64_get(p + 64);
	h->refcount_order = 4;
	h->header_len = QCOW2_HEADER_V2;
	if (h->version < 3)
		return 0;
	if (len < QCOW2_HEADER_V3)
		return vd_fail(err, VDISK_CORRUPT, 0, "qcow2 header is cut short: %zu bytes of at least %u", len, QCOW2_HEADER_V3);
	h->incompat = be64_get(p + 72);
	h->compat = be64_get(p + 80);
	h->autoclear = be64_get(p + 88);
	h->refcount_order = be32_get(p + 96);
	h->header_len = be32_get(p + 100);
	if (h->header_len > 104 && len > 104)
		h->compression = p[104];
	return 0;
}

void qcow2_header_encode(const struct qcow2_header *h, uint8_t *p)
{
	be32_put(p, QCOW2_MAGIC);
	be32_put(p + 4, h->version);
	be64_put(p + 8, h->backing_off);
	be32_put(p + 16, h->backing_len);
	be32_put(p + 20, h->cluster_bits);
	be64_put(p + 24, h->size);
	be32_put(p + 32, h->crypt_method);
	be32_put(p + 36, h->l1_size);
	be64_put(p + 40, h->l1_off);
	be64_put(p + 48, h->rt_off);
	be32_put(p + 56, h->rt_clusters);
	be32_put(p + 60, h->n_snap);
	be64_put(p + 64, h->snap_off);
	if (h->version < 3)
		return;
	be64_put(p + 72, h->incompat);
	be64_put(p + 80, h->compat);
	be64_put(p + 88, h->autoclear);
	be32_put(p + 96, h->refcount_order);
	be32_put(p + 100, h->header_len);
	if (h->header_len > 104)
		p[104] = h->compression;
}

/* Fields that stand for themselves. */
static int qcow2_header_fields_judge(const struct qcow2_header *h, vd_error *err)
{
	if (h->version != 2 && h->version != 3)
		return vd_fail(err, VDISK_UNSUPPORTED, 4, "qcow2 version %" PRIu32 " is not supported (2 and 3 are)", h->version);
	if (h->cluster_bits < QCOW2_CLUSTER_BITS_MIN || h->cluster_bits > QCOW2_CLUSTER_BITS_MAX)
		return vd_fail(err, VDISK_CORRUPT, 20, "cluster_bits is %" PRIu32 ", outside %u to %u", h->cluster_bits,
		               QCOW2_CLUSTER_BITS_MIN, QCOW2_CLUSTER_BITS_MAX);
	if (h->refcount_order > 6)
		return vd_fail(err, VDISK_CORRUPT, 96, "refcount_order is %" PRIu32 ", above 6", h->refcount_order);
	if (h->version == 3 && (h->header_len < QCOW2_HEADER_V3 || h->header_len % 8 || h->header_len > 1u << h->cluster_bits))
		return vd_fail(err, VDISK_CORRUPT, 100,
		               "header_length is %" PRIu32 ": not a multiple of 8 from %u to the cluster size", h->header_len,
		               QCOW2_HEADER_V3);
	if (h->crypt_method > QCOW2_CRYPT_LUKS)
		return vd_fail(err, VDISK_UNSUPPORTED, 32, "encryption method %" PRIu32 " is not known", h->crypt_method);
	if (h->backing_off && h->backing_len > QCOW2_BACKING_MAX)
		return vd_fail(err, VDISK_CORRUPT, 16, "backing file name of %" PRIu32 " bytes is longer than %u", h->backing_len,
		               QCOW2_BACKING_MAX);
	return 0;
}

/* Fields that feature bits allow. */
static int qcow2_header_features_judge(const struct qcow2_header *h, vd_error *err)
{
	if ((h->incompat & QCOW2_INCOMPAT_EXT_L2) && h->cluster_bits < 14)
		return vd_fail(err, VDISK_CORRUPT, 20, "extended L2 entries with cluster_bits %" PRIu32 ", below 14",
		               h->cluster_bits);
	if (h->incompat & QCOW2_INCOMPAT_COMPRESSION) {
		if (h->compression != 1)
			return vd_fail(err, h->compression ? VDISK_UNSUPPORTED : VDISK_CORRUPT, 104,
			               "compression type %u is not known (0: deflate, 1: zstd)", h->compression);
	} else if (h->compression) {
		return vd_fail(err, VDISK_CORRUPT, 104, "compression type %u without its incompatible feature bit", h->compression);
	}
	if ((h->autoclear & QCOW2_AUTOCLEAR_RAW_DATA) && !(h->incompat & QCOW2_INCOMPAT_DATA_FILE))
		return vd_fail(err, VDISK_CORRUPT, 88, "raw external data without an external data file");
	if ((h->autoclear & QCOW2_AUTOCLEAR_RAW_DATA) && h->backing_off)
		return vd_fail(err, VDISK_CORRUPT, 88, "raw external data together with a backing file");
	if ((h->incompat & QCOW2_INCOMPAT_DATA_FILE) && h->n_snap)
		return vd_fail(err, VDISK_CORRUPT, 60, "%" PRIu32 " internal snapshots with an external data file", h->n_snap);
	return 0;
}

static int qcow2_header_l1_judge(const struct qcow2_header *h, uint64_t file_size, vd_error *err)
{
	unsigned entry_bits = (h->incompat & QCOW2_INCOMPAT_EXT_L2) ? 4 : 3;
	uint64_t span = 1ull << (2 * h->cluster_bits - entry_bits);
	uint64_t need = vd_div_up(h->size, span);
	uint32_t cluster = 1u << h->cluster_bits;

	if (h->l1_size > QCOW2_L1_BYTES_MAX / 8)
		return vd_fail(err, VDISK_CORRUPT, 36, "L1 table of %" PRIu32 " entries is larger than %u", h->l1_size,
		               QCOW2_L1_BYTES_MAX / 8);
	if (h->l1_size < need)
		return vd_fail(err, VDISK_CORRUPT, 36,
		               "L1 table of %" PRIu32 " entries is too small for a disk of %" PRIu64 " bytes (%" PRIu64 " needed)",
		               h->l1_size, h->size, need);
	if (!h->l1_size)
		return 0;
	if (h->l1_off % cluster || h->l1_off < cluster)
		return vd_fail(err, VDISK_CORRUPT, 40, "L1 table offset %#" PRIx64 " is not on a cluster after the first",
		               h->l1_off);
	if (!vd_within(h->l1_off, h->l1_size * 8ull, file_size)) /* the rest of its last cluster may be missing */
		return vd_fail(err, VDISK_CORRUPT, 40,
		               "L1 table at %#" PRIx64 " (%" PRIu32 " entries) is outside the file (%" PRIu64 " bytes)", h->l1_off,
		               h->l1_size, file_size);
	return 0;
}

static int qcow2_header_reftable_judge(const struct qcow2_header *h, uint64_t file_size, bool for_check, vd_error *err)
{
	uint32_t cluster = 1u << h->cluster_bits;
	uint64_t bytes = (uint64_t)h->rt_clusters << h->cluster_bits;

	if (bytes > vd_max(QCOW2_REFTABLE_BYTES_MAX, cluster))
		return vd_fail(err, VDISK_CORRUPT, 56, "refcount table of %" PRIu32 " clusters is larger than %u bytes",
		               h->rt_clusters, QCOW2_REFTABLE_BYTES_MAX);
	if (h->rt_off % cluster)
		return vd_fail(err, VDISK_CORRUPT, 48, "refcount table offset %#" PRIx64 " is not on a cluster", h->rt_off);
	if (for_check)
		return 0; /* it is rebuilt */
	if (!h->rt_clusters || !h->rt_off)
		return vd_fail(err, VDISK_CORRUPT, 48, "no refcount table (offset %#" PRIx64 ", %" PRIu32 " clusters)", h->rt_off,
		               h->rt_clusters);
	if (h->rt_off >= file_size || bytes > vd_up(file_size, cluster) - h->rt_off)
		return vd_fail(err, VDISK_CORRUPT, 48,
		               "refcount table at %#" PRIx64 " (%" PRIu32 " clusters) is outside the file (%" PRIu64 " bytes)",
		               h->rt_off, h->rt_clusters, file_size);
	if (h->l1_size && h->rt_off < h->l1_off + vd_up(h->l1_size * 8ull, cluster) && h->l1_off < h->rt_off + bytes)
		return vd_fail(err, VDISK_CORRUPT, 48, "refcount table at %#" PRIx64 " overlaps the L1 table at %#" PRIx64,
		               h->rt_off, h->l1_off);
	return 0;
}

int qcow2_header_validate(const struct qcow2_header *h, uint64_t file_size, bool for_check, vd_error *err)
{
	if (qcow2_header_fields_judge(h, err) < 0 || qcow2_header_features_judge(h, err) < 0)
		return -1;
	if (file_size > INT64_MAX - (2u << 20))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "a file of %" PRIu64 " bytes is too large", file_size);
	if (qcow2_header_l1_judge(h, file_size, err) < 0 || qcow2_header_reftable_judge(h, file_size, for_check, err) < 0)
		return -1;
	if (h->n_snap > QCOW2_SNAPSHOTS_MAX)
		return vd_fail(err, VDISK_CORRUPT, 60, "%" PRIu32 " snapshots are more than %u", h->n_snap, QCOW2_SNAPSHOTS_MAX);
	if (h->n_snap && (h->snap_off % (1u << h->cluster_bits) || h->snap_off >= file_size))
		return vd_fail(err, VDISK_CORRUPT, 64,
		               "snapshot table offset %#" PRIx64 " is not on a cluster of the file (%" PRIu64 " bytes)",
		               h->snap_off, file_size);
	if (h->backing_off && !vd_within(h->backing_off, h->backing_len, file_size))
		return vd_fail(err, VDISK_CORRUPT, 8, "backing file name at %#" PRIx64 " is outside the file (%" PRIu64 " bytes)",
		               h->backing_off, file_size);
	return 0;
}

/* What stands in the file now: version 2 has no feature bits, and is called version 3 while it is unfinished. */
static struct qcow2_header qcow2_header_outward(const struct qcow2 *q)
{
	struct qcow2_header h = q->h;

	if (q->unfinished && h.version < 3) {
		h.version = 3;
		h.header_len = QCOW2_HEADER_V3;
		h.incompat = QCOW2_INCOMPAT_UNFINISHED;
	}
	return h;
}

int qcow2_header_write(struct qcow2 *q, vd_error *err)
{
	struct qcow2_header h = qcow2_header_outward(q);
	uint8_t buf[QCOW2_HEADER_OURS] = {0};
	size_t len = h.version < 3 ? QCOW2_HEADER_V2 : h.header_len > 104 ? 105 : 104;

	qcow2_header_encode(&h, buf);
	return vd_file_pwrite(q->file, buf, len, 0, err);
}

int qcow2_header_rewrite(struct qcow2 *q, vd_error *err)
{
	struct qcow2_header h = qcow2_header_outward(q);
	size_t name_len = q->backing ? strlen(q->backing) : 0, used, got;
	size_t cap = vd_min(q->cluster, 1u << 16);
	VD_AUTO_FREE uint8_t *buf = vd_calloc(1, cap);

	if (!buf)
		return vd_fail_nomem(err, cap);
	if (h.header_len > QCOW2_HEADER_OURS) { /* additional fields that we do not know keep their values */
		if (h.header_len > cap)
			return vd_fail(err, VDISK_UNSUPPORTED, 100, "a header of %" PRIu32 " bytes cannot be rewritten",
			               h.header_len);
		if (vd_file_pread_some(q->file, buf, h.header_len, 0, &got, err) < 0)
			return -1;
	}
	if (qcow2_exts_encode(&h, &q->x, name_len, buf + h.header_len, cap - h.header_len, &used, err) < 0)
		return -1;
	used += h.header_len;
	h.backing_off = q->h.backing_off = q->backing ? used : 0;
	h.backing_len = q->h.backing_len = (uint32_t)name_len;
	if (q->backing)
		memcpy(buf + used, q->backing, name_len);
	qcow2_header_encode(&h, buf);
	return vd_file_pwrite(q->file, buf, cap, 0, err);
}

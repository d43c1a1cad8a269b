/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making an image: what the options amount to (the plan), and the first clusters: header, L1 table, refcount table, refcount
 * blocks.  Tables of zeros are left as holes.  The refcount table is made large enough for every guest cluster, so that it hardly
 * ever moves.
 */
#include "qcow2.h"

const struct vdisk_option_info qcow2_options[] = {
	{"compat", VDISK_OPT_ENUM, "0.10|1.1|v2|v3", "1.1", "version: 0.10 (v2) for QEMU before 1.1, or 1.1 (v3)",
	 VDISK_OPT_FOR_CREATE | VDISK_OPT_FOR_AMEND},
	{"cluster_size", VDISK_OPT_SIZE, NULL, "64K", "unit of allocation, a power of two from 512 to 2M", VDISK_OPT_FOR_CREATE},
	{"refcount_bits", VDISK_OPT_UINT, NULL, "16", "width of a reference count: 1, 2, 4, 8, 16, 32 or 64", VDISK_OPT_FOR_CREATE},
	{"lazy_refcounts", VDISK_OPT_BOOL, NULL, "off", "let QEMU put off refcount updates",
	 VDISK_OPT_FOR_CREATE | VDISK_OPT_FOR_AMEND},
	{"preallocation", VDISK_OPT_ENUM, "off|metadata|falloc|full", "off", "space that is allocated at once",
	 VDISK_OPT_FOR_CREATE},
	{"compression_type", VDISK_OPT_ENUM, "zlib|zstd", "zlib", "how compressed clusters are packed", VDISK_OPT_FOR_CREATE},
	{"extended_l2", VDISK_OPT_BOOL, NULL, "off", "32 subclusters in each cluster (cluster_size of 16K or more)",
	 VDISK_OPT_FOR_CREATE},
	{"data_file", VDISK_OPT_STRING, NULL, NULL, "name of a file beside the image that takes the guest's data",
	 VDISK_OPT_FOR_CREATE},
	{"data_file_raw", VDISK_OPT_BOOL, NULL, "off", "keep data_file readable as a raw disk", VDISK_OPT_FOR_CREATE},
	{"encrypt.format", VDISK_OPT_ENUM, "luks", NULL, "encrypt guest data: luks (AES-256-XTS)", VDISK_OPT_FOR_CREATE},
	{"encrypt.key-file", VDISK_OPT_STRING, NULL, NULL, "file that holds the passphrase, every byte of it",
	 VDISK_OPT_FOR_CREATE},
	{"encrypt.iter-time", VDISK_OPT_UINT, NULL, "2000", "time to spend on the passphrase, in milliseconds",
	 VDISK_OPT_FOR_CREATE},
	{"key-file", VDISK_OPT_STRING, NULL, NULL, "file that holds the passphrase, every byte of it", VDISK_OPT_FOR_OPEN},
	{"snapshot", VDISK_OPT_STRING, NULL, NULL, "internal snapshot to read, by ID or name", VDISK_OPT_FOR_OPEN},
	{NULL, 0, NULL, NULL, NULL, 0},
};

/* ---------------------------------------------------------------- the plan */

static int qcow2_plan_encryption(const struct vd_create *c, struct qcow2_plan *p, vd_error *err)
{
	p->key_file = vd_options_str(c->options, "encrypt.key-file");
	p->iter_ms = vd_options_u64(c->options, "encrypt.iter-time");
	if (!vd_options_given(c->options, "encrypt.format")) {
		if (p->key_file || vd_options_given(c->options, "encrypt.iter-time"))
			return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "encrypt.* options want encrypt.format=luks");
		return 0;
	}
	if (!p->key_file)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "encrypt.format=luks wants encrypt.key-file=FILE");
	if (c->flags & VD_CREATE_COMPRESSED)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "compressed clusters do not go together with encryption");
	if (p->prealloc)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "preallocation does not go together with encryption");
	p->h.crypt_method = QCOW2_CRYPT_LUKS;
	return 0;
}

static int qcow2_plan_data_file(const struct vd_create *c, struct qcow2_plan *p, vd_error *err)
{
	bool raw = vd_options_bool(c->options, "data_file_raw");

	p->data_name = vd_options_str(c->options, "data_file");
	if (!p->data_name)
		return raw ? vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "data_file_raw=on wants data_file=NAME") : 0;
	if (raw && c->backing)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "data_file_raw=on does not go together with a backing file");
	if (c->flags & VD_CREATE_COMPRESSED)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "compressed clusters do not go together with an external data file");
	if (!p->data_name[0] || strlen(p->data_name) > QCOW2_BACKING_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "data_file wants a name of 1 to %u bytes", QCOW2_BACKING_MAX);
	p->h.incompat |= QCOW2_INCOMPAT_DATA_FILE;
	if (raw) {
		p->h.autoclear |= QCOW2_AUTOCLEAR_RAW_DATA;
		if (!p->prealloc) /* what the tables do not map reads as zeros whatever the raw file holds: so they map all of it */
			p->prealloc = QCOW2_PREALLOC_METADATA;
	}
	return 0;
}

static int qcow2_plan_version(const struct vd_create *c, struct qcow2_plan *p, vd_error *err)
{
	const char *compat = vd_options_str(c->options, "compat");
	struct qcow2_header *h = &p->h;

	h->version = !strcmp(compat, "0.10") || !strcmp(compat, "v2") ? 2 : 3;
	h->header_len = h->version < 3 ? QCOW2_HEADER_V2 : QCOW2_HEADER_OURS;
	if (vd_options_bool(c->options, "lazy_refcounts"))
		h->compat |= QCOW2_COMPAT_LAZY;
	if (vd_options_bool(c->options, "extended_l2"))
		h->incompat |= QCOW2_INCOMPAT_EXT_L2;
	if (!strcmp(vd_options_str(c->options, "compression_type"), "zstd")) {
		h->compression = 1;
		h->incompat |= QCOW2_INCOMPAT_COMPRESSION;
	}
	if (qcow2_plan_data_file(c, p, err) < 0 || qcow2_plan_encryption(c, p, err) < 0)
		return -1;
	if (h->version < 3 && (h->compat || h->incompat || h->refcount_order != 4))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "compat=%s has no %s", compat,
		               h->compat                                  ? "lazy_refcounts" :
		               h->refcount_order != 4                     ? "refcount_bits but 16" :
		               (h->incompat & QCOW2_INCOMPAT_EXT_L2)      ? "extended_l2" :
		               (h->incompat & QCOW2_INCOMPAT_COMPRESSION) ? "compression_type but zlib" :
		                                                            "data_file");
	return 0;
}

uint64_t qcow2_clusters_total(const struct qcow2_header *h, uint64_t l1_clusters, uint64_t n_l2, uint64_t data, uint64_t extra,
                              uint64_t *rt_clusters)
{
	unsigned block_bits = h->cluster_bits + 3 - h->refcount_order;
	uint64_t fixed = 1 + l1_clusters + n_l2 + data + extra, blocks = 1, rt = 1, total;

	for (;;) {
		uint64_t need_blocks, need_rt;

		total = fixed + blocks + rt;
		need_blocks = (total + (1ull << block_bits) - 1) >> block_bits;
		need_rt = (need_blocks * 8 + (1ull << h->cluster_bits) - 1) >> h->cluster_bits;
		if (need_blocks <= blocks && need_rt <= rt)
			break;
		blocks = vd_max(blocks, need_blocks);
		rt = vd_max(rt, need_rt);
	}
	*rt_clusters = rt;
	return total;
}

static uint64_t qcow2_l1_entries(const struct qcow2_header *h, uint64_t size)
{
	return vd_div_up(size, 1ull << (2 * h->cluster_bits - (h->incompat & QCOW2_INCOMPAT_EXT_L2 ? 4 : 3)));
}

int qcow2_plan_make(const struct vd_create *c, struct qcow2_plan *p, vd_error *err)
{
	uint64_t cluster = vd_options_u64(c->options, "cluster_size"), bits = vd_options_u64(c->options, "refcount_bits"), rt, l1;
	const char *prealloc = vd_options_str(c->options, "preallocation");
	struct qcow2_header *h = &p->h;

	memset(p, 0, sizeof(*p));
	if (!vd_is_pow2(cluster) || cluster < 1u << QCOW2_CLUSTER_BITS_MIN || cluster > 1u << QCOW2_CLUSTER_BITS_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "cluster_size=%" PRIu64 " is no power of two from 512 to 2M",
		               cluster);
	if (!vd_is_pow2(bits) || bits > 64)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "refcount_bits=%" PRIu64 " is none of 1, 2, 4, 8, 16, 32, 64",
		               bits);
	h->cluster_bits = vd_log2(cluster);
	h->refcount_order = vd_log2(bits);
	h->size = c->size;
	p->prealloc = !strcmp(prealloc, "metadata") ? QCOW2_PREALLOC_METADATA :
	              !strcmp(prealloc, "falloc")   ? QCOW2_PREALLOC_FALLOC :
	              !strcmp(prealloc, "full")     ? QCOW2_PREALLOC_FULL :
	                                              QCOW2_PREALLOC_OFF;
	if (p->prealloc && c->backing)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "preallocation=%s would hide the backing file", prealloc);
	if (qcow2_plan_version(c, p, err) < 0)
		return -1;
	if ((h->incompat & QCOW2_INCOMPAT_EXT_L2) && h->cluster_bits < 14)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "extended_l2=on wants a cluster_size of 16K or more, not %" PRIu64, cluster);
	l1 = vd_max(qcow2_l1_entries(h, c->size), 1);
	if (l1 > QCOW2_L1_BYTES_MAX / 8 || c->size > INT64_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "a disk of %" PRIu64 " bytes is too large for clusters of %" PRIu64, c->size, cluster);
	h->l1_size = (uint32_t)l1;
	p->l1_clusters = vd_div_up(l1 * 8, cluster);
	qcow2_clusters_total(h, p->l1_clusters, l1, p->data_name ? 0 : vd_div_up(c->size, cluster), vd_div_up(2u << 20, cluster),
	                     &rt);
	h->rt_clusters = (uint32_t)vd_min(rt, vd_max(QCOW2_REFTABLE_BYTES_MAX / cluster, 1));
	h->l1_off = cluster;
	h->rt_off = cluster + p->l1_clusters * cluster;
	return 0;
}

int qcow2_round_size(const struct vd_create *c, uint64_t size, uint64_t *rounded, vd_error *err)
{
	struct vd_create at_size = *c;
	struct qcow2_plan p;

	if (size > INT64_MAX - 511)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "a disk of %" PRIu64 " bytes is too large", size);
	*rounded = at_size.size = vd_up(size, 512);
	return qcow2_plan_make(&at_size, &p, err);
}

/* ---------------------------------------------------------------- the image */

/* The first clusters' space, and the blocks that count it. */
static int qcow2_layout_make(struct qcow2 *q, vd_error *err)
{
	uint64_t end = qcow2_cluster_of(q, q->h.rt_off) + q->h.rt_clusters, done;

	q->cursor = q->hint = q->virgin = end;
	if (q->file->flags & VD_FILE_BLOCKDEV) {
		if (end << q->bits > vd_file_size(q->file))
			return qcow2_grow_file(q, err);
		if (vd_file_zero(q->file, 0, end << q->bits, true, err) < 0)
			return -1;
	} else if (vd_file_truncate(q->file, end << q->bits, err) < 0) {
		return -1;
	}
	if (qcow2_header_rewrite(q, err) < 0)
		return -1;
	for (uint64_t c = 0; c < end; c += done) {
		uint64_t n = vd_min(end, ((c >> q->block_bits) + 1) << q->block_bits) - c;

		if (qcow2_block_need(q, c, err) < 0 || qcow2_refcount_claim(q, c, n, &done, err) < 0)
			return -1;
		if (done != n)
			return vd_fail(err, VDISK_CORRUPT, c << q->bits, "the new image's clusters are in use");
	}
	return 0;
}

static int qcow2_zeros_write(struct vd_file *f, uint64_t off, uint64_t len, vd_error *err)
{
	enum { CHUNK = 1 << 20 };
	VD_AUTO_FREE uint8_t *zeros = vd_calloc(1, CHUNK);

	if (!zeros)
		return vd_fail_nomem(err, CHUNK);
	for (uint64_t at = 0; at < len; at += CHUNK) {
		if (vd_file_pwrite(f, zeros, vd_min(CHUNK, len - at), off + at, err) < 0)
			return -1;
	}
	return 0;
}

/* Clusters for the whole disk, which read as zeros. */
static int qcow2_preallocate(struct qcow2 *q, int how, vd_error *err)
{
	struct vd_layer *l = q->layer;
	uint64_t end = vd_up(l->size, q->cluster);

	for (uint64_t off = 0; off < end;) {
		struct vd_resv r = {.off = off, .len = end - off, .kind = VD_DATA};
		uint64_t len;
		int rc = 0;

		if (qcow2_reserve(l, &r, err) < 0)
			return -1;
		len = q->external ? vd_min(r.len, l->size - off) : r.len;
		if (how == QCOW2_PREALLOC_FULL)
			rc = qcow2_zeros_write(q->data, r.host, len, err);
		else if (how == QCOW2_PREALLOC_FALLOC || !(r.flags & VD_RESV_ZEROED))
			rc = vd_file_zero(q->data, r.host, len, how == QCOW2_PREALLOC_METADATA, err);
		if (rc < 0 || qcow2_publish(l, &r, 1, err) < 0)
			return -1;
		off += r.len;
	}
	return 0;
}

static int qcow2_create_names(struct qcow2 *q, const struct vd_create *c, const struct qcow2_plan *p, vd_error *err)
{
	if (c->backing) {
		if (strlen(c->backing) > QCOW2_BACKING_MAX)
			return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "backing file name is longer than %u bytes",
			               QCOW2_BACKING_MAX);
		q->backing = vd_strdup(c->backing);
		q->layer->parent_ref.names[0] = vd_strdup(c->backing);
		q->layer->parent_ref.n_names = 1;
		if (!q->backing || !q->layer->parent_ref.names[0])
			return vd_fail_nomem(err, strlen(c->backing));
	}
	if (c->backing && c->backing_format) {
		/* QEMU, whose format this is, knows a VHD by this name only; we know it by both. */
		q->x.backing_format = vd_strdup(strcmp(c->backing_format, "vhd") ? c->backing_format : "vpc");
		q->layer->parent_ref.format = vd_strdup(c->backing_format);
		if (!q->x.backing_format || !q->layer->parent_ref.format)
			return vd_fail_nomem(err, strlen(c->backing_format));
	}
	if (!p->data_name)
		return 0;
	q->x.data_name = vd_strdup(p->data_name);
	if (!q->x.data_name)
		return vd_fail_nomem(err, strlen(p->data_name));
	if (!c->host)
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET, "no way to make the data file %s", p->data_name);
	if (c->host->create_file(c->host, q->layer, p->data_name, &q->data_idx, err) < 0)
		return -1;
	q->data = q->layer->files[q->data_idx];
	q->external = q->data_fresh = true;
	q->external_raw = q->h.autoclear & QCOW2_AUTOCLEAR_RAW_DATA;
	return vd_file_truncate(q->data, c->size, err);
}

static int qcow2_create_in(struct qcow2 *q, const struct vd_create *c, const struct qcow2_plan *p, vd_error *err)
{
	q->unfinished = c->flags & VD_CREATE_UNFINISHED;
	if (q->unfinished && q->h.version >= 3)
		q->h.incompat |= QCOW2_INCOMPAT_UNFINISHED;
	if (qcow2_create_names(q, c, p, err) < 0 || qcow2_geometry_init(q, 0, err) < 0 || qcow2_codec_init(q, c->level, err) < 0)
		return -1;
	vd_cache_set_relaxed(q->cache, q->unfinished);
	if (q->h.crypt_method) {
		q->x.has_crypto = true;
		q->crypt_method = q->h.crypt_method;
	}
	if (qcow2_layout_make(q, err) < 0)
		return -1;
	if (q->crypt_method && qcow2_crypt_create(q, p, c, err) < 0)
		return -1;
	q->layer->flags |= c->backing ? 0 : VD_LAYER_NEW_ZERO;
	if (p->prealloc && qcow2_preallocate(q, p->prealloc, err) < 0)
		return -1;
	return q->unfinished ? 0 : qcow2_flush_layer(q, err);
}

int qcow2_create(struct vd_layer *l, const struct vd_create *c, vd_error *err)
{
	struct qcow2_plan p;
	struct qcow2 *q;

	if (c->flags & VD_CREATE_APPEND)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "qcow2 cannot be written to a pipe");
	if (qcow2_plan_make(c, &p, err) < 0)
		return -1;
	q = vd_calloc(1, sizeof(*q));
	if (!q)
		return vd_fail_nomem(err, sizeof(*q));
	l->priv = q;
	l->size = c->size;
	q->layer = l;
	q->file = q->data = l->files[0];
	q->h = p.h;
	return qcow2_create_in(q, c, &p, err);
}

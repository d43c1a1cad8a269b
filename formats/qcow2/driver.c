/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver's table, opening and closing, and an image's facts. */
#include "bitmap.h"

#include "base/say.h"

#include <stdio.h>

static int qcow2_probe(const struct vd_peek *p)
{
	/* Version 1 is another format; a version after 3 is ours to refuse by name. */
	return p->head_len >= 8 && be32_get(p->head) == QCOW2_MAGIC && be32_get(p->head + 4) >= 2 ? 100 : 0;
}

/* ---------------------------------------------------------------- opening */

int qcow2_geometry_init(struct qcow2 *q, uint64_t cache_bytes, vd_error *err)
{
	struct vd_layer *l = q->layer;

	q->bits = q->h.cluster_bits;
	q->cluster = 1u << q->bits;
	q->table = (uint32_t)vd_min(q->cluster, QCOW2_TABLE_BYTES_MAX);
	q->ext_l2 = q->h.incompat & QCOW2_INCOMPAT_EXT_L2;
	q->entry_bytes = q->ext_l2 ? 16 : 8;
	q->l2_entries = q->cluster / q->entry_bytes;
	q->l1_off = q->h.l1_off;
	q->l1_size = q->h.l1_size;
	q->block_bits = q->bits + 3 - q->h.refcount_order;
	q->count_max = q->h.refcount_order == 6 ? UINT64_MAX : (1ull << (1u << q->h.refcount_order)) - 1;
	l->alloc_grain = q->cluster;
	l->presence_grain = q->ext_l2 ? q->cluster / QCOW2_SUBCLUSTERS : q->cluster;
	snprintf(l->variant, sizeof(l->variant), "v%" PRIu32, q->h.version);
	q->cache_bytes = cache_bytes ? cache_bytes : 4u << 20;
	return vd_cache_new(q->file, q->external ? q->data : NULL, q->table, q->cache_bytes, &q->cache, err);
}

/* The first cluster: fields, extensions, the backing file's name. */
static int qcow2_header_read(struct qcow2 *q, uint32_t flags, vd_error *err)
{
	uint64_t size = vd_file_size(q->file);
	uint8_t fixed[QCOW2_HEADER_OURS];
	VD_AUTO_FREE uint8_t *buf = NULL;
	size_t got, len;

	if (vd_file_pread_some(q->file, fixed, sizeof(fixed), 0, &got, err) < 0 || qcow2_header_decode(fixed, got, &q->h, err) < 0)
		return -1;
	if (q->h.version != 2 && q->h.version != 3)
		return qcow2_header_validate(&q->h, size, false, err);
	/* The extensions first: they name the features that may be refused, and a feature may change what the rest means. */
	len = 1u << vd_min(vd_max(q->h.cluster_bits, QCOW2_CLUSTER_BITS_MIN), QCOW2_CLUSTER_BITS_MAX);
	if (q->h.backing_off && q->h.backing_off < len)
		len = q->h.backing_off;
	if (!(q->h.incompat & ~QCOW2_INCOMPAT_KNOWN) && qcow2_header_validate(&q->h, size, flags & VD_OPEN_CHECK, err) < 0)
		return -1;
	buf = vd_malloc(len);
	if (!buf)
		return vd_fail_nomem(err, len);
	if (vd_file_pread_some(q->file, buf, len, 0, &got, err) < 0)
		return -1;
	if (qcow2_exts_decode(&q->h, buf, got, &q->x, err) < 0 && !(q->h.incompat & ~QCOW2_INCOMPAT_KNOWN))
		return -1;
	if (qcow2_features_judge(&q->h, &q->x, err) < 0)
		return -1;
	if (!q->h.backing_off)
		return 0;
	q->backing = vd_calloc(1, q->h.backing_len + 1);
	if (!q->backing)
		return vd_fail_nomem(err, q->h.backing_len + 1);
	if (vd_file_pread(q->file, q->backing, q->h.backing_len, q->h.backing_off, err) < 0)
		return -1;
	if (strlen(q->backing) != q->h.backing_len)
		return vd_fail(err, VDISK_CORRUPT, q->h.backing_off, "backing file name has a NUL byte in it");
	return 0;
}

static int qcow2_parent_tell(struct qcow2 *q, vd_error *err)
{
	struct vd_parent_ref *ref = &q->layer->parent_ref;

	if (!q->backing || !q->backing[0])
		return 0;
	ref->names[0] = vd_strdup(q->backing);
	if (!ref->names[0])
		return vd_fail_nomem(err, q->h.backing_len);
	ref->n_names = 1;
	if (q->x.backing_format && !(ref->format = vd_strdup(q->x.backing_format)))
		return vd_fail_nomem(err, strlen(q->x.backing_format));
	return 0;
}

static int qcow2_data_open(struct qcow2 *q, const struct vd_open *o, vd_error *err)
{
	bool write = q->layer->flags & VD_LAYER_WRITABLE;

	q->data = q->file;
	if (!(q->h.incompat & QCOW2_INCOMPAT_DATA_FILE))
		return 0;
	q->external = true;
	q->external_raw = q->h.autoclear & QCOW2_AUTOCLEAR_RAW_DATA;
	q->data = NULL;
	if (!q->x.data_name)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "the image has an external data file, but does not name it");
	if (!o->host || o->host->open_file(o->host, q->layer, q->x.data_name, write, &q->data_idx, err) < 0) {
		if (o->flags & VD_OPEN_INFO) {
			vd_error_clear(err);
			return 0;
		}
		return o->host ? -1
		               : vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET, "no way to open the data file %s", q->x.data_name);
	}
	q->data = q->layer->files[q->data_idx];
	return 0;
}

/* Space that clusters own and nobody wrote to, a tenth of the file at least: then map() asks the host for holes. */
static int qcow2_sparse_judge(struct qcow2 *q, vd_error *err)
{
	uint64_t allocated, size = q->data ? vd_file_size(q->data) : 0;

	if (!size || (q->data->flags & VD_FILE_BLOCKDEV))
		return 0;
	if (vd_file_allocated(q->data, &allocated, err) < 0)
		return -1;
	q->sparse = allocated < size - size / 10;
	return 0;
}

/* What keeps an image from being written to. */
static int qcow2_write_judge(struct qcow2 *q, const struct vd_open *o, vd_error *err)
{
	struct vd_layer *l = q->layer;

	if (!(l->flags & VD_LAYER_WRITABLE)) {
		if ((q->h.incompat & QCOW2_INCOMPAT_CORRUPT) && !(o->flags & VD_OPEN_CHECK) && o->host && o->host->log)
			o->host->log(o->host, VDISK_LOG_WARNING,
			             "the image is marked corrupt: what is read may be wrong (check --repair may mend it)");
		return 0;
	}
	if ((q->h.incompat & QCOW2_INCOMPAT_CORRUPT) && !(o->flags & (VD_OPEN_FORCE | VD_OPEN_CHECK)))
		return vd_fail(err, VDISK_REFUSED, 72,
		               "the image is marked corrupt: check --repair it, or write to it with --force");
	if (vd_options_given(o->options, "snapshot")) {
		l->flags &= ~VD_LAYER_WRITABLE;
		l->ro_reason = "internal snapshots are read-only";
	} else if (q->h.crypt_method == QCOW2_CRYPT_AES) {
		l->flags &= ~VD_LAYER_WRITABLE;
		l->ro_reason = "the old AES encryption is read-only";
	}
	return 0;
}

static int qcow2_open_in(struct qcow2 *q, const struct vd_open *o, vd_error *err)
{
	const char *snapshot = vd_options_str(o->options, "snapshot");

	if (qcow2_header_read(q, o->flags, err) < 0)
		return -1;
	q->salvage = o->flags & VD_OPEN_SALVAGE;
	q->for_check = o->flags & VD_OPEN_CHECK;
	q->layer->size = q->h.size;
	q->crypt_method = q->h.crypt_method;
	if (qcow2_parent_tell(q, err) < 0 || qcow2_write_judge(q, o, err) < 0 || qcow2_data_open(q, o, err) < 0 ||
	    qcow2_sparse_judge(q, err) < 0)
		return -1;
	if (qcow2_geometry_init(q, o->cache_bytes, err) < 0 || qcow2_codec_init(q, 0, err) < 0 || qcow2_crypt_open(q, o, err) < 0)
		return -1;
	if (snapshot && qcow2_snapshot_choose(q, snapshot, err) < 0)
		return -1;
	if (!(o->flags & VD_OPEN_INFO) && qcow2_meta_load(q, err) < 0)
		return -1;
	if (!(q->layer->flags & VD_LAYER_WRITABLE))
		return 0;
	if (qcow2_cursor_init(q, err) < 0)
		return -1;
	/* A directory that cannot be read is for a check to tell. */
	return qcow2_tracking_init(q, o->flags & VD_OPEN_CHECK ? NULL : err) < 0 && !(o->flags & VD_OPEN_CHECK) ? -1 : 0;
}

static int qcow2_open(struct vd_layer *l, const struct vd_open *o, vd_error *err)
{
	struct qcow2 *q = vd_calloc(1, sizeof(*q));

	if (!q)
		return vd_fail_nomem(err, sizeof(*q));
	l->priv = q;
	q->layer = l;
	q->file = l->files[0];
	if (!(q->file->flags & VD_FILE_SEEKABLE))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "qcow2 cannot be read from a pipe");
	return qcow2_open_in(q, o, err);
}

static void qcow2_close(struct vd_layer *l)
{
	struct qcow2 *q = qcow2_of(l);

	qcow2_tracking_free(q);
	if (q->cache)
		vd_cache_free(q->cache);
	qcow2_exts_free(&q->x);
	vd_packer_free(q->packer);
	vd_unpacker_free(q->unpacker);
	qcow2_crypt_free(q->crypt);
	vd_free(q->pending);
	vd_free(q->meta.slot);
	vd_free(q->backing);
	vd_free(q);
	l->priv = NULL;
}

/* ---------------------------------------------------------------- facts */

static int qcow2_values(struct vd_layer *l, vdisk_value_fn fn, void *ctx, vd_error *err)
{
	struct qcow2 *q = qcow2_of(l);
	const struct vd_ear e = {fn, ctx};
	char name[QCOW2_BACKING_MAX * 4 + 1];

	(void)err;
	vd_say_text(&e, "compat", q->h.version < 3 ? "0.10" : "1.1");
	vd_say_number(&e, "refcount-bits", 1u << q->h.refcount_order);
	if (q->h.version >= 3) {
		vd_say_bool(&e, "lazy-refcounts", q->h.compat & QCOW2_COMPAT_LAZY);
		vd_say_bool(&e, "dirty", q->h.incompat & QCOW2_INCOMPAT_DIRTY);
		vd_say_bool(&e, "corrupt", q->h.incompat & QCOW2_INCOMPAT_CORRUPT);
		vd_say_bool(&e, "extended-l2", q->ext_l2);
		vd_say_text(&e, "compression-type", q->h.compression ? "zstd" : "zlib");
	}
	if (q->h.crypt_method)
		vd_say_text(&e, "encryption", q->h.crypt_method == QCOW2_CRYPT_LUKS ? "luks" : "aes");
	if (q->x.data_name) {
		vd_say_text(&e, "data-file", vd_printable(name, sizeof(name), q->x.data_name, strlen(q->x.data_name)));
		vd_say_bool(&e, "data-file-raw", q->external_raw);
	}
	if (q->x.has_bitmaps) {
		vd_say_number(&e, "bitmaps", q->x.n_bitmaps);
		vd_say_bool(&e, "bitmaps-consistent", q->h.autoclear & QCOW2_AUTOCLEAR_BITMAPS);
	}
	vd_say_number(&e, "snapshots", q->h.n_snap);
	return 0;
}

/* ---------------------------------------------------------------- the table */

static const char *const qcow2_aliases[] = {NULL};
static const char *const qcow2_suffixes[] = {"qcow2", "qcow2c", "qcow", NULL};

const struct vd_driver vd_driver_qcow2 = {
	.info =
		{
			.name = "qcow2",
			.long_name = "QEMU copy-on-write, version 2 and 3",
			.aliases = qcow2_aliases,
			.suffixes = qcow2_suffixes,
			.caps = VDISK_FORMAT_READ | VDISK_FORMAT_WRITE | VDISK_FORMAT_CREATE | VDISK_FORMAT_COMPRESS |
	                        VDISK_FORMAT_BACKING | VDISK_FORMAT_SNAPSHOTS | VDISK_FORMAT_CHECK | VDISK_FORMAT_RESIZE,
			.options = qcow2_options,
		},
	.probe = qcow2_probe,
	.open = qcow2_open,
	.create = qcow2_create,
	.measure = qcow2_measure,
	.round_size = qcow2_round_size,
	.finish = qcow2_finish,
	.close = qcow2_close,
	.map = qcow2_map,
	.begin_write = qcow2_begin_write,
	.reserve = qcow2_reserve,
	.publish = qcow2_publish,
	.abandon = qcow2_abandon,
	.unmap = qcow2_unmap,
	.flush = qcow2_flush,
	.resize = qcow2_resize,
	.amend = qcow2_amend,
	.set_parent = qcow2_set_parent,
	.check = qcow2_check,
	.values = qcow2_values,
	.snapshots = &qcow2_snapshot_ops,
	.bitmaps = &qcow2_bitmap_ops,
	.codec = &qcow2_codec,
	.layer_caps = qcow2_layer_caps,
};

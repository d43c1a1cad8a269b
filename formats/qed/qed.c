/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qed: QEMU enhanced disk, to be read (QEMU's docs/interop/qed_spec).  Two levels of tables of 64-bit little-endian offsets, each
 * of table_clusters clusters; a backing file by name.  An offset of 0 is the backing file's, 1 in the second level means zeros.
 *
 * An image that was not closed ("needs a check") may have lost space, never data, so it is read as it is.  Tables are read under
 * the layer's lock, shared; an entry is judged each time it is used.
 */
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/say.h"
#include "base/text.h"
#include "core/driver.h"
#include "io/cache.h"

#define HEADER_BYTES 64u
#define TABLE_BYTES  4096u /* of the cache: a piece of a table */
#define NAME_MAX_BYTES 1023u
#define SIZE_MAX_BYTES (UINT64_C(1) << 62)

#define FEATURE_BACKING   1u
#define FEATURE_CHECK     2u
#define FEATURE_RAW       4u /* the backing file is raw, whatever it looks like */

struct qed_header {
	uint32_t cluster, table_clusters, header_clusters;
	uint64_t features;
	uint64_t l1_off, size;
	uint32_t name_off, name_len;
};

struct qed {
	struct qed_header h;
	uint64_t entries, table_bytes; /* of each table */
	struct vd_cache *cache;
	bool salvage;
};

static int qed_probe(const struct vd_peek *p)
{
	return p->head_len >= HEADER_BYTES && !memcmp(p->head, "QED", 4) ? 100 : 0;
}

static void header_decode(struct qed_header *h, const uint8_t b[HEADER_BYTES])
{
	h->cluster = le32_get(b + 4);
	h->table_clusters = le32_get(b + 8);
	h->header_clusters = le32_get(b + 12);
	h->features = le64_get(b + 16);
	h->l1_off = le64_get(b + 40);
	h->size = le64_get(b + 48);
	h->name_off = le32_get(b + 56);
	h->name_len = le32_get(b + 60);
}

static int header_validate(const struct qed_header *h, uint64_t file_size, vd_error *err)
{
	uint64_t per_table, table, most;

	if (h->features & ~UINT64_C(7))
		return vd_fail(err, VDISK_UNSUPPORTED, 16, "QED features %#" PRIx64 " are not known", h->features & ~UINT64_C(7));
	if (h->cluster < 4096 || h->cluster > 64u << 20 || !vd_is_pow2(h->cluster))
		return vd_fail(err, VDISK_CORRUPT, 4, "QED cluster size %" PRIu32 " is no power of two from 4 KiB to 64 MiB",
		               h->cluster);
	if (h->table_clusters < 1 || h->table_clusters > 16 || !vd_is_pow2(h->table_clusters))
		return vd_fail(err, VDISK_CORRUPT, 8, "QED tables of %" PRIu32 " clusters: 1 to 16, a power of two, are allowed",
		               h->table_clusters);
	table = (uint64_t)h->table_clusters * h->cluster;
	per_table = table / 8;
	/* Without overflow: what two levels reach. */
	most = per_table > SIZE_MAX_BYTES / per_table / h->cluster ? SIZE_MAX_BYTES : per_table * per_table * h->cluster;
	if (h->size % 512 || h->size > most)
		return vd_fail(err, VDISK_CORRUPT, 48,
		               "QED size %" PRIu64 " is no multiple of 512, or more than its tables reach, %" PRIu64, h->size,
		               most);
	if (h->l1_off % h->cluster || h->l1_off < h->cluster || !vd_within(h->l1_off, table, file_size))
		return vd_fail(err, VDISK_CORRUPT, 40,
		               "QED table at %#" PRIx64 " is not aligned, or outside the file (%" PRIu64 " bytes)", h->l1_off,
		               file_size);
	if (h->features & FEATURE_BACKING && (!h->name_len || h->name_len > NAME_MAX_BYTES ||
	                                      !vd_within(h->name_off, h->name_len, (uint64_t)h->header_clusters * h->cluster)))
		return vd_fail(err, VDISK_CORRUPT, 56,
		               "QED backing file's name (%" PRIu32 " bytes at %#" PRIx32 ") is too long or outside the header",
		               h->name_len, h->name_off);
	return 0;
}

static int backing_read(struct vd_layer *l, const struct qed *q, vd_error *err)
{
	struct vd_parent_ref *ref = &l->parent_ref;
	uint8_t b[NAME_MAX_BYTES];
	char *name = NULL;

	if (vd_file_pread(l->files[0], b, q->h.name_len, q->h.name_off, err))
		return -1;
	if (vd_text_to_utf8("UTF-8", b, q->h.name_len, &name, err))
		return vd_fail_in(err, "QED backing file's name");
	ref->names[ref->n_names++] = name;
	if (!(q->h.features & FEATURE_RAW))
		return 0;
	ref->format = vd_strdup("raw");
	return ref->format ? 0 : vd_fail_nomem(err, 4);
}

static int qed_open(struct vd_layer *l, const struct vd_open *o, vd_error *err)
{
	uint8_t b[HEADER_BYTES];
	struct qed *q;

	if (!(l->files[0]->flags & VD_FILE_SEEKABLE))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "a QED image cannot be read from a pipe: its tables lie anywhere");
	q = vd_calloc(1, sizeof(*q));
	if (!q)
		return vd_fail_nomem(err, sizeof(*q));
	l->priv = q;
	q->salvage = o->flags & VD_OPEN_SALVAGE;
	if (vd_file_pread(l->files[0], b, sizeof(b), 0, err))
		return -1;
	if (memcmp(b, "QED", 4))
		return vd_fail(err, VDISK_CORRUPT, 0, "no QED magic at the file's beginning");
	header_decode(&q->h, b);
	if (header_validate(&q->h, vd_file_size(l->files[0]), err))
		return -1;
	q->table_bytes = (uint64_t)q->h.table_clusters * q->h.cluster;
	q->entries = q->table_bytes / 8;
	l->size = q->h.size;
	l->alloc_grain = l->presence_grain = q->h.cluster;
	l->flags &= ~VD_LAYER_WRITABLE;
	l->ro_reason = "QED images are only read";
	memcpy(l->variant, "qed", 4);
	if (q->h.features & FEATURE_BACKING && backing_read(l, q, err))
		return -1;
	return vd_cache_new(l->files[0], NULL, TABLE_BYTES, o->cache_bytes, &q->cache, err);
}

static void qed_close(struct vd_layer *l)
{
	struct qed *q = l->priv;

	if (!q)
		return;
	vd_cache_free(q->cache);
	vd_free(q);
	l->priv = NULL;
}

/* The i-th entry of the table at `off`, and how many from there on are the same: *run, at most what it is. */
static int entry_get(struct qed *q, uint64_t off, uint64_t i, unsigned rank, uint64_t *entry, uint64_t *run, vd_error *err)
{
	struct vd_table *t;
	uint64_t at = off + i * 8, most = vd_min(*run, (TABLE_BYTES - at % TABLE_BYTES) / 8);
	const uint8_t *p;

	if (vd_cache_get(q->cache, vd_down(at, TABLE_BYTES), rank, false, &t, err))
		return -1;
	p = t->data + at % TABLE_BYTES;
	*entry = le64_get(p);
	for (*run = 1; *run < most && le64_get(p + *run * 8) == *entry;)
		++*run;
	vd_cache_put(q->cache, t);
	return 0;
}

static int place_judge(const struct vd_layer *l, const struct qed *q, uint64_t off, uint64_t len, const char *what, uint64_t guest,
                       vd_error *err)
{
	if (off % q->h.cluster == 0 && off >= q->h.cluster && vd_within(off, len, vd_file_size(l->files[0])))
		return 0;
	return vd_fail(err, VDISK_CORRUPT, off,
	               "QED %s of guest offset %" PRIu64 " at %#" PRIx64 " is not aligned, or outside the file (%" PRIu64 " bytes)",
	               what, guest, off, vd_file_size(l->files[0]));
}

/* One cluster, a row of those that are not here, or all that tables which are left out, or one that is refused, would tell of. */
static int cluster_find(struct vd_layer *l, struct vd_extent *x, vd_error *err)
{
	struct qed *q = l->priv;
	uint64_t off = x->off, cluster = off / q->h.cluster, in = cluster % q->entries;
	uint64_t span = q->entries * q->h.cluster, end = off + x->len, l2, entry, run = q->entries - cluster / q->entries;

	x->kind = VD_ABSENT;
	x->len = vd_min(x->len, span - off % span);
	if (entry_get(q, q->h.l1_off, cluster / q->entries, 1, &l2, &run, err))
		return -1;
	if (!l2) {
		x->len = vd_min(end - off, run * span - off % span);
		return 0;
	}
	if (place_judge(l, q, l2, q->table_bytes, "table", off, err))
		return -1;
	run = q->entries - in;
	if (entry_get(q, l2, in, 2, &entry, &run, err))
		return -1;
	x->len = vd_min(x->len, (entry < 2 ? run : 1) * q->h.cluster - off % q->h.cluster);
	if (entry == 1)
		x->kind = VD_ZERO;
	if (entry < 2)
		return 0;
	/* The last cluster's end may lie past the disk's and the file's. */
	if (place_judge(l, q, entry, vd_min(q->h.cluster, l->size - cluster * q->h.cluster), "cluster", off, err))
		return -1;
	x->kind = VD_DATA;
	x->flags = VD_EXT_MAPPED;
	x->host = entry + off % q->h.cluster;
	x->host_len = x->len;
	return 0;
}

static int qed_map(struct vd_layer *l, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err)
{
	(void)flags;
	return vd_map_pieces(l, off, len, ((struct qed *)l->priv)->salvage, cluster_find, e, err);
}

static int qed_values(struct vd_layer *l, vdisk_value_fn fn, void *ctx, vd_error *err)
{
	const struct qed *q = l->priv;
	const struct vd_ear e = { fn, ctx };

	(void)err;
	vd_say_number(&e, "cluster-size", q->h.cluster);
	vd_say_number(&e, "table-size", q->h.table_clusters);
	vd_say_bool(&e, "needs-check", q->h.features & FEATURE_CHECK);
	return 0;
}

const struct vd_driver vd_driver_qed = {
	.info = {
		.name = "qed",
		.long_name = "QEMU enhanced disk (read only)",
		.aliases = (const char *const[]){NULL},
		.suffixes = (const char *const[]){"qed", NULL},
		.caps = VDISK_FORMAT_READ | VDISK_FORMAT_BACKING,
	},
	.probe = qed_probe,
	.open = qed_open,
	.close = qed_close,
	.map = qed_map,
	.values = qed_values,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qcow: version 1 of QEMU's copy-on-write format, to be read.  Two levels of tables of 64-bit big-endian entries; a cluster with
 * bit 63 is packed (raw deflate), with its length in the bits above the offset.  A backing file by name, of whatever format: the
 * user says which.  Encrypted ones (AES) are refused.
 */
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/pack.h"
#include "base/say.h"
#include "base/text.h"
#include "core/driver.h"
#include "io/cache.h"

#define HEADER_BYTES 48u
#define TABLE_BYTES  512u
#define NAME_MAX_BYTES 1023u
#define PACKED       (UINT64_C(1) << 63)
#define L1_MAX       (UINT64_C(1) << 24) /* entries */

struct qcow1 {
	uint32_t bits, l2_bits;
	uint64_t cluster, l1_off;
	struct vd_cache *cache;
	struct vd_unpacker *unpacker;
	bool salvage;
};

static bool magic_ok(const uint8_t *b)
{
	return !memcmp(b, "QFI\xfb", 4) && be32_get(b + 4) == 1;
}

static int qcow1_probe(const struct vd_peek *p)
{
	return p->head_len >= HEADER_BYTES && magic_ok(p->head) ? 100 : 0;
}

static int backing_read(struct vd_layer *l, uint64_t off, uint32_t len, vd_error *err)
{
	uint8_t b[NAME_MAX_BYTES];
	char *name = NULL;

	if (len > NAME_MAX_BYTES || !vd_within(off, len, vd_file_size(l->files[0])))
		return vd_fail(err, VDISK_CORRUPT, 8,
		               "QCOW backing file's name (%" PRIu32 " bytes at %#" PRIx64 ") is too long or outside the file", len,
		               off);
	if (vd_file_pread(l->files[0], b, len, off, err))
		return -1;
	if (vd_text_to_utf8("UTF-8", b, len, &name, err))
		return vd_fail_in(err, "QCOW backing file's name");
	l->parent_ref.names[l->parent_ref.n_names++] = name;
	return 0;
}

static int header_read(struct vd_layer *l, struct qcow1 *q, vd_error *err)
{
	uint8_t b[HEADER_BYTES];
	uint64_t l1;

	if (vd_file_pread(l->files[0], b, sizeof(b), 0, err))
		return -1;
	if (!magic_ok(b))
		return vd_fail(err, VDISK_CORRUPT, 0, "no header of QCOW version 1 at the file's beginning");
	l->size = be64_get(b + 24);
	q->bits = b[32];
	q->l2_bits = b[33];
	q->l1_off = be64_get(b + 40);
	if (be32_get(b + 36))
		return vd_fail(err, VDISK_UNSUPPORTED, 36, "encrypted QCOW images of version 1 (method %" PRIu32 ") are not read",
		               be32_get(b + 36));
	if (q->bits < 9 || q->bits > 16 || q->l2_bits < 6 || q->l2_bits > 13)
		return vd_fail(err, VDISK_CORRUPT, 32,
		               "QCOW clusters of 2^%" PRIu32 " bytes, tables of 2^%" PRIu32
		               " entries: 9 to 16 and 6 to 13 are allowed",
		               q->bits, q->l2_bits);
	q->cluster = UINT64_C(1) << q->bits;
	l1 = (l->size >> (q->bits + q->l2_bits)) + 1;
	if (!l->size || l->size > INT64_MAX - 65536 || l1 > L1_MAX || q->l1_off % 8 || q->l1_off < HEADER_BYTES ||
	    !vd_within(q->l1_off, (l1 - (l->size % (q->cluster << q->l2_bits) == 0)) * 8, vd_file_size(l->files[0])))
		return vd_fail(err, VDISK_CORRUPT, 40,
		               "QCOW table of %" PRIu64 " entries at %#" PRIx64 " for a disk of %" PRIu64
		               " bytes is outside the file",
		               l1, q->l1_off, l->size);
	return be64_get(b + 8) ? backing_read(l, be64_get(b + 8), be32_get(b + 16), err) : 0;
}

static int qcow1_open(struct vd_layer *l, const struct vd_open *o, vd_error *err)
{
	struct qcow1 *q;

	if (!(l->files[0]->flags & VD_FILE_SEEKABLE))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "a QCOW image cannot be read from a pipe: its tables lie anywhere");
	q = vd_calloc(1, sizeof(*q));
	if (!q)
		return vd_fail_nomem(err, sizeof(*q));
	l->priv = q;
	q->salvage = o->flags & VD_OPEN_SALVAGE;
	if (header_read(l, q, err))
		return -1;
	l->alloc_grain = l->presence_grain = (uint32_t)q->cluster;
	l->flags &= ~VD_LAYER_WRITABLE;
	l->ro_reason = "QCOW images of version 1 are only read";
	memcpy(l->variant, "v1", 3);
	if (vd_unpacker_new(VD_PACK_DEFLATE, &q->unpacker, err))
		return -1;
	return vd_cache_new(l->files[0], NULL, TABLE_BYTES, o->cache_bytes, &q->cache, err);
}

static void qcow1_close(struct vd_layer *l)
{
	struct qcow1 *q = l->priv;

	if (!q)
		return;
	vd_cache_free(q->cache);
	vd_unpacker_free(q->unpacker);
	vd_free(q);
	l->priv = NULL;
}

/* The entry at `at`, and how many from there on are the same: *run, at most what it is.  Tables begin on any multiple of 8. */
static int entry_get(const struct vd_layer *l, struct qcow1 *q, uint64_t at, uint64_t *entry, uint64_t *run, vd_error *err)
{
	uint64_t size = vd_file_size(l->files[0]), most;
	struct vd_table *t;
	const uint8_t *p;

	if (at % 8 || !vd_within(at, 8, size))
		return vd_fail(err, VDISK_CORRUPT, at,
		               "QCOW table entry at %#" PRIx64 " is not aligned, or outside the file (%" PRIu64 " bytes)", at,
		               size);
	/* One rank for both levels: programs put them anywhere, even into one sector. */
	if (vd_cache_get(q->cache, vd_down(at, TABLE_BYTES), 1, true, &t, err))
		return -1;
	p = t->data + at % TABLE_BYTES;
	*entry = be64_get(p);
	most = vd_min(*run, vd_min(TABLE_BYTES - at % TABLE_BYTES, size - at) / 8);
	for (*run = 1; *run < most && be64_get(p + *run * 8) == *entry;)
		++*run;
	vd_cache_put(q->cache, t);
	return 0;
}

static int packed_find(const struct vd_layer *l, const struct qcow1 *q, uint64_t entry, struct vd_extent *x, vd_error *err)
{
	uint64_t mask = (UINT64_C(1) << (63 - q->bits)) - 1, first = vd_down(x->off, q->cluster);

	x->host = entry & mask;
	x->host_len = entry >> (63 - q->bits) & (q->cluster - 1);
	if (!x->host_len || !vd_within(x->host, x->host_len, vd_file_size(l->files[0])))
		return vd_fail(err, VDISK_CORRUPT, x->host,
		               "QCOW packed cluster of guest offset %" PRIu64 " (%" PRIu64 " bytes at %#" PRIx64
		               ") is outside the file",
		               first, x->host_len, x->host);
	x->kind = VD_DATA;
	x->flags = VD_EXT_COMPRESSED;
	x->off = first; /* the whole unit */
	x->len = vd_min(q->cluster, l->size - first);
	return 0;
}

/* One cluster, a row of those that are not here, or all that tables which are left out, or one that is refused, would tell of. */
static int cluster_find(struct vd_layer *l, struct vd_extent *x, vd_error *err)
{
	struct qcow1 *q = l->priv;
	uint64_t cluster = x->off >> q->bits, entries = UINT64_C(1) << q->l2_bits, in = cluster & (entries - 1), l2, entry;
	uint64_t end = x->off + x->len, span = q->cluster << q->l2_bits, run = vd_div_up(end, span) - x->off / span;

	x->kind = VD_ABSENT;
	x->len = vd_min(x->len, span - x->off % span);
	if (entry_get(l, q, q->l1_off + (cluster >> q->l2_bits) * 8, &l2, &run, err))
		return -1;
	if (!l2) {
		x->len = vd_min(end - x->off, run * span - x->off % span);
		return 0;
	}
	if (l2 > INT64_MAX)
		return vd_fail(err, VDISK_CORRUPT, q->l1_off, "QCOW table at %#" PRIx64 " is outside the file", l2);
	/* Where an entry is outside the file, those behind it are, too. */
	run = entries - in;
	if (entry_get(l, q, l2 + in * 8, &entry, &run, err))
		return -1;
	x->len = vd_min(x->len, (entry ? 1 : run) * q->cluster - x->off % q->cluster);
	if (!entry)
		return 0;
	if (entry & PACKED)
		return packed_find(l, q, entry, x, err);
	if (entry % 512 || !vd_within(entry, vd_min(q->cluster, l->size - (cluster << q->bits)), vd_file_size(l->files[0])))
		return vd_fail(err, VDISK_CORRUPT, entry,
		               "QCOW cluster of guest offset %" PRIu64 " at %#" PRIx64
		               " is not aligned, or outside the file (%" PRIu64 " bytes)",
		               x->off, entry, vd_file_size(l->files[0]));
	x->kind = VD_DATA;
	x->flags = VD_EXT_MAPPED;
	x->host = entry + x->off % q->cluster;
	x->host_len = x->len;
	return 0;
}

static int qcow1_map(struct vd_layer *l, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err)
{
	(void)flags;
	return vd_map_pieces(l, off, len, ((struct qcow1 *)l->priv)->salvage, cluster_find, e, err);
}

static int qcow1_unpack(const struct vd_layer *l, const struct vd_extent *x, const void *in, size_t in_len, void *out,
                        vd_error *err)
{
	const struct qcow1 *q = l->priv;
	VD_AUTO_FREE uint8_t *whole = NULL;

	if (x->len == q->cluster)
		return vd_unpack(q->unpacker, in, in_len, out, q->cluster, NULL, err);
	whole = vd_malloc(q->cluster);
	if (!whole)
		return vd_fail_nomem(err, q->cluster);
	if (vd_unpack(q->unpacker, in, in_len, whole, q->cluster, NULL, err))
		return -1;
	memcpy(out, whole, x->len);
	return 0;
}

static const struct vd_codec qcow1_codec = { .unpack = qcow1_unpack };

static int qcow1_values(struct vd_layer *l, vdisk_value_fn fn, void *ctx, vd_error *err)
{
	const struct qcow1 *q = l->priv;
	const struct vd_ear e = { fn, ctx };

	(void)err;
	vd_say_number(&e, "cluster-size", q->cluster);
	return 0;
}

const struct vd_driver vd_driver_qcow = {
	.info = {
		.name = "qcow",
		.long_name = "QEMU copy-on-write, version 1 (read only)",
		.aliases = (const char *const[]){"qcow1", NULL},
		.suffixes = (const char *const[]){"qcow", NULL},
		.caps = VDISK_FORMAT_READ | VDISK_FORMAT_BACKING,
	},
	.probe = qcow1_probe,
	.open = qcow1_open,
	.close = qcow1_close,
	.map = qcow1_map,
	.values = qcow1_values,
	.codec = &qcow1_codec,
};

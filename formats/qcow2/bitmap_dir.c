/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bitmap directory (spec: "Bitmap directory"): walked in bounded memory, read whole, written anew.
 *
 * A directory is never changed in place, but for the flags of an entry, one aligned word.  A new one lies in new space, durable
 * with all that it names, until one write of the header's first sector makes it count; only then does the old one's space go.
 */
#include "bitmap.h"

#include <stdio.h>

void qcow2_bitmap_decode(const uint8_t p[QCOW2_BITMAP_FIXED], struct qcow2_bitmap *b)
{
	memset(b, 0, sizeof(*b));
	b->table_off = be64_get(p);
	b->table_size = be32_get(p + 8);
	b->flags = be32_get(p + 12);
	b->type = p[16];
	b->granularity_bits = p[17];
	b->name_len = be16_get(p + 18);
	b->extra_len = be32_get(p + 20);
}

static void qcow2_bitmap_encode(const struct qcow2_bitmap *b, uint8_t p[QCOW2_BITMAP_FIXED])
{
	be64_put(p, b->table_off);
	be32_put(p + 8, b->table_size);
	be32_put(p + 12, b->flags);
	p[16] = b->type;
	p[17] = b->granularity_bits;
	be16_put(p + 18, b->name_len);
	be32_put(p + 20, b->extra_len);
}

static uint64_t qcow2_bitmap_length(const struct qcow2_bitmap *b)
{
	return vd_up((uint64_t)QCOW2_BITMAP_FIXED + b->extra_len + b->name_len, 8);
}

uint64_t qcow2_bitmap_entries(const struct qcow2 *q, unsigned granularity_bits)
{
	return vd_div_up(vd_div_up(q->h.size, 1ull << granularity_bits), (uint64_t)q->cluster * 8);
}

const char *qcow2_bitmap_fault(const struct qcow2 *q, const struct qcow2_bitmap *b)
{
	uint64_t len = b->table_size * 8ull;

	if (b->type != 1)
		return "is of a type that is not known";
	if (b->flags & ~(QCOW2_BITMAP_IN_USE | QCOW2_BITMAP_AUTO | QCOW2_BITMAP_EXTRA_OK))
		return "has flags that are not known";
	if (b->extra_len && !(b->flags & QCOW2_BITMAP_EXTRA_OK))
		return "has extra data that must be known to use it";
	if (b->granularity_bits < QCOW2_BITMAP_GRAN_MIN || b->granularity_bits > QCOW2_BITMAP_GRAN_MAX)
		return "has a granularity outside 512 bytes to 2 GiB";
	if (!b->name_len || b->name_len > VDISK_BITMAP_NAME_MAX)
		return "has no name of 1 to 1023 bytes";
	if (!b->table_off || b->table_off % q->cluster || !vd_within(b->table_off, len, vd_file_size(q->file)) ||
	    (uint64_t)b->table_size << q->bits > vd_max(QCOW2_BITMAP_BYTES_MAX, q->cluster) ||
	    (len && qcow2_is_core_meta(q, b->table_off, len)))
		return "has a table that lies where it cannot";
	if (!(b->flags & QCOW2_BITMAP_IN_USE) && b->table_size != qcow2_bitmap_entries(q, b->granularity_bits))
		return "has a table that is not of the disk's size";
	return NULL;
}

/* ---------------------------------------------------------------- reading */

int qcow2_bitmaps_each(struct qcow2 *q, qcow2_bitmap_fn fn, void *ctx, vd_error *err)
{
	uint64_t at = q->x.bitmap_dir_off, end = at + q->x.bitmap_dir_len;

	if (!q->x.has_bitmaps || !(q->h.autoclear & QCOW2_AUTOCLEAR_BITMAPS))
		return 0;
	for (uint32_t i = 0; i < q->x.n_bitmaps; i++) {
		uint8_t p[QCOW2_BITMAP_FIXED];
		struct qcow2_bitmap b;
		uint64_t len;

		if (end - at < sizeof(p))
			return vd_fail(err, VDISK_CORRUPT, at, "bitmap directory ends before its entry %" PRIu32, i);
		if (vd_file_pread(q->file, p, sizeof(p), at, err) < 0)
			return -1;
		qcow2_bitmap_decode(p, &b);
		b.at = at;
		len = qcow2_bitmap_length(&b);
		if (len > end - at)
			return vd_fail(err, VDISK_CORRUPT, at,
			               "bitmap directory entry %" PRIu32 " of %" PRIu64 " bytes passes its end", i, len);
		if (fn(q, &b, ctx, err) < 0)
			return -1;
		at += len;
	}
	return 0;
}

static int qcow2_bitmap_keep(struct qcow2 *q, struct qcow2_bitmap *b, void *ctx, vd_error *err)
{
	struct qcow2_bitmaps *d = ctx;
	uint64_t len = (uint64_t)b->extra_len + b->name_len;

	b->tail = vd_malloc(len + 1);
	if (!b->tail)
		return vd_fail_nomem(err, len + 1);
	d->v[d->n++] = *b;
	return vd_file_pread(q->file, b->tail, len, b->at + QCOW2_BITMAP_FIXED, err);
}

int qcow2_bitmaps_load(struct qcow2 *q, struct qcow2_bitmaps *d, vd_error *err)
{
	memset(d, 0, sizeof(*d));
	if (!q->x.has_bitmaps || !(q->h.autoclear & QCOW2_AUTOCLEAR_BITMAPS))
		return 0;
	if (!vd_within(q->x.bitmap_dir_off, q->x.bitmap_dir_len, vd_file_size(q->file)))
		return vd_fail(err, VDISK_CORRUPT, q->x.bitmap_dir_off,
		               "bitmap directory at %#" PRIx64 " (%" PRIu64 " bytes) is outside the file",
		               q->x.bitmap_dir_off, q->x.bitmap_dir_len);
	d->v = vd_calloc(q->x.n_bitmaps, sizeof(*d->v));
	if (!d->v)
		return vd_fail_nomem(err, q->x.n_bitmaps * sizeof(*d->v));
	return qcow2_bitmaps_each(q, qcow2_bitmap_keep, d, err);
}

void qcow2_bitmaps_free(struct qcow2_bitmaps *d)
{
	for (uint32_t i = 0; i < d->n; i++)
		vd_free(d->v[i].tail);
	vd_free(d->v);
	memset(d, 0, sizeof(*d));
}

const char *qcow2_bitmap_name(const struct qcow2_bitmap *b, char *buf, size_t cap)
{
	return vd_printable(buf, cap, b->tail + b->extra_len, vd_min(b->name_len, VDISK_BITMAP_NAME_MAX));
}

int qcow2_bitmap_find(const struct qcow2_bitmaps *d, const char *name, uint32_t *i, vd_error *err)
{
	char shown[QCOW2_BITMAP_SHOWN_MAX];
	size_t len = strlen(name);
	uint32_t found = 0;

	for (uint32_t k = 0; k < d->n; k++) {
		const struct qcow2_bitmap *b = &d->v[k];

		if ((b->name_len == len && !memcmp(b->tail + b->extra_len, name, len)) ||
		    !strcmp(qcow2_bitmap_name(b, shown, sizeof(shown)), name)) {
			*i = k;
			found++;
		}
	}
	if (found == 1)
		return 0;
	vd_printable(shown, sizeof(shown), name, vd_min(len, VDISK_BITMAP_NAME_MAX));
	if (!found)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "none of its %" PRIu32 " bitmaps is called \"%.200s\"", d->n,
		               shown);
	return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "%" PRIu32 " bitmaps are called \"%.200s\"", found, shown);
}

/* ---------------------------------------------------------------- writing */

int qcow2_bitmap_flags_write(struct qcow2 *q, const struct qcow2_bitmap *b, vd_error *err)
{
	uint8_t flags[4];

	be32_put(flags, b->flags);
	return vd_file_pwrite(q->file, flags, sizeof(flags), b->at + 12, err);
}

/* The directory in new clusters; 0 bytes of none. */
static int qcow2_bitmaps_write(struct qcow2 *q, const struct qcow2_bitmaps *d, uint64_t *off, uint64_t *len, vd_error *err)
{
	uint64_t bytes = 0, padded, first, at = 0;
	VD_AUTO_FREE uint8_t *buf = NULL;
	bool zeroed;

	*off = *len = 0;
	for (uint32_t i = 0; i < d->n; i++)
		bytes += qcow2_bitmap_length(&d->v[i]);
	if (!bytes)
		return 0;
	padded = vd_up(bytes, q->cluster);
	buf = vd_calloc(1, padded);
	if (!buf)
		return vd_fail_nomem(err, padded);
	for (uint32_t i = 0; i < d->n; i++) {
		const struct qcow2_bitmap *b = &d->v[i];

		qcow2_bitmap_encode(b, buf + at);
		memcpy(buf + at + QCOW2_BITMAP_FIXED, b->tail, (size_t)b->extra_len + b->name_len);
		at += qcow2_bitmap_length(b);
	}
	if (qcow2_alloc_row(q, padded >> q->bits, &first, &zeroed, err) < 0)
		return -1;
	*off = first << q->bits;
	*len = bytes;
	return vd_file_pwrite(q->file, buf, padded, *off, err);
}

static void qcow2_directory_release(struct qcow2 *q, uint64_t off, uint64_t len)
{
	if (len)
		qcow2_free_now(q, off >> q->bits, vd_div_up(len, q->cluster), NULL); /* at worst a leak */
}

/* The header names the directory at `off`. */
static int qcow2_directory_strike(struct qcow2 *q, uint32_t n, uint64_t off, uint64_t len, vd_error *err)
{
	struct qcow2_exts x = q->x;
	uint64_t autoclear = q->h.autoclear;
	vd_error inner = {0};

	q->x.has_bitmaps = n > 0;
	q->x.n_bitmaps = n;
	q->x.bitmap_dir_off = off;
	q->x.bitmap_dir_len = len;
	q->h.autoclear = n ? autoclear | QCOW2_AUTOCLEAR_BITMAPS : autoclear & ~QCOW2_AUTOCLEAR_BITMAPS;
	if (!qcow2_header_strike(q, q->backing, q->h.header_len, &inner))
		return 0;
	if (inner.kind != VDISK_UNSUPPORTED) /* which directory the header names is not known */
		q->layer->broken = true;
	q->x = x;
	q->h.autoclear = autoclear;
	if (err)
		*err = inner;
	return -1;
}

int qcow2_bitmaps_store(struct qcow2 *q, const struct qcow2_bitmaps *d, vd_error *err)
{
	bool had = q->x.has_bitmaps && (q->h.autoclear & QCOW2_AUTOCLEAR_BITMAPS);
	uint64_t old_off = q->x.bitmap_dir_off, old_len = had ? q->x.bitmap_dir_len : 0, off, len;

	if (qcow2_bitmaps_write(q, d, &off, &len, err) < 0 || qcow2_flush_layer(q, err) < 0 || vd_file_flush(q->file, err) < 0 ||
	    qcow2_directory_strike(q, d->n, off, len, err) < 0) {
		if (!q->layer->broken)
			qcow2_directory_release(q, off, len);
		return -1;
	}
	qcow2_directory_release(q, old_off, old_len);
	return 0;
}

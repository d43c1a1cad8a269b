/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dirty bitmaps of QEMU (spec: "Bitmaps").  They are not kept up to date here: the first write sets in_use on those that follow writes,
 * so that nothing believes them, and their space stays accounted for.
 */
#include "qcow2.h"

#define QCOW2_BITMAP_FIXED 24u

/* Calls fn for each entry of the directory, where the image says that the extension is consistent. */
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
		b.at = at;
		b.table_off = be64_get(p);
		b.table_size = be32_get(p + 8);
		b.flags = be32_get(p + 12);
		len = vd_up((uint64_t)QCOW2_BITMAP_FIXED + be16_get(p + 18) + be32_get(p + 20), 8);
		if (len > end - at)
			return vd_fail(err, VDISK_CORRUPT, at, "bitmap directory entry %" PRIu32 " of %" PRIu64 " bytes passes its end", i, len);
		if (fn(q, &b, ctx, err) < 0)
			return -1;
		at += len;
	}
	return 0;
}

struct qcow2_distrust { bool all, changed; };

static int qcow2_bitmap_distrust(struct qcow2 *q, struct qcow2_bitmap *b, void *ctx, vd_error *err)
{
	struct qcow2_distrust *d = ctx;
	uint8_t flags[4];

	if ((b->flags & QCOW2_BITMAP_IN_USE) || !(d->all || (b->flags & QCOW2_BITMAP_AUTO)))
		return 0;
	be32_put(flags, b->flags | QCOW2_BITMAP_IN_USE);
	d->changed = true;
	return vd_file_pwrite(q->file, flags, sizeof(flags), b->at + 12, err);
}

int qcow2_bitmaps_distrust(struct qcow2 *q, bool all, vd_error *err)
{
	struct qcow2_distrust d = {.all = all};

	if (qcow2_bitmaps_each(q, qcow2_bitmap_distrust, &d, err) < 0)
		return -1;
	return d.changed ? vd_file_flush(q->file, err) : 0;
}

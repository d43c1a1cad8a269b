/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether the file is as long as the tables say, asked before the first change: new grains go to the file's end, and where that was
 * cut off they would land on what the tables still call somebody's.
 *
 * Nothing but the tables tells where the last grain is, so all are read, once: many at a time, as they mostly lie in a row, and
 * past the cache, in which nothing is dirty yet.  Holes of the host file are passed over: tables of a disk that holds little are
 * such.
 */
#include "vmdk.h"

#include "base/alloc.h"
#include "base/bytes.h"

#define WHOLE_BYTES (1u << 20)

struct whole {
	struct vd_layer *l;
	struct vmdk_extent *x;
	uint8_t *buf, *again; /* again: tables that were judged by another entry, farther from the disk's end */
	uint64_t off, len; /* tables in a row, from table `first` on */
	uint32_t first;
};

/* Entries [0, n) of tables in a row from grain `g` on. */
static int entries_judge(struct whole *w, const uint8_t *p, uint64_t g, uint64_t n, vd_error *err)
{
	uint64_t size = vd_file_size(w->l->files[w->x->file]), grains = vd_div_up(w->x->len, w->x->grain);
	uint64_t top = size < w->x->grain ? 0 : (size - w->x->grain) / VMDK_SECTOR; /* a whole grain fits at or below */
	struct vmdk_grain out;

	n = vd_min(n, grains - g);
	for (uint64_t k = 0; k < n; k++) {
		uint32_t entry = le32_get(p + 4 * k);

		if (entry > top && vmdk_grain_judge(w->l, w->x, g + k, entry, &out, err))
			return -1;
	}
	return 0;
}

static int row_judge(struct whole *w, vd_error *err)
{
	struct vd_file *f = w->l->files[w->x->file];
	/* What the last table lacks is behind the disk's last grain: vmdk_table_find() saw to what must be there. */
	uint64_t end = vd_min(w->off + w->len, vd_down(vd_file_size(f), 4)), n;
	bool data;

	for (uint64_t at = w->off; at < end; at += n) {
		n = end - at;
		if (vd_file_extent(f, at, &n, &data, err))
			return -1;
		if (!data && n >= 4) {
			n = vd_down(n, 4);
			continue;
		}
		n = vd_min(vd_min(vd_up(n, 4), WHOLE_BYTES), end - at);
		if (vd_file_pread(f, w->buf, n, at, err) ||
		    entries_judge(w, w->buf, (uint64_t)w->first * w->x->gtes + (at - w->off) / 4, n / 4, err))
			return -1;
	}
	return 0;
}

static int table_judge(struct whole *w, uint32_t i, vd_error *err)
{
	enum vmdk_table_state state;
	uint64_t off, bytes = vmdk_table_bytes(w->x);

	if (w->x->rgd && vmdk_table_find(w->l, w->x, i, true, &state, &off, err))
		return -1;
	if (vmdk_table_find(w->l, w->x, i, false, &state, &off, err))
		return -1;
	if (state != VMDK_TABLE_HERE || vmdk_table_repeated(w->again, i))
		return 0;
	if (w->len && off == w->off + w->len && i == w->first + w->len / bytes) {
		w->len += bytes;
		return 0;
	}
	if (row_judge(w, err))
		return -1;
	w->first = i;
	w->off = off;
	w->len = bytes;
	return 0;
}

int vmdk_whole_judge(struct vd_layer *l, struct vmdk_extent *x, vd_error *err)
{
	VD_AUTO_FREE uint8_t *buf = vd_malloc(WHOLE_BYTES);
	struct whole w = {.l = l, .x = x, .buf = buf};
	uint32_t used = (uint32_t)vd_min(x->n_gts, vd_div_up(x->len, vmdk_table_span(x)));
	int rc = 0;

	if (!buf)
		return vd_fail_nomem(err, WHOLE_BYTES);
	if (vmdk_table_repeats(x, false, &w.again, err))
		return -1;
	for (uint32_t i = 0; !rc && i < used; i++)
		rc = table_judge(&w, i, err);
	if (!rc)
		rc = row_judge(&w, err);
	vd_free(w.again);
	if (!rc || (err && err->kind != VDISK_CORRUPT))
		return rc;
	return vd_fail_in(err, "the file is cut short or damaged, and not written to");
}

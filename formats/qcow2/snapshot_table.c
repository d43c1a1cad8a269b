/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The snapshot table, written anew to new space: entries that stay keep their bytes, whatever extra data they have (spec: "Snapshot
 * table entries").  Only while shadowed: q->h names the new one at once, the file's header when the change is committed.
 */
#include "qcow2.h"

int qcow2_snapshot_table_size(struct qcow2 *q, uint64_t *bytes, vd_error *err)
{
	struct qcow2_snapshots w;
	int rc;

	qcow2_snapshots_begin(&w, q);
	while ((rc = qcow2_snapshots_next(&w, err)) > 0)
		;
	*bytes = q->h.n_snap ? w.at - q->h.snap_off : 0;
	qcow2_snapshots_end(&w);
	return rc;
}

/* Where entry i begins and ends in the table; i == n_snap: where the table ends. */
static int qcow2_entry_place(struct qcow2 *q, uint32_t i, uint64_t *from, uint64_t *to, vd_error *err)
{
	struct qcow2_snapshots w;
	int rc = 1;

	qcow2_snapshots_begin(&w, q);
	*from = w.at;
	while (w.i <= i && rc > 0) {
		*from = w.at;
		rc = qcow2_snapshots_next(&w, err);
	}
	*to = w.at;
	qcow2_snapshots_end(&w);
	*from -= q->h.snap_off;
	*to -= q->h.snap_off;
	return rc < 0 ? -1 : 0;
}

/* The table's bytes as they are to be; returns owned. */
static int qcow2_snapshot_table_make(struct qcow2 *q, const struct qcow2_snapshot_edit *e, uint64_t had, uint8_t **out,
                                     uint64_t *len, vd_error *err)
{
	uint64_t from = had, to = had;
	size_t got;

	*len = had + (e->entry ? e->entry_bytes : 0);
	if (*len > QCOW2_SNAPSHOT_TABLE_MAX)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "the snapshot table would be larger than %u bytes",
			       QCOW2_SNAPSHOT_TABLE_MAX);
	*out = vd_calloc(1, *len + 1);
	if (!*out)
		return vd_fail_nomem(err, *len);
	/* The last entry's padding need not be in the file. */
	if (had && vd_file_pread_some(q->file, *out, had, q->h.snap_off, &got, err) < 0)
		return -1;
	if (e->drop != UINT32_MAX) {
		if (qcow2_entry_place(q, e->drop, &from, &to, err) < 0)
			return -1;
		memmove(*out + from, *out + to, had - to);
		*len -= to - from;
	}
	if (e->entry)
		memcpy(*out + had - (to - from), e->entry, e->entry_bytes);
	return 0;
}

int qcow2_snapshot_table_write(struct qcow2 *q, const struct qcow2_snapshot_edit *e, vd_error *err)
{
	uint64_t had, len, first = 0;
	VD_AUTO_FREE uint8_t *bytes = NULL;
	bool zeroed;

	if (qcow2_snapshot_table_size(q, &had, err) < 0 || qcow2_snapshot_table_make(q, e, had, &bytes, &len, err) < 0)
		return -1;
	if (had && qcow2_refcount_add(q, q->h.snap_off >> q->bits, vd_div_up(had, q->cluster), -1, err) < 0)
		return -1;
	if (len && (qcow2_alloc_row(q, vd_div_up(len, q->cluster), &first, &zeroed, err) < 0 ||
	            vd_file_pwrite(q->file, bytes, len, first << q->bits, err) < 0))
		return -1;
	q->h.snap_off = first << q->bits;
	q->h.n_snap += e->entry != NULL;
	q->h.n_snap -= e->drop != UINT32_MAX;
	return 0;
}

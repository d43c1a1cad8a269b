/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Internal snapshots (spec: "Snapshots"): the table is walked entry by entry in bounded memory, whatever it claims; one of them can
 * be opened as a read-only layer, with its own L1 table and its own size.
 */
#include "qcow2.h"

#define QCOW2_SNAPSHOT_FIXED 40u

void qcow2_snapshots_begin(struct qcow2_snapshots *w, struct qcow2 *q)
{
	memset(w, 0, sizeof(*w));
	w->q = q;
	w->at = q->h.snap_off;
}

static void qcow2_snapshot_clear(struct qcow2_snapshots *w)
{
	vd_free(w->s.id);
	vd_free(w->s.name);
	memset(&w->s, 0, sizeof(w->s));
}

void qcow2_snapshots_end(struct qcow2_snapshots *w)
{
	qcow2_snapshot_clear(w);
}

static int qcow2_snapshot_text(struct qcow2 *q, uint64_t at, uint32_t len, char **out, vd_error *err)
{
	char raw[65536];
	size_t cap = (size_t)len * 4 + 1;

	if (vd_file_pread(q->file, raw, len, at, err) < 0)
		return -1;
	*out = vd_malloc(cap);
	if (!*out)
		return vd_fail_nomem(err, cap);
	vd_printable(*out, cap, raw, len);
	return 0;
}

int qcow2_snapshots_next(struct qcow2_snapshots *w, vd_error *err)
{
	struct qcow2 *q = w->q;
	uint8_t fixed[QCOW2_SNAPSHOT_FIXED + 24] = {0};
	uint32_t id_len, name_len, extra;
	uint64_t end;

	if (w->i == q->h.n_snap)
		return 0;
	qcow2_snapshot_clear(w);
	if (vd_file_pread(q->file, fixed, QCOW2_SNAPSHOT_FIXED, w->at, err) < 0)
		return -1;
	id_len = be16_get(fixed + 12);
	name_len = be16_get(fixed + 14);
	extra = be32_get(fixed + 36);
	end = w->at + QCOW2_SNAPSHOT_FIXED + extra + id_len + name_len;
	if (end - q->h.snap_off > QCOW2_SNAPSHOT_TABLE_MAX)
		return vd_fail(err, VDISK_CORRUPT, w->at, "snapshot table is larger than %u bytes at entry %" PRIu32,
		               QCOW2_SNAPSHOT_TABLE_MAX, w->i);
	if (extra && vd_file_pread(q->file, fixed + QCOW2_SNAPSHOT_FIXED, vd_min(extra, 24), w->at + QCOW2_SNAPSHOT_FIXED, err) < 0)
		return -1;
	w->s.l1_off = be64_get(fixed);
	w->s.l1_size = be32_get(fixed + 8);
	w->s.date_sec = be32_get(fixed + 16);
	w->s.date_nsec = be32_get(fixed + 20);
	w->s.vm_clock = be64_get(fixed + 24);
	w->s.vm_state = extra >= 8 ? be64_get(fixed + 40) : be32_get(fixed + 32);
	w->s.size = extra >= 16 ? be64_get(fixed + 48) : q->h.size;
	w->s.icount = extra >= 24 ? be64_get(fixed + 56) : UINT64_MAX;
	if (qcow2_snapshot_text(q, w->at + QCOW2_SNAPSHOT_FIXED + extra, id_len, &w->s.id, err) < 0 ||
	    qcow2_snapshot_text(q, w->at + QCOW2_SNAPSHOT_FIXED + extra + id_len, name_len, &w->s.name, err) < 0)
		return -1;
	w->at = vd_up(end, 8);
	w->i++;
	return 1;
}

static int qcow2_snapshot_list(struct vd_layer *l, vdisk_snapshot_fn fn, void *ctx, vd_error *err)
{
	struct qcow2_snapshots w;
	int rc;

	qcow2_snapshots_begin(&w, qcow2_of(l));
	while ((rc = qcow2_snapshots_next(&w, err)) > 0) {
		struct vdisk_snapshot_info s = {
			.id = w.s.id,
			.name = w.s.name,
			.date_sec = w.s.date_sec,
			.date_nsec = w.s.date_nsec,
			.vm_clock_nsec = w.s.vm_clock,
			.vm_state_bytes = w.s.vm_state,
			.virtual_size = w.s.size,
			.icount = w.s.icount,
		};
		fn(ctx, &s);
	}
	qcow2_snapshots_end(&w);
	return rc;
}

int qcow2_snapshot_judge(const struct qcow2 *q, const struct qcow2_snapshot *s, vd_error *err)
{
	if (s->l1_size > QCOW2_L1_BYTES_MAX / 8 || s->size > INT64_MAX || s->l1_size < vd_div_up(s->size, qcow2_l2_span(q)))
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET,
		               "snapshot %s: an L1 table of %" PRIu32 " entries for %" PRIu64 " bytes", s->id, s->l1_size, s->size);
	if (s->l1_off % q->cluster || !vd_within(s->l1_off, s->l1_size * 8ull, vd_file_size(q->file)) ||
	    (s->l1_size && qcow2_is_core_meta(q, s->l1_off, s->l1_size * 8ull)))
		return vd_fail(err, VDISK_CORRUPT, s->l1_off, "snapshot %s: its L1 table at %#" PRIx64 " lies where it cannot",
		               s->id, s->l1_off);
	return 0;
}

/* Reads the disk as the snapshot has it from here on. */
static int qcow2_snapshot_use(struct qcow2 *q, const struct qcow2_snapshot *s, vd_error *err)
{
	if (qcow2_snapshot_judge(q, s, err) < 0)
		return -1;
	q->l1_off = s->l1_off;
	q->l1_size = s->l1_size;
	q->layer->size = s->size;
	return 0;
}

/* By ID; where no ID is `which`, by name. */
int qcow2_snapshot_choose(struct qcow2 *q, const char *which, vd_error *err)
{
	for (int by_name = 0; by_name < 2; by_name++) {
		struct qcow2_snapshots w;
		int rc;

		qcow2_snapshots_begin(&w, q);
		while ((rc = qcow2_snapshots_next(&w, err)) > 0) {
			if (strcmp(by_name ? w.s.name : w.s.id, which) == 0)
				break;
		}
		if (rc > 0)
			rc = qcow2_snapshot_use(q, &w.s, err) < 0 ? -1 : 1;
		qcow2_snapshots_end(&w);
		if (rc)
			return rc < 0 ? -1 : 0;
	}
	return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "no internal snapshot has the ID or name \"%s\"", which);
}

const struct vd_snapshot_ops qcow2_snapshot_ops = {
	.list = qcow2_snapshot_list,
	.create = qcow2_snapshot_create,
	.apply = qcow2_snapshot_apply,
	.remove = qcow2_snapshot_remove,
};

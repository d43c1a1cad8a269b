/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Changing an image's properties in place: its version and lazy refcounts. */
#include "qcow2.h"

#include <stdio.h>

/* What version 2 cannot say, by name. */
static int qcow2_downgrade_judge(const struct qcow2 *q, vd_error *err)
{
	const char *what = q->h.incompat & QCOW2_INCOMPAT_DATA_FILE     ? "an external data file" :
	                   q->h.incompat & QCOW2_INCOMPAT_EXT_L2       ? "extended L2 entries" :
	                   q->h.incompat & QCOW2_INCOMPAT_COMPRESSION  ? "zstd compression" :
	                   q->h.incompat                               ? "the corrupt mark" :
	                   q->h.refcount_order != 4                    ? "refcounts that are not of 16 bits" :
	                   q->h.crypt_method == QCOW2_CRYPT_LUKS       ? "LUKS encryption" :
	                   q->x.has_bitmaps                            ? "bitmaps" :
	                   q->h.n_snap                                 ? "internal snapshots, which may hold zero clusters" :
	                                                                 NULL;

	return what ? vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "version 2 (compat=0.10) has no place for %s", what) : 0;
}

/* Zero clusters have no place in version 2: they become unallocated, which is the same where there is no backing file. */
static int qcow2_zeros_drop(struct qcow2 *q, vd_error *err)
{
	struct vd_layer *l = q->layer;

	for (uint64_t off = 0; off < l->size;) {
		struct vd_extent v[64];
		struct vd_extents e;

		vd_extents_init(&e, v, 64, off, l->size - off);
		if (qcow2_map(l, off, l->size - off, 0, &e, err) < 0)
			return -1;
		for (size_t i = 0; i < e.n; i++) {
			if (v[i].kind != VD_ZERO)
				continue;
			if (q->backing)
				return vd_fail(
					err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
					"version 2 (compat=0.10) has no zero clusters over a backing file (guest offset %" PRIu64
					")",
					v[i].off);
			if (qcow2_unmap(l, v[i].off, v[i].len, VD_ABSENT, err) < 0)
				return -1;
		}
		off = e.next;
	}
	return qcow2_flush_layer(q, err);
}

static int qcow2_version_set(struct qcow2 *q, uint32_t version, vd_error *err)
{
	if (version == q->h.version)
		return 0;
	if (version < 3 && (qcow2_downgrade_judge(q, err) < 0 || qcow2_zeros_drop(q, err) < 0))
		return -1;
	q->h.version = version;
	q->h.header_len = version < 3 ? QCOW2_HEADER_V2 : QCOW2_HEADER_OURS;
	q->h.incompat = q->h.compat = q->h.autoclear = 0;
	return 0;
}

static int qcow2_amend_fields(struct qcow2 *q, const struct vd_options *o, vd_error *err)
{
	if (vd_options_given(o, "compat")) {
		const char *compat = vd_options_str(o, "compat");
		if (qcow2_version_set(q, !strcmp(compat, "0.10") || !strcmp(compat, "v2") ? 2 : 3, err) < 0)
			return -1;
	}
	if (vd_options_given(o, "lazy_refcounts")) {
		bool lazy = vd_options_bool(o, "lazy_refcounts");
		if (lazy && q->h.version < 3)
			return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "compat=0.10 has no lazy_refcounts");
		q->h.compat = lazy ? q->h.compat | QCOW2_COMPAT_LAZY : q->h.compat & ~QCOW2_COMPAT_LAZY;
	}
	return 0;
}

/* The fixed fields alone where that is enough; the other version's are more or fewer, so that the extensions move. */
int qcow2_amend(struct vd_layer *l, const struct vd_options *o, vd_error *err)
{
	struct qcow2 *q = qcow2_of(l);
	struct qcow2_header old = q->h;
	int rc = qcow2_flush_layer(q, err);

	if (!rc && qcow2_amend_fields(q, o, err) < 0) {
		q->h = old;
		return -1;
	}
	if (!rc && q->h.version == old.version)
		rc = qcow2_header_write(q, err) < 0 || vd_file_flush(q->file, err) < 0 ? -1 : 0;
	else if (!rc)
		rc = qcow2_header_strike(q, q->backing, old.header_len, err);
	if (rc && err && err->kind == VDISK_UNSUPPORTED)
		q->h = old; /* nothing was written */
	else if (rc)
		l->broken = true; /* which header the file has is not known */
	snprintf(l->variant, sizeof(l->variant), "v%" PRIu32, q->h.version);
	return rc;
}

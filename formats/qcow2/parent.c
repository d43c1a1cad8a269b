/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Another backing file, or none, in an image that is in use.
 *
 * What tells of the backing file lies in two places: the header's fields (offset and length of the name) and the header extension
 * with its format; and the name itself somewhere in the first cluster.  All but the name go into the file's first sector, in one
 * write, so that a crash leaves the old reference or the new one: the extensions are laid out anew, without the feature name table
 * if they do not fit with it (it only serves messages).  The name is written first, where neither the old name nor any extension
 * lies.
 */
#include "qcow2.h"

#define QCOW2_SECTOR 512u

/* A place for `len` bytes in the first cluster, behind the first sector, that nothing of the old header uses; 0: none. */
static uint64_t qcow2_name_place(const struct qcow2 *q, uint64_t exts_end, size_t len)
{
	uint64_t at = vd_max(vd_up(exts_end, 8), QCOW2_SECTOR), old = q->h.backing_off, old_end = old + q->h.backing_len;

	if (old && at < old_end && old < at + len)
		at = vd_up(old_end, 8);
	return at + len <= q->cluster ? at : 0;
}

/* Where the extensions that are in the file now end. */
static int qcow2_exts_end(const struct qcow2 *q, uint32_t header_len, uint64_t *end, vd_error *err)
{
	uint64_t at = header_len;

	for (;;) {
		uint8_t b[8];
		size_t got;

		if (vd_file_pread_some(q->file, b, 8, at, &got, err) < 0)
			return -1;
		at += 8;
		if (got < 8 || at + 8 > q->cluster || !be32_get(b))
			break;
		at += vd_up((uint64_t)be32_get(b + 4), 8);
	}
	*end = vd_min(at, q->cluster);
	return 0;
}

/* The first sector with q->x and the name; *name_at 0: the name lies in it. */
static int qcow2_sector_make(struct qcow2 *q, const char *name, uint64_t old_end, uint8_t *sector, uint64_t *name_at, vd_error *err)
{
	size_t len = name ? strlen(name) : 0, room = QCOW2_SECTOR - q->h.header_len, used;
	struct qcow2_header h = q->h;

	if (vd_file_pread(q->file, sector, QCOW2_SECTOR, 0, err) < 0)
		return -1;
	memset(sector + h.header_len, 0, room);
	*name_at = name ? qcow2_name_place(q, old_end, len) : 0;
	if (qcow2_exts_encode(&h, &q->x, *name_at ? 0 : len, sector + h.header_len, room, &used, err) < 0)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "the header's first sector has no room for its extensions: it cannot be changed at one stroke");
	h.backing_off = !name ? 0 : *name_at ? *name_at : h.header_len + used;
	h.backing_len = (uint32_t)len;
	if (name && !*name_at)
		memcpy(sector + h.backing_off, name, len);
	qcow2_header_encode(&h, sector);
	return 0;
}

int qcow2_header_strike(struct qcow2 *q, const char *name, uint32_t old_len, vd_error *err)
{
	uint64_t old_end, name_at;
	uint8_t sector[QCOW2_SECTOR];

	if (q->h.header_len > QCOW2_SECTOR - 8)
		return vd_fail(err, VDISK_UNSUPPORTED, 100, "a header of %" PRIu32 " bytes cannot be rewritten at one stroke",
		               q->h.header_len);
	if (qcow2_exts_end(q, old_len, &old_end, err) < 0 || qcow2_sector_make(q, name, old_end, sector, &name_at, err) < 0)
		return -1;
	if (name_at && (vd_file_pwrite(q->file, name, strlen(name), name_at, err) < 0 || vd_file_flush(q->file, err) < 0))
		return -1;
	if (vd_file_pwrite(q->file, sector, sizeof(sector), 0, err) < 0 || vd_file_flush(q->file, err) < 0)
		return -1;
	q->h.backing_off = be64_get(sector + 8);
	q->h.backing_len = be32_get(sector + 16);
	return 0;
}

static int qcow2_parent_refuse(const struct qcow2 *q, const struct vd_new_parent *p, vd_error *err)
{
	if (q->external_raw && p)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "data_file_raw=on does not go together with a backing file");
	if (p && (!p->name[0] || strlen(p->name) > QCOW2_BACKING_MAX))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "a backing file's name has 1 to %u bytes, not %zu",
		               QCOW2_BACKING_MAX, strlen(p->name));
	return 0;
}

int qcow2_set_parent(struct vd_layer *l, const struct vd_new_parent *p, vd_error *err)
{
	struct qcow2 *q = qcow2_of(l);
	char *old_format = q->x.backing_format, *name = NULL;

	if (qcow2_parent_refuse(q, p, err) < 0)
		return -1;
	q->x.backing_format = NULL;
	if (p) {
		/* QEMU knows a VHD by this name only. */
		q->x.backing_format = vd_strdup(strcmp(p->format, "vhd") ? p->format : "vpc");
		name = vd_strdup(p->name);
	}
	if (p && (!q->x.backing_format || !name))
		vd_fail_nomem(err, strlen(p->name));
	else if (!qcow2_header_strike(q, name, q->h.header_len, err)) {
		vd_free(old_format);
		vd_free(q->backing);
		q->backing = name;
		return 0;
	}
	vd_free(name);
	vd_free(q->x.backing_format);
	q->x.backing_format = old_format;
	return -1;
}

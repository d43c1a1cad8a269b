/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The metadata region (specification, 2.6): a table of 64 KiB, then the items it points at.
 *
 * Changing it is one entry of the log: the region is made anew in memory and the sectors that differ are written.  Items that are
 * not ours stay where and as they are.
 */
#include "vhdx.h"

#include "base/alloc.h"
#include "base/uuid.h"

const uint8_t vhdx_item_parameters[16] = { 0xca, 0xa1, 0x67, 0x37, 0xfa, 0x36, 0x4d, 0x43,
	                                   0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b };
const uint8_t vhdx_item_size[16] = {
	0x2f, 0xa5, 0x42, 0x24, 0xcd, 0x1b, 0x48, 0x76, 0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8
};
const uint8_t vhdx_item_uuid[16] = {
	0xbe, 0xca, 0x12, 0xab, 0xb2, 0xe6, 0x45, 0x23, 0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46
};
const uint8_t vhdx_item_logical[16] = { 0x81, 0x41, 0xbf, 0x1d, 0xa9, 0x6f, 0x47, 0x09,
	                                0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f };
const uint8_t vhdx_item_physical[16] = { 0xcd, 0xa3, 0x48, 0xc7, 0x44, 0x5d, 0x44, 0x71,
	                                 0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56 };
const uint8_t vhdx_item_parent[16] = { 0xa8, 0xd3, 0x5f, 0x2d, 0xb3, 0x0b, 0x45, 0x4d,
	                               0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c };

/* ---------------------------------------------------------------- reading */

static bool item_known(const struct vhdx_item *x)
{
	static const uint8_t *const known[] = { vhdx_item_parameters, vhdx_item_size,     vhdx_item_uuid,
		                                vhdx_item_logical,    vhdx_item_physical, vhdx_item_parent };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!memcmp(x->guid, known[i], 16))
			return !(x->flags & VHDX_ITEM_USER);
	return false;
}

static int item_judge(const struct vhdx *v, const struct vhdx_item *x, uint64_t at, vd_error *err)
{
	char text[VD_UUID_TEXT];

	vd_uuid_format(text, x->guid);
	if (x->flags & VHDX_ITEM_REQUIRED && !item_known(x))
		return vd_fail(err, VDISK_UNSUPPORTED, at, "VHDX metadata item %s is required, and not known", text);
	/* An item of no bytes is one that is not there. */
	if (x->len && (x->off < VHDX_TABLE_BYTES || x->len > VHDX_ITEM_MAX || !vd_within(x->off, x->len, v->meta_at.len)))
		return vd_fail(err, VDISK_CORRUPT, at,
		               "VHDX metadata item %s (%" PRIu32 " bytes at %#" PRIx32 ") is too long or outside its region", text,
		               x->len, x->off);
	return 0;
}

static int table_decode(struct vhdx *v, const uint8_t *b, vd_error *err)
{
	struct vhdx_meta *m = &v->meta;
	uint16_t n = le16_get(b + 10);

	if (memcmp(b, "metadata", 8))
		return vd_fail(err, VDISK_CORRUPT, v->meta_at.off, "no VHDX metadata table at %#" PRIx64, v->meta_at.off);
	if (n > VHDX_TABLE_MAX)
		return vd_fail(err, VDISK_CORRUPT, v->meta_at.off + 10, "VHDX metadata table has %u entries; %u is the limit", n,
		               VHDX_TABLE_MAX);
	for (m->n = 0; m->n < n; m->n++) {
		struct vhdx_item *x = &m->items[m->n];
		const uint8_t *e = b + 32 * (1 + m->n);

		vhdx_guid_get(x->guid, e);
		x->off = le32_get(e + 16);
		x->len = le32_get(e + 20);
		x->flags = le32_get(e + 24);
		if (item_judge(v, x, v->meta_at.off + 32 * (1 + m->n), err))
			return -1;
		if (item_known(x) && vhdx_meta_find(m, x->guid) != NULL)
			return vd_fail(err, VDISK_CORRUPT, v->meta_at.off + 32 * (1 + m->n),
			               "VHDX metadata item stands there twice");
	}
	return 0;
}

/* Among the first n: so that table_decode() sees those before. */
const struct vhdx_item *vhdx_meta_find(const struct vhdx_meta *m, const uint8_t guid[16])
{
	for (uint32_t i = 0; i < m->n; i++)
		if (!memcmp(m->items[i].guid, guid, 16) && !(m->items[i].flags & VHDX_ITEM_USER))
			return &m->items[i];
	return NULL;
}

static int item_read(struct vd_layer *l, const struct vhdx *v, const uint8_t guid[16], const char *name, uint8_t *b, uint32_t len,
                     vd_error *err)
{
	const struct vhdx_item *x = vhdx_meta_find(&v->meta, guid);

	if (!x || x->len < len)
		return vd_fail(err, VDISK_CORRUPT, v->meta_at.off, "VHDX metadata have no %s", name);
	return vd_file_pread(l->files[0], b, len, v->meta_at.off + x->off, err);
}

static bool sector_size_ok(uint32_t n)
{
	return n == 512 || n == 4096;
}

static int values_judge(const struct vhdx *v, uint32_t flags, vd_error *err)
{
	const struct vhdx_meta *m = &v->meta;
	uint64_t at = v->meta_at.off;

	if (flags & ~3u)
		return vd_fail(err, VDISK_UNSUPPORTED, at, "VHDX file parameters %#" PRIx32 " are not known", flags);
	if (m->block_bytes < VHDX_MIB || m->block_bytes > VHDX_BLOCK_MAX || !vd_is_pow2(m->block_bytes))
		return vd_fail(err, VDISK_CORRUPT, at, "VHDX block size %" PRIu32 " is no power of two from 1 MiB to 256 MiB",
		               m->block_bytes);
	if (!sector_size_ok(m->logical) || !sector_size_ok(m->physical))
		return vd_fail(err, VDISK_CORRUPT, at,
		               "VHDX sector sizes %" PRIu32 " and %" PRIu32 " (logical, physical) are not 512 or 4096", m->logical,
		               m->physical);
	if (m->size > VHDX_SIZE_MAX || m->size % m->logical)
		return vd_fail(err, VDISK_CORRUPT, at,
		               "VHDX size %" PRIu64 " is past 64 TiB or no multiple of the sector size, %" PRIu32, m->size,
		               m->logical);
	return 0;
}

int vhdx_meta_read(struct vd_layer *l, struct vhdx *v, vd_error *err)
{
	VD_AUTO_FREE uint8_t *b = vd_malloc(VHDX_TABLE_BYTES);
	struct vhdx_meta *m = &v->meta;
	uint8_t word[16];
	uint32_t flags;

	if (!b)
		return vd_fail_nomem(err, VHDX_TABLE_BYTES);
	if (vd_file_pread(l->files[0], b, VHDX_TABLE_BYTES, v->meta_at.off, err) || table_decode(v, b, err))
		return -1;
	if (item_read(l, v, vhdx_item_parameters, "file parameters", word, 8, err))
		return -1;
	m->block_bytes = le32_get(word);
	flags = le32_get(word + 4);
	m->has_parent = flags & 2;
	m->fixed = flags & 1 && !m->has_parent;
	if (item_read(l, v, vhdx_item_size, "virtual disk size", word, 8, err))
		return -1;
	m->size = le64_get(word);
	if (item_read(l, v, vhdx_item_logical, "logical sector size", word, 4, err))
		return -1;
	m->logical = le32_get(word);
	if (item_read(l, v, vhdx_item_physical, "physical sector size", word, 4, err))
		return -1;
	m->physical = le32_get(word);
	if (item_read(l, v, vhdx_item_uuid, "virtual disk ID", word, 16, err))
		return -1;
	vhdx_guid_get(m->uuid, word);
	return values_judge(v, flags, err);
}

/* ---------------------------------------------------------------- writing */

static void table_encode(const struct vhdx_meta *m, uint8_t *b)
{
	memcpy(b, "metadata", 8);
	le16_put(b + 10, (uint16_t)m->n);
	for (uint32_t i = 0; i < m->n; i++) {
		uint8_t *e = b + 32 * (1 + i);

		vhdx_guid_put(e, m->items[i].guid);
		le32_put(e + 16, m->items[i].off);
		le32_put(e + 20, m->items[i].len);
		le32_put(e + 24, m->items[i].flags);
	}
}

static void values_encode(const struct vhdx_meta *m, uint8_t *b)
{
	le32_put(b + vhdx_meta_find(m, vhdx_item_parameters)->off, m->block_bytes);
	le32_put(b + vhdx_meta_find(m, vhdx_item_parameters)->off + 4, (m->fixed ? 1u : 0) | (m->has_parent ? 2u : 0));
	le64_put(b + vhdx_meta_find(m, vhdx_item_size)->off, m->size);
	le32_put(b + vhdx_meta_find(m, vhdx_item_logical)->off, m->logical);
	le32_put(b + vhdx_meta_find(m, vhdx_item_physical)->off, m->physical);
	vhdx_guid_put(b + vhdx_meta_find(m, vhdx_item_uuid)->off, m->uuid);
}

void vhdx_meta_make(struct vhdx_meta *m, const void *locator, size_t locator_len, uint8_t *b)
{
	struct {
		const uint8_t *guid;
		uint32_t len, flags;
	} item[] = {
		{ vhdx_item_parameters, 8, VHDX_ITEM_REQUIRED },
		{ vhdx_item_size, 8, VHDX_ITEM_REQUIRED | VHDX_ITEM_DISK },
		{ vhdx_item_uuid, 16, VHDX_ITEM_REQUIRED | VHDX_ITEM_DISK },
		{ vhdx_item_logical, 4, VHDX_ITEM_REQUIRED | VHDX_ITEM_DISK },
		{ vhdx_item_physical, 4, VHDX_ITEM_REQUIRED | VHDX_ITEM_DISK },
		{ vhdx_item_parent, (uint32_t)locator_len, VHDX_ITEM_REQUIRED },
	};
	uint32_t at = VHDX_TABLE_BYTES;

	m->n = 0;
	for (size_t i = 0; i < 5 + (locator_len != 0); i++) {
		struct vhdx_item *x = &m->items[m->n++];

		memcpy(x->guid, item[i].guid, 16);
		x->off = i == 5 ? VHDX_TABLE_BYTES + VHDX_SECTOR : at;
		x->len = item[i].len;
		x->flags = item[i].flags;
		at += x->len;
		if (i == 5)
			memcpy(b + x->off, locator, locator_len);
	}
	table_encode(m, b);
	values_encode(m, b);
}

/* ---------------------------------------------------------------- changing */

/* A place for the locator: the old one, if it is long enough and nobody else's, else behind all items. */
static int locator_place(struct vhdx_meta *m, uint32_t len, uint32_t region, vd_error *err)
{
	struct vhdx_item *x = (struct vhdx_item *)(uintptr_t)vhdx_meta_find(m, vhdx_item_parent);
	uint32_t end = VHDX_TABLE_BYTES;

	if (!x && m->n == VHDX_TABLE_MAX)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "VHDX metadata table has no room for another item");
	if (!x) {
		x = &m->items[m->n++];
		*x = (struct vhdx_item){ .flags = VHDX_ITEM_REQUIRED };
		memcpy(x->guid, vhdx_item_parent, 16);
	}
	for (uint32_t i = 0; i < m->n; i++)
		if (&m->items[i] != x && m->items[i].len)
			end = (uint32_t)vd_max(end, m->items[i].off + m->items[i].len);
	if (!x->len || len > x->len) {
		x->off = (uint32_t)vd_max(vd_up(end, VHDX_SECTOR), x->len && x->off >= end ? x->off : 0);
		if (!vd_within(x->off, len, region))
			return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			               "VHDX metadata region has no room for a parent locator of %" PRIu32 " bytes", len);
	}
	x->len = len;
	return 0;
}

static void locator_remove(struct vhdx_meta *m)
{
	struct vhdx_item *x = (struct vhdx_item *)(uintptr_t)vhdx_meta_find(m, vhdx_item_parent);

	if (x)
		memmove(x, x + 1, (size_t)(&m->items[--m->n] - x) * sizeof(*x));
}

/* The sectors in which `now` differs from `old`. */
static int sectors_change(struct vd_layer *l, struct vhdx *v, const uint8_t *old, const uint8_t *now, uint32_t len, vd_error *err)
{
	struct vhdx_change c[VHDX_LOG_TABLES];
	size_t n = 0;

	for (uint32_t at = 0; at < len; at += VHDX_SECTOR) {
		if (!memcmp(old + at, now + at, VHDX_SECTOR))
			continue;
		if (n == VHDX_LOG_TABLES)
			return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			               "VHDX metadata change is too large for one entry of the log");
		c[n++] = (struct vhdx_change){ v->meta_at.off + at, now + at };
	}
	return vhdx_change_all(l, v, c, n, err);
}

int vhdx_meta_change(struct vd_layer *l, struct vhdx *v, const struct vhdx_meta *m, const void *locator, size_t locator_len,
                     vd_error *err)
{
	uint32_t len = (uint32_t)vd_min(v->meta_at.len, VHDX_META_MAX);
	VD_AUTO_FREE struct vhdx_meta *next = vd_malloc(sizeof(*next));
	VD_AUTO_FREE uint8_t *old = vd_calloc(2, len);
	uint8_t *now = old ? old + len : NULL;

	if (!next || !old)
		return vd_fail_nomem(err, 2 * (size_t)len);
	*next = *m;
	if (locator_len && locator_place(next, (uint32_t)locator_len, len, err))
		return -1;
	if (!locator_len && !m->has_parent)
		locator_remove(next);
	for (uint32_t i = 0; i < next->n; i++)
		if (item_known(&next->items[i]) && !vd_within(next->items[i].off, next->items[i].len, len))
			return vd_fail(err, VDISK_UNSUPPORTED, v->meta_at.off,
			               "VHDX metadata past the first %u bytes are not changed", VHDX_META_MAX);
	if (vd_file_pread(l->files[0], old, len, v->meta_at.off, err))
		return -1;
	memcpy(now, old, len);
	memset(now + 32, 0, VHDX_TABLE_BYTES - 32);
	table_encode(next, now);
	values_encode(next, now);
	if (locator_len)
		memcpy(now + vhdx_meta_find(next, vhdx_item_parent)->off, locator, locator_len);
	if (sectors_change(l, v, old, now, len, err))
		return -1;
	v->meta = *next;
	return 0;
}

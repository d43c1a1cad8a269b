/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Changing metadata through the log, and replaying what others left in theirs.
 *
 *  L1. What an entry says is durable in the log before any of it is written where it belongs; and all that was written before the
 *      entry (guest data, the places of the entry before) is durable before the entry is (C1, C2, C5).  So an entry is a sequence
 *      of its own: its tail is itself, and what came before it is never needed again.
 *  L2. The entry before stays whole while one is written: each begins where that one ends, or, where it does not fit there, at the
 *      log's beginning; and as the log has room for three of the largest, it ends before that one then.  A torn entry leaves the
 *      one before it as the last, and replaying that changes nothing; were it gone, a still older one might be replayed.
 *  L3. Space whose last reference an entry removes is used again only after that entry: replaying it never writes to space that is
 *      something else by then, as entries before it are not replayed.
 *  L4. Each opener has a log GUID of its own, so that no older entry counts; closing sets it to zero, after all is in its place.  A
 *      log that somebody left is closed first, as ours is written over it.  Before a header names the GUID there is an entry with
 *      it, which changes nothing: a log that is in use without an entry means a damaged file (specification, 2.3.3).
 *  L5. Of the two headers, the older is written, flushed, then the other: one of them is whole at each moment.
 *
 * Under the layer's lock, or by the cache, whose own lock keeps two writers apart.
 */
#include "vhdx.h"

#include "base/alloc.h"
#include "base/crc32c.h"
#include "base/uuid.h"

#define ENTRY_HEADER 64u
#define DESCRIPTOR   32u
/* Header and descriptors of a full entry take one sector. */
_Static_assert(ENTRY_HEADER + VHDX_LOG_TABLES * DESCRIPTOR <= VHDX_SECTOR, "descriptors fit into the first sector");
_Static_assert(3 * (VHDX_LOG_TABLES + 1) * VHDX_SECTOR <= VHDX_MIB, "three entries fit into the smallest log: L2");

/* ---------------------------------------------------------------- headers */

int vhdx_headers_write(struct vd_layer *l, struct vhdx *v, vd_error *err)
{
	VD_AUTO_FREE uint8_t *b = vd_malloc(VHDX_SECTOR);

	if (!b)
		return vd_fail_nomem(err, VHDX_SECTOR);
	for (unsigned i = 0; i < 2; i++) {
		unsigned other = !v->current;

		v->header.sequence++;
		vhdx_header_encode(&v->header, b);
		if (vd_file_pwrite(l->files[0], b, VHDX_SECTOR, VHDX_HEADER_OFF(other), err) || vd_file_flush(l->files[0], err))
			return -1;
		v->current = other;
		v->header_bad[other] = false;
	}
	return 0;
}

/* ---------------------------------------------------------------- replay */

int vhdx_log_replay(struct vd_layer *l, struct vhdx *v, vd_error *err)
{
	(void)l;
	if (!v->patched)
		return 0;
	if (vd_file_size(v->patched) > VHDX_FILE_MAX)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "VHDX log wants a file of %" PRIu64 " bytes: not written to", vd_file_size(v->patched));
	if (vd_file_patched_apply(v->patched, err))
		return -1;
	v->patched = NULL;
	return 0;
}

/* ---------------------------------------------------------------- writing entries */

/* The bytes of one entry in v->log_buf; its length. */
static uint32_t entry_make(struct vhdx *v, const struct vhdx_change *c, size_t n, uint64_t file_size)
{
	uint32_t len = (uint32_t)(1 + n) * VHDX_SECTOR;
	uint8_t *b = v->log_buf;

	memset(b, 0, VHDX_SECTOR);
	memcpy(b, "loge", 4);
	le32_put(b + 8, len);
	le32_put(b + 12, (uint32_t)v->log_head); /* its tail: L1 */
	le64_put(b + 16, v->log_sequence);
	le32_put(b + 24, (uint32_t)n);
	vhdx_guid_put(b + 32, v->header.log_guid);
	le64_put(b + 48, vd_down(file_size, VHDX_MIB)); /* durable by now, */
	le64_put(b + 56, vd_down(file_size, VHDX_MIB)); /* and no longer after it, but for a last block that others cut short */
	for (size_t i = 0; i < n; i++) {
		uint8_t *d = b + ENTRY_HEADER + i * DESCRIPTOR, *s = b + (1 + i) * VHDX_SECTOR;

		memcpy(d, "desc", 4);
		memcpy(d + 4, c[i].data + VHDX_SECTOR - 4, 4);
		memcpy(d + 8, c[i].data, 8);
		le64_put(d + 16, c[i].off);
		le64_put(d + 24, v->log_sequence);
		memcpy(s, "data", 4);
		le32_put(s + 4, (uint32_t)(v->log_sequence >> 32));
		memcpy(s + 8, c[i].data + 8, VHDX_SECTOR - 12);
		le32_put(s + VHDX_SECTOR - 4, (uint32_t)v->log_sequence);
	}
	le32_put(b + 4, vd_crc32c(0, b, len));
	return len;
}

static int entry_write(struct vd_layer *l, struct vhdx *v, const struct vhdx_change *c, size_t n, uint64_t file_size, vd_error *err)
{
	struct vd_file *f = l->files[0];
	uint32_t len;

	if (v->log_head + (1 + n) * VHDX_SECTOR > v->header.log_len)
		v->log_head = 0;
	if (vd_file_flush(f, err)) /* L1 */
		return -1;
	len = entry_make(v, c, n, vd_min(file_size, vd_file_size(f)));
	if (vd_file_pwrite(f, v->log_buf, len, v->header.log_off + v->log_head, err) || vd_file_flush(f, err))
		return -1;
	v->log_head += len;
	v->log_sequence++;
	return 0;
}

int vhdx_log_commit(struct vd_layer *l, struct vhdx *v, const struct vhdx_change *c, size_t n, vd_error *err)
{
	return entry_write(l, v, c, n, UINT64_MAX, err);
}

int vhdx_log_mark(struct vd_layer *l, struct vhdx *v, uint64_t file_size, vd_error *err)
{
	return entry_write(l, v, NULL, 0, file_size, err);
}

int vhdx_change_all(struct vd_layer *l, struct vhdx *v, const struct vhdx_change *c, size_t n, vd_error *err)
{
	if (!n)
		return 0;
	if (vhdx_log_commit(l, v, c, n, err))
		return -1;
	for (size_t i = 0; i < n; i++)
		if (vd_file_pwrite(l->files[0], c[i].data, VHDX_SECTOR, c[i].off, err))
			return -1;
	return 0;
}

/* The cache's: rule 5 of io/cache.h. */
static int tables_log(void *ctx, struct vd_table *const *t, size_t n, vd_error *err)
{
	struct vd_layer *l = ctx;
	struct vhdx_change c[VHDX_LOG_TABLES];

	for (size_t i = 0; i < n; i++)
		c[i] = (struct vhdx_change){ t[i]->off, t[i]->data };
	return vhdx_log_commit(l, l->priv, c, n, err);
}

int vhdx_log_start(struct vd_layer *l, struct vhdx *v, vd_error *err)
{
	if (!v->log_buf)
		v->log_buf = vd_aligned(4096, (1 + VHDX_LOG_TABLES) * VHDX_SECTOR);
	if (!v->log_buf)
		return vd_fail_nomem(err, (1 + VHDX_LOG_TABLES) * VHDX_SECTOR);
	v->log_head = 0;
	v->log_sequence = 1;
	vd_cache_set_log(v->cache, tables_log, l, VHDX_LOG_TABLES);
	return 0;
}

int vhdx_log_open(struct vd_layer *l, struct vhdx *v, vd_error *err)
{
	bool left = memcmp(v->header.log_guid, vhdx_guid_none, 16) != 0;

	memcpy(v->header.log_guid, vhdx_guid_none, 16);
	/* Of a longer one the rest is left alone: no more than this is replayed. */
	v->header.log_len = (uint32_t)vd_min(v->header.log_len, VHDX_LOG_MAX);
	if (left && vhdx_headers_write(l, v, err))
		return -1;
	return vd_uuid_random(v->header.log_guid, err) || vhdx_log_start(l, v, err) || vhdx_log_mark(l, v, UINT64_MAX, err) ? -1
	                                                                                                                    : 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading the log (specification, 2.3).  It is a ring of entries, each with a header, descriptors, and a sector of 4 KiB for each
 * data descriptor; entries belong to this opening if they carry the header's log GUID.  Entries that follow each other, with
 * numbers that do, are a sequence; of those whose last entry's tail is one of its own entries, the one with the highest number
 * counts, from that tail on.  Nothing is written here: what the sequence holds becomes patches, whose bytes stay where they are in
 * the log.
 *
 * A data sector has all of its 4,096 bytes but the first 8 and the last 4, which stand in the descriptor: three patches.
 *
 * Bounds: each place of the log where an entry seems to begin is checksummed once, and no more than LOOKS times the log's size in
 * all.
 */
#include "vhdx.h"

#include "base/alloc.h"
#include "base/crc32c.h"

#define LOOKS 8
#define ENTRY_HEADER 64u
#define DESCRIPTOR   32u

struct entry {
	uint32_t at, len;     /* in the log */
	uint32_t tail, n_desc;
	uint64_t sequence, flushed, last;
	bool valid;
};

struct log {
	struct vd_file *f;
	const struct vhdx_header *h;
	uint64_t budget;
	uint8_t *buf;         /* a piece that is looked at */
	struct vd_patch *v;
	size_t n, cap;
};

#define PIECE 65536u

/* Bytes of the ring; `len` at most PIECE. */
static int ring_read(struct log *g, uint8_t *buf, uint32_t len, uint64_t at, vd_error *err)
{
	uint32_t here;

	at %= g->h->log_len;
	here = (uint32_t)vd_min(len, g->h->log_len - at);
	if (vd_file_pread(g->f, buf, here, g->h->log_off + at, err))
		return -1;
	return here < len ? vd_file_pread(g->f, buf + here, len - here, g->h->log_off, err) : 0;
}

static uint64_t ring_host(const struct log *g, uint64_t at)
{
	return g->h->log_off + at % g->h->log_len;
}

/* ---------------------------------------------------------------- one entry */

static uint32_t descriptor_sectors(uint32_t n)
{
	return (uint32_t)vd_div_up(ENTRY_HEADER + (uint64_t)n * DESCRIPTOR, VHDX_SECTOR);
}

/* The checksum over all of it, and the marks of its data sectors. */
static int entry_sum(struct log *g, struct entry *e, vd_error *err)
{
	uint32_t crc = 0, want = 0, data_from = descriptor_sectors(e->n_desc) * VHDX_SECTOR;

	for (uint32_t off = 0; off < e->len; off += PIECE) {
		uint32_t n = (uint32_t)vd_min(PIECE, e->len - off);

		if (ring_read(g, g->buf, n, (uint64_t)e->at + off, err))
			return -1;
		for (uint32_t k = 0; k < n; k += VHDX_SECTOR) {
			const uint8_t *s = g->buf + k;

			if (off + k < data_from)
				continue;
			if (memcmp(s, "data", 4) || le32_get(s + 4) != (uint32_t)(e->sequence >> 32) ||
			    le32_get(s + VHDX_SECTOR - 4) != (uint32_t)e->sequence)
				return 0;
		}
		if (!off) {
			want = le32_get(g->buf + 4);
			memset(g->buf + 4, 0, 4);
		}
		crc = vd_crc32c(crc, g->buf, n);
	}
	e->valid = crc == want;
	return 0;
}

static int entry_read(struct log *g, uint32_t at, struct entry *e, vd_error *err)
{
	uint8_t b[ENTRY_HEADER], guid[16];

	*e = (struct entry){ .at = at };
	if (ring_read(g, b, sizeof(b), at, err))
		return -1;
	vhdx_guid_get(guid, b + 32);
	e->len = le32_get(b + 8);
	e->tail = le32_get(b + 12);
	e->sequence = le64_get(b + 16);
	e->n_desc = le32_get(b + 24);
	e->flushed = le64_get(b + 48);
	e->last = le64_get(b + 56);
	if (memcmp(b, "loge", 4) || memcmp(guid, g->h->log_guid, 16) || !e->sequence || !e->len || e->len % VHDX_SECTOR ||
	    e->len > g->h->log_len || e->tail % VHDX_SECTOR || e->tail >= g->h->log_len || e->n_desc > e->len / DESCRIPTOR ||
	    descriptor_sectors(e->n_desc) > e->len / VHDX_SECTOR)
		return 0;
	if (e->len > g->budget)
		return vd_fail(err, VDISK_CORRUPT, ring_host(g, at),
		               "VHDX log has entries over entries: not what any program leaves");
	g->budget -= e->len;
	return entry_sum(g, e, err);
}

/* ---------------------------------------------------------------- the active sequence */

struct entries {
	struct entry *v;
	size_t n;
};

static int entries_find(struct log *g, struct entries *all, vd_error *err)
{
	size_t slots = g->h->log_len / VHDX_SECTOR;

	all->v = vd_calloc(slots, sizeof(*all->v));
	if (!all->v)
		return vd_fail_nomem(err, slots * sizeof(*all->v));
	all->n = slots;
	for (size_t i = 0; i < slots; i++)
		if (entry_read(g, (uint32_t)i * VHDX_SECTOR, &all->v[i], err))
			return -1;
	return 0;
}

static const struct entry *entry_next(const struct entries *all, const struct entry *e)
{
	const struct entry *n = &all->v[(e->at / VHDX_SECTOR + e->len / VHDX_SECTOR) % all->n];

	return n->valid && n->sequence == e->sequence + 1 ? n : NULL;
}

/* The last entry of the sequence that counts; NULL: there is none.  Each entry with nothing behind it ends a sequence; its tail is
   one of its own if the way from there leads to it. */
static const struct entry *sequence_head(const struct entries *all)
{
	const struct entry *best = NULL;

	for (size_t i = 0; i < all->n; i++) {
		const struct entry *e = &all->v[i], *t;

		if (!e->valid || entry_next(all, e) || (best && best->sequence >= e->sequence))
			continue;
		t = &all->v[e->tail / VHDX_SECTOR];
		for (uint64_t steps = 0; t && t->valid && t != e && steps < all->n; steps++)
			t = t->sequence < e->sequence ? entry_next(all, t) : NULL;
		if (t == e)
			best = e;
	}
	return best;
}

/* ---------------------------------------------------------------- patches */

static int patch_add(struct log *g, uint64_t off, uint64_t len, uint64_t from, vd_error *err)
{
	if (g->n == g->cap) {
		size_t cap = g->cap ? g->cap * 2 : 64;
		struct vd_patch *more = vd_realloc(g->v, cap, sizeof(*more));

		if (!more)
			return vd_fail_nomem(err, cap * sizeof(*more));
		g->v = more;
		g->cap = cap;
	}
	g->v[g->n++] = (struct vd_patch){ off, len, from };
	return 0;
}

/* Not the identifier, the headers, nor the log itself. */
static int target_judge(const struct log *g, uint64_t off, uint64_t len, uint64_t at, vd_error *err)
{
	uint64_t end;

	if (off % VHDX_SECTOR || len % VHDX_SECTOR || !len || off < VHDX_REGION_OFF(0) || vd_add64(off, len, &end) ||
	    end > VHDX_FILE_MAX || (off < g->h->log_off + g->h->log_len && g->h->log_off < end))
		return vd_fail(err, VDISK_CORRUPT, at, "VHDX log changes %" PRIu64 " bytes at %#" PRIx64 ", where it must not", len,
		               off);
	return 0;
}

static int descriptor_take(struct log *g, const struct entry *e, const uint8_t *d, uint64_t at, uint64_t *data, vd_error *err)
{
	uint64_t off = le64_get(d + 16), host = ring_host(g, at), sector;

	if (le64_get(d + 24) != e->sequence)
		return vd_fail(err, VDISK_CORRUPT, host, "VHDX log entry %" PRIu64 " has a descriptor of entry %" PRIu64,
		               e->sequence, le64_get(d + 24));
	if (!memcmp(d, "zero", 4)) {
		uint64_t len = le64_get(d + 8);

		return !len ? 0 : target_judge(g, off, len, host, err) ? -1 : patch_add(g, off, len, VD_PATCH_ZERO, err);
	}
	if (memcmp(d, "desc", 4))
		return vd_fail(err, VDISK_CORRUPT, host,
		               "VHDX log entry %" PRIu64 " has a descriptor that is neither \"zero\" nor \"desc\"", e->sequence);
	if (*data >= e->len)
		return vd_fail(err, VDISK_CORRUPT, host, "VHDX log entry %" PRIu64 " has more data descriptors than sectors",
		               e->sequence);
	if (target_judge(g, off, VHDX_SECTOR, host, err))
		return -1;
	sector = ring_host(g, e->at + *data);
	*data += VHDX_SECTOR;
	/* Sectors and descriptors are aligned, so none of these wraps around. */
	return patch_add(g, off, 8, host + 8, err) || patch_add(g, off + 8, VHDX_SECTOR - 12, sector + 8, err) ||
		       patch_add(g, off + VHDX_SECTOR - 4, 4, host + 4, err) ?
	               -1 :
	               0;
}

static int entry_take(struct log *g, const struct entry *e, vd_error *err)
{
	uint64_t data = (uint64_t)descriptor_sectors(e->n_desc) * VHDX_SECTOR;

	for (uint32_t i = 0; i < e->n_desc; i++) {
		uint64_t at = (uint64_t)e->at + ENTRY_HEADER + (uint64_t)i * DESCRIPTOR;
		uint8_t d[DESCRIPTOR];

		if (ring_read(g, d, sizeof(d), at, err) || descriptor_take(g, e, d, at, &data, err))
			return -1;
	}
	return 0;
}

static int sequence_take(struct log *g, const struct entries *all, uint64_t *size, bool *lost, vd_error *err)
{
	const struct entry *head = sequence_head(all), *e;

	*lost = !head;
	if (!head)
		return 0;
	if (head->flushed > vd_file_size(g->f))
		return vd_fail(err, VDISK_CORRUPT, ring_host(g, head->at),
		               "VHDX log says that the file had %" PRIu64 " bytes; it has %" PRIu64 ": it is cut short",
		               head->flushed, vd_file_size(g->f));
	if (head->last > INT64_MAX)
		return vd_fail(err, VDISK_CORRUPT, ring_host(g, head->at), "VHDX log wants a file of %" PRIu64 " bytes",
		               head->last);
	*size = vd_max(head->last, vd_file_size(g->f));
	for (e = &all->v[head->tail / VHDX_SECTOR];; e = entry_next(all, e)) {
		if (entry_take(g, e, err))
			return -1;
		if (e == head)
			break;
	}
	return 0;
}

int vhdx_log_read(struct vd_file *f, const struct vhdx_header *h, struct vd_patch **patches, size_t *n, uint64_t *size, bool *lost,
                  vd_error *err)
{
	struct log g = { .f = f, .h = h, .budget = (uint64_t)LOOKS * h->log_len };
	struct entries all = { 0 };
	int rc;

	*patches = NULL;
	*n = 0;
	*lost = false;
	*size = vd_file_size(f);
	if (!memcmp(h->log_guid, vhdx_guid_none, 16) || !h->log_len)
		return 0;
	if (h->log_len > VHDX_LOG_MAX)
		return vd_fail(err, VDISK_UNSUPPORTED, h->log_off, "VHDX log of %" PRIu32 " bytes: up to %u are replayed",
		               h->log_len, VHDX_LOG_MAX);
	g.buf = vd_malloc(PIECE);
	if (!g.buf)
		return vd_fail_nomem(err, PIECE);
	rc = entries_find(&g, &all, err) || sequence_take(&g, &all, size, lost, err) || vd_patches_settle(&g.v, &g.n, err) ? -1 : 0;
	vd_free(g.buf);
	vd_free(all.v);
	if (rc) {
		vd_free(g.v);
		return -1;
	}
	*patches = g.v;
	*n = g.n;
	return 0;
}

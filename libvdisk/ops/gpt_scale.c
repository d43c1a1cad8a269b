/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A GUID partition table counted anew, in other sectors, UEFI 2.10 section 5.3.  Every partition keeps its bytes; what cannot be
 * said in the new sectors, and what would be overwritten by the tables at their new places, is refused.
 */
#include "ops/sectors.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <zlib.h>

#define ENTRIES_BYTES_MIN 16384u /* reserved at least, says UEFI */
#define ENTRIES_BYTES_MAX (1u << 20)
#define HEAD_MAX (UINT64_C(8) << 20)
#define MBR_ENTRIES 446

struct scale {
	const struct vd_disk *d;
	uint32_t from, to;
	uint64_t size;               /* of the new disk */
	uint8_t header[4096];
	uint32_t header_bytes, n_entries, entry_bytes;
	uint64_t entries_at;         /* bytes */
	size_t entries_len;
	uint8_t *entries;            /* in the new sectors */
	uint64_t reserved;           /* sectors for entries */
	uint64_t first, last;        /* bytes that partitions take: from the first's begin to the last's end */
	struct vd_gpt_scaled *out;
};

static int fail_in_way(vd_error *err, uint64_t off, const char *what)
{
	return vd_fail(err, VDISK_UNSUPPORTED, off, "byte %" PRIu64 " of the disk: %s", off, what);
}

static int header_read(struct scale *s, vd_error *err)
{
	if (s->d->read(s->d->ctx, s->header, s->from, s->from, err))
		return -1;
	s->header_bytes = le32_get(s->header + 12);
	s->entries_at = le64_get(s->header + 72);
	s->n_entries = le32_get(s->header + 80);
	s->entry_bytes = le32_get(s->header + 84);
	if (memcmp(s->header, "EFI PART", 8) || s->header_bytes < 92 || s->header_bytes > s->from || s->entry_bytes < 128 ||
	    !s->n_entries || (uint64_t)s->n_entries * s->entry_bytes > ENTRIES_BYTES_MAX || s->entries_at > s->d->size / s->from)
		return vd_fail(err, VDISK_CORRUPT, s->from, "the first header of the partition table is damaged");
	if (s->header_bytes > s->to)
		return vd_fail(err, VDISK_UNSUPPORTED, s->from,
		               "the partition table's header takes %" PRIu32 " bytes, more than a sector", s->header_bytes);
	s->entries_at *= s->from;
	s->entries_len = (size_t)s->n_entries * s->entry_bytes;
	if (s->entries_at > HEAD_MAX || !vd_within(s->entries_at, s->entries_len, s->d->size))
		return vd_fail(err, VDISK_UNSUPPORTED, s->entries_at,
		               "the partition entries do not stand at the disk's beginning, but at byte %" PRIu64, s->entries_at);
	s->reserved = vd_max(vd_div_up(s->entries_len, s->to), ENTRIES_BYTES_MIN / s->to);
	return 0;
}

static int entry_scale(struct scale *s, unsigned number, uint8_t *p, vd_error *err)
{
	static const uint8_t unused[16];
	uint64_t first = le64_get(p + 32), last = le64_get(p + 40);

	if (!memcmp(p, unused, sizeof(unused)))
		return 0;
	if (last < first || last >= s->d->size / s->from)
		return vd_fail(err, VDISK_CORRUPT, s->entries_at, "partition %u is not within the disk", number);
	first *= s->from;
	last = (last + 1) * s->from;
	if (first % s->to || last % s->to)
		return vd_fail(err, VDISK_UNSUPPORTED, first % s->to ? first : last,
		               "partition %u %s at byte %" PRIu64 ", which is no multiple of %" PRIu32, number,
		               first % s->to ? "begins" : "ends", first % s->to ? first : last, s->to);
	le64_put(p + 32, first / s->to);
	le64_put(p + 40, last / s->to - 1);
	s->first = vd_min(s->first, first);
	s->last = vd_max(s->last, last);
	return 0;
}

static int entries_scale(struct scale *s, vd_error *err)
{
	s->entries = vd_malloc(s->entries_len);
	if (!s->entries)
		return vd_fail_nomem(err, s->entries_len);
	if (s->d->read(s->d->ctx, s->entries, s->entries_len, s->entries_at, err))
		return -1;
	s->first = s->size;
	for (uint32_t i = 0; i < s->n_entries; i++)
		if (entry_scale(s, i + 1, s->entries + (size_t)i * s->entry_bytes, err))
			return -1;
	return 0;
}

/* Of the disk's beginning: what is the tables', as they are and as they will be. */
static uint64_t head_bytes(const struct scale *s)
{
	return vd_min(s->first, vd_up(vd_max((2 + s->reserved) * s->to, s->entries_at + s->entries_len), 4096));
}

/* Room before the first partition and behind the last one, for the tables as they are and as they will be. */
static int room_judge(struct scale *s, vd_error *err)
{
	uint64_t head = (2 + s->reserved) * s->to, tail = (1 + s->reserved) * s->to;

	if (s->first < head)
		return vd_fail(err, VDISK_UNSUPPORTED, s->first,
		               "a partition begins at byte %" PRIu64 ", where the table of %" PRIu32
		               "-byte sectors needs the first %" PRIu64,
		               s->first, s->to, head);
	if (s->size < head + tail || s->last > s->size - tail)
		return vd_fail(err, VDISK_UNSUPPORTED, s->last,
		               "a partition ends %" PRIu64 " bytes before the disk's end, where the table of %" PRIu32
		               "-byte sectors needs %" PRIu64 "; vdisk resize makes a disk longer",
		               s->size - vd_min(s->last, s->size), s->to, tail);
	if (s->entries_at + s->entries_len > s->first)
		return vd_fail(err, VDISK_CORRUPT, s->entries_at, "the partition entries lie in a partition");
	if (head_bytes(s) > s->size - tail)
		return vd_fail(err, VDISK_UNSUPPORTED, s->entries_at,
		               "the partition entries stand at byte %" PRIu64 ", where the new table's copy would be", s->entries_at);
	return 0;
}

/* The disk's first and last bytes, as far as tables and no partitions lie there, with the old tables wiped out. */
static int ends_read(struct scale *s, vd_error *err)
{
	struct vd_gpt_scaled *o = s->out;
	uint64_t old = s->d->size, backup = vd_down(old, s->from) - s->from, at;
	const uint8_t *h;

	o->head_len = (size_t)head_bytes(s);
	at = vd_min(s->size - (1 + s->reserved) * s->to, old - vd_min(old, s->entries_len + 2 * (uint64_t)s->from));
	o->tail_off = vd_max(vd_down(vd_max(s->last, at), 512), o->head_len);
	o->tail_len = (size_t)(s->size - o->tail_off);
	o->head = vd_malloc(o->head_len);
	o->tail = vd_calloc(1, o->tail_len);
	if (!o->head || !o->tail)
		return vd_fail_nomem(err, o->head_len + o->tail_len);
	if (s->d->read(s->d->ctx, o->head, o->head_len, 0, err) ||
	    s->d->read(s->d->ctx, o->tail, (size_t)(old - o->tail_off), o->tail_off, err))
		return -1;
	memset(o->head + s->from, 0, s->header_bytes);
	memset(o->head + s->entries_at, 0, s->entries_len);
	if (backup < o->tail_off)
		return 0;
	h = o->tail + (backup - o->tail_off);
	if (memcmp(h, "EFI PART", 8))
		return 0;
	at = le64_get(h + 72);
	if (at < backup / s->from && at * s->from >= o->tail_off && vd_within(at * s->from, s->entries_len, backup))
		memset(o->tail + (at * s->from - o->tail_off), 0, s->entries_len);
	memset(o->tail + (backup - o->tail_off), 0, s->header_bytes);
	return 0;
}

/* Nobody's bytes are overwritten, but the old tables' and the padding of the first sector. */
static int ends_judge(const struct scale *s, vd_error *err)
{
	const struct vd_gpt_scaled *o = s->out;
	uint64_t head = (2 + s->reserved) * s->to, tail = s->size - (1 + s->reserved) * s->to;

	for (uint64_t i = 512; i < head; i++)
		if (o->head[i])
			return fail_in_way(err, i, "something unknown lies where the new table would be");
	for (uint64_t i = tail; i < s->size; i++)
		if (o->tail[i - o->tail_off])
			return fail_in_way(err, i, "something unknown lies where the new table's copy would be");
	return 0;
}

static int mbr_scale(const struct scale *s, vd_error *err)
{
	uint64_t sectors = s->size / s->to - 1;
	int protective = -1;

	for (int i = 0; i < 4; i++) {
		const uint8_t *p = s->out->head + MBR_ENTRIES + 16 * i;

		if (p[4] == 0xee && protective < 0)
			protective = i;
		else if (p[4])
			return vd_fail(err, VDISK_UNSUPPORTED, MBR_ENTRIES + 16 * (unsigned)i,
			               "a hybrid MBR: it has a partition of type %#x besides the protective one", p[4]);
	}
	if (protective < 0)
		return vd_fail(err, VDISK_CORRUPT, MBR_ENTRIES, "the protective MBR is missing");
	le32_put(s->out->head + MBR_ENTRIES + 16 * protective + 8, 1);
	le32_put(s->out->head + MBR_ENTRIES + 16 * protective + 12, (uint32_t)vd_min(sectors, UINT32_MAX));
	return 0;
}

/* The header as it stands at `self`, with its entries at `entries`. */
static void header_put(struct scale *s, uint8_t *to, uint64_t self, uint64_t other, uint64_t entries)
{
	uint64_t usable = vd_max(2 + s->reserved, vd_min(vd_div_up(le64_get(s->header + 40) * s->from, s->to), s->first / s->to));
	uint8_t *h = to;

	memcpy(h, s->header, s->header_bytes);
	le32_put(h + 16, 0);
	le64_put(h + 24, self);
	le64_put(h + 32, other);
	le64_put(h + 40, usable);
	le64_put(h + 48, s->size / s->to - 2 - s->reserved);
	le64_put(h + 72, entries);
	le32_put(h + 88, (uint32_t)crc32(0, s->entries, (uInt)s->entries_len));
	le32_put(h + 16, (uint32_t)crc32(0, h, s->header_bytes));
}

static void tables_put(struct scale *s)
{
	struct vd_gpt_scaled *o = s->out;
	uint64_t last = s->size / s->to - 1, copy = last - s->reserved;

	header_put(s, o->head + s->to, 1, last, 2);
	memcpy(o->head + 2 * (size_t)s->to, s->entries, s->entries_len);
	header_put(s, o->tail + (last * s->to - o->tail_off), last, 1, copy);
	memcpy(o->tail + (copy * s->to - o->tail_off), s->entries, s->entries_len);
}

int vd_gpt_scale(const struct vd_disk *d, uint32_t from, uint32_t to, uint64_t size, struct vd_gpt_scaled *out, vd_error *err)
{
	struct scale *s = vd_calloc(1, sizeof(*s));
	int rc;

	memset(out, 0, sizeof(*out));
	if (!s)
		return vd_fail_nomem(err, sizeof(*s));
	*s = (struct scale){ .d = d, .from = from, .to = to, .size = size, .out = out };
	rc = header_read(s, err) || entries_scale(s, err) || room_judge(s, err) || ends_read(s, err) || ends_judge(s, err) ||
	     mbr_scale(s, err) ? -1 : 0;
	if (!rc)
		tables_put(s);
	else
		vd_gpt_scaled_free(out);
	vd_free(s->entries);
	vd_free(s);
	return rc;
}

void vd_gpt_scaled_free(struct vd_gpt_scaled *o)
{
	vd_free(o->head);
	vd_free(o->tail);
	memset(o, 0, sizeof(*o));
}

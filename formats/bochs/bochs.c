/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bochs: growing disks of Bochs ("Redolog", "Growing"), versions 1 and 2, to be read.  A catalog of 32-bit little-endian numbers
 * says where each extent of the disk lies, counted in extents; an extent is a bitmap in whole sectors, with a bit for each sector
 * that is there (bit 0 of a byte is the first), and the sectors.  What is not there reads as zeros.
 */
#include "base/alloc.h"
#include "base/bits.h"
#include "base/bytes.h"
#include "core/driver.h"
#include "io/cache.h"

#define HEADER_BYTES 512u
#define TABLE_BYTES  512u
#define NONE         UINT32_C(0xffffffff)
#define BITS_BYTES   4096u /* of a bitmap, looked at once */
#define CATALOG_MAX  (UINT32_C(1) << 26)

struct bochs {
	uint64_t data_off, extent, stride, bitmap; /* bytes */
	uint64_t catalog_off;
	uint32_t entries;
	struct vd_cache *cache;
	bool salvage;
};

static bool magic_ok(const uint8_t *b)
{
	return !memcmp(b, "Bochs Virtual HD Image", 23) && !memcmp(b + 32, "Redolog", 8) && !memcmp(b + 48, "Growing", 8);
}

static int bochs_probe(const struct vd_peek *p)
{
	return p->head_len >= HEADER_BYTES && magic_ok(p->head) ? 100 : 0;
}

static int header_read(struct vd_layer *l, struct bochs *s, vd_error *err)
{
	uint8_t b[HEADER_BYTES];
	uint32_t version, header, bitmap, extent;

	if (vd_file_pread(l->files[0], b, sizeof(b), 0, err))
		return -1;
	if (!magic_ok(b))
		return vd_fail(err, VDISK_CORRUPT, 0, "no header of a growing Bochs image at the file's beginning");
	version = le32_get(b + 64);
	header = le32_get(b + 68);
	s->entries = le32_get(b + 72);
	bitmap = le32_get(b + 76);
	extent = le32_get(b + 80);
	if (version != 0x10000 && version != 0x20000)
		return vd_fail(err, VDISK_UNSUPPORTED, 64, "Bochs version %#" PRIx32 " is not known (0x10000 and 0x20000 are)",
		               version);
	l->size = le64_get(b + (version == 0x10000 ? 84 : 88));
	if (header < HEADER_BYTES || header % 512)
		return vd_fail(err, VDISK_CORRUPT, 68, "Bochs header of %" PRIu32 " bytes", header);
	if (extent < 512 || extent > 64u << 20 || !vd_is_pow2(extent))
		return vd_fail(err, VDISK_CORRUPT, 80, "Bochs extent size %" PRIu32 " is no power of two from 512 to 64 MiB",
		               extent);
	if (!bitmap || (uint64_t)bitmap * 8 < extent / 512 || bitmap > 1u << 20)
		return vd_fail(err, VDISK_CORRUPT, 76, "Bochs bitmaps of %" PRIu32 " bytes do not fit extents of %" PRIu32, bitmap,
		               extent);
	if (s->entries > CATALOG_MAX || l->size % 512 || l->size > INT64_MAX || vd_div_up(l->size, extent) > s->entries ||
	    !vd_within(header, (uint64_t)s->entries * 4, vd_file_size(l->files[0])))
		return vd_fail(err, VDISK_CORRUPT, 72,
		               "Bochs catalog of %" PRIu32 " entries is too long, outside the file, or too short for %" PRIu64
		               " bytes",
		               s->entries, l->size);
	s->catalog_off = header;
	s->data_off = header + (uint64_t)s->entries * 4;
	s->extent = extent;
	s->bitmap = vd_up(bitmap, 512);
	s->stride = s->bitmap + extent;
	return 0;
}

static int bochs_open(struct vd_layer *l, const struct vd_open *o, vd_error *err)
{
	struct bochs *s;

	if (!(l->files[0]->flags & VD_FILE_SEEKABLE))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "a Bochs image cannot be read from a pipe: its extents lie in any order");
	s = vd_calloc(1, sizeof(*s));
	if (!s)
		return vd_fail_nomem(err, sizeof(*s));
	l->priv = s;
	s->salvage = o->flags & VD_OPEN_SALVAGE;
	if (header_read(l, s, err))
		return -1;
	l->alloc_grain = (uint32_t)s->extent;
	l->presence_grain = 512;
	l->flags &= ~VD_LAYER_WRITABLE;
	l->ro_reason = "Bochs images are only read";
	memcpy(l->variant, "growing", 8);
	return vd_cache_new(l->files[0], NULL, TABLE_BYTES, o->cache_bytes, &s->cache, err);
}

static void bochs_close(struct vd_layer *l)
{
	struct bochs *s = l->priv;

	if (!s)
		return;
	vd_cache_free(s->cache);
	vd_free(s);
	l->priv = NULL;
}

/* The extent's bitmap; NONE: it has none. */
static int extent_find(const struct vd_layer *l, struct bochs *s, uint64_t i, uint64_t *host, vd_error *err)
{
	uint64_t at = s->catalog_off + i * 4;
	struct vd_table *t;
	uint32_t entry;

	if (vd_cache_get(s->cache, vd_down(at, TABLE_BYTES), 1, true, &t, err))
		return -1;
	entry = le32_get(t->data + at % TABLE_BYTES);
	vd_cache_put(s->cache, t);
	*host = entry == NONE ? UINT64_MAX : s->data_off + entry * s->stride;
	if (entry == NONE || vd_within(*host, s->bitmap, vd_file_size(l->files[0])))
		return 0;
	return vd_fail(err, VDISK_CORRUPT, at,
	               "Bochs extent %" PRIu64 " at %#" PRIx64 " lies past the file's end (%" PRIu64 " bytes)", i, *host,
	               vd_file_size(l->files[0]));
}

/* A run of sectors that are there or not, from `in` on within the extent whose bitmap is at `host`. */
static int run_find(const struct vd_layer *l, struct bochs *s, uint64_t host, uint64_t in, struct vd_extent *x, vd_error *err)
{
	uint8_t bits[BITS_BYTES];
	uint64_t first = vd_down(in / 512, BITS_BYTES * 8), bytes = vd_min(s->bitmap - first / 8, BITS_BYTES);
	uint64_t i = in / 512 - first, end = vd_min(vd_div_up(in + x->len, 512) - first, bytes * 8);
	uint64_t size = vd_file_size(l->files[0]);
	bool set;

	/* Extents begin anywhere, so their bitmaps are no tables of the cache. */
	if (vd_file_pread(l->files[0], bits, bytes, host + first / 8, err))
		return -1;
	i += vd_bits_run(bits, VD_BITS_LOW_FIRST, i, end, &set);
	x->len = vd_min(x->len, (first + i) * 512 - in);
	x->kind = VD_ZERO;
	if (!set)
		return 0;
	x->host = host + s->bitmap + in;
	if (x->host >= size)
		return vd_fail(err, VDISK_CORRUPT, host,
		               "Bochs sectors at %#" PRIx64 " lie past the file's end (%" PRIu64 " bytes)", x->host, size);
	x->len = x->host_len = vd_min(x->len, size - x->host); /* of a file that is cut short, what is there */
	x->kind = VD_DATA;
	x->flags = VD_EXT_MAPPED;
	return 0;
}

static int piece_find(struct vd_layer *l, struct vd_extent *x, vd_error *err)
{
	struct bochs *s = l->priv;
	uint64_t host;

	x->len = vd_min(x->len, s->extent - x->off % s->extent);
	x->kind = VD_ZERO;
	if (extent_find(l, s, x->off / s->extent, &host, err))
		return -1;
	return host == UINT64_MAX ? 0 : run_find(l, s, host, x->off % s->extent, x, err);
}

static int bochs_map(struct vd_layer *l, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err)
{
	(void)flags;
	return vd_map_pieces(l, off, len, ((struct bochs *)l->priv)->salvage, piece_find, e, err);
}

const struct vd_driver vd_driver_bochs = {
	.info = {
		.name = "bochs",
		.long_name = "Bochs growing disk (read only)",
		.aliases = (const char *const[]){NULL},
		.suffixes = (const char *const[]){"bochs", NULL},
		.caps = VDISK_FORMAT_READ,
	},
	.probe = bochs_probe,
	.open = bochs_open,
	.close = bochs_close,
	.map = bochs_map,
};

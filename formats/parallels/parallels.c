/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * parallels: expanding disks of Parallels, with and without "Ext", to be read (QEMU's docs/interop/parallels).  One table of 32-bit
 * little-endian entries, one for each cluster of any number of sectors: without Ext the sector where it begins, with Ext the
 * cluster; 0 is none, and reads as zeros.
 */
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/say.h"
#include "core/driver.h"
#include "io/cache.h"

#define HEADER_BYTES 64u
#define TABLE_BYTES  512u /* of the cache: a sector of the table */
#define ENTRIES_MAX  (UINT32_C(1) << 27)
#define IN_USE       UINT32_C(0x746f6e59)

struct prl {
	uint64_t cluster;    /* bytes */
	uint64_t unit;       /* what an entry counts, in bytes */
	uint32_t entries;
	uint32_t in_use;
	struct vd_cache *cache;
	bool salvage, ext;
};

static bool is_ext(const uint8_t *b) { return !memcmp(b, "WithouFreSpacExt", 16); }

static int prl_probe(const struct vd_peek *p)
{
	return p->head_len >= HEADER_BYTES && (is_ext(p->head) || !memcmp(p->head, "WithoutFreeSpace", 16)) ? 100 : 0;
}

static int header_read(struct vd_layer *l, struct prl *p, vd_error *err)
{
	uint8_t b[HEADER_BYTES];
	uint32_t version, sectors;
	uint64_t size;

	if (vd_file_pread(l->files[0], b, sizeof(b), 0, err))
		return -1;
	p->ext = is_ext(b);
	if (!p->ext && memcmp(b, "WithoutFreeSpace", 16))
		return vd_fail(err, VDISK_CORRUPT, 0, "no Parallels magic at the file's beginning");
	version = le32_get(b + 16);
	sectors = le32_get(b + 28);
	p->entries = le32_get(b + 32);
	size = p->ext ? le64_get(b + 36) : le32_get(b + 36);
	p->in_use = le32_get(b + 44);
	if (version != 2)
		return vd_fail(err, VDISK_UNSUPPORTED, 16, "Parallels version %" PRIu32 " is not known (2 is)", version);
	if (!sectors || sectors > 1u << 21)
		return vd_fail(err, VDISK_CORRUPT, 28, "Parallels clusters of %" PRIu32 " sectors", sectors);
	p->cluster = (uint64_t)sectors * 512;
	p->unit = p->ext ? p->cluster : 512;
	if (size > (UINT64_C(1) << 62) / 512 || p->entries > ENTRIES_MAX || vd_div_up(size * 512, p->cluster) > p->entries ||
	    !vd_within(HEADER_BYTES, (uint64_t)p->entries * 4, vd_file_size(l->files[0])))
		return vd_fail(err, VDISK_CORRUPT, 32,
		               "Parallels table of %" PRIu32 " entries is too long, outside the file, or too short for %" PRIu64
		               " sectors",
		               p->entries, size);
	l->size = size * 512;
	return 0;
}

static int prl_open(struct vd_layer *l, const struct vd_open *o, vd_error *err)
{
	struct prl *p;

	if (!(l->files[0]->flags & VD_FILE_SEEKABLE))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "a Parallels image cannot be read from a pipe: its clusters lie in any order");
	p = vd_calloc(1, sizeof(*p));
	if (!p)
		return vd_fail_nomem(err, sizeof(*p));
	l->priv = p;
	p->salvage = o->flags & VD_OPEN_SALVAGE;
	if (header_read(l, p, err))
		return -1;
	/* Clusters may have any number of sectors; nothing is allocated here, so the grain is what all share. */
	l->alloc_grain = l->presence_grain = vd_is_pow2(p->cluster) ? (uint32_t)p->cluster : 512;
	l->flags &= ~VD_LAYER_WRITABLE;
	l->ro_reason = "Parallels images are only read";
	memcpy(l->variant, p->ext ? "ext" : "plain", p->ext ? 4 : 6);
	if (p->in_use == IN_USE && o->host && o->host->log)
		o->host->log(o->host, VDISK_LOG_WARNING,
		             "the Parallels image was not closed, or is in use: it may lack what was written last");
	return vd_cache_new(l->files[0], NULL, TABLE_BYTES, o->cache_bytes, &p->cache, err);
}

static void prl_close(struct vd_layer *l)
{
	struct prl *p = l->priv;

	if (!p)
		return;
	vd_cache_free(p->cache);
	vd_free(p);
	l->priv = NULL;
}

static int cluster_find(struct vd_layer *l, struct vd_extent *x, vd_error *err)
{
	struct prl *p = l->priv;
	uint64_t i = x->off / p->cluster, at = HEADER_BYTES + i * 4, host, need = vd_min(p->cluster, l->size - i * p->cluster);
	struct vd_table *t;
	uint32_t entry;

	x->len = vd_min(x->len, p->cluster - x->off % p->cluster);
	/* The file may end inside the table's last sector. */
	if (vd_cache_get(p->cache, vd_down(at, TABLE_BYTES), 1, true, &t, err))
		return -1;
	entry = le32_get(t->data + at % TABLE_BYTES);
	vd_cache_put(p->cache, t);
	x->kind = VD_ZERO;
	if (!entry)
		return 0;
	host = entry * p->unit;
	if (host < HEADER_BYTES + (uint64_t)p->entries * 4 || !vd_within(host, need, vd_file_size(l->files[0])))
		return vd_fail(err, VDISK_CORRUPT, at,
		               "Parallels cluster %" PRIu64 " at %#" PRIx64 " lies over the table or past the file's end (%" PRIu64
		               " bytes)",
		               i, host, vd_file_size(l->files[0]));
	x->kind = VD_DATA;
	x->flags = VD_EXT_MAPPED;
	x->host = host + x->off % p->cluster;
	x->host_len = x->len;
	return 0;
}

static int prl_map(struct vd_layer *l, uint64_t off, uint64_t len, uint32_t flags, struct vd_extents *e, vd_error *err)
{
	(void)flags;
	return vd_map_pieces(l, off, len, ((struct prl *)l->priv)->salvage, cluster_find, e, err);
}

static int prl_values(struct vd_layer *l, vdisk_value_fn fn, void *ctx, vd_error *err)
{
	const struct prl *p = l->priv;
	const struct vd_ear e = { fn, ctx };

	(void)err;
	vd_say_number(&e, "cluster-size", p->cluster);
	vd_say_bool(&e, "in-use", p->in_use == IN_USE);
	return 0;
}

const struct vd_driver vd_driver_parallels = {
	.info = {
		.name = "parallels",
		.long_name = "Parallels expanding disk (read only)",
		.aliases = (const char *const[]){NULL},
		.suffixes = (const char *const[]){"hds", NULL},
		.caps = VDISK_FORMAT_READ,
	},
	.probe = prl_probe,
	.open = prl_open,
	.close = prl_close,
	.map = prl_map,
	.values = prl_values,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening (specification, 2.2 to 2.6): the newer one of two headers, the log that it names, and only then, seen through the log,
 * region table, metadata and BAT.  A log that was not replayed is laid over the file in memory (io/patched.h); the first change
 * replays it.
 */
#include "vhdx.h"

#include "base/alloc.h"

static void warn(const struct vd_open *o, const char *what)
{
	if (o->host && o->host->log)
		o->host->log(o->host, VDISK_LOG_WARNING, "%s", what);
}

int vhdx_probe(const struct vd_peek *peek)
{
	return peek->head_len >= 8 && !memcmp(peek->head, "vhdxfile", 8) ? 100 : 0;
}

/* ---------------------------------------------------------------- headers */

static int identifier_read(struct vd_layer *l, const struct vhdx *v, const struct vd_open *o, vd_error *err)
{
	uint8_t b[8];
	size_t got;

	if (vd_file_pread_some(l->files[0], b, sizeof(b), 0, &got, err))
		return -1;
	if (got == sizeof(b) && !memcmp(b, "vhdxfile", 8))
		return 0;
	if (!v->salvage && !v->checking)
		return vd_fail(err, VDISK_CORRUPT, 0, "no VHDX identifier at the file's beginning");
	warn(o, "the VHDX identifier at the file's beginning is missing");
	return 0;
}

static int headers_read(struct vd_layer *l, struct vhdx *v, vd_error *err)
{
	VD_AUTO_FREE uint8_t *b = vd_malloc(VHDX_SECTOR);
	struct vhdx_header h[2];
	size_t got;

	if (!b)
		return vd_fail_nomem(err, VHDX_SECTOR);
	for (unsigned i = 0; i < 2; i++) {
		if (vd_file_pread_some(l->files[0], b, VHDX_SECTOR, VHDX_HEADER_OFF(i), &got, err))
			return -1;
		v->header_bad[i] = got < VHDX_SECTOR || !vhdx_header_decode(&h[i], b);
	}
	if (v->header_bad[0] && v->header_bad[1])
		return vd_fail(err, VDISK_CORRUPT, VHDX_HEADER_OFF(0), "both VHDX headers are missing or have wrong checksums");
	v->current = v->header_bad[0] || (!v->header_bad[1] && h[1].sequence > h[0].sequence);
	v->header = h[v->current];
	return vhdx_header_validate(&v->header, v->current, err);
}

/* ---------------------------------------------------------------- the log */

static int log_lay(struct vd_layer *l, struct vhdx *v, const struct vd_open *o, vd_error *err)
{
	struct vd_patch *patches;
	struct vd_file *f;
	uint64_t size;
	bool lost;
	size_t n;

	if (vhdx_log_read(l->files[0], &v->header, &patches, &n, &size, &lost, err)) {
		if (!v->salvage || (err && err->kind == VDISK_NOMEM))
			return -1;
		vd_error_clear(err);
		warn(o, "the VHDX log is damaged, and left out");
		return 0;
	}
	/* QEMU leaves such a log where it is killed early, and reads past it, too. */
	if (lost)
		warn(o, "the VHDX log is in use, but no entry of it is whole: if it held changes, they are lost");
	if (!n && size == vd_file_size(l->files[0])) {
		vd_free(patches);
		return 0;
	}
	f = l->files[0];
	l->files[0] = NULL; /* taken, even if this fails */
	if (vd_file_patched(f, patches, n, size, &f, err))
		return -1;
	l->files[0] = v->patched = f;
	if (o->host && o->host->log)
		o->host->log(o->host, VDISK_LOG_INFO, "the VHDX log was not replayed: read through it");
	return 0;
}

/* ---------------------------------------------------------------- region tables */

static int region_table_read(struct vd_layer *l, struct vhdx *v, const struct vd_open *o, vd_error *err)
{
	VD_AUTO_FREE uint8_t *b = vd_malloc(2 * VHDX_TABLE_BYTES);

	if (!b)
		return vd_fail_nomem(err, 2 * VHDX_TABLE_BYTES);
	for (unsigned i = 0; i < 2; i++) {
		if (vd_file_pread(l->files[0], b + i * VHDX_TABLE_BYTES, VHDX_TABLE_BYTES, VHDX_REGION_OFF(i), err))
			return -1;
		v->region_bad[i] = !vhdx_regions_intact(b + i * VHDX_TABLE_BYTES);
	}
	if (v->region_bad[0] && v->region_bad[1])
		return vd_fail(err, VDISK_CORRUPT, VHDX_REGION_OFF(0),
		               "both VHDX region tables are missing or have wrong checksums");
	if (v->region_bad[0] || v->region_bad[1])
		warn(o, "one of the two VHDX region tables is damaged: the other one is used (check --repair makes it anew)");
	return vhdx_regions_decode(&v->regions, b + v->region_bad[0] * VHDX_TABLE_BYTES, err);
}

static int region_find(const struct vhdx *v, const uint8_t guid[16], const char *name, struct vhdx_region *out, vd_error *err)
{
	bool found = false;

	for (uint32_t i = 0; i < v->regions.n; i++) {
		if (memcmp(v->regions.v[i].guid, guid, 16))
			continue;
		if (found)
			return vd_fail(err, VDISK_CORRUPT, VHDX_REGION_OFF(0), "VHDX region table has two entries for the %s",
			               name);
		*out = v->regions.v[i];
		found = true;
	}
	return found ? 0 : vd_fail(err, VDISK_CORRUPT, VHDX_REGION_OFF(0), "VHDX region table has no entry for the %s", name);
}

static int regions_read(struct vd_layer *l, struct vhdx *v, const struct vd_open *o, vd_error *err)
{
	return region_table_read(l, v, o, err) || region_find(v, vhdx_guid_bat, "BAT", &v->bat, err) ||
	                       region_find(v, vhdx_guid_meta, "metadata", &v->meta_at, err) ?
	               -1 :
	               0;
}

/* ---------------------------------------------------------------- all together */

void vhdx_geometry_set(struct vd_layer *l, struct vhdx *v)
{
	const char *name = vhdx_is_diff(v) ? "differencing" : v->meta.fixed ? "fixed" : "dynamic";

	memcpy(l->variant, name, strlen(name) + 1);
	l->size = v->meta.size;
	v->block_bytes = v->meta.block_bytes;
	v->chunk_blocks = (uint32_t)(((uint64_t)v->meta.logical << 23) / v->block_bytes);
	v->n_blocks = vd_div_up(l->size, v->block_bytes);
	v->bat_entries = vhdx_bat_needed(v->n_blocks, v->chunk_blocks, vhdx_is_diff(v));
	l->alloc_grain = v->block_bytes;
	l->presence_grain = vhdx_is_diff(v) ? v->meta.logical : v->block_bytes;
}

int vhdx_setup(struct vd_layer *l, struct vhdx *v, uint64_t cache_bytes, vd_error *err)
{
	vhdx_geometry_set(l, v);
	l->id.kind = VD_ID_UUID;
	memcpy(l->id.uuid, v->header.data_guid, 16);
	if (v->bat_entries > v->bat.len / 8)
		return vd_fail(err, VDISK_CORRUPT, v->bat.off,
		               "VHDX BAT of %" PRIu32 " bytes is too short for a disk of %" PRIu64 " bytes", v->bat.len, l->size);
	return vd_cache_new(l->files[0], NULL, VHDX_SECTOR, cache_bytes, &v->cache, err);
}

/* The log changes tables alone, as it should: what looks at the file by its descriptor, for the data in it, sees the right ones. */
static bool patches_hide_no_data(const struct vhdx *v)
{
	return !vhdx_is_diff(v) && vd_file_patched_within(v->patched, (const struct vd_range[]){
		{ 0, VHDX_MIB }, { v->bat.off, v->bat.len }, { v->meta_at.off, v->meta_at.len } }, 3);
}

static void refuse_writing(struct vd_layer *l, const struct vhdx *v)
{
	if (!v->salvage || v->checking)
		return;
	l->flags &= ~VD_LAYER_WRITABLE;
	l->ro_reason = "it is being salvaged";
}

int vhdx_open(struct vd_layer *l, const struct vd_open *o, vd_error *err)
{
	struct vhdx *v;

	if (!(l->files[0]->flags & VD_FILE_SEEKABLE))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "a VHDX cannot be read from a pipe: its tables lie anywhere");
	v = vd_calloc(1, sizeof(*v));
	if (!v)
		return vd_fail_nomem(err, sizeof(*v));
	l->priv = v;
	v->salvage = o->flags & VD_OPEN_SALVAGE;
	v->checking = o->flags & VD_OPEN_CHECK;
	v->keep_id = o->flags & VD_OPEN_KEEP_ID;
	if (identifier_read(l, v, o, err) || headers_read(l, v, err) || log_lay(l, v, o, err) || regions_read(l, v, o, err) ||
	    vhdx_meta_read(l, v, err) || vhdx_setup(l, v, o->cache_bytes, err))
		return -1;
	if (v->patched && patches_hide_no_data(v))
		vd_file_patched_show_fd(v->patched);
	if (vhdx_is_diff(v) && vhdx_parent_read(l, v, o, err))
		return -1;
	refuse_writing(l, v);
	return 0;
}

void vhdx_close(struct vd_layer *l)
{
	struct vhdx *v = l->priv;

	if (!v)
		return;
	vd_cache_free(v->cache);
	vhdx_space_clear(v);
	vd_free(v->regions.v);
	vd_free(v->log_buf);
	vd_free(v);
	l->priv = NULL;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk shown with logical sectors of another length: everything stays where it is, but its partition table is counted anew, in a
 * layer in memory over the image.  What would not be understood in the other sectors is looked for before, and refused by its name.
 */
#include "ops/sectors.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "core/image.h"
#include "ops/walk.h"

#include <stdio.h>
#include <strings.h>

#define PARTITIONS_MAX 256
#define ESP_GUID "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
#define BIOS_GUID "21686148-6449-6e6f-744e-656564454649"
#define MSR_GUID "e3c9e316-0b5c-4db8-817d-f92df00215ae"

struct view {
	vdisk_image *src;
	uint32_t to;
	struct vdisk_partition_table table;
	struct vdisk_partition v[PARTITIONS_MAX];
	size_t n;
	uint8_t look[VD_SECTOR_LOOK];
	bool volumes;
};

static int src_read(void *ctx, void *buf, size_t len, uint64_t off, vd_error *err) { return vdisk_pread(ctx, buf, len, off, err); }

static int fail_in_way(const struct view *w, vd_error *err, const char *who, const char *why)
{
	return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: cannot have sectors of %" PRIu32 " bytes: %s %s", w->src->path,
	               w->to, who, why);
}

static int range_judge(struct view *w, const char *who, uint64_t off, uint64_t len, vd_error *err)
{
	size_t n = (size_t)vd_min(len, sizeof(w->look));
	char why[160];
	enum vd_content c;

	if (vdisk_pread(w->src, w->look, n, off, err))
		return -1;
	c = vd_content_judge(w->look, n, w->to, why, sizeof(why));
	w->volumes = w->volumes || c == VD_CONTENT_VOLUMES;
	return c == VD_CONTENT_BAD ? fail_in_way(w, err, who, why) : 0;
}

/* What lies in a logical volume. */
static int volume_judge(struct view *w, const struct vdisk_volume *v, vd_error *err)
{
	struct vdisk_range r[64];
	size_t at = 0, k, want = (size_t)vd_min(v->len, sizeof(w->look));
	char who[300], why[160];

	snprintf(who, sizeof(who), "logical volume %s/%s", v->group, v->name);
	if (v->problem)
		return fail_in_way(w, err, who, v->problem);
	while (at < want && (k = vdisk_volume_map(v, at, want - at, r, sizeof(r) / sizeof(*r))))
		for (size_t i = 0; i < k; at += r[i].len, i++) {
			if (r[i].off % w->to || r[i].len % 512)
				return fail_in_way(w, err, who, "does not begin at a sector");
			if (vdisk_pread(w->src, w->look + at, (size_t)r[i].len, r[i].off, err))
				return -1;
		}
	switch (vd_content_judge(w->look, at, w->to, why, sizeof(why))) {
	case VD_CONTENT_FINE: return 0;
	case VD_CONTENT_VOLUMES: return fail_in_way(w, err, who, "holds volumes of its own");
	case VD_CONTENT_BAD: break;
	}
	return fail_in_way(w, err, who, why);
}

static int volumes_judge(struct view *w, vd_error *err)
{
	const struct vdisk_physical_volume *p;
	const struct vdisk_volume *v;
	vdisk_volumes *volumes;
	int rc = 0;

	if (vdisk_volumes_read(w->src, &volumes, err))
		return -1;
	for (size_t i = 0; !rc && (p = vdisk_volumes_physical(volumes, i)); i++)
		if (p->problem)
			rc = fail_in_way(w, err, "a physical volume of LVM has", p->problem);
	for (size_t i = 0; !rc && (v = vdisk_volumes_get(volumes, i)); i++)
		rc = v->hidden ? 0 : volume_judge(w, v, err);
	vdisk_volumes_free(volumes);
	return rc;
}

static int content_judge(struct view *w, vd_error *err)
{
	bool bios = false, esp = false;

	if (w->table.kind == VDISK_TABLE_NONE && range_judge(w, "the disk", 0, vdisk_size(w->src), err))
		return -1;
	for (size_t i = 0; i < w->n; i++) {
		const struct vdisk_partition *p = &w->v[i];
		char who[32];

		snprintf(who, sizeof(who), "partition %u", p->number);
		esp = esp || !strcasecmp(p->type, ESP_GUID);
		if (!strcasecmp(p->type, BIOS_GUID))
			bios = true;
		else if (strcasecmp(p->type, MSR_GUID) && range_judge(w, who, p->off, p->len, err))
			return -1;
	}
	if (bios && !esp && w->to != 512)
		return fail_in_way(w, err, "it boots", "by BIOS, which reads sectors of 512 bytes");
	return w->volumes ? volumes_judge(w, err) : 0;
}

/* A layer over the image, in memory, with the new table; takes the image, whatever comes of it. */
static int layer_make(struct view *w, uint64_t size, const struct vd_gpt_scaled *g, vdisk_image **out, vd_error *err)
{
	vdisk_image *src = w->src, *img;
	struct vd_file *f;

	if (vd_file_memory(src->path, NULL, 0, &f, err)) {
		vdisk_close(src, NULL);
		return -1;
	}
	if (vd_image_create_file(f, "qcow2", size, NULL, 0, src, NULL, &img, err))
		return -1;
	if (vdisk_pwrite(img, g->head, g->head_len, 0, err) || vdisk_pwrite(img, g->tail, g->tail_len, g->tail_off, err)) {
		vdisk_close(img, NULL);
		return -1;
	}
	*out = img;
	return 0;
}

static int table_judge(struct view *w, uint64_t size, vd_error *err)
{
	if (vd_image_is_forward(w->src))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "%s: what comes from a pipe cannot be looked at before it is converted", w->src->path);
	if (vd_image_whole(w->src, err) || vdisk_partitions(w->src, &w->table, w->v, PARTITIONS_MAX, &w->n, err))
		return -1;
	if (w->n > PARTITIONS_MAX)
		return fail_in_way(w, err, "it has", "more than 256 partitions");
	if (w->table.kind == VDISK_TABLE_MBR && w->to != 512)
		return fail_in_way(w, err, "its partition table",
		                   "is an MBR, whose sectors have 512 bytes; make it a GPT before (sgdisk --mbrtogpt)");
	if (w->table.from_backup)
		return fail_in_way(w, err, "its partition table", "has a damaged first header");
	if (size % w->to)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "%s: a disk of %" PRIu64 " bytes is no whole number of sectors of %" PRIu32
		               " bytes; --size-rounding up makes it so",
		               w->src->path, size, w->to);
	return 0;
}

static int view_make(struct view *w, uint64_t size, vdisk_image **out, vd_error *err)
{
	struct vd_disk d = { .ctx = w->src, .size = vdisk_size(w->src), .read = src_read };
	struct vd_gpt_scaled g;
	int rc;

	if (table_judge(w, size, err) || content_judge(w, err))
		goto fail;
	if (w->table.kind != VDISK_TABLE_GPT || w->table.sector_bytes == w->to) {
		*out = w->src;
		return 0;
	}
	if (vd_gpt_scale(&d, w->table.sector_bytes, w->to, size, &g, err)) {
		vd_fail_in(err, "%s: cannot have sectors of %" PRIu32 " bytes", w->src->path, w->to);
		goto fail;
	}
	rc = layer_make(w, size, &g, out, err);
	vd_gpt_scaled_free(&g);
	return rc;
fail:
	vdisk_close(w->src, NULL);
	return -1;
}

int vdisk_sector_view(vdisk_image *src, uint32_t sector_bytes, bool round_up, vdisk_image **out, vdisk_error *err)
{
	struct view *w = vd_calloc(1, sizeof(*w));
	uint64_t size = vdisk_size(src);
	int rc;

	*out = NULL;
	if (!w || (sector_bytes != 512 && sector_bytes != 4096)) {
		rc = w ? vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "sectors have 512 or 4096 bytes, not %" PRIu32, sector_bytes)
		       : vd_fail_nomem(err, sizeof(*w));
		vdisk_close(src, NULL);
		vd_free(w);
		return rc;
	}
	w->src = src;
	w->to = sector_bytes;
	rc = view_make(w, round_up ? vd_up(size, sector_bytes) : size, out, err);
	vd_free(w);
	return rc;
}

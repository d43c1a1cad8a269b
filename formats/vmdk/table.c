/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Grain tables and what their entries say: the one place where an entry of a table or a directory is believed or not. */
#include "vmdk.h"

#include "base/alloc.h"
#include "base/bytes.h"

#include <stdlib.h>

static int se_find(const struct vd_layer *l, const struct vmdk_extent *x, uint32_t i, enum vmdk_table_state *state, uint64_t *off,
		   vd_error *err)
{
	bool present;
	uint32_t number;
	if (!vmdk_se_table(x->se_gd[i], &present, &number))
		return vd_fail(err, VDISK_CORRUPT, x->gd_off + 8ull * i, "%s: grain directory entry %u is %#" PRIx64,
			       l->files[x->file]->name, i, x->se_gd[i]);
	*state = present ? VMDK_TABLE_HERE : VMDK_TABLE_NONE;
	*off = (x->se.gts_off + number * x->se.table) * VMDK_SECTOR;
	return 0;
}

/* The entries that matter in table i: the last one may be cut. */
static uint32_t entries_used(const struct vmdk_extent *x, uint32_t i)
{
	uint64_t grains = vd_div_up(x->len, x->grain);
	return (uint32_t)vd_min(x->gtes, grains - (uint64_t)i * x->gtes);
}

int vmdk_table_find(const struct vd_layer *l, const struct vmdk_extent *x, uint32_t i, bool redundant, enum vmdk_table_state *state,
		    uint64_t *off, vd_error *err)
{
	struct vd_file *f = l->files[x->file];
	if (x->kind == VMDK_SE) {
		if (se_find(l, x, i, state, off, err))
			return -1;
	} else {
		uint32_t sector = (redundant ? x->rgd : x->gd)[i];
		*off = (uint64_t)sector * VMDK_SECTOR;
		*state = !sector ? VMDK_TABLE_NONE : sector == 1 && x->zero_gte ? VMDK_TABLE_ZERO : VMDK_TABLE_HERE;
	}
	if (*state != VMDK_TABLE_HERE)
		return 0;
	uint64_t need = (uint64_t)entries_used(x, i) * (vmdk_table_bytes(x) / x->gtes);
	if (*off < VMDK_SECTOR || !vd_within(*off, need, vd_file_size(f)))
		return vd_fail(err, VDISK_CORRUPT, *off,
			       "%s: grain table %u%s at %#" PRIx64 " is outside the file (%" PRIu64 " bytes)", f->name, i,
			       redundant ? " (redundant)" : "", *off, vd_file_size(f));
	return 0;
}

int vmdk_table_get(const struct vd_layer *l, const struct vmdk_extent *x, uint32_t i, bool redundant, enum vmdk_table_state *state,
		   struct vd_table **t, vd_error *err)
{
	uint64_t off = 0;
	*t = NULL;
	if (vmdk_table_find(l, x, i, redundant, state, &off, err))
		return -1;
	return *state == VMDK_TABLE_HERE ? vd_cache_get(x->tables, off, 2, true, t, err) : 0;
}

static int number_order(const void *a, const void *b)
{
	uint64_t x, y;
	memcpy(&x, a, 8);
	memcpy(&y, b, 8);
	return x < y ? -1 : x > y;
}

int vmdk_table_repeats(const struct vmdk_extent *x, bool redundant, uint8_t **bits, vd_error *err)
{
	VD_AUTO_FREE uint64_t *v = vd_malloc(vd_max(x->n_gts, 1) * 8); /* a table's number, and in the low half the entry's */
	size_t n = 0;
	*bits = vd_calloc(x->n_gts / 8 + 1, 1);
	if (!v || !*bits) {
		vd_free(*bits);
		*bits = NULL;
		return vd_fail_nomem(err, x->n_gts * 8ull);
	}
	for (uint32_t i = 0; i < x->n_gts; i++) {
		uint32_t number;
		bool present;
		if (x->kind == VMDK_SE) {
			if (!vmdk_se_table(x->se_gd[i], &present, &number) || !present)
				continue;
		} else {
			number = (redundant ? x->rgd : x->gd)[i];
			if (!number || (number == 1 && x->zero_gte))
				continue;
		}
		v[n++] = (uint64_t)number << 32 | i;
	}
	qsort(v, n, sizeof(*v), number_order);
	for (size_t k = 1; k < n; k++) {
		uint32_t i = (uint32_t)v[k];
		if (v[k] >> 32 == v[k - 1] >> 32)
			(*bits)[i / 8] |= (uint8_t)(1u << i % 8);
	}
	return 0;
}

/* A packed grain begins with a marker, or without markers with its length alone. */
static size_t packed_head(const struct vmdk_extent *x) { return x->h.flags & VMDK_FLAG_MARKERS ? VMDK_GRAIN_MARKER : 4; }

static int packed_judge(const struct vd_layer *l, const struct vmdk_extent *x, uint64_t g, struct vmdk_grain *out, vd_error *err)
{
	struct vd_file *f = l->files[x->file];
	bool markers = x->h.flags & VMDK_FLAG_MARKERS;
	uint8_t bytes[16] = {0};
	struct vmdk_marker m;
	size_t head = packed_head(x);
	if (vd_file_pread(f, bytes, head, out->host, err))
		return -1;
	vmdk_marker_decode(bytes, &m);
	if (!markers)
		m = (struct vmdk_marker){.value = g * (x->grain / VMDK_SECTOR), .size = le32_get(bytes)};
	if (m.value != g * (x->grain / VMDK_SECTOR))
		return vd_fail(err, VDISK_CORRUPT, out->host,
			       "%s: the marker of grain %" PRIu64 " at %#" PRIx64 " names sector %" PRIu64 ", not %" PRIu64,
			       f->name, g, out->host, m.value, g * (x->grain / VMDK_SECTOR));
	if (!m.size || m.size > vmdk_packed_max(x->grain))
		return vd_fail(err, VDISK_CORRUPT, out->host, "%s: packed grain %" PRIu64 " at %#" PRIx64 " has %u bytes", f->name,
			       g, out->host, m.size);
	out->host_len = head + m.size;
	return 0;
}

static int inside_judge(const struct vd_layer *l, const struct vmdk_extent *x, uint64_t g, const struct vmdk_grain *w, vd_error *err)
{
	const struct vd_file *f = l->files[x->file];
	if (!vd_within(w->host, w->host_len, vd_file_size(f)))
		return vd_fail(err, VDISK_CORRUPT, w->host,
			       "%s: grain %" PRIu64 " at %#" PRIx64 " is outside the file (%" PRIu64 " bytes)", f->name, g,
			       w->host, vd_file_size(f));
	return 0;
}

int vmdk_grain_place(const struct vd_layer *l, const struct vmdk_extent *x, uint64_t g, uint64_t entry, struct vmdk_grain *out,
		     vd_error *err)
{
	struct vd_file *f = l->files[x->file];
	*out = (struct vmdk_grain){.kind = VD_ABSENT};
	if (!entry)
		return 0;
	if (x->kind == VMDK_SE) {
		uint64_t number;
		switch (vmdk_se_entry(entry, &number)) {
		case VMDK_SE_ABSENT:
			return 0;
		case VMDK_SE_ZERO:
			out->kind = VD_ZERO;
			return 0;
		case VMDK_SE_DATA:
			if (number >= UINT64_C(1) << 48) /* 60 bits: more than any file holds, and their bytes would wrap */
				return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET,
					       "%s: grain %" PRIu64 " is the file's grain %" PRIu64, f->name, g, number);
			entry = x->se.grains_off + number * x->se.grain;
			break;
		default:
			return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "%s: entry of grain %" PRIu64 " is %#" PRIx64, f->name,
				       g, entry);
		}
	} else if (entry == 1 && x->zero_gte) {
		out->kind = VD_ZERO;
		return 0;
	}
	out->kind = VD_DATA;
	out->host = entry * VMDK_SECTOR;
	out->host_len = vd_min(x->grain, x->len - g * x->grain);
	if (out->host < x->data_min)
		return vd_fail(err, VDISK_CORRUPT, out->host, "%s: grain %" PRIu64 " at %#" PRIx64 " lies in the metadata", f->name,
			       g, out->host);
	if (x->packed)
		out->host_len = packed_head(x);
	return inside_judge(l, x, g, out, err);
}

int vmdk_grain_judge(const struct vd_layer *l, const struct vmdk_extent *x, uint64_t g, uint64_t entry, struct vmdk_grain *out,
		     vd_error *err)
{
	if (vmdk_grain_place(l, x, g, entry, out, err))
		return -1;
	if (!x->packed || out->kind != VD_DATA)
		return 0;
	return packed_judge(l, x, g, out, err) ? -1 : inside_judge(l, x, g, out, err);
}

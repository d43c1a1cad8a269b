/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* MBR and GPT, read.  Pure but for the reader, so that they can be fuzzed over plain bytes. */
#ifndef VD_OPS_PARTITIONS_H
#define VD_OPS_PARTITIONS_H

#include "base/error.h"

struct vd_disk { /* what is searched for partitions */
	void *ctx;
	uint64_t size;
	int (*read)(void *ctx, void *buf, size_t len, uint64_t off, vd_error *err);
};

struct vd_partition_list {
	struct vdisk_partition *v;
	size_t cap, n; /* n counts on past cap */
};

/* As vdisk_partitions(). */
int vd_partitions_read(const struct vd_disk *d, struct vdisk_partition_table *t, struct vd_partition_list *list, vd_error *err);

/* sector: the disk's first 512 bytes, which carry the signature 55 aa. */
int vd_mbr_read(const struct vd_disk *d, const uint8_t *sector, struct vdisk_partition_table *t, struct vd_partition_list *list,
                vd_error *err);
/* The sector holds a protective or hybrid entry (type 0xee). */
bool vd_mbr_is_protective(const uint8_t *sector);
/* *found: a header of the GPT is there (at sector 1, or the last one where `protective` says that there should be one). */
int vd_gpt_read(const struct vd_disk *d, uint32_t sector_bytes, bool protective, struct vdisk_partition_table *t,
                struct vd_partition_list *list, bool *found, vd_error *err);

static inline void vd_partition_add(struct vd_partition_list *l, const struct vdisk_partition *p)
{
	if (l->n < l->cap)
		l->v[l->n] = *p;
	l->n++;
}

#endif

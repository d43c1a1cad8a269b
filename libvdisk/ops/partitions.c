/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which partitions a disk holds: a GUID partition table where there is one (512-byte sectors first, then 4,096), else the PC's. */
#include "ops/partitions.h"
#include "core/image.h"

#include <stdlib.h>
#include <string.h>

static int cmp_number(const void *a, const void *b)
{
	const struct vdisk_partition *pa = a, *pb = b;

	return (pa->number > pb->number) - (pa->number < pb->number);
}

int vd_partitions_read(const struct vd_disk *d, struct vdisk_partition_table *t, struct vd_partition_list *list, vd_error *err)
{
	uint8_t sector[512];
	bool found, protective;

	memset(t, 0, sizeof(*t));
	list->n = 0;
	if (d->size < sizeof(sector))
		return 0;
	if (d->read(d->ctx, sector, sizeof(sector), 0, err))
		return -1;
	if (sector[510] != 0x55 || sector[511] != 0xaa)
		return 0;
	protective = vd_mbr_is_protective(sector);
	for (uint32_t bytes = 512; bytes <= 4096; bytes *= 8)
		if (vd_gpt_read(d, bytes, protective, t, list, &found, err) || found)
			return found ? 0 : -1;
	return vd_mbr_read(d, sector, t, list, err);
}

static int image_read(void *ctx, void *buf, size_t len, uint64_t off, vd_error *err)
{
	return vdisk_pread(ctx, buf, len, off, err);
}

int vdisk_partitions(vdisk_image *img, struct vdisk_partition_table *table, struct vdisk_partition *out, size_t cap, size_t *n,
                     vdisk_error *err)
{
	struct vd_disk d = { .ctx = img, .size = vdisk_size(img), .read = image_read };
	struct vd_partition_list list = { .v = out, .cap = cap };

	*n = 0;
	if (vd_partitions_read(&d, table, &list, err))
		return vd_fail_in(err, "%s", img->path);
	*n = list.n;
	if (list.n && cap) /* else `out` may be NULL, which qsort() does not take */
		qsort(out, list.n < cap ? list.n : cap, sizeof(*out), cmp_number);
	return 0;
}

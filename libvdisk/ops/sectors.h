/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks whose logical sectors get another length: vdisk_sector_view() and its parts, which are pure but for the reader. */
#ifndef VD_OPS_SECTORS_H
#define VD_OPS_SECTORS_H

#include "ops/partitions.h"

/* The disk's first and last bytes with the table in the new sectors; what is between stays. */
struct vd_gpt_scaled {
	uint8_t *head, *tail;
	size_t head_len, tail_len;
	uint64_t tail_off;
};
/* d: a disk whose first header is whole, and counts in `from`; size: of the new disk, a multiple of `to` and no less than d's.
   VDISK_UNSUPPORTED where something stands in the way, which the message names.  Returns owned in *out: vd_gpt_scaled_free(). */
int vd_gpt_scale(const struct vd_disk *d, uint32_t from, uint32_t to, uint64_t size, struct vd_gpt_scaled *out, vd_error *err);
void vd_gpt_scaled_free(struct vd_gpt_scaled *o);

#define VD_SECTOR_LOOK 131072u /* first bytes of a partition that tell what it holds */

enum vd_content { VD_CONTENT_FINE, VD_CONTENT_VOLUMES, VD_CONTENT_BAD };
/* Whether what begins with these bytes can lie on sectors of `to` bytes.  VOLUMES: a physical volume of LVM2, whose volumes are to
   be asked.  BAD: `why` (cap bytes) says "holds ..." . */
enum vd_content vd_content_judge(const uint8_t *b, size_t len, uint32_t to, char *why, size_t cap);

#endif

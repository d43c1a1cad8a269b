/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Internal snapshots, as the operations use them. */
#ifndef VD_CORE_SNAPSHOT_H
#define VD_CORE_SNAPSHOT_H

#include "core/image.h"

/* Which one `which`, an ID or a name, is: *i, in the order of the list.  VDISK_INVALID where none is, or several are. */
int vd_snapshot_find(vdisk_image *img, const char *which, uint32_t *i, vd_error *err);
/* vdisk_snapshot_apply() of the one at place i of the list, whatever its name: that may be another one's ID. */
int vd_snapshot_apply_at(vdisk_image *img, uint32_t i, vd_error *err);
/* 1 to VDISK_SNAPSHOT_NAME_MAX bytes without control characters. */
int vd_snapshot_name_judge(const char *name, vd_error *err);
/* SOURCE_DATE_EPOCH where it is set; seconds since 1970. */
int vd_date_now(uint64_t *sec, uint32_t *nsec, vd_error *err);

#endif

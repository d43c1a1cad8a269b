/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Markers: what a stream says before each grain and each table.  (VMware, Virtual Disk Format 5.0, "Stream-Optimized".) */
#include "header.h"

#include "base/bytes.h"

void vmdk_marker_decode(const uint8_t *p, struct vmdk_marker *m)
{
	m->value = le64_get(p);
	m->size = le32_get(p + 8);
	m->type = m->size ? 0 : le32_get(p + 12);
}

void vmdk_marker_encode(const struct vmdk_marker *m, uint8_t p[VMDK_SECTOR])
{
	memset(p, 0, VMDK_SECTOR);
	le64_put(p, m->value);
	le32_put(p + 8, 0);
	le32_put(p + 12, m->type);
}

void vmdk_grain_marker_encode(uint64_t sector, uint32_t size, uint8_t p[VMDK_GRAIN_MARKER])
{
	le64_put(p, sector);
	le32_put(p + 8, size);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cylinders, heads and sectors: the specification's appendix "CHS Calculation".  Pure.
 *
 * Readers disagree on which size counts where geometry and current size differ: some QEMU versions go by the creator.  All go by
 * the current size where the geometry is the largest one, so that is what a footer gets whose size no geometry expresses.
 */
#include "vhd.h"

#define MAX_SECTORS (UINT64_C(65535) * 16 * 255)

const struct vhd_geometry vhd_geometry_max = { 65535, 16, 255 };

struct vhd_geometry vhd_geometry_of(uint64_t sectors)
{
	uint64_t tracks; /* cylinders times heads */
	unsigned heads, per_track;

	if (sectors > MAX_SECTORS)
		sectors = MAX_SECTORS;
	if (sectors >= UINT64_C(65535) * 16 * 63) {
		per_track = 255;
		heads = 16;
		tracks = sectors / per_track;
	} else {
		per_track = 17;
		tracks = sectors / per_track;
		heads = (unsigned)vd_max((tracks + 1023) / 1024, 4);
		if (tracks >= heads * UINT64_C(1024) || heads > 16) {
			per_track = 31;
			heads = 16;
			tracks = sectors / per_track;
		}
		if (tracks >= heads * UINT64_C(1024)) {
			per_track = 63;
			heads = 16;
			tracks = sectors / per_track;
		}
	}
	return (struct vhd_geometry){ (uint16_t)(tracks / heads), (uint8_t)heads, (uint8_t)per_track };
}

uint64_t vhd_geometry_round(uint64_t size)
{
	uint64_t sectors = vd_div_up(size, VHD_SECTOR), wanted = sectors * VHD_SECTOR;

	if (sectors > MAX_SECTORS)
		return wanted;
	/* Rounding down loses less than a cylinder, at most 16 × 255 sectors. */
	while (vhd_geometry_bytes(vhd_geometry_of(sectors)) < wanted)
		sectors++;
	return vhd_geometry_bytes(vhd_geometry_of(sectors));
}

struct vhd_geometry vhd_geometry_for(uint64_t size)
{
	struct vhd_geometry g = vhd_geometry_of(size / VHD_SECTOR);

	return vhd_geometry_bytes(g) == size ? g : vhd_geometry_max;
}

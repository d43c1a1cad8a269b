/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the layers of a chain that nobody writes to say, all of them together, remembered; core only. */
#ifndef VD_CORE_MAPCACHE_H
#define VD_CORE_MAPCACHE_H

#include "core/image.h"

/* For the chain as it is now; NULL: it would gain nothing by one (or there is no memory: the map is the same without). */
struct vd_mapcache *vd_mapcache_new(const vdisk_image *img);
void vd_mapcache_free(struct vd_mapcache *c);
/* The first layer whose answers are remembered, with those of all below it. */
unsigned vd_mapcache_depth(const struct vd_mapcache *c);
/* As vd_image_map() without flags, of that layer and those below it. */
int vd_mapcache_map(vdisk_image *img, uint64_t off, uint64_t len, struct vd_extents *e, vd_error *err);

#endif

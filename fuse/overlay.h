/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The image that was named, plainly or below a layer that takes the writes. */
#ifndef VDISK_MOUNT_OVERLAY_H
#define VDISK_MOUNT_OVERLAY_H

#include "source.h"

/* Opens what `a` asks for; a->allow may get the image's own folder.  NULL with *err on failure; nothing is left behind then. */
struct source *overlay_open(struct args *a, vdisk_error *err);

#endif

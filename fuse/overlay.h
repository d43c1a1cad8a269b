/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The image that was named, plainly or below a layer that takes the writes, as the mount's first state. */
#ifndef VDISK_MOUNT_OVERLAY_H
#define VDISK_MOUNT_OVERLAY_H

#include "state.h"

/* NULL with *err on failure; nothing is left behind then. */
struct state *overlay_open(const struct args *a, vdisk_error *err);

#endif

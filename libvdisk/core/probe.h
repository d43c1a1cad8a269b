/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which format a file is; core only. */
#ifndef VD_CORE_PROBE_H
#define VD_CORE_PROBE_H

#include "core/driver.h"

/* By name or alias; NULL if there is none. */
const struct vd_driver *vd_driver_find(const char *name);
/* By the file's bytes.  VDISK_UNSUPPORTED, by name, for a format that is known but has no driver; an empty file is
   VDISK_INVALID. */
int vd_probe(struct vd_file *f, const char *path, const struct vd_driver **out, vd_error *err);
/* The driver that was asked for by name (format != NULL) or found by the bytes.  *said: the user's word or the file's suffix says
   the format too, so names inside the image may be followed. */
int vd_driver_choose(struct vd_file *f, const char *path, const char *format, const struct vd_driver **out, bool *said,
                     vd_error *err);
/* The part of path behind the last dot of its last component; "" if there is none. */
const char *vd_suffix(const char *path);

#endif

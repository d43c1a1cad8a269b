/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef VD_OPS_REREAD_H
#define VD_OPS_REREAD_H

#include "core/image.h"

/* Opens a new image that is finished and not yet named once more, from its files' bytes on the disk, beside `dst`.  create_options:
   those it was made with, of which the ones that opening knows too (keys) are used.  Returns owned in *out; to be closed before dst
   is committed. */
int vd_reread(vdisk_image *dst, const char *const *create_options, vdisk_image **out, vd_error *err);

#endif

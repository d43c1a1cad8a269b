/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making and freeing a layer; core only. */
#ifndef VD_CORE_LAYER_H
#define VD_CORE_LAYER_H

#include "core/driver.h"

/* Returns owned; NULL: out of memory.  `path` is copied. */
struct vd_layer *vd_layer_new(const struct vd_driver *drv, const char *path);
/* Takes f on success only.  *file: its index. */
int vd_layer_add_file(struct vd_layer *l, struct vd_file *f, uint16_t *file, vd_error *err);
/* Which of the host's files it is, where it is one: l->dev and l->ino. */
void vd_layer_identify(struct vd_layer *l);
/* driver->close(), the files, the layer; not its parent.  NULL is a no-op. */
void vd_layer_free(struct vd_layer *l);

#endif

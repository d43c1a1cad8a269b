/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pieces that opening and creating share; core only. */
#ifndef VD_CORE_OPEN_H
#define VD_CORE_OPEN_H

#include "core/image.h"
#include "base/uuid.h"

#include <stdarg.h>

vdisk_image *vd_image_new(const char *path, uint32_t flags, vdisk_log_fn log, void *log_ctx, vd_error *err);
/* Frees img and its layers; nothing is written.  NULL is a no-op. */
void vd_image_free(vdisk_image *img);
/* Appends l, which becomes img's, below the chain's last layer. */
int vd_image_push(vdisk_image *img, struct vd_layer *l, vd_error *err);
/* Takes `parent` in every case. */
int vd_image_adopt_parent(vdisk_image *img, vdisk_image *parent, vd_error *err);
/* img NULL or without a log: nothing.  `name` (NULL: none) and a colon come first. */
void vd_log_in(const vdisk_image *img, const char *name, enum vdisk_log_level level, const char *fmt, va_list ap)
	__attribute__((format(printf, 4, 0)));
void vd_log(const vdisk_image *img, enum vdisk_log_level level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif

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

struct vd_layer_args {
	const char *path;
	uint32_t flags;                /* VDISK_OPEN_* as they hold for this layer */
	const char *const *options;
	const char *const *allow_dirs;
	uint64_t cache_bytes;
	bool in_archive;
	struct vd_host *host;          /* tests'; NULL: the real one */
};

/* Opens one layer of `img`, whose it is not yet; `said` as in the trust policy (core/trust.h).  Takes f, on failure too. */
int vd_layer_open(vdisk_image *img, const struct vd_layer_args *a, struct vd_file *f, const struct vd_driver *drv, bool said,
                  struct vd_layer **out, vd_error *err);

/* img NULL or without a log: nothing.  `name` (NULL: none) and a colon come first. */
void vd_log_in(const vdisk_image *img, const char *name, enum vdisk_log_level level, const char *fmt, va_list ap)
	__attribute__((format(printf, 4, 0)));
void vd_log(const vdisk_image *img, enum vdisk_log_level level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif

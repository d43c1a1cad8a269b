/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk_create(): an empty image, over a backing image that was judged as a conversion judges its source. */
#include "ops/walk.h"
#include "io/nbd.h"

int vdisk_create(const char *path, const struct vdisk_create_options *o, uint64_t *size_out, vdisk_error *err)
{
	struct vd_new_image n = {
		.path = path,
		.format = o->format,
		.size = o->size,
		.options = o->options,
		.backing = o->backing,
		.backing_format = o->backing_format,
		.allow_dirs = o->allow_dirs,
		.overwrite = o->flags & VDISK_CREATE_OVERWRITE,
		.round_up = o->flags & VDISK_CREATE_ROUND_UP,
		.dry_run = o->flags & VDISK_CREATE_DRY_RUN,
		.create_flags = VD_CREATE_UNFINISHED,
		.backing_judge = o->flags & VDISK_CREATE_ANY_BACKING ? NULL : vd_image_sound,
		.cancel = o->cancel,
		.log = o->log,
		.log_ctx = o->log_ctx,
	};
	vdisk_image *img;

	if (vd_nbd_uri_is(path))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "%s: an NBD server's export is there already: \"vdisk convert\" writes to it", path);
	if (vd_image_create(&n, &img, size_out, err))
		return -1;
	return img ? vd_image_commit(img, err) : 0;
}

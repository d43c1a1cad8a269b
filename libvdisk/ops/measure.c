/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vdisk_measure(): the format's arithmetic over what the source's map says. */
#include "ops/target.h"
#include "ops/walk.h"

int vdisk_measure(vdisk_image *src, uint64_t size, const char *format, const char *const *options, struct vdisk_measure_result *out,
                  vdisk_error *err)
{
	struct vd_new_image n = {
		.path = "", .format = format, .size = src ? src->top->size : size, .options = options, .round_up = true
	};
	struct vd_survey s = { 0 };

	if (!format || !vdisk_format_find(format))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "unknown format '%s'", format ? format : "");
	if (src && vd_image_is_forward(src))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: cannot measure what comes from a pipe", src->path);
	if (src && (vd_image_whole(src, err) || vd_survey_image(src, vd_target_grain(format, options), NULL, 0, NULL, &s, err)))
		return -1;
	return vd_image_measure(&n, s.data, s.units, &out->required, &out->fully_allocated, err);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The overlay is a qcow2 over the image, in a folder of its own below $TMPDIR; both names are gone before the guest runs, so
 * that nothing stays behind however the run ends.
 */
#include "disk.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ALLOW_MAX 64

static int overlay_open(const struct disk_open *o, const char *overlay, const char *image, const char *format, vdisk_image **out,
                        vdisk_error *err)
{
	char folder[PATH_MAX];
	const char *allow[ALLOW_MAX + 2] = { folder };
	size_t n = 1;

	snprintf(folder, sizeof(folder), "%s", image);
	char *slash = strrchr(folder, '/');
	slash[slash == folder ? 1 : 0] = '\0';
	for (const char *const *a = o->allow_dirs; a && *a && n < ALLOW_MAX + 1; a++)
		allow[n++] = *a;
	struct vdisk_create_options create = {
		.format = "qcow2",
		.size = UINT64_MAX,
		.backing = image,
		.backing_format = format,
		.flags = VDISK_CREATE_ROUND_UP,
		.allow_dirs = allow,
		.log = o->log,
		.log_ctx = o->log_ctx,
	};
	struct vdisk_open_options open = { .format = "qcow2", .flags = VDISK_OPEN_RW, .allow_dirs = allow, .log = o->log,
		.log_ctx = o->log_ctx };
	if (vdisk_create(overlay, &create, NULL, err))
		return -1;
	int r = vdisk_open(overlay, &open, out, err);
	unlink(overlay);
	return r;
}

int disk_open(const struct disk_open *o, vdisk_image **out, vdisk_error *err)
{
	struct vdisk_open_options open = {
		.format = o->format,
		.flags = o->rw ? VDISK_OPEN_RW : 0,
		.allow_dirs = o->allow_dirs,
		.log = o->log,
		.log_ctx = o->log_ctx,
	};
	char image[PATH_MAX], folder[PATH_MAX], overlay[PATH_MAX + 16], format[64];
	const char *tmp = getenv("TMPDIR");
	vdisk_image *img;

	if (vdisk_open(o->path, &open, &img, err))
		return -1;
	if (o->rw) {
		*out = img;
		return 0;
	}
	snprintf(format, sizeof(format), "%s", vdisk_format_name(img));
	vdisk_close(img, NULL);
	if (!realpath(o->path, image))
		return fail_errno(err, "%s", o->path);
	int n = snprintf(folder, sizeof(folder), "%s/vdisk-boot.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (n < 0 || (size_t)n >= sizeof(folder) || !mkdtemp(folder))
		return fail_errno(err, "a folder for the overlay in %s", tmp && *tmp ? tmp : "/tmp");
	snprintf(overlay, sizeof(overlay), "%s/overlay", folder);
	int r = overlay_open(o, overlay, image, format, out, err);
	rmdir(folder);
	return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pictures in files: PNG by libpng's simplified interface, and the pixmaps that QEMU writes. */
#include "screen.h"
#include "output.h"

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int screen_save(const struct screen *s, const char *path, vdisk_error *err)
{
	png_image image = { .version = PNG_IMAGE_VERSION, .width = s->width, .height = s->height, .format = PNG_FORMAT_RGB };
	png_alloc_size_t n = 0;
	void *bytes;
	int rc;

	if (s->kind != SCREEN_PICTURE)
		return fail(err, VDISK_INVALID, "%s: there is no picture to write", path);
	/* Not by libpng into the file: where that fails it removes the name, though it be a device's. */
	if (!png_image_write_to_memory(&image, NULL, &n, 0, s->rgb, 0, NULL))
		return fail(err, VDISK_IO, "%s: %s", path, image.message);
	bytes = malloc(n);
	if (!bytes)
		return fail_nomem(err);
	rc = png_image_write_to_memory(&image, bytes, &n, 0, s->rgb, 0, NULL) ? output_write(path, bytes, n, err)
	                                                                      : fail(err, VDISK_IO, "%s: %s", path, image.message);
	free(bytes);
	return rc;
}

int screen_load(struct screen *s, const char *path, vdisk_error *err)
{
	png_image image = { .version = PNG_IMAGE_VERSION };
	png_color black = { 0 };

	if (!png_image_begin_read_from_file(&image, path))
		return fail(err, VDISK_CORRUPT, "%s: %s", path, image.message);
	image.format = PNG_FORMAT_RGB;
	if (screen_picture(s, image.width, image.height, err)) {
		png_image_free(&image);
		return -1;
	}
	if (!png_image_finish_read(&image, &black, s->rgb, 0, NULL))
		return fail(err, VDISK_CORRUPT, "%s: %s", path, image.message);
	return 0;
}

int screen_load_ppm(struct screen *s, const char *path, vdisk_error *err)
{
	unsigned width, height, most;
	FILE *f = fopen(path, "rbe");

	if (!f)
		return fail_errno(err, "%s", path);
	bool header = fscanf(f, "P6 %u %u %u", &width, &height, &most) == 3 && most == 255 && fgetc(f) != EOF;
	int r = header ? screen_picture(s, width, height, err) : fail(err, VDISK_CORRUPT, "%s: not a pixmap", path);
	if (!r && fread(s->rgb, 3, (size_t)width * height, f) != (size_t)width * height)
		r = fail(err, VDISK_CORRUPT, "%s: a pixmap of %u by %u pixels ends early", path, width, height);
	fclose(f);
	return r;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The destination, before it exists.  Nothing is written here. */
#include "ops/target.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "io/nbd.h"

#include <string.h>
#include <sys/stat.h>

#define GRAIN_UNKNOWN 65536u
#define GRAIN_PROBE_SIZE (UINT64_C(1) << 20)

/* Options that decide nothing about grains, and cost time (a key is stretched) or want files. */
static bool option_is_costly(const char *kv)
{
	return !strncmp(kv, "encrypt", 7) || !strncmp(kv, "data_file", 9) || !strncmp(kv, "preallocation", 13);
}

/* The format is asked by making a small image in memory: grains depend on options only. */
uint32_t vd_target_grain(const char *format, const char *const *options)
{
	VD_AUTO_FREE const char **kept = NULL;
	uint32_t grain = GRAIN_UNKNOWN;
	struct vd_file *f;
	vdisk_image *img;
	size_t n = 0, k = 0;

	while (options && options[n])
		n++;
	kept = vd_calloc(n + 1, sizeof(*kept));
	if (!kept)
		return grain;
	for (size_t i = 0; i < n; i++)
		if (!option_is_costly(options[i]))
			kept[k++] = options[i];
	if (vd_file_memory("grain probe", NULL, 0, &f, NULL))
		return grain;
	if (vd_image_create_file(f, format, GRAIN_PROBE_SIZE, kept, 0, NULL, NULL, &img, NULL))
		return grain;
	grain = img->top->alloc_grain;
	vdisk_close(img, NULL);
	return grain;
}

static int target_is_source(vdisk_image *src, const char *path, vd_error *err)
{
	bool same = vd_nbd_uri_is(path) ? !strcmp(src->path, path) : strcmp(path, "-") && vd_image_has_file(src, path);

	if (!same)
		return 0;
	return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: the destination is a file of the source", path);
}

/*
 * Room is asked for only where the map tells what is stored: a block device or a raw file without holes may be zeros for the most
 * part, packed data is smaller by an unknown factor, shared blocks take nothing.
 */
static bool room_is_known(const vdisk_image *src, const char *path, const struct vdisk_convert_options *o,
                          const struct vd_survey *s)
{
	struct stat st;

	if (!strcmp(path, "-") || vd_nbd_uri_is(path) || o->flags & VDISK_CONVERT_COMPRESS || o->backing ||
	    (s->whole && src->top->flags & VD_LAYER_FIXED))
		return false;
	return stat(path, &st) || S_ISREG(st.st_mode);
}

int vd_target_new(vdisk_image *src, const char *path, const struct vdisk_convert_options *o, struct vd_new_image *n,
                  struct vd_survey *s, vd_error *err)
{
	uint64_t full;

	*s = (struct vd_survey){ 0 };
	*n = (struct vd_new_image){
		.path = path,
		.stream_fd = o->stream_fd,
		.format = o->format,
		.size = src->top->size,
		.options = o->options,
		.backing = o->backing,
		.backing_format = o->backing_format,
		.allow_dirs = o->allow_dirs,
		.overwrite = o->flags & VDISK_CONVERT_OVERWRITE,
		.round_up = o->flags & VDISK_CONVERT_ROUND_UP,
		.dry_run = o->flags & VDISK_CONVERT_DRY_RUN,
		.backing_judge = o->n_same ? NULL : vd_image_sound, /* what is the same was found by comparing with it */
		.cancel = o->cancel,
		.create_flags =
			VD_CREATE_ORDERED | VD_CREATE_UNFINISHED | (o->flags & VDISK_CONVERT_COMPRESS ? VD_CREATE_COMPRESSED : 0),
		.level = o->level,
		.log = o->log,
		.log_ctx = o->log_ctx,
	};
	if (o->size && o->size < n->size)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: a disk of %" PRIu64 " bytes does not fit into %" PRIu64,
		               path, n->size, o->size);
	n->size = vd_max(n->size, o->size);
	if (target_is_source(src, path, err))
		return -1;
	if (vd_image_is_forward(src))
		return 0;
	if (vd_survey_image(src, vd_target_grain(o->format, o->options), o->skip, o->n_skip, o->cancel, s, err))
		return -1;
	if (!room_is_known(src, path, o, s))
		return 0;
	return vd_image_measure(n, s->data, s->units, &n->need_bytes, &full, err);
}

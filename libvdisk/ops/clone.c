/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk_clone(): a disk of its own, or a layer over the source.
 *
 * Linked, the source is protected before the layer exists: no write permission, and the layer's path in the extended attribute
 * "user.vdisk.children", one on a line (core/open.c refuses to write to such an image unless it is forced to).  A kill in between
 * leaves a protected image with the name of a layer that does not exist.
 */
#include "ops/surgery.h"
#include "ops/children.h"
#include "ops/walk.h"
#include "core/staging.h"
#include "base/alloc.h"
#include "base/path.h"
#include "io/local.h"

#include <errno.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int clone_linked(vdisk_image *src, const char *path, const struct vdisk_clone_options *o, vd_error *err)
{
	char from[PATH_MAX];
	VD_AUTO_FREE char *child = NULL;
	struct vdisk_create_options c = {
		.format = src->top->drv->info.name,
		.size = UINT64_MAX,
		.backing = from,
		.backing_format = src->top->drv->info.name,
		.flags = (o->flags & VDISK_CLONE_OVERWRITE ? VDISK_CREATE_OVERWRITE : 0) | VDISK_CREATE_DRY_RUN,
		.allow_dirs = o->allow_dirs,
		.log = src->log,
		.log_ctx = src->log_ctx,
		.cancel = o->job.cancel,
	};

	if (vd_local_judge(src->path, err))
		return -1;
	if (!realpath(src->path, from))
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", src->path);
	if (vd_path_real(path, &child, err))
		return -1;
	c.backing = vd_name_beside(child, from);
	if (vdisk_create(path, &c, NULL, err) || vd_children_protect(src, child, err))
		return -1;
	c.flags ^= VDISK_CREATE_DRY_RUN | VDISK_CREATE_ANY_BACKING; /* it was judged */
	return vdisk_create(path, &c, NULL, err);
}

/* ---------------------------------------------------------------- full */

/* The file as it is, its blocks shared.  *done false: that cannot be here. */
static int clone_shared(vdisk_image *src, const char *path, const struct vdisk_clone_options *o, bool *done, vd_error *err)
{
	struct vd_file *from = src->top->files[0], *to;
	struct vd_staging *staging;

	*done = false;
	if (src->n_layers > 1 || src->top->n_files > 1 || from->fd < 0 || from->flags & VD_FILE_BLOCKDEV)
		return 0;
	if (vd_staging_new(path, o->flags & VDISK_CLONE_OVERWRITE, &staging, &to, err))
		return -1;
	if (to->fd < 0 || ioctl(to->fd, FICLONE, from->fd) || fsync(to->fd)) {
		vd_file_close(to);
		vd_staging_abort(staging);
		return 0;
	}
	vd_file_close(to);
	if (vd_image_sound(src, o->job.cancel, err)) { /* a copy of damage would be one, too */
		vd_staging_abort(staging);
		return -1;
	}
	*done = true;
	return vd_staging_commit(staging, err);
}

struct traits {
	bool encrypted;
};

static void trait_see(void *ctx, const struct vdisk_value *v)
{
	struct traits *t = ctx;

	if (!strcmp(v->key, "encryption"))
		t->encrypted = true;
}

static bool choice_has(const char *values, const char *word)
{
	size_t n = strlen(word);

	for (const char *at = values; at && (at = strstr(at, word)); at += n)
		if ((at == values || at[-1] == '|') && (!at[n] || at[n] == '|'))
			return n > 0;
	return false;
}

/* The options that make the same variant, as far as the format can make it.  `text` holds them. */
static void variant_options(const struct vd_layer *l, char text[3][64], const char *options[4])
{
	unsigned n = 0;

	for (const struct vdisk_option_info *o = l->drv->info.options; o && o->name; o++) {
		if (!(o->use & VDISK_OPT_FOR_CREATE))
			continue;
		if ((!strcmp(o->name, "subformat") || !strcmp(o->name, "compat")) && choice_has(o->values, l->variant))
			snprintf(text[n], 64, "%s=%s", o->name, l->variant);
		else if (!strcmp(o->name, "cluster_size"))
			snprintf(text[n], 64, "%s=%u", o->name, l->alloc_grain);
		else if (!strcmp(o->name, "extended_l2") && l->presence_grain < l->alloc_grain)
			snprintf(text[n], 64, "%s=on", o->name);
		else
			continue;
		options[n] = text[n];
		if (++n == 3)
			break;
	}
	options[n] = NULL;
}

static int clone_full(vdisk_image *src, const char *path, const struct vdisk_clone_options *o, vd_error *err)
{
	bool done;
	const char *options[4];
	char text[3][64];
	struct traits t = { 0 };
	struct vdisk_convert_options c = {
		.format = src->top->drv->info.name,
		.options = options,
		.flags = o->flags & VDISK_CLONE_OVERWRITE ? VDISK_CONVERT_OVERWRITE : 0,
		.threads = o->job.threads,
		.memory_bytes = o->job.memory_bytes,
		.progress = o->job.progress,
		.progress_ctx = o->job.progress_ctx,
		.cancel = o->job.cancel,
		.log = src->log,
		.log_ctx = src->log_ctx,
	};

	if (clone_shared(src, path, o, &done, err))
		return -1;
	if (done)
		return 0;
	if (vdisk_layer_values(src, 0, trait_see, &t, err))
		return -1;
	if (t.encrypted)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "%s: is encrypted, and its clone would not be: convert it with the options wanted", src->path);
	variant_options(src->top, text, options);
	return vdisk_convert(src, path, &c, NULL, err);
}

/* A clone in the place of what it is made from would be the end of both. */
static int place_judge(const vdisk_image *src, const char *path, vd_error *err)
{
	return vd_image_has_file(src, path) ? vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: is what is to be cloned", path) : 0;
}

int vdisk_clone(vdisk_image *src, const char *path, const struct vdisk_clone_options *opts, vdisk_error *err)
{
	if (!strcmp(path, "-"))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "a clone cannot go to standard output");
	if (place_judge(src, path, err))
		return -1;
	return opts->flags & VDISK_CLONE_LINKED ? clone_linked(src, path, opts, err) : clone_full(src, path, opts, err);
}

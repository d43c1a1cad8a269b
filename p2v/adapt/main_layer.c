/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A layer of a run that was killed before its commit is thrown away; one whose commit was broken off is what --resume goes on with, and the image
   cannot even be opened until then. */
#include "main_layer.h"

#include "common/fail.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int beside_name(const char *image, char out[4096], vdisk_error *err)
{
	char real[PATH_MAX];
	char *slash;

	if (!realpath(image, real))
		return fail_errno(err, "%s", image);
	slash = strrchr(real, '/');
	return snprintf(out, 4096, "%.*s/.%s.vdisk-adapt", (int)(slash - real), real, slash + 1) >= 4096
	               ? fail(err, VDISK_UNSUPPORTED, "%.100s…: is too long a path", image)
	               : 0;
}

/* Another run may be at work with it right now. */
static int leftover_clear(const char *path, vdisk_error *err)
{
	const struct vdisk_open_options o = { .format = "qcow2", .flags = VDISK_OPEN_RW | VDISK_OPEN_NO_PARENT | VDISK_OPEN_KEEP_ID };
	vdisk_error why = { 0 };
	vdisk_image *img;

	if (access(path, F_OK) && errno == ENOENT)
		return 0;
	if (!vdisk_open(path, &o, &img, &why))
		vdisk_close(img, NULL);
	else if (why.kind == VDISK_BUSY)
		return fail(err, VDISK_BUSY, "%.500s: another vdisk adapt is at work", path);
	return unlink(path) && errno != ENOENT ? fail_errno(err, "%s", path) : 0;
}

int layer_name(struct layer *l, const struct adapt_args *a, const char *image, vdisk_error *err)
{
	struct vdisk_undo_info info;

	*l = (struct layer){ .image = image, .keep = a->overlay != NULL };
	if (a->overlay) {
		if (!access(a->overlay, F_OK))
			return fail(err, VDISK_REFUSED, "%s: exists, and --overlay makes a new layer", a->overlay);
		snprintf(l->path, sizeof(l->path), "%s", a->overlay);
		return 0;
	}
	if (vdisk_undo_find(image, &info, err))
		return -1;
	if (info.active)
		return fail(err, VDISK_REFUSED, "%s: a change of it was broken off half-way: 'vdisk adapt --resume %s' finishes it, --undo instead takes it back", image,
		            image);
	return beside_name(image, l->path, err) || leftover_clear(l->path, err) ? -1 : 0;
}

void layer_drop(struct layer *l)
{
	if (l->path[0] && !l->keep)
		unlink(l->path);
	l->path[0] = '\0';
}

static struct vdisk_open_options open_options(const struct adapt_args *a, const char *format, const char *const *dirs)
{
	return (struct vdisk_open_options){ .format = format, .flags = a->force ? VDISK_OPEN_FORCE : 0, .allow_dirs = dirs };
}

int layer_commit(struct layer *l, const struct adapt_args *a, const volatile int *cancel, vdisk_error *err)
{
	struct vdisk_open_options open = open_options(a, "qcow2", a->allow);
	struct vdisk_commit_options o = { .open = &open, .flags = VDISK_COMMIT_KEEP | VDISK_COMMIT_UNDO, .keep_undo = a->keep_undo, .job = { .cancel = cancel } };

	return vdisk_commit(l->path, &o, NULL, err);
}

/* The layer that the journal names is removed if it is one of ours: the name stands in a file. */
static void leaf_drop(const char *image, const struct vdisk_undo_info *info)
{
	char name[4096], real[PATH_MAX];

	if (!beside_name(image, name, NULL) && realpath(info->leaf, real) && !strcmp(real, name))
		unlink(name);
}

int layer_resume(const char *image, const struct adapt_args *a, const volatile int *cancel, vdisk_error *err)
{
	struct vdisk_open_options open = open_options(a, NULL, a->allow);
	struct vdisk_commit_options o = { .open = &open, .job = { .cancel = cancel } };
	struct vdisk_undo_info info;

	if (vdisk_undo_find(image, &info, err) || vdisk_commit_resume(image, &o, NULL, err))
		return -1;
	leaf_drop(image, &info);
	return 0;
}

int layer_undo(const char *image, const struct adapt_args *a, vdisk_error *err)
{
	const struct vdisk_undo_options o = { .file = a->keep_undo, .allow_dirs = a->allow };
	struct vdisk_undo_info info;

	if (vdisk_undo_find(image, &info, err) || vdisk_undo(image, &o, err))
		return -1;
	if (info.active)
		leaf_drop(image, &info);
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A layer of a run that was killed before its commit is thrown away; one whose commit was broken off is what --resume goes on with,
 * and the image cannot even be opened until then.
 *
 * Several disks: their commits are held (VDISK_COMMIT_HOLD) until the last is done, from the first disk on, and are then ended from
 * the first one on.  So while the first one's journal is in force, all can be undone (from the last one on), or resumed; when it is
 * not and another's is, the end had begun, and there is only that way.
 */
#include "main_layer.h"

#include "common/fail.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
	const struct vdisk_open_options o = { .format = "qcow2",
		                              .flags = VDISK_OPEN_RW | VDISK_OPEN_NO_PARENT | VDISK_OPEN_KEEP_ID };
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

/* Before anything that takes long: what the commit would say of an image that cannot be written to, is protected, or half
   changed. */
static int image_judge(const struct adapt_args *a, const char *image, vdisk_error *err)
{
	const struct vdisk_open_options o = {
		.format = a->format,
		.flags = VDISK_OPEN_RW | VDISK_OPEN_KEEP_ID | (a->force ? VDISK_OPEN_FORCE : 0),
		.allow_dirs = a->allow,
	};
	vdisk_image *img;
	struct stat st;

	if (!stat(image, &st) && S_ISBLK(st.st_mode))
		return fail(
			err, VDISK_UNSUPPORTED,
			"%s: is a block device, and the way back has no lasting place beside it: --overlay FILE leaves the changes in a layer, for "
			"vdisk commit",
			image);
	return vdisk_open(image, &o, &img, err) ? -1 : vdisk_close(img, err);
}

int layer_name(struct layer *l, const struct adapt_args *a, const char *image, vdisk_error *err)
{
	*l = (struct layer){ .image = image, .keep = a->overlay != NULL };
	if (a->overlay) {
		if (!access(a->overlay, F_OK))
			return fail(err, VDISK_REFUSED, "%s: exists, and --overlay makes a new layer", a->overlay);
		snprintf(l->path, sizeof(l->path), "%s", a->overlay);
		return 0;
	}
	if (image_judge(a, image, err) || beside_name(image, l->path, err))
		return -1;
	if (!leftover_clear(l->path, err))
		return 0;
	l->path[0] = '\0'; /* it is somebody else's */
	return -1;
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

static int one_commit(const char *layer, const struct adapt_args *a, uint32_t flags, const volatile int *cancel, vdisk_error *err)
{
	struct vdisk_open_options open = open_options(a, "qcow2", a->allow);
	struct vdisk_commit_options o = {
		.open = &open,
		.flags = VDISK_COMMIT_KEEP | VDISK_COMMIT_UNDO | flags,
		.keep_undo = a->keep_undo,
		.job = { .cancel = cancel },
	};

	return vdisk_commit(layer, &o, NULL, err);
}

static int one_resume(const char *image, const struct adapt_args *a, uint32_t flags, const volatile int *cancel, vdisk_error *err)
{
	struct vdisk_open_options open = open_options(a, NULL, a->allow);
	struct vdisk_commit_options o = { .open = &open, .flags = flags, .job = { .cancel = cancel } };

	return vdisk_commit_resume(image, &o, NULL, err);
}

/* All of them are done. */
static int all_end(const struct adapt_args *a, vdisk_error *err)
{
	for (size_t i = 0; i < a->n_disks; i++) {
		struct vdisk_undo_info info;

		if (vdisk_undo_find(a->disks[i], &info, err) || (info.active && vdisk_undo_end(a->disks[i], err)))
			return -1;
	}
	return 0;
}

/* The others are undone before the first one, which says that they can be. */
static int held_undo(const struct adapt_args *a, vdisk_error *err)
{
	const struct vdisk_undo_options o = { .allow_dirs = a->allow };

	for (size_t i = a->n_disks; i--;) {
		struct vdisk_undo_info info;

		if (vdisk_undo_find(a->disks[i], &info, err) || (info.active && vdisk_undo(a->disks[i], &o, err)))
			return -1;
	}
	return 0;
}

int layers_commit(struct layer *l, const struct adapt_args *a, const volatile int *cancel, vdisk_error *err)
{
	uint32_t flags = a->n_disks > 1 ? VDISK_COMMIT_HOLD : 0;

	for (size_t i = 0; i < a->n_disks; i++)
		if (one_commit(l[i].path, a, flags, cancel, err)) {
			if (flags)
				held_undo(a, NULL);
			return -1;
		}
	return flags ? all_end(a, err) : 0;
}

/* ---------------------------------------------------------------- what was broken off */

struct left { /* of a run that was killed in the commit */
	struct vdisk_undo_info v[DISKS_MAX];
	bool any;
};

static int left_find(struct left *l, const struct adapt_args *a, vdisk_error *err)
{
	l->any = false;
	for (size_t i = 0; i < a->n_disks; i++) {
		if (vdisk_undo_find(a->disks[i], &l->v[i], err))
			return -1;
		l->any = l->any || l->v[i].active;
	}
	return l->any ? 0 : fail(err, VDISK_INVALID, "%s: no change of it was broken off", a->disks[0]);
}

/* Those that are ours: the journal's word for it stands in a file. */
static void leaves_drop(const struct adapt_args *a)
{
	for (size_t i = 0; i < a->n_disks; i++) {
		char name[4096];

		if (!beside_name(a->disks[i], name, NULL))
			unlink(name);
	}
}

static int left_resume(const struct left *l, const struct adapt_args *a, const volatile int *cancel, vdisk_error *err)
{
	uint32_t flags = a->n_disks > 1 ? VDISK_COMMIT_HOLD : 0;

	for (size_t i = 0; i < a->n_disks; i++) {
		char name[4096];

		if (l->v[i].active
		            ? one_resume(a->disks[i], a, flags, cancel, err)
		            : l->v[0].active && (beside_name(a->disks[i], name, err) || one_commit(name, a, flags, cancel, err)))
			return -1;
	}
	return flags ? all_end(a, err) : 0;
}

int layers_resume(const struct adapt_args *a, const volatile int *cancel, vdisk_error *err)
{
	static struct left l;

	if (left_find(&l, a, err) || left_resume(&l, a, cancel, err))
		return -1;
	leaves_drop(a);
	return 0;
}

int layers_undo(const struct adapt_args *a, vdisk_error *err)
{
	const struct vdisk_undo_options kept = { .file = a->keep_undo, .allow_dirs = a->allow };
	static struct left l;

	if (a->keep_undo)
		return vdisk_undo(a->disks[0], &kept, err);
	if (left_find(&l, a, err))
		return -1;
	if (!l.v[0].active)
		return fail(err, VDISK_REFUSED, "%s: the change was complete, and some disks had said so: only --resume is left",
		            a->disks[0]);
	if (held_undo(a, err))
		return -1;
	leaves_drop(a);
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The image is opened by itself first, read-only: so what its bytes claim is judged by the rules for a file that the user named
 * (a raw disk's forged header is not followed), before the layer declares its format for good.
 */
#include "overlay.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct base { /* the image below the layer */
	char path[PATH_MAX], folder[PATH_MAX]; /* without links */
	char format[64];
};

static int base_look(const struct args *a, struct base *b, vdisk_error *err)
{
	struct vdisk_open_options o = { .format = a->format, .allow_dirs = a->allow, .log = say_log };
	vdisk_image *img;
	char *slash;

	if (vdisk_open(a->image, &o, &img, err))
		return -1;
	snprintf(b->format, sizeof(b->format), "%s", vdisk_format_name(img));
	vdisk_close(img, NULL);
	if (!realpath(a->image, b->path))
		return fail_errno(err, "%s", a->image);
	memcpy(b->folder, b->path, sizeof(b->folder));
	slash = strrchr(b->folder, '/');
	slash[slash == b->folder] = '\0';
	return 0;
}

/* The name that the layer will know the image by: relative to its own folder where the image lies there or below. */
static int name_from(const char *layer, const char *image, char *out, size_t room, vdisk_error *err)
{
	char dir[PATH_MAX], real[PATH_MAX];
	const char *slash = strrchr(layer, '/');
	size_t n;

	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - layer) + 1 : 1, slash ? layer : ".");
	if (!realpath(dir, real))
		return fail_errno(err, "%s", dir);
	n = strcmp(real, "/") ? strlen(real) : 0;
	if (!strncmp(real, image, n) && image[n] == '/')
		image += n + 1;
	snprintf(out, room, "%s", image);
	return 0;
}

/* Subclusters of 4 KiB: a small write then brings nothing of the image along with it. */
static int layer_make(const struct args *a, const char *layer, const struct base *b, vdisk_error *err)
{
	static const char *const options[] = { "extended_l2=on", "cluster_size=128k", NULL };
	char name[PATH_MAX];
	struct vdisk_create_options c = {
		.format = "qcow2",
		.size = UINT64_MAX,
		.options = options,
		.backing = name,
		.backing_format = b->format,
		.flags = VDISK_CREATE_ROUND_UP,
		.allow_dirs = a->allow,
		.log = say_log,
	};

	if (name_from(layer, b->path, name, sizeof(name), err))
		return -1;
	return vdisk_create(layer, &c, NULL, err);
}

/* A layer that was there already must be one over this very image. */
static int layer_judge(const struct source *s, const struct base *b, vdisk_error *err)
{
	const char *parent = vdisk_depth(s->img) > 1 ? vdisk_layer_file(s->img, 1, 0) : NULL;
	struct stat x, y;

	if (parent && !stat(parent, &x) && !stat(b->path, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino)
		return 0;
	return fail(err, VDISK_INVALID, "%s: exists, and is no layer over %s", s->path, b->path);
}

static struct source *layer_open(const struct args *a, const char *layer, const struct base *b, vdisk_error *err)
{
	struct source *s = source_new(layer, "qcow2", NULL, a->allow, VDISK_OPEN_RW);

	if (!s)
		fail_nomem(err);
	else if (!source_open(s, err) && !layer_judge(s, b, err))
		return s;
	source_close(s, NULL);
	return NULL;
}

static struct source *kept_open(const struct args *a, const struct base *b, vdisk_error *err)
{
	bool made = access(a->overlay, F_OK) && errno == ENOENT;
	struct source *s;

	if (made && layer_make(a, a->overlay, b, err))
		return NULL;
	s = layer_open(a, a->overlay, b, err);
	if (s)
		s->fresh = made;
	else if (made)
		unlink(a->overlay);
	return s;
}

/* In a folder of its own; both names are gone before the mount begins, so nothing stays behind however it ends. */
static struct source *scratch_open(const struct args *a, const struct base *b, vdisk_error *err)
{
	const char *tmp = getenv("TMPDIR");
	char folder[PATH_MAX], layer[PATH_MAX + 16];
	struct source *s = NULL;
	int n = snprintf(folder, sizeof(folder), "%s/vdisk-mount.XXXXXX", tmp && *tmp ? tmp : "/var/tmp");

	if (n < 0 || (size_t)n >= sizeof(folder) || !mkdtemp(folder)) {
		fail_errno(err, "a folder for the overlay in %s", tmp && *tmp ? tmp : "/var/tmp");
		return NULL;
	}
	snprintf(layer, sizeof(layer), "%s/overlay.qcow2", folder);
	if (!layer_make(a, layer, b, err))
		s = layer_open(a, layer, b, err);
	unlink(layer);
	rmdir(folder);
	return s;
}

struct source *overlay_open(struct args *a, vdisk_error *err)
{
	uint32_t flags =
	    (a->rw ? VDISK_OPEN_RW : 0) | (a->force ? VDISK_OPEN_FORCE : 0) | (a->force_share ? VDISK_OPEN_NO_LOCK : 0);
	static struct base b; /* its folder stays in a->allow */
	struct source *s;

	if (!a->overlay) {
		s = source_new(a->image, a->format, NULL, a->allow, flags);
		if (!s)
			fail_nomem(err);
		else if (!source_open(s, err))
			return s;
		source_close(s, NULL);
		return NULL;
	}
	if (base_look(a, &b, err))
		return NULL;
	a->allow[a->n_allow] = b.folder; /* the last place is kept free for it */
	return strcmp(a->overlay, "tmp") ? kept_open(a, &b, err) : scratch_open(a, &b, err);
}

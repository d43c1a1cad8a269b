/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Under a layer the image is opened by itself first, read-only: so what its bytes claim is judged by the rules for a file that the
 * user named (a raw disk's forged header is not followed), before the layer declares its format for good.
 */
#include "common/source.h"

#include "common/fail.h"
#include "common/folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PARTITIONS_MAX 1024

struct opening {
	const struct source_options *o;
	struct source *s;
	char path[PATH_MAX]; /* of the image below the layer, without links */
	char format[64];
};

const char *source_judge(const struct source_options *o)
{
	if (o->rw && o->overlay)
		return "--rw and --overlay exclude each other";
	if (o->force_share && (o->rw || o->overlay))
		return "--force-share is for reading only";
	if (o->force && !o->rw)
		return "--force goes with --rw";
	return NULL;
}

static int image_open(const struct opening *w, uint32_t flags, vdisk_image **img, vdisk_error *err)
{
	const struct source_options *o = w->o;
	struct vdisk_open_options open = {
		.format = o->format, .flags = flags, .allow_dirs = o->allow, .log = o->log, .log_ctx = o->log_ctx,
		.cancel = o->cancel
	};

	return vdisk_open(o->image, &open, img, err);
}

static int base_look(struct opening *w, vdisk_error *err)
{
	struct source *s = w->s;
	vdisk_image *img;
	char *slash;

	if (vdisk_path_judge(w->o->image, err) || image_open(w, 0, &img, err))
		return -1;
	snprintf(w->format, sizeof(w->format), "%s", vdisk_format_name(img));
	vdisk_close(img, NULL);
	if (!realpath(w->o->image, w->path))
		return fail_errno(err, "%s", w->o->image);
	memcpy(s->folder, w->path, sizeof(s->folder));
	slash = strrchr(s->folder, '/');
	slash[slash == s->folder] = '\0';
	s->allow[w->o->n_allow] = s->folder; /* the place was kept free for it */
	return 0;
}

/* The name by which the layer will know the image: relative to its own folder where the image lies there or below. */
static int base_name(const struct opening *w, const char *layer, char name[PATH_MAX], vdisk_error *err)
{
	char folder[PATH_MAX], real[PATH_MAX];
	const char *slash = strrchr(layer, '/');
	size_t n;

	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - layer) + 1 : 1, slash ? layer : ".");
	if (!realpath(folder, real))
		return fail_errno(err, "%s", folder);
	n = strcmp(real, "/") ? strlen(real) : 0;
	if (!strncmp(real, w->path, n) && w->path[n] == '/')
		snprintf(name, PATH_MAX, "%s", w->path + n + 1);
	else
		snprintf(name, PATH_MAX, "%s", w->path);
	return 0;
}

/* Subclusters of 4 KiB: a small write then brings nothing of the image along with it. */
static int layer_make(const struct opening *w, const char *layer, vdisk_error *err)
{
	static const char *const options[] = { "extended_l2=on", "cluster_size=128k", NULL };
	char name[PATH_MAX];
	struct vdisk_create_options c = {
		.format = "qcow2",
		.size = UINT64_MAX,
		.options = options,
		.backing = name,
		.backing_format = w->format,
		.flags = VDISK_CREATE_ROUND_UP | VDISK_CREATE_ANY_BACKING, /* at once, and over what is to be rescued, too */
		.allow_dirs = w->s->allow,
		.log = w->o->log,
		.log_ctx = w->o->log_ctx,
	};

	return base_name(w, layer, name, err) ? -1 : vdisk_create(layer, &c, NULL, err);
}

/* A layer that was there already must be one over this very image. */
static int layer_open(const struct opening *w, const char *layer, vdisk_error *err)
{
	struct vdisk_open_options open = { .format = "qcow2", .flags = VDISK_OPEN_RW, .allow_dirs = w->s->allow, .log = w->o->log,
		.log_ctx = w->o->log_ctx, .cancel = w->o->cancel };
	vdisk_image **img = &w->s->img;
	const char *parent;
	struct stat x, y;

	if (vdisk_open(layer, &open, img, err))
		return -1;
	parent = vdisk_depth(*img) > 1 ? vdisk_layer_file(*img, 1, 0) : NULL;
	if (parent && !stat(parent, &x) && !stat(w->path, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino)
		return 0;
	vdisk_close(*img, NULL);
	*img = NULL;
	return fail(err, VDISK_INVALID, "%s: exists, and is no layer over %s", layer, w->path);
}

static int kept_open(const struct opening *w, vdisk_error *err)
{
	const char *layer = w->o->overlay;
	bool made = access(layer, F_OK) && errno == ENOENT;

	if (made && layer_make(w, layer, err))
		return -1;
	w->s->made = made;
	if (!layer_open(w, layer, err))
		return 0;
	if (made)
		unlink(layer);
	return -1;
}

/* In a folder of its own; both names are gone before anybody writes, so nothing stays behind however it ends. */
static int scratch_open(const struct opening *w, vdisk_error *err)
{
	char folder[PATH_MAX], layer[PATH_MAX + 16];
	int rc = -1;

	if (folder_make("vdisk-layer", FOLDER_LARGE, folder, sizeof(folder), err))
		return -1;
	snprintf(layer, sizeof(layer), "%s/overlay.qcow2", folder);
	if (!layer_make(w, layer, err))
		rc = layer_open(w, layer, err);
	unlink(layer);
	rmdir(folder);
	return rc;
}

static int layered_open(struct opening *w, vdisk_error *err)
{
	if (base_look(w, err))
		return -1;
	return strcmp(w->o->overlay, "tmp") ? kept_open(w, err) : scratch_open(w, err);
}

static int partition_find(struct source *s, unsigned number, vdisk_error *err)
{
	struct vdisk_partition *v = calloc(PARTITIONS_MAX, sizeof(*v));
	struct vdisk_partition_table t;
	size_t n = 0;
	int rc;

	if (!v)
		return fail_nomem(err);
	rc = vdisk_partitions(s->img, &t, v, PARTITIONS_MAX, &n, err);
	if (!rc) {
		rc = -1;
		for (size_t i = 0; rc && i < n && i < PARTITIONS_MAX; i++)
			if (v[i].number == number) {
				s->off = v[i].off;
				s->len = v[i].len;
				rc = 0;
			}
		if (rc)
			fail(err, VDISK_INVALID, "%s: there is no partition %u", vdisk_path(s->img), number);
	}
	free(v);
	return rc;
}

int source_sound(const struct source_options *o, vdisk_error *err)
{
	struct vdisk_open_options open = { .format = o->format, .flags = o->force_share ? VDISK_OPEN_NO_LOCK : 0,
		.allow_dirs = o->allow, .cancel = o->cancel };
	vdisk_image *img;
	int rc;

	if ((o->overlay && vdisk_path_judge(o->image, err)) || vdisk_open(o->image, &open, &img, err))
		return -1;
	rc = vdisk_judge(img, err);
	vdisk_close(img, NULL);
	return rc;
}

int source_open(struct source *s, const struct source_options *o, vdisk_error *err)
{
	uint32_t flags =
		(o->rw ? VDISK_OPEN_RW : 0) | (o->force ? VDISK_OPEN_FORCE : 0) | (o->force_share ? VDISK_OPEN_NO_LOCK : 0);
	struct opening w = { .o = o, .s = s };

	*s = (struct source){ .rw = o->rw || o->overlay };
	memcpy(s->allow, o->allow, o->n_allow * sizeof(*s->allow));
	if (o->overlay ? layered_open(&w, err) : image_open(&w, flags, &s->img, err))
		return -1;
	s->len = vdisk_size(s->img);
	if (!o->partition || !partition_find(s, o->partition, err))
		return 0;
	source_close(s, NULL);
	return -1;
}

int source_close(struct source *s, vdisk_error *err)
{
	vdisk_image *img = s->img;

	s->img = NULL;
	return vdisk_close(img, err);
}

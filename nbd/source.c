/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Under a layer the image is opened by itself first, read-only: so what its bytes claim is judged by the rules for a file that the user named (a
 * raw disk's forged header is not followed), before the layer declares its format for good.
 */
#include "source.h"

#include "fail.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PARTITIONS_MAX 1024

struct base { /* the image below the layer */
	char path[PATH_MAX], folder[PATH_MAX]; /* without links */
	char format[64];
	const char *allow[SOURCE_ALLOW_MAX + 2]; /* the user's, and `folder` */
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

static int base_look(const struct source_options *o, struct base *b, vdisk_error *err)
{
	struct vdisk_open_options open = { .format = o->format, .allow_dirs = o->allow, .log = o->log };
	vdisk_image *img;
	char *slash;

	if (vdisk_open(o->image, &open, &img, err))
		return -1;
	snprintf(b->format, sizeof(b->format), "%s", vdisk_format_name(img));
	vdisk_close(img, NULL);
	if (!realpath(o->image, b->path))
		return fail_errno(err, "%s", o->image);
	memcpy(b->folder, b->path, sizeof(b->folder));
	slash = strrchr(b->folder, '/');
	slash[slash == b->folder] = '\0';
	memcpy(b->allow, o->allow, o->n_allow * sizeof(*b->allow));
	b->allow[o->n_allow] = b->folder;
	b->allow[o->n_allow + 1] = NULL;
	return 0;
}

/* The name by which the layer will know the image: relative to its own folder where the image lies there or below. */
static int base_name(const struct base *b, const char *layer, char name[PATH_MAX], vdisk_error *err)
{
	char folder[PATH_MAX], real[PATH_MAX];
	const char *slash = strrchr(layer, '/');
	size_t n;

	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - layer) + 1 : 1, slash ? layer : ".");
	if (!realpath(folder, real))
		return fail_errno(err, "%s", folder);
	n = strcmp(real, "/") ? strlen(real) : 0;
	if (!strncmp(real, b->path, n) && b->path[n] == '/')
		snprintf(name, PATH_MAX, "%s", b->path + n + 1);
	else
		snprintf(name, PATH_MAX, "%s", b->path);
	return 0;
}

static int layer_make(const struct source_options *o, const struct base *b, const char *layer, vdisk_error *err)
{
	char name[PATH_MAX];
	struct vdisk_create_options c = {
		.format = "qcow2",
		.size = UINT64_MAX,
		.backing = name,
		.backing_format = b->format,
		.flags = VDISK_CREATE_ROUND_UP,
		.allow_dirs = b->allow,
		.log = o->log,
	};

	return base_name(b, layer, name, err) ? -1 : vdisk_create(layer, &c, NULL, err);
}

/* A layer that was there already must be one over this very image. */
static int layer_open(const struct source_options *o, const struct base *b, const char *layer, vdisk_image **img, vdisk_error *err)
{
	struct vdisk_open_options open = { .format = "qcow2", .flags = VDISK_OPEN_RW, .allow_dirs = b->allow, .log = o->log };
	const char *parent;
	struct stat x, y;

	if (vdisk_open(layer, &open, img, err))
		return -1;
	parent = vdisk_depth(*img) > 1 ? vdisk_layer_file(*img, 1, 0) : NULL;
	if (parent && !stat(parent, &x) && !stat(b->path, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino)
		return 0;
	vdisk_close(*img, NULL);
	*img = NULL;
	return fail(err, VDISK_INVALID, "%s: exists, and is no layer over %s", layer, b->path);
}

static int kept_open(const struct source_options *o, const struct base *b, vdisk_image **img, vdisk_error *err)
{
	bool made = access(o->overlay, F_OK) && errno == ENOENT;

	if (made && layer_make(o, b, o->overlay, err))
		return -1;
	if (!layer_open(o, b, o->overlay, img, err))
		return 0;
	if (made)
		unlink(o->overlay);
	return -1;
}

/* In a folder of its own; both names are gone before anything is served, so nothing stays behind however it ends. */
static int scratch_open(const struct source_options *o, const struct base *b, vdisk_image **img, vdisk_error *err)
{
	const char *tmp = getenv("TMPDIR");
	char folder[PATH_MAX], layer[PATH_MAX + 16];
	int n = snprintf(folder, sizeof(folder), "%s/vdisk-layer.XXXXXX", tmp && *tmp ? tmp : "/var/tmp"), rc = -1;

	if (n < 0 || (size_t)n >= sizeof(folder) || !mkdtemp(folder))
		return fail_errno(err, "a folder for the overlay in %s", tmp && *tmp ? tmp : "/var/tmp");
	snprintf(layer, sizeof(layer), "%s/overlay.qcow2", folder);
	if (!layer_make(o, b, layer, err))
		rc = layer_open(o, b, layer, img, err);
	unlink(layer);
	rmdir(folder);
	return rc;
}

static int image_open(const struct source_options *o, vdisk_image **img, vdisk_error *err)
{
	struct vdisk_open_options open = {
		.format = o->format,
		.flags = (o->rw ? VDISK_OPEN_RW : 0) | (o->force ? VDISK_OPEN_FORCE : 0) | (o->force_share ? VDISK_OPEN_NO_LOCK : 0),
		.allow_dirs = o->allow,
		.log = o->log,
	};
	struct base *b;
	int rc;

	if (!o->overlay)
		return vdisk_open(o->image, &open, img, err);
	b = calloc(1, sizeof(*b));
	if (!b)
		return fail(err, VDISK_NOMEM, "out of memory");
	rc = base_look(o, b, err);
	if (!rc)
		rc = strcmp(o->overlay, "tmp") ? kept_open(o, b, img, err) : scratch_open(o, b, img, err);
	free(b);
	return rc;
}

static int partition_find(struct source *s, unsigned number, vdisk_error *err)
{
	struct vdisk_partition *v = calloc(PARTITIONS_MAX, sizeof(*v));
	struct vdisk_partition_table t;
	size_t n = 0;
	int rc;

	if (!v)
		return fail(err, VDISK_NOMEM, "out of memory");
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

int source_open(struct source *s, const struct source_options *o, vdisk_error *err)
{
	*s = (struct source){ .rw = o->rw || o->overlay };
	if (image_open(o, &s->img, err))
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

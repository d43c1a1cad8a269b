/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening an image: its own layer, then the chain of its parents, each under the trust policy and with its identity checked. */
#include "core/image.h"
#include "core/layer.h"
#include "core/mapcache.h"
#include "core/parent.h"
#include "core/probe.h"
#include "core/trust.h"
#include "core/undone.h"
#include "core/open.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "io/http.h"
#include "io/local.h"
#include "io/nbd.h"
#include "io/url.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define CACHE_LEAF   (16u << 20)
#define CACHE_PARENT (4u << 20)
#define STREAM_WINDOW (64u << 20)

/* ---------------------------------------------------------------- the chain */

/* The file of the next parent; a name that leads back into the chain is none of it, as long as there is another one. */
static int candidate_find(const vdisk_image *img, const struct vdisk_open_options *o, const struct vd_trust *t, unsigned *at,
                          struct vd_file **f, char **path, char **format, vd_error *err)
{
	const struct vd_layer *child = img->chain[img->n_layers - 1];
	vd_error circle = { 0 };

	while (!vd_parent_find(child, img->n_layers - 1, o, t, at, f, path, format, err)) {
		if (!vd_parent_cycle_judge(img, *f, *path, &circle))
			return 0;
		vd_file_close(*f);
		vd_free(*path);
		vd_free(*format);
		*path = *format = NULL;
		if (*at >= child->parent_ref.n_names)
			break;
	}
	if (circle.kind && err)
		*err = circle;
	return -1;
}

static int candidate_open(vdisk_image *img, const struct vdisk_open_options *o, bool said, unsigned *at, struct vd_layer **l,
                          vd_error *err)
{
	struct vd_layer *child = img->chain[img->n_layers - 1];
	struct vd_trust t = { .image = child->path, .said = said, .format = child->drv->info.name, .allow_dirs = o->allow_dirs,
	                      .self = child->files[0] };
	VD_AUTO_FREE char *path = NULL, *format = NULL;
	struct vd_layer_args a = {
		.flags = o->flags & ~(VDISK_OPEN_RW | VDISK_OPEN_FORCE | VDISK_OPEN_KEEP_ID | VDISK_OPEN_CHECK | VDISK_OPEN_STREAM),
		.allow_dirs = o->allow_dirs,
		.cache_bytes = CACHE_PARENT,
	};
	const struct vd_driver *drv;
	struct vd_file *f;

	if (candidate_find(img, o, &t, at, &f, &path, &format, err))
		return -1;
	if (!format) {
		vd_file_close(f);
		return vd_fail(
			err, VDISK_REFUSED, VDISK_NO_OFFSET,
			"%s: does not say which format its parent '%s' is, and guessing is not safe; --parent '%s=%s,format=FMT' says it",
			child->path, child->parent_ref.names[0], child->parent_ref.names[0], path);
	}
	a.path = path;
	drv = vd_driver_find(format);
	if (!drv) {
		vd_file_close(f);
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: its parent %s is of the unknown format '%s'",
		               child->path, path, format);
	}
	if ((!(o->flags & VDISK_OPEN_NO_LOCK) && vd_file_lock(f, false, err)) || vd_undone_judge(path, o->flags, err)) {
		vd_file_close(f);
		return -1;
	}
	return vd_layer_open(img, &a, f, drv, true, l, err);
}

/* The first of the images that the child names which has the identity that it expects; where none has, the first of them, for what
   is said of it. */
static int parent_open(vdisk_image *img, const struct vdisk_open_options *o, bool said, vd_error *err)
{
	struct vd_layer *child = img->chain[img->n_layers - 1], *l, *other;
	unsigned at = 0;

	if (candidate_open(img, o, said, &at, &l, err))
		return -1;
	while (!vd_parent_fits(child, l) && at < child->parent_ref.n_names && !candidate_open(img, o, said, &at, &other, NULL)) {
		if (vd_parent_fits(child, other)) {
			struct vd_layer *wrong = l;

			l = other;
			other = wrong;
		}
		vd_layer_free(other);
	}
	if ((vd_parent_judge(img, child, l, err) && vd_parent_problem_keep(img, child, err)) || vd_image_push(img, l, err)) {
		vd_layer_free(l);
		return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- the image */

static int options_keep(vdisk_image *img, const char *const *options, vd_error *err)
{
	img->open_options = vd_strdup("");
	for (; img->open_options && options && *options; options++) {
		char *more = vd_asprintf("%s%s\n", img->open_options, *options);

		vd_free(img->open_options);
		img->open_options = more;
	}
	return img->open_options ? 0 : vd_fail_nomem(err, 64);
}

/* What "vdisk clone --linked" makes of a parent: no write permission (which root does not ask), and the layers in an attribute. */
int vd_protection_judge(const struct vd_file *f, const char *path, uint32_t flags, vd_error *err)
{
	char names[200], text[256];
	struct stat st;
	ssize_t n;

	if (flags & VDISK_OPEN_FORCE || f->fd < 0 || fstat(f->fd, &st) || st.st_mode & 0222)
		return 0;
	n = fgetxattr(f->fd, "user.vdisk.children", names, sizeof(names));
	if (n == 0 || (n < 0 && errno != ERANGE))
		return 0;
	if (n < 0)
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
		               "%s: is the parent of many linked clones; --force writes to it all the same", path);
	for (ssize_t i = 0; i < n; i++)
		if (names[i] == '\n')
			names[i] = i + 1 < n ? ' ' : '\0';
	vd_printable(text, sizeof(text), names, strnlen(names, (size_t)n));
	return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
	               "%s: is the parent of linked clones or layers (%s); --force writes to it all the same", path, text);
}

/* A source that is being moved is no whole disk any more (ops/punch.c). */
static int moved_check(const struct vd_file *f, const char *path, uint32_t flags, vd_error *err)
{
	char to[300] = "", text[300];

	if (flags & (VDISK_OPEN_MOVED | VDISK_OPEN_INFO | VDISK_OPEN_CHECK) || f->fd < 0 ||
	    fgetxattr(f->fd, "user.vdisk.moved", to, sizeof(to) - 1) <= 0)
		return 0;
	vd_printable(text, sizeof(text), to, strlen(to));
	return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
	               "%s: parts of it were given up while it was moved to %s: go on with that, by --resume", path, text);
}

static int file_open(const char *path, const struct vdisk_open_options *o, struct vd_undo *undo, struct vd_file **f, vd_error *err)
{
	const char *name = o->stream_fd ? "the pipe" : "standard input";
	bool write = o->flags & VDISK_OPEN_RW;
	struct stat st;
	int fd;

	if (vd_nbd_uri_is(path)) {
		if (write)
			return vd_local_judge(path, err);
		if (vd_file_nbd(path, false, o->cancel, f, err))
			return -1;
		return o->parts ? vd_file_parts(*f, o->parts, o->n_parts, o->parts_len, f, err) : 0;
	}
	if (vd_url_is(path)) {
		if (write)
			return vd_local_judge(path, err);
		if (vd_file_http(path, o->remote, o->cancel, f, err))
			return -1;
		return o->parts ? vd_file_parts(*f, o->parts, o->n_parts, o->parts_len, f, err) : 0;
	}
	if (!(o->flags & VDISK_OPEN_STREAM) || strcmp(path, "-")) {
		if (vd_file_posix(AT_FDCWD, path, path, write ? VD_POSIX_RDWR : 0, f, err))
			return -1;
		if ((write && vd_protection_judge(*f, path, o->flags, err)) || moved_check(*f, path, o->flags, err) ||
		    (!(o->flags & VDISK_OPEN_NO_LOCK) && vd_file_lock(*f, write, err)) || vd_undone_judge(path, o->flags, err)) {
			vd_file_close(*f);
			return -1;
		}
		if (o->parts)
			return vd_file_parts(*f, o->parts, o->n_parts, o->parts_len, f, err);
		return undo && write ? vd_file_undo(*f, undo, "", f, err) : 0;
	}
	if (write)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "standard input cannot be opened for writing");
	fd = fcntl(o->stream_fd ? o->stream_fd : STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	if (fd < 0 || fstat(fd, &st))
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", name);
	if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))
		return vd_file_posix_fd(fd, name, false, f, err);
	return vd_file_pipe_in(fd, name, STREAM_WINDOW, f, err);
}

/* Takes f.  The leaf and its ancestors, `most` layers at most. */
static int chain_open(vdisk_image *img, struct vd_file *f, const struct vdisk_open_options *o, struct vd_host *host, unsigned most,
                      vd_error *err)
{
	/* Without the query: its end is no suffix. */
	VD_AUTO_FREE char *export = f->flags & VD_FILE_EXPORT ? vd_url_shown(img->path) : NULL;
	const char *name = f->flags & VD_FILE_REMOTE ? f->name : img->path;
	struct vd_layer_args a = {
		.path = name,
		.flags = o->flags,
		.options = o->options,
		.allow_dirs = o->allow_dirs,
		.cache_bytes = o->cache_bytes ? o->cache_bytes : CACHE_LEAF,
		.in_archive = o->parts,
		.host = host,
	};
	const struct vd_driver *drv;
	struct vd_layer *l;
	bool said;

	if (f->flags & VD_FILE_EXPORT && !export) {
		vd_file_close(f);
		return vd_fail_nomem(err, strlen(img->path));
	}
	if (vd_driver_choose(f, export ? export : name, o->format, &drv, &said, err)) {
		vd_file_close(f);
		return -1;
	}
	if (vd_layer_open(img, &a, f, drv, said, &l, err))
		return -1;
	if (vd_image_push(img, l, err)) {
		vd_layer_free(l);
		return -1;
	}
	if (o->parts && most > 1 && l->parent_ref.n_names)
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET, "%s: an image in an archive names a parent", img->path);
	while (img->n_layers < most && img->chain[img->n_layers - 1]->parent_ref.n_names) {
		vd_error why = { 0 };

		if (parent_open(img, o, said, &why)) {
			if (!vd_parent_problem_keep(img, img->chain[img->n_layers - 1], &why))
				return 0;
			if (err)
				*err = why;
			return -1;
		}
		said = true; /* declared by the child, which was trusted */
	}
	if (most == UINT_MAX && img->n_layers - 1 < vd_ancestors_count(o)) {
		vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "%s: names no parent, but is said to lie over %s",
		        img->chain[img->n_layers - 1]->path, o->ancestors[img->n_layers - 1]);
		if (vd_parent_problem_keep(img, img->chain[img->n_layers - 1], err))
			return -1;
	}
	img->mapcache = vd_mapcache_new(img);
	return 0;
}

static int image_open(const char *path, const struct vdisk_open_options *o, unsigned most, struct vd_undo *undo, vdisk_image **out,
                      vd_error *err)
{
	vdisk_image *img;
	struct vd_file *f;

	*out = NULL;
	if ((o->flags & VDISK_OPEN_SALVAGE) && (o->flags & VDISK_OPEN_RW) && !(o->flags & VDISK_OPEN_CHECK))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: salvage is for reading", path);
	if (o->parts && o->flags & (VDISK_OPEN_RW | VDISK_OPEN_STREAM))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "%s: an image that is part of a file is for reading, and no stream", path);
	img = vd_image_new(path, o->flags, o->log, o->log_ctx, err);
	if (!img)
		return -1;
	img->undo = undo;
	if (options_keep(img, o->options, err) || file_open(path, o, undo, &f, err) || chain_open(img, f, o, NULL, most, err)) {
		vd_image_free(img);
		return -1;
	}
	*out = img;
	return 0;
}

int vdisk_path_judge(const char *path, vdisk_error *err) { return vd_local_judge(path, err); }

int vdisk_open(const char *path, const struct vdisk_open_options *opts, vdisk_image **out, vdisk_error *err)
{
	static const struct vdisk_open_options none;
	const struct vdisk_open_options *o = opts ? opts : &none;

	bool alone = o->flags & (VDISK_OPEN_NO_PARENT | VDISK_OPEN_INFO) && !(o->flags & VDISK_OPEN_CHAIN);

	if (o->flags & VDISK_OPEN_CHAIN && (o->flags & VDISK_OPEN_RW || !(o->flags & VDISK_OPEN_INFO)))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: facts of a chain are for reading", path);
	return image_open(path, o, alone ? 1 : UINT_MAX, NULL, out, err);
}

int vd_image_open_undo(const char *path, const struct vdisk_open_options *o, struct vd_undo *u, vdisk_image **out, vd_error *err)
{
	return image_open(path, o, UINT_MAX, u, out, err);
}

int vd_image_open_part(const char *path, const struct vdisk_open_options *o, unsigned n, vdisk_image **out, vd_error *err)
{
	if (image_open(path, o, n, NULL, out, err))
		return -1;
	if ((*out)->n_layers == n)
		return 0;
	vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: the chain has only %u layers", path, (*out)->n_layers);
	vd_image_free(*out);
	*out = NULL;
	return -1;
}

int vd_image_open_file(struct vd_file *f, const char *format, uint32_t flags, const char *const *options, vdisk_image *parent,
                       struct vd_host *host, vdisk_image **out, vd_error *err)
{
	struct vdisk_open_options o = { .format = format, .flags = flags, .options = options };

	return vd_image_open_file_as(f, &o, parent, host, out, err);
}

int vd_image_open_file_as(struct vd_file *f, const struct vdisk_open_options *o, vdisk_image *parent, struct vd_host *host,
                          vdisk_image **out, vd_error *err)
{
	vdisk_image *img = vd_image_new(f->name, o->flags, o->log, o->log_ctx, err);

	*out = NULL;
	if (!img) {
		vd_file_close(f);
		vd_image_free(parent);
		return -1;
	}
	if (chain_open(img, f, o, host, 1, err)) {
		vd_image_free(parent);
		vd_image_free(img);
		return -1;
	}
	if (parent && vd_image_adopt_parent(img, parent, err)) {
		vd_image_free(img);
		return -1;
	}
	*out = img;
	return 0;
}

int vdisk_close(vdisk_image *img, vdisk_error *err)
{
	int rc = 0;

	if (!img)
		return 0;
	if (img->claims && (img->created || img->top->begun)) {
		if (img->top->broken)
			rc = vd_fail(err, VDISK_IO, VDISK_NO_OFFSET, "%s: a metadata update had failed; run check", img->path);
		else
			rc = img->top->drv->finish(img->top, err) ? vd_fail_in(err, "%s", img->path) : 0;
	}
	vd_image_free(img);
	return rc;
}

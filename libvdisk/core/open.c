/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening an image: its own layer, then the chain of its parents, each under the trust policy and with its identity checked. */
#include "core/claims.h"
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
#include "base/path.h"
#include "io/http.h"
#include "io/url.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define CACHE_LEAF   (16u << 20)
#define CACHE_PARENT (4u << 20)
#define STREAM_WINDOW (64u << 20)

void vd_log_in(const vdisk_image *img, const char *name, enum vdisk_log_level level, const char *fmt, va_list ap)
{
	char text[VDISK_ERROR_MESSAGE_MAX];
	int n;

	if (!img || !img->log)
		return;
	n = name ? snprintf(text, sizeof(text), "%s: ", name) : 0;
	if (n >= 0 && (size_t)n < sizeof(text))
		vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	img->log(img->log_ctx, level, text);
}

void vd_log(const vdisk_image *img, enum vdisk_log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vd_log_in(img, NULL, level, fmt, ap);
	va_end(ap);
}

/* ---------------------------------------------------------------- the services that a driver is given while it opens */

struct open_host {
	struct vd_host host;
	vdisk_image *img;
	struct vd_trust trust;
	bool lock;
};

static int host_open_file(struct vd_host *h, struct vd_layer *l, const char *name, bool write, uint16_t *file, vd_error *err)
{
	struct open_host *oh = h->ctx;
	struct vd_file *f;

	write = write && (l->flags & VD_LAYER_WRITABLE);
	if (vd_trust_open(&oh->trust, name, write, &f, NULL, err))
		return -1;
	if (oh->lock && vd_file_lock(f, write, err)) {
		vd_file_close(f);
		return -1;
	}
	if (write && oh->img->undo && vd_file_undo(f, oh->img->undo, name, &f, err))
		return -1;
	if (vd_layer_add_file(l, f, file, err)) {
		vd_file_close(f);
		return -1;
	}
	return 0;
}

static int host_create_file(struct vd_host *h, struct vd_layer *l, const char *name, uint16_t *file, vd_error *err)
{
	(void)h, (void)file;
	return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: no file ('%s') is made while an image is opened", l->path, name);
}

/* Of an image in an archive: what lies beside the archive is none of its affair. */
static int host_open_none(struct vd_host *h, struct vd_layer *l, const char *name, bool write, uint16_t *file, vd_error *err)
{
	char text[128];

	(void)h, (void)write, (void)file;
	vd_printable(text, sizeof(text), name, strlen(name));
	return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET, "%s: an image in an archive names a further file ('%s')", l->path, text);
}

static void host_log(struct vd_host *h, enum vdisk_log_level level, const char *fmt, ...)
{
	struct open_host *oh = h->ctx;
	va_list ap;

	va_start(ap, fmt);
	vd_log_in(oh->img, oh->trust.image, level, fmt, ap);
	va_end(ap);
}

/* ---------------------------------------------------------------- one layer */

static void layer_identify(struct vd_layer *l)
{
	struct stat st;

	if (l->files[0]->fd < 0 || fstat(l->files[0]->fd, &st))
		return;
	l->dev = st.st_dev;
	l->ino = st.st_ino;
}

struct layer_args {
	const char *path;
	const char *format;            /* NULL: probe */
	uint32_t flags;                /* VDISK_OPEN_* as they hold for this layer */
	const char *const *options;
	const char *const *allow_dirs;
	uint64_t cache_bytes;
	bool in_archive;
	struct vd_host *host;          /* tests'; NULL: the real one */
};

static uint32_t driver_flags(uint32_t flags)
{
	static const struct { uint32_t from, to; } map[] = {
		{ VDISK_OPEN_RW, VD_OPEN_RW },           { VDISK_OPEN_SALVAGE, VD_OPEN_SALVAGE }, { VDISK_OPEN_FORCE, VD_OPEN_FORCE },
		{ VDISK_OPEN_KEEP_ID, VD_OPEN_KEEP_ID }, { VDISK_OPEN_CHECK, VD_OPEN_CHECK },     { VDISK_OPEN_INFO, VD_OPEN_INFO },
	};
	uint32_t out = 0;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (flags & map[i].from)
			out |= map[i].to;
	return out;
}

/* Takes f, on failure too. */
static int layer_open(vdisk_image *img, const struct layer_args *a, struct vd_file *f, const struct vd_driver *drv, bool said,
                      struct vd_layer **out, vd_error *err)
{
	struct open_host oh = {
		.host = { .open_file = host_open_file, .create_file = host_create_file, .log = host_log },
		.img = img,
		.trust = { .image = a->path, .said = said, .format = drv->info.name, .allow_dirs = a->allow_dirs },
		.lock = !(a->flags & VDISK_OPEN_NO_LOCK),
	};
	struct vd_open open = { .flags = driver_flags(a->flags), .host = a->host ? a->host : &oh.host };
	struct vd_options *options = NULL;
	struct vd_layer *l = vd_layer_new(drv, a->path);
	int rc;

	oh.host.ctx = &oh;
	oh.trust.self = f;
	oh.host.open_file = a->in_archive ? host_open_none : host_open_file;
	oh.host.base_name = vd_base_name(a->path);
	if (!l) {
		vd_file_close(f);
		return vd_fail_nomem(err, sizeof(*l));
	}
	if (vd_layer_add_file(l, f, NULL, err)) {
		vd_file_close(f);
		goto fail;
	}
	layer_identify(l); /* before the driver lays anything over the file */
	if (vd_options_parse(drv->info.options, VDISK_OPT_FOR_OPEN, drv->info.name, a->options, &options, err))
		goto fail;
	if (a->flags & VDISK_OPEN_RW)
		l->flags |= VD_LAYER_WRITABLE;
	open.options = options;
	open.cache_bytes = a->cache_bytes;
	rc = drv->open(l, &open, err);
	vd_options_free(options);
	if (rc) {
		vd_fail_in(err, "%s", a->path);
		goto fail;
	}
	if (open.flags & VD_OPEN_RW && !(l->flags & VD_LAYER_WRITABLE)) {
		vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: cannot be opened for writing%s%s", a->path, l->ro_reason ? ": " : "",
		        l->ro_reason ? l->ro_reason : "");
		goto fail;
	}
	*out = l;
	return 0;
fail:
	vd_layer_free(l);
	return -1;
}

/* ---------------------------------------------------------------- the chain */

int vd_image_push(vdisk_image *img, struct vd_layer *l, vd_error *err)
{
	struct vd_layer **chain = vd_realloc(img->chain, img->n_layers + 1u, sizeof(struct vd_layer *));

	if (!chain)
		return vd_fail_nomem(err, (img->n_layers + 1u) * sizeof(struct vd_layer *));
	if (!l->ino)
		layer_identify(l);
	img->chain = chain;
	vd_mapcache_free(img->mapcache);
	img->mapcache = NULL;
	if (img->n_layers)
		chain[img->n_layers - 1]->parent = l;
	else
		img->top = l;
	chain[img->n_layers++] = l;
	return 0;
}

static int parent_open(vdisk_image *img, const struct vdisk_open_options *o, bool said, vd_error *err)
{
	struct vd_layer *child = img->chain[img->n_layers - 1], *l;
	struct vd_trust t = { .image = child->path, .said = said, .format = child->drv->info.name, .allow_dirs = o->allow_dirs,
	                      .self = child->files[0] };
	VD_AUTO_FREE char *path = NULL, *format = NULL;
	struct layer_args a = {
		.flags = o->flags & ~(VDISK_OPEN_RW | VDISK_OPEN_FORCE | VDISK_OPEN_KEEP_ID | VDISK_OPEN_CHECK | VDISK_OPEN_STREAM),
		.allow_dirs = o->allow_dirs,
		.cache_bytes = CACHE_PARENT,
	};
	const struct vd_driver *drv;
	struct vd_file *f;

	if (vd_parent_find(child, o, &t, &f, &path, &format, err))
		return -1;
	if (!format) {
		vd_file_close(f);
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
		               "%s: does not say which format its parent '%s' is, and guessing is not safe; --parent '%s=%s,format=FMT' says it",
		               child->path, child->parent_ref.names[0], child->parent_ref.names[0], path);
	}
	a.path = path;
	drv = vd_driver_find(format);
	if (!drv) {
		vd_file_close(f);
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: its parent %s is of the unknown format '%s'", child->path, path, format);
	}
	if (vd_parent_cycle_judge(img, f, path, err) || (!(o->flags & VDISK_OPEN_NO_LOCK) && vd_file_lock(f, false, err)) ||
	    vd_undone_judge(path, o->flags, err)) {
		vd_file_close(f);
		return -1;
	}
	if (layer_open(img, &a, f, drv, true, &l, err))
		return -1;
	if ((vd_parent_judge(img, child, l, err) && vd_parent_problem_keep(img, child, err)) || vd_image_push(img, l, err)) {
		vd_layer_free(l);
		return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- the image */

vdisk_image *vd_image_new(const char *path, uint32_t flags, vdisk_log_fn log, void *log_ctx, vd_error *err)
{
	vdisk_image *img = vd_calloc(1, sizeof(*img));

	if (img) {
		img->path = vd_strdup(path);
		img->flags = flags;
		img->log = log;
		img->log_ctx = log_ctx;
		if (flags & VDISK_OPEN_RW)
			img->claims = vd_claims_new();
		if (img->path && (img->claims || !(flags & VDISK_OPEN_RW)))
			return img;
		vd_image_free(img);
	}
	vd_fail_nomem(err, sizeof(*img));
	return NULL;
}

void vd_image_free(vdisk_image *img)
{
	if (!img)
		return;
	for (unsigned i = 0; i < img->n_layers; i++)
		vd_layer_free(img->chain[i]);
	vd_free(img->chain);
	vd_mapcache_free(img->mapcache);
	vd_claims_free(img->claims);
	vd_free(img->path);
	vd_free(img->open_options);
	vd_free(img);
}

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
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET, "%s: is the parent of many linked clones; --force writes to it all the same", path);
	for (ssize_t i = 0; i < n; i++)
		if (names[i] == '\n')
			names[i] = i + 1 < n ? ' ' : '\0';
	vd_printable(text, sizeof(text), names, strnlen(names, (size_t)n));
	return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET, "%s: is the parent of linked clones or layers (%s); --force writes to it all the same", path, text);
}

/* A source that is being moved is no whole disk any more (ops/punch.c). */
static int moved_check(const struct vd_file *f, const char *path, uint32_t flags, vd_error *err)
{
	char to[300] = "", text[300];

	if (flags & (VDISK_OPEN_MOVED | VDISK_OPEN_INFO | VDISK_OPEN_CHECK) || f->fd < 0 || fgetxattr(f->fd, "user.vdisk.moved", to, sizeof(to) - 1) <= 0)
		return 0;
	vd_printable(text, sizeof(text), to, strlen(to));
	return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET, "%s: parts of it were given up while it was moved to %s: go on with that, by --resume", path, text);
}

static int file_open(const char *path, const struct vdisk_open_options *o, struct vd_undo *undo, struct vd_file **f, vd_error *err)
{
	const char *name = o->stream_fd ? "the pipe" : "standard input";
	bool write = o->flags & VDISK_OPEN_RW;
	struct stat st;
	int fd;

	if (vd_url_is(path)) {
		if (write)
			return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "an image on a web server is for reading: convert it to a file first");
		if (vd_file_http(path, o->remote, f, err))
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
	const char *name = f->flags & VD_FILE_REMOTE ? f->name : img->path; /* without a URL's query */
	struct layer_args a = {
		.path = name,
		.format = o->format,
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

	if (vd_driver_choose(f, name, o->format, &drv, &said, err)) {
		vd_file_close(f);
		return -1;
	}
	if (layer_open(img, &a, f, drv, said, &l, err))
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
	img->mapcache = vd_mapcache_new(img);
	return 0;
}

static int image_open(const char *path, const struct vdisk_open_options *o, unsigned most, struct vd_undo *undo, vdisk_image **out, vd_error *err)
{
	vdisk_image *img;
	struct vd_file *f;

	*out = NULL;
	if ((o->flags & VDISK_OPEN_SALVAGE) && (o->flags & VDISK_OPEN_RW) && !(o->flags & VDISK_OPEN_CHECK))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: salvage is for reading", path);
	if (o->parts && o->flags & (VDISK_OPEN_RW | VDISK_OPEN_STREAM))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: an image that is part of a file is for reading, and no stream", path);
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

/* Moves `parent`'s layers below img's and frees its shell. */
int vd_image_adopt_parent(vdisk_image *img, vdisk_image *parent, vd_error *err)
{
	for (unsigned i = 0; i < parent->n_layers; i++) {
		if (vd_image_push(img, parent->chain[i], err)) {
			memmove(parent->chain, parent->chain + i, (parent->n_layers - i) * sizeof(struct vd_layer *));
			parent->n_layers -= i;
			vd_image_free(parent);
			return -1;
		}
	}
	parent->n_layers = 0;
	vd_image_free(parent);
	img->mapcache = vd_mapcache_new(img);
	return 0;
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

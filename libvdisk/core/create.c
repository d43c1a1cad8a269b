/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making images: the arguments are judged, the driver lays the empty image out under temporary names (staging.c), and commit gives
   it its own. */
#include "core/image.h"
#include "core/layer.h"
#include "core/open.h"
#include "core/probe.h"
#include "core/staging.h"
#include "core/trust.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/path.h"
#include "io/local.h"
#include "io/nbd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct create_host {
	struct vd_host host;
	vdisk_image *img;
	struct vd_staging *staging;
};

static int host_open_file(struct vd_host *h, struct vd_layer *l, const char *name, bool write, uint16_t *file, vd_error *err)
{
	(void)h, (void)write, (void)file;
	return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: no existing file ('%s') becomes part of a new image", l->path,
	               name);
}

static int host_create_file(struct vd_host *h, struct vd_layer *l, const char *name, uint16_t *file, vd_error *err)
{
	struct create_host *ch = h->ctx;
	struct vd_file *f;

	if (!ch->staging)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: an image of several files cannot go there", l->path);
	if (vd_staging_add(ch->staging, name, &f, err))
		return -1;
	if (vd_layer_add_file(l, f, file, err)) {
		vd_file_close(f);
		return -1;
	}
	return 0;
}

static void host_log(struct vd_host *h, enum vdisk_log_level level, const char *fmt, ...)
{
	struct create_host *ch = h->ctx;
	va_list ap;

	va_start(ap, fmt);
	vd_log_in(ch->img, ch->img ? ch->img->path : NULL, level, fmt, ap);
	va_end(ap);
}

/* ---------------------------------------------------------------- judging the arguments */

struct plan {
	const struct vd_driver *drv;
	struct vd_create create;
	struct vd_options *options;
	struct create_host host;
	vdisk_image *backing;      /* opened; NULL: none */
	char parent_path[PATH_MAX];
};

/* FNV-1a: ids that are to be the same each time derive from what tells images apart. */
static uint64_t seed_of(uint64_t epoch, const char *base, const char *format, uint64_t size)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ epoch;

	for (const char *p = base; *p; p++)
		h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
	for (const char *p = format; *p; p++)
		h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
	h = (h ^ size) * UINT64_C(0x100000001b3);
	return h ? h : 1;
}

static int plan_time(struct plan *p, const struct vd_new_image *n, vd_error *err)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	char *end;

	if (n->now) {
		p->create.now = n->now;
		p->create.seed = n->seed;
		return 0;
	}
	if (!epoch || !*epoch) {
		p->create.now = (uint64_t)time(NULL);
		return 0;
	}
	errno = 0;
	p->create.now = strtoull(epoch, &end, 10);
	if (errno || *end)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "SOURCE_DATE_EPOCH is '%s', not a number of seconds", epoch);
	p->create.seed = seed_of(p->create.now, vd_base_name(n->path), p->drv->info.name, p->create.size);
	return 0;
}

static int plan_backing(struct plan *p, const struct vd_new_image *n, vd_error *err)
{
	struct vdisk_open_options o = {
		.format = n->backing_format, .allow_dirs = n->allow_dirs, .log = n->log, .log_ctx = n->log_ctx
	};
	VD_AUTO_FREE char *path = NULL;
	struct stat st;

	if (!n->backing)
		return 0;
	if (!(p->drv->info.caps & VDISK_FORMAT_BACKING))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s images cannot have a backing image", p->drv->info.name);
	if (!n->backing_format)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: the format of the backing image '%s' must be said (-F)",
		               n->path, n->backing);
	if (vd_local_judge(n->backing, err))
		return -1;
	path = vd_path_beside(n->path, n->backing);
	if (!path)
		return vd_fail_nomem(err, strlen(n->backing));
	if (vdisk_open(path, &o, &p->backing, err))
		return -1;
	if (n->overwrite && vd_image_has_file(p->backing, n->path))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: belongs to its own backing image, %s", n->path, n->backing);
	if (n->backing_judge && n->backing_judge(p->backing, n->cancel, err))
		return vd_fail_in(err, "%s: its backing image", n->path);
	if (!realpath(path, p->parent_path) || stat(path, &st))
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", path);
	p->create.backing = n->backing;
	p->create.backing_format = p->backing->top->drv->info.name;
	p->create.parent = p->backing->top;
	p->create.parent_path = p->parent_path;
	p->create.parent_mtime = (uint64_t)st.st_mtime;
	return 0;
}

static int plan_size(struct plan *p, const struct vd_new_image *n, vd_error *err)
{
	uint64_t rounded;

	p->create.size = n->size;
	if (n->size == UINT64_MAX) {
		if (!p->backing)
			return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: needs a size", n->path);
		p->create.size = vdisk_size(p->backing);
	}
	rounded = p->create.size;
	if (p->drv->round_size && p->drv->round_size(&p->create, p->create.size, &rounded, err))
		return vd_fail_in(err, "%s", n->path);
	if (rounded == p->create.size)
		return 0;
	if (!n->round_up)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "%s: %s cannot express a size of %" PRIu64 " bytes; --size-rounding up makes it %" PRIu64, n->path,
		               p->drv->info.name, p->create.size, rounded);
	p->create.size = rounded;
	return 0;
}

static void plan_free(struct plan *p)
{
	vd_options_free(p->options);
	vd_image_free(p->backing);
}

static int plan_make(struct plan *p, const struct vd_new_image *n, vd_error *err)
{
	memset(p, 0, sizeof(*p));
	p->drv = n->format ? vd_driver_find(n->format) : NULL;
	if (!p->drv)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "unknown format '%s'", n->format ? n->format : "");
	if (!(p->drv->info.caps & VDISK_FORMAT_CREATE))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s images cannot be made", p->drv->info.name);
	if (vd_nbd_uri_is(n->path) && strcmp(p->drv->info.name, "raw"))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "%s: an NBD server's export takes the disk itself, -O raw, not %s", n->path, p->drv->info.name);
	p->host.host = (struct vd_host){
		.open_file = host_open_file,
		.create_file = host_create_file,
		.base_name = vd_base_name(n->path),
		.log = host_log,
	};
	p->create.flags = n->create_flags | (n->round_up ? VD_CREATE_ROUND_UP : 0) | (strcmp(n->path, "-") ? 0 : VD_CREATE_APPEND);
	p->create.level = n->level;
	if (vd_options_parse(p->drv->info.options, VDISK_OPT_FOR_CREATE, p->drv->info.name, n->options, &p->options, err))
		goto fail;
	p->create.options = p->options;
	if (plan_backing(p, n, err) || plan_size(p, n, err) || plan_time(p, n, err))
		goto fail;
	return 0;
fail:
	plan_free(p);
	return -1;
}

/* ---------------------------------------------------------------- making */

/* The new layer on f, which it takes on failure too. */
static int layer_create(struct plan *p, vdisk_image *img, struct vd_file *f, vd_error *err)
{
	struct vd_layer *l = vd_layer_new(p->drv, img->path);

	p->host.host.ctx = &p->host;
	p->host.img = img;
	p->create.host = p->create.host ? p->create.host : &p->host.host;
	if (!l || vd_layer_add_file(l, f, NULL, err)) {
		vd_file_close(f);
		vd_layer_free(l);
		return l ? -1 : vd_fail_nomem(err, sizeof(*l));
	}
	l->flags |= VD_LAYER_WRITABLE;
	if (p->drv->create(l, &p->create, err)) {
		vd_layer_free(l);
		return vd_fail_in(err, "%s", img->path);
	}
	if (vd_image_push(img, l, err)) {
		vd_layer_free(l);
		return -1;
	}
	img->created = true;
	l->begun = true; /* nobody has seen it yet: no identity to renew */
	return 0;
}

static int dest_open(const struct vd_new_image *n, struct plan *p, struct vd_file **f, vd_error *err)
{
	int fd;

	if (n->kept || strcmp(n->path, "-"))
		return vd_staging_resume(n->path, n->overwrite, n->kept, n->n_kept, n->cancel, &p->host.staging, f, err);
	if (!(p->drv->info.caps & VDISK_FORMAT_STREAM_OUT))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s cannot be written to a pipe", p->drv->info.name);
	fd = fcntl(n->stream_fd ? n->stream_fd : STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "standard output");
	return vd_file_pipe_out(fd, n->stream_fd ? "the pipe" : "standard output", f, err);
}

static int create_judge(const struct vd_new_image *n, vd_error *err)
{
	return strcmp(n->path, "-") && !n->kept ? vd_staging_judge(n->path, n->overwrite, err) : 0;
}

int vd_image_create(const struct vd_new_image *n, vdisk_image **out, uint64_t *size_out, vd_error *err)
{
	vdisk_image *img = NULL;
	struct plan p;
	struct vd_file *f;

	*out = NULL;
	if (plan_make(&p, n, err))
		return -1;
	if (size_out)
		*size_out = p.create.size;
	if (create_judge(n, err) || (n->need_bytes && strcmp(n->path, "-") && vd_staging_room(n->path, n->need_bytes, err)))
		goto fail;
	if (n->dry_run) {
		int rc = vd_staging_rehearse(n->path, p.create.size, n->cancel, err);

		plan_free(&p);
		return rc;
	}
	img = vd_image_new(n->path, VDISK_OPEN_RW, n->log, n->log_ctx, err);
	if (!img || dest_open(n, &p, &f, err))
		goto fail;
	if (layer_create(&p, img, f, err))
		goto fail;
	if (p.backing) {
		vdisk_image *backing = p.backing;

		p.backing = NULL;
		if (vd_image_adopt_parent(img, backing, err))
			goto fail;
	}
	img->staging = p.host.staging;
	plan_free(&p);
	*out = img;
	return 0;
fail:
	vd_image_free(img);
	vd_staging_abort(p.host.staging);
	plan_free(&p);
	return -1;
}

static int image_flush_files(vdisk_image *img, vd_error *err)
{
	for (unsigned i = 0; i < img->top->n_files; i++)
		if (vd_file_flush(img->top->files[i], err))
			return -1;
	return 0;
}

int vd_image_finish(vdisk_image *img, vd_error *err)
{
	if (img->finished)
		return 0;
	if (img->top->broken)
		return vd_fail(err, VDISK_IO, VDISK_NO_OFFSET, "%s: a metadata update had failed", img->path);
	if (img->top->drv->finish(img->top, err))
		return vd_fail_in(err, "%s", img->path);
	if (image_flush_files(img, err))
		return -1;
	img->finished = true;
	return 0;
}

int vd_image_commit(vdisk_image *img, vd_error *err)
{
	struct vd_staging *s = img->staging;
	int rc = vd_image_finish(img, err);

	img->staging = NULL;
	vd_image_free(img);
	if (rc)
		vd_staging_abort(s);
	else if (s)
		rc = vd_staging_commit(s, err);
	return rc;
}

void vd_image_keep(vdisk_image *img)
{
	if (img->staging)
		vd_staging_keep(img->staging);
}

void vd_image_abort(vdisk_image *img)
{
	struct vd_staging *s;

	if (!img)
		return;
	s = img->staging;
	img->staging = NULL;
	vd_image_free(img);
	vd_staging_abort(s);
}

int vd_image_measure(const struct vd_new_image *n, uint64_t data, uint64_t units, uint64_t *required, uint64_t *full, vd_error *err)
{
	struct plan p;
	int rc;

	if (plan_make(&p, n, err))
		return -1;
	if (p.drv->measure)
		rc = p.drv->measure(&p.create, data, units, required, full, err);
	else
		rc = vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "the size of %s images cannot be foretold", p.drv->info.name);
	plan_free(&p);
	return rc;
}

int vd_image_create_file(struct vd_file *f, const char *format, uint64_t size, const char *const *options, uint32_t create_flags,
                         vdisk_image *parent, struct vd_host *host, vdisk_image **out, vd_error *err)
{
	struct vd_new_image n = {
		.path = f->name, .format = format, .size = size, .options = options, .create_flags = create_flags
	};
	vdisk_image *img = NULL;
	struct plan p;

	*out = NULL;
	if (plan_make(&p, &n, err)) {
		vd_file_close(f);
		vd_image_free(parent);
		return -1;
	}
	p.create.host = host;
	if (parent) {
		p.create.backing = parent->path;
		p.create.backing_format = parent->top->drv->info.name;
		p.create.parent = parent->top;
		p.create.parent_path = parent->path;
	}
	img = vd_image_new(f->name, VDISK_OPEN_RW, NULL, NULL, err);
	if (!img || layer_create(&p, img, f, err)) {
		if (!img)
			vd_file_close(f);
		goto fail;
	}
	if (parent && vd_image_adopt_parent(img, parent, err)) {
		parent = NULL;
		goto fail;
	}
	plan_free(&p);
	*out = img;
	return 0;
fail:
	vd_image_free(parent);
	vd_image_free(img);
	plan_free(&p);
	return -1;
}

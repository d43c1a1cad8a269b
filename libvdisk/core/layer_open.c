/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening one layer: its driver, and the services that it is given meanwhile, under the trust policy. */
#include "core/layer.h"
#include "core/open.h"
#include "core/trust.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/path.h"
#include "io/undo.h"

#include <string.h>

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
	return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET, "%s: an image in an archive names a further file ('%s')", l->path,
	               text);
}

static void host_log(struct vd_host *h, enum vdisk_log_level level, const char *fmt, ...)
{
	struct open_host *oh = h->ctx;
	va_list ap;

	va_start(ap, fmt);
	vd_log_in(oh->img, oh->trust.image, level, fmt, ap);
	va_end(ap);
}

/* ---------------------------------------------------------------- the layer */

static uint32_t driver_flags(uint32_t flags)
{
	static const struct { uint32_t from, to;
	} map[] = {
		{ VDISK_OPEN_RW, VD_OPEN_RW },       { VDISK_OPEN_SALVAGE, VD_OPEN_SALVAGE },
		{ VDISK_OPEN_FORCE, VD_OPEN_FORCE }, { VDISK_OPEN_KEEP_ID, VD_OPEN_KEEP_ID },
		{ VDISK_OPEN_CHECK, VD_OPEN_CHECK }, { VDISK_OPEN_INFO, VD_OPEN_INFO },
	};
	uint32_t out = 0;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (flags & map[i].from)
			out |= map[i].to;
	return out;
}

int vd_layer_open(vdisk_image *img, const struct vd_layer_args *a, struct vd_file *f, const struct vd_driver *drv, bool said,
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
	vd_layer_identify(l); /* before the driver lays anything over the file */
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
		vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: cannot be opened for writing%s%s", a->path,
		        l->ro_reason ? ": " : "", l->ro_reason ? l->ro_reason : "");
		goto fail;
	}
	*out = l;
	return 0;
fail:
	vd_layer_free(l);
	return -1;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The image as an object: made, given its layers one below the other, freed, and what it says to its log.  Whoever opens or creates
   it is alone with it. */
#include "core/claims.h"
#include "core/layer.h"
#include "core/mapcache.h"
#include "core/open.h"
#include "base/alloc.h"

#include <stdio.h>
#include <string.h>

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

int vd_image_push(vdisk_image *img, struct vd_layer *l, vd_error *err)
{
	struct vd_layer **chain = vd_realloc(img->chain, img->n_layers + 1u, sizeof(struct vd_layer *));

	if (!chain)
		return vd_fail_nomem(err, (img->n_layers + 1u) * sizeof(struct vd_layer *));
	if (!l->ino)
		vd_layer_identify(l);
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

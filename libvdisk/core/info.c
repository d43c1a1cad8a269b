/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Facts about an open image, and the operations on its structure: check, resize, amend. */
#include "core/image.h"
#include "core/io.h"
#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>

const char *vdisk_version(void)
{
	return vd_version_text;
}

uint64_t vdisk_size(const vdisk_image *img) { return img->top->size; }
const char *vdisk_format_name(const vdisk_image *img) { return img->top->drv->info.name; }
const char *vdisk_path(const vdisk_image *img) { return img->path; }
bool vdisk_is_writable(const vdisk_image *img) { return img->claims && (img->top->flags & VD_LAYER_WRITABLE) && !img->top->broken; }
unsigned vdisk_depth(const vdisk_image *img) { return img->n_layers; }

const char *vdisk_layer_file(const vdisk_image *img, unsigned depth, unsigned file)
{
	return depth < img->n_layers && file < img->chain[depth]->n_files ? img->chain[depth]->files[file]->name : NULL;
}

static int layer_at(const vdisk_image *img, unsigned depth, struct vd_layer **l, vd_error *err)
{
	if (depth >= img->n_layers)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: has %u layers, none numbered %u", img->path, img->n_layers,
		               depth);
	*l = img->chain[depth];
	return 0;
}

int vdisk_layer_get(vdisk_image *img, unsigned depth, struct vdisk_layer_info *out, vdisk_error *err)
{
	struct vd_layer *l = NULL;

	if (layer_at(img, depth, &l, err))
		return -1;
	*out = (struct vdisk_layer_info){
		.path = l->path,
		.format = l->drv->info.name,
		.variant = l->variant,
		.virtual_size = l->size,
		.alloc_grain = l->alloc_grain,
		.parent_name = l->parent_ref.n_names ? l->parent_ref.names[0] : NULL,
		.parent_format = l->parent_ref.format,
		.parent_problem = l->parent_problem,
		.n_files = l->n_files,
	};
	for (unsigned i = 0; i < l->n_files; i++) {
		uint64_t allocated, size = vd_file_size(l->files[i]);

		if (vd_file_allocated(l->files[i], &allocated, err))
			return -1;
		out->allocated += allocated;
		out->host_size += size == UINT64_MAX ? 0 : size;
	}
	return 0;
}

int vdisk_layer_values(vdisk_image *img, unsigned depth, vdisk_value_fn fn, void *ctx, vdisk_error *err)
{
	struct vd_layer *l = NULL;
	int rc;

	if (layer_at(img, depth, &l, err))
		return -1;
	if (!l->drv->values)
		return 0;
	pthread_rwlock_rdlock(&l->lock);
	rc = l->drv->values(l, fn, ctx, err);
	pthread_rwlock_unlock(&l->lock);
	return rc;
}

/* ---------------------------------------------------------------- check */

struct check {
	struct vd_report report;
	vdisk_problem_fn fn;
	void *ctx;
	const char *path;
};

static void check_problem(struct vd_report *r, bool is_leak, uint64_t host_off, const char *fmt, ...)
{
	struct check *c = r->ctx;
	char text[VDISK_ERROR_MESSAGE_MAX];
	va_list ap;

	if (is_leak)
		r->result->leaks++;
	else
		r->result->corruptions++;
	if (!c->fn)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	c->fn(c->ctx, is_leak, host_off, text);
}

int vdisk_check(vdisk_image *img, uint32_t flags, vdisk_problem_fn fn, void *ctx, struct vdisk_check_result *out, vdisk_error *err)
{
	struct vd_layer *l = img->top;
	struct check c = {
		.report = { .problem = check_problem, .result = out, .repair = flags }, .fn = fn, .ctx = ctx, .path = img->path
	};
	int rc;

	c.report.ctx = &c;
	memset(out, 0, sizeof(*out));
	if (!l->drv->check)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: %s images have nothing to check", img->path,
		               l->drv->info.name);
	if (flags && (!img->claims || vd_layer_begin(l, err)))
		return img->claims ? -1 : vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: not open for writing", img->path);
	pthread_rwlock_wrlock(&l->lock);
	rc = l->drv->check(l, &c.report, err);
	pthread_rwlock_unlock(&l->lock);
	return rc ? vd_fail_in(err, "%s", img->path) : 0;
}

/* ---------------------------------------------------------------- resize, amend */

/* What the disk grew over reads as zeros: not as what the last unit held past the old end, nor as what a longer parent has
   there. */
static int grown_zero(vdisk_image *img, uint64_t old, vdisk_error *err)
{
	uint64_t size = img->top->size, end = vd_up(old, img->top->alloc_grain);

	for (unsigned i = 1; i < img->n_layers; i++)
		end = vd_max(end, img->chain[i]->size);
	if (img->top->parent_ref.n_names && !img->top->parent)
		end = size; /* how long the parent is was not looked at */
	end = vd_min(end, size);
	return old < end ? vd_zero(img, old, end - old, err) || vd_layer_flush(img->top, err) : 0;
}

int vdisk_resize(vdisk_image *img, uint64_t size, uint32_t flags, vdisk_error *err)
{
	struct vd_layer *l = img->top;
	uint64_t old = l->size;
	vd_error why = { 0 };
	struct vd_claim k;
	int rc;

	if (!img->claims)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: not open for writing", img->path);
	if (!l->drv->resize)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: %s images cannot be resized", img->path,
		               l->drv->info.name);
	if (size < l->size && !(flags & VDISK_RESIZE_SHRINK))
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
		               "%s: %" PRIu64 " bytes would cut off the end of the disk (%" PRIu64 " bytes); --shrink allows it",
		               img->path, size, l->size);
	if (l->drv->resize_judge && l->drv->resize_judge(l, size, err))
		return vd_fail_in(err, "%s", img->path);
	if (vd_layer_begin(l, err))
		return -1;
	vd_claim_take(img->claims, &k, 0, UINT64_MAX, true);
	pthread_rwlock_wrlock(&l->lock);
	rc = l->drv->resize(l, size, &why);
	/* What was refused changed nothing; anything else may have stopped half-way, with the driver's mind not what the file says
	   (C4). */
	if (rc && why.kind != VDISK_INVALID && why.kind != VDISK_UNSUPPORTED && why.kind != VDISK_REFUSED)
		l->broken = true;
	pthread_rwlock_unlock(&l->lock);
	vd_claim_drop(img->claims, &k);
	if (rc && err)
		*err = why;
	if (!rc)
		rc = grown_zero(img, old, err);
	return rc ? vd_fail_in(err, "%s", img->path) : 0;
}

int vdisk_amend(vdisk_image *img, const char *const *options, vdisk_error *err)
{
	struct vd_layer *l = img->top;
	struct vd_options *o;
	struct vd_claim k;
	int rc;

	if (!img->claims)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: not open for writing", img->path);
	if (!l->drv->amend)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: %s images have nothing to amend", img->path,
		               l->drv->info.name);
	if (vd_options_parse(l->drv->info.options, VDISK_OPT_FOR_AMEND, l->drv->info.name, options, &o, err))
		return -1;
	rc = vd_layer_begin(l, err);
	if (!rc) {
		vd_claim_take(img->claims, &k, 0, UINT64_MAX, true);
		pthread_rwlock_wrlock(&l->lock);
		rc = l->drv->amend(l, o, err) ? vd_fail_in(err, "%s", img->path) : 0;
		pthread_rwlock_unlock(&l->lock);
		vd_claim_drop(img->claims, &k);
	}
	vd_options_free(o);
	return rc;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bitmaps of an image's leaf: the guarded calls of the driver.  Where the image may be written to, they are made with every other
 * access to the disk kept out, since what was touched so far is stored first.
 */
#include "core/claims.h"
#include "core/image.h"
#include "base/bytes.h"

struct work {
	int (*run)(struct vd_layer *, const struct work *, vd_error *);
	const struct vd_bitmap_change *change;
	const char *name;
	vdisk_bitmap_fn list;
	vdisk_diff_fn range;
	void *ctx;
};

/* For reading: `l` is an image's leaf that may be in use for writing. */
static int work_look(vdisk_image *img, const struct work *w, vd_error *err)
{
	struct vd_layer *l = img->top;
	bool alone = img->claims && !l->broken;
	struct vd_claim k;
	int rc;

	if (!alone) {
		pthread_rwlock_rdlock(&l->lock);
		rc = w->run(l, w, err);
	} else {
		vd_claim_take(img->claims, &k, 0, UINT64_MAX, true);
		pthread_rwlock_wrlock(&l->lock);
		rc = l->drv->bitmaps->settle(l, err) || w->run(l, w, err) ? -1 : 0;
	}
	pthread_rwlock_unlock(&l->lock);
	if (alone)
		vd_claim_drop(img->claims, &k);
	return rc ? vd_fail_in(err, "%s", img->path) : 0;
}

static int work_change(vdisk_image *img, const struct work *w, vd_error *err)
{
	struct vd_layer *l = img->top, *from = w->change->from;
	struct vd_claim k;
	int rc;

	if (!l->drv->bitmaps)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: %s images have no bitmaps", img->path,
		               l->drv->info.name);
	if (!img->claims || (img->flags & VDISK_OPEN_INFO))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: not open for writing", img->path);
	if (vd_layer_begin(l, err))
		return -1;
	vd_claim_take(img->claims, &k, 0, UINT64_MAX, true);
	if (from && from != l)
		pthread_rwlock_rdlock(&from->lock);
	pthread_rwlock_wrlock(&l->lock);
	rc = w->run(l, w, err);
	pthread_rwlock_unlock(&l->lock);
	if (from && from != l)
		pthread_rwlock_unlock(&from->lock);
	vd_claim_drop(img->claims, &k);
	return rc ? vd_fail_in(err, "%s", img->path) : 0;
}

/* ---------------------------------------------------------------- looking */

static int list_run(struct vd_layer *l, const struct work *w, vd_error *err)
{
	return l->drv->bitmaps->list(l, w->list, w->ctx, err);
}

int vdisk_bitmaps(vdisk_image *img, vdisk_bitmap_fn fn, void *ctx, vdisk_error *err)
{
	struct work w = { .run = list_run, .list = fn, .ctx = ctx };

	return img->top->drv->bitmaps ? work_look(img, &w, err) : 0;
}

static int ranges_run(struct vd_layer *l, const struct work *w, vd_error *err)
{
	return l->drv->bitmaps->ranges(l, w->name, w->range, w->ctx, err);
}

int vdisk_bitmap_ranges(vdisk_image *img, const char *name, vdisk_diff_fn fn, void *ctx, vdisk_error *err)
{
	struct work w = { .run = ranges_run, .name = name, .range = fn, .ctx = ctx };

	if (!img->top->drv->bitmaps)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: %s images have no bitmaps", img->path,
		               img->top->drv->info.name);
	return work_look(img, &w, err);
}

/* ---------------------------------------------------------------- changing */

static int change_run(struct vd_layer *l, const struct work *w, vd_error *err)
{
	return l->drv->bitmaps->change(l, w->change, err);
}

static int change(vdisk_image *img, const struct vd_bitmap_change *c, vd_error *err)
{
	struct work w = { .run = change_run, .change = c };

	return work_change(img, &w, err);
}

static int name_judge(const char *name, vd_error *err)
{
	size_t n = strlen(name);

	if (!n || n > VDISK_BITMAP_NAME_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "a bitmap's name has 1 to %u bytes, not %zu",
		               VDISK_BITMAP_NAME_MAX, n);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
			               "a bitmap's name cannot hold the control character %#04x (byte %zu)",
			               (unsigned)(unsigned char)name[i], i);
	return 0;
}

int vdisk_bitmap_create(vdisk_image *img, const char *name, uint64_t granularity, uint32_t flags, vdisk_error *err)
{
	struct vd_bitmap_change c = { .what = VD_BITMAP_CREATE, .name = name, .granularity = granularity };

	c.disabled = flags & VDISK_BITMAP_DISABLED;
	return name_judge(name, err) ? -1 : change(img, &c, err);
}

int vdisk_bitmap_delete(vdisk_image *img, const char *name, vdisk_error *err)
{
	struct vd_bitmap_change c = { .what = VD_BITMAP_DELETE, .name = name };

	return change(img, &c, err);
}

int vdisk_bitmap_clear(vdisk_image *img, const char *name, vdisk_error *err)
{
	struct vd_bitmap_change c = { .what = VD_BITMAP_CLEAR, .name = name };

	return change(img, &c, err);
}

int vdisk_bitmap_enable(vdisk_image *img, const char *name, bool enable, vdisk_error *err)
{
	struct vd_bitmap_change c = { .what = enable ? VD_BITMAP_ENABLE : VD_BITMAP_DISABLE, .name = name };

	return change(img, &c, err);
}

int vdisk_bitmap_merge(vdisk_image *img, const char *name, vdisk_image *from, const char *from_name, vdisk_error *err)
{
	struct vd_bitmap_change c = { .what = VD_BITMAP_MERGE, .name = name, .from = from ? from->top : img->top,
	                              .from_name = from_name };

	if (from == img || (from && from->claims))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		               "%s: bitmaps are merged from the image itself, or one that is open for reading",
		               img->path);
	if (c.from->drv != img->top->drv)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: %s images have no bitmaps", from->path,
		               c.from->drv->info.name);
	return change(img, &c, err);
}

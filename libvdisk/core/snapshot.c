/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Internal snapshots of an image's leaf: which one is meant, and the guarded call of the driver, with every other access to the
 * disk kept out meanwhile: host space that a snapshot lets go must not be read by somebody who mapped it before.
 */
#include "core/claims.h"
#include "core/image.h"
#include "core/snapshot.h"
#include "base/bytes.h"

#include <stdlib.h>
#include <time.h>

int vdisk_snapshots(vdisk_image *img, vdisk_snapshot_fn fn, void *ctx, vdisk_error *err)
{
	struct vd_layer *l = img->top;
	int rc;

	if (!l->drv->snapshots)
		return 0;
	pthread_rwlock_rdlock(&l->lock);
	rc = l->drv->snapshots->list(l, fn, ctx, err);
	pthread_rwlock_unlock(&l->lock);
	return rc ? vd_fail_in(err, "%s", l->path) : 0;
}

/* ---------------------------------------------------------------- which one */

struct search {
	const char *which;
	uint32_t at, found, first;
	bool by_id, by_name; /* what the first one was found by */
};

static void search_see(void *ctx, const struct vdisk_snapshot_info *s)
{
	struct search *f = ctx;
	bool id = !strcmp(s->id, f->which), name = !strcmp(s->name, f->which);

	if ((id || name) && !f->found++) {
		f->first = f->at;
		f->by_id = id;
		f->by_name = name;
	}
	f->at++;
}

int vd_snapshot_find(vdisk_image *img, const char *which, uint32_t *i, vd_error *err)
{
	struct search f = { .which = which };
	char text[VDISK_SNAPSHOT_NAME_MAX * 4 + 1];

	if (vdisk_snapshots(img, search_see, &f, err))
		return -1;
	*i = f.first;
	if (f.found == 1)
		return 0;
	vd_printable(text, sizeof(text), which, vd_min(strlen(which), (size_t)VDISK_SNAPSHOT_NAME_MAX));
	if (!f.found)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: none of its %u internal snapshots has the ID or name '%s'",
		               img->path, f.at, text);
	return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
	               "%s: '%s' is the ID or name of %u internal snapshots: another one's must be said", img->path, text, f.found);
}

/* ---------------------------------------------------------------- changing them */

struct change {
	int (*run)(struct vd_layer *, const struct change *, vd_error *);
	const struct vd_new_snapshot *created;
	char *id;
	uint32_t i;
};

static int change_run(vdisk_image *img, const struct change *c, vd_error *err)
{
	struct vd_layer *l = img->top;
	struct vd_claim k;
	int rc;

	if (vd_layer_begin(l, err))
		return -1;
	vd_claim_take(img->claims, &k, 0, UINT64_MAX, true);
	pthread_rwlock_wrlock(&l->lock);
	rc = c->run(l, c, err);
	pthread_rwlock_unlock(&l->lock);
	vd_claim_drop(img->claims, &k);
	return rc ? vd_fail_in(err, "%s", img->path) : 0;
}

static int changeable(const vdisk_image *img, vd_error *err)
{
	const struct vd_snapshot_ops *ops = img->top->drv->snapshots;

	if (!ops || !ops->create)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: %s images have no internal snapshots", img->path,
		               img->top->drv->info.name);
	if (!img->claims || (img->flags & VDISK_OPEN_INFO))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: not open for writing", img->path);
	return 0;
}

static int create_run(struct vd_layer *l, const struct change *c, vd_error *err)
{
	return l->drv->snapshots->create(l, c->created, c->id, err);
}

static int apply_run(struct vd_layer *l, const struct change *c, vd_error *err)
{
	return l->drv->snapshots->apply(l, c->i, err);
}

static int remove_run(struct vd_layer *l, const struct change *c, vd_error *err)
{
	return l->drv->snapshots->remove(l, c->i, err);
}

int vd_date_now(uint64_t *sec, uint32_t *nsec, vd_error *err)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	struct timespec ts;
	char *end;

	if (epoch && *epoch) {
		*sec = strtoull(epoch, &end, 10);
		*nsec = 0;
		return *end ? vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "SOURCE_DATE_EPOCH is '%s', not a number of seconds",
		                      epoch)
		            : 0;
	}
	clock_gettime(CLOCK_REALTIME, &ts);
	*sec = (uint64_t)ts.tv_sec;
	*nsec = (uint32_t)ts.tv_nsec;
	return 0;
}

int vd_snapshot_name_judge(const char *name, vd_error *err)
{
	size_t n = strlen(name);

	if (!n || n > VDISK_SNAPSHOT_NAME_MAX)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "a snapshot's name has 1 to %u bytes, not %zu",
		               VDISK_SNAPSHOT_NAME_MAX, n);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
			               "a snapshot's name cannot hold the control character %#04x (byte %zu)",
			               (unsigned)(unsigned char)name[i], i);
	return 0;
}

int vdisk_snapshot_create(vdisk_image *img, const struct vdisk_snapshot_create_options *o, char *id, vdisk_error *err)
{
	struct vd_new_snapshot n = {
		.name = o->name, .date_sec = o->date_sec, .date_nsec = o->date_nsec, .vm_clock_nsec = o->vm_clock_nsec
	};
	char own_id[VDISK_SNAPSHOT_ID_MAX];
	struct change c = { .run = create_run, .created = &n, .id = id ? id : own_id };
	struct search f = { .which = o->name };

	if (changeable(img, err) || vd_snapshot_name_judge(o->name, err))
		return -1;
	if (!(o->flags & VDISK_SNAPSHOT_SAME_NAME) && vdisk_snapshots(img, search_see, &f, err))
		return -1;
	if (f.found)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: '%s' is already the %s of an internal snapshot", img->path,
		               o->name, f.by_name ? "name" : "ID");
	if (o->date_sec == UINT64_MAX && vd_date_now(&n.date_sec, &n.date_nsec, err))
		return -1;
	return change_run(img, &c, err);
}

int vd_snapshot_apply_at(vdisk_image *img, uint32_t i, vd_error *err)
{
	struct change c = { .run = apply_run, .i = i };

	return changeable(img, err) ? -1 : change_run(img, &c, err);
}

int vdisk_snapshot_apply(vdisk_image *img, const char *which, vdisk_error *err)
{
	uint32_t i;

	return changeable(img, err) || vd_snapshot_find(img, which, &i, err) ? -1 : vd_snapshot_apply_at(img, i, err);
}

int vdisk_snapshot_delete(vdisk_image *img, const char *which, vdisk_error *err)
{
	struct change c = { .run = remove_run };

	return changeable(img, err) || vd_snapshot_find(img, which, &c.i, err) ? -1 : change_run(img, &c, err);
}

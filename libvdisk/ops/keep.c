/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Conversions that keep snapshots: each state of the source becomes a snapshot inside the new image, or an image of its own below
 * it.
 *
 * State after state, parents first; of each only what differs from the one that it goes on from is read and stored.  Here is what
 * both ways share, and what is judged before either begins.
 */
#include "ops/keep.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/path.h"

#include <string.h>
#include <unistd.h>

/* ---------------------------------------------------------------- progress over all states */

static void progress_pass(void *ctx, const struct vdisk_progress *p)
{
	struct vd_keep *k = ctx;
	struct vdisk_progress all = *p;

	all.done = vd_min(k->done + p->done, k->total);
	all.total = k->total;
	k->c->progress(k->c->progress_ctx, &all);
}

struct vdisk_job_options vd_keep_job(struct vd_keep *k)
{
	return (struct vdisk_job_options){ .threads = k->c->threads, .memory_bytes = k->c->memory_bytes, .cancel = k->c->cancel,
		                           .progress = k->c->progress ? progress_pass : NULL, .progress_ctx = k };
}

struct vdisk_convert_options vd_keep_options(struct vd_keep *k)
{
	struct vdisk_convert_options o = *k->c;

	o.progress = k->c->progress ? progress_pass : NULL;
	o.progress_ctx = k;
	return o;
}

/* ---------------------------------------------------------------- states in their order */

int vd_keep_states(struct vd_keep *k, int (*fn)(struct vd_keep *k, size_t i, vdisk_image *before, vdisk_image *now, vd_error *err),
                   vd_error *err)
{
	vdisk_image *last = NULL;
	int rc = 0;

	for (size_t i = 0; i < k->states.n && !rc; i++) {
		int parent = k->states.v[i].parent;
		vdisk_image *other = NULL, *now = NULL;

		if (parent >= 0 && (size_t)parent + 1 != i)
			rc = vd_state_open(&k->states, (size_t)parent, &other, err);
		if (!rc)
			rc = vd_state_open(&k->states, i, &now, err);
		if (!rc) {
			rc = fn(k, i, other ? other : parent >= 0 ? last : NULL, now, err);
			k->done += now->top->size;
		}
		vdisk_close(other, NULL);
		vdisk_close(last, NULL);
		last = now;
	}
	vdisk_close(last, NULL);
	return rc;
}

/* ---------------------------------------------------------------- the whole */

#define LAYER_NUMBER_MAX 1000000u

/* The first name of the new disk's that is taken in *taken, owned; NULL: none is. */
static int names_look(const struct vd_keep *k, size_t from, char **taken, vd_error *err)
{
	*taken = NULL;
	for (size_t i = from; i < k->states.n; i++) {
		VD_AUTO_FREE char *name = vd_keep_layer_name(k, i);

		if (!name)
			return vd_fail_nomem(err, strlen(k->path));
		if (access(name, F_OK))
			continue;
		*taken = name;
		name = NULL;
		return 0;
	}
	return 0;
}

static int names_judge(struct vd_keep *k, enum vdisk_keep as, vd_error *err)
{
	size_t leaf = k->states.n - 1;
	VD_AUTO_FREE char *taken = NULL;

	for (size_t s = 0; s < k->states.n; s++)
		if (vd_same_path(k->states.v[s].path, k->path))
			return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET, "%s: is an image of the source", k->path);
	if (k->c->flags & VDISK_CONVERT_OVERWRITE && as == VDISK_KEEP_INSIDE)
		return 0;
	if (names_look(k, as == VDISK_KEEP_LAYERS ? 0 : leaf, &taken, err))
		return -1;
	if (taken && !(k->c->flags & VDISK_CONVERT_OVERWRITE))
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET, "%s: exists; --force replaces %s", taken, k->path);
	while (taken && leaf && strcmp(taken, k->path)) {
		vd_free(taken);
		taken = NULL;
		if (++k->first > LAYER_NUMBER_MAX)
			return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: there are layers numbered up to %u already",
			               k->path, LAYER_NUMBER_MAX);
		if (names_look(k, 0, &taken, err))
			return -1;
	}
	return 0;
}

static int keep_judge(struct vd_keep *k, enum vdisk_keep *as, vd_error *err)
{
	const struct vdisk_convert_options *c = k->c;
	bool inside = k->format->caps & VDISK_FORMAT_SNAPSHOTS, layers = k->format->caps & VDISK_FORMAT_BACKING;

	if (*as == VDISK_KEEP_AUTO)
		*as = inside ? VDISK_KEEP_INSIDE : VDISK_KEEP_LAYERS;
	if (*as == VDISK_KEEP_INSIDE ? !inside : !layers)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s images have no snapshots%s", k->format->name,
		               *as == VDISK_KEEP_INSIDE && layers ? " inside" : "");
	if (c->backing || c->manifest || c->n_skip ||
	    c->flags & (VDISK_CONVERT_DIGEST | VDISK_CONVERT_CHECKPOINT | VDISK_CONVERT_RESUME | VDISK_CONVERT_PUNCH_SOURCE |
	                VDISK_CONVERT_DRY_RUN))
		return vd_fail(
			err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			"snapshots are kept in a conversion from front to back, without backing image, manifest, digest or record");
	if (*as == VDISK_KEEP_INSIDE && c->flags & VDISK_CONVERT_COMPRESS)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "states after the first are written plainly: without compression, or as layers");
	return 0;
}

int vdisk_convert_snapshots(const char *src, const char *path, const struct vdisk_keep_options *o, struct vdisk_keep_report *report,
                            vdisk_error *err)
{
	static const struct vdisk_open_options plain;
	const struct vdisk_open_options *open = o->open ? o->open : &plain;
	VD_AUTO_FREE uint8_t *buf = vd_malloc(VD_KEEP_BUFFER);
	struct vdisk_keep_options how = *o;
	struct vd_keep k = {
		.c = o->convert, .how = &how, .format = vdisk_format_find(o->convert->format), .path = path, .buf = buf
	};
	enum vdisk_keep as = o->as;
	vdisk_image *leaf;
	int rc;

	if (!buf)
		return vd_fail_nomem(err, VD_KEEP_BUFFER);
	if (!k.format)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "there is no format '%s'", o->convert->format);
	if (keep_judge(&k, &as, err) || vdisk_open(src, open, &leaf, err))
		return -1;
	how.open = open;
	rc = vd_states_load(leaf, &how, &k.states, err);
	vdisk_close(leaf, NULL);
	if (rc)
		return -1;
	for (size_t i = 0; i < k.states.n; i++)
		k.total += k.states.v[i].size;
	rc = names_judge(&k, as, err);
	if (!rc)
		rc = as == VDISK_KEEP_INSIDE ? vd_keep_inside(&k, err) : vd_keep_layers(&k, err);
	k.report.snapshots = k.states.n - 1;
	k.report.branches = k.states.n - 1 - k.states.line;
	k.report.as = as;
	if (!rc && report)
		*report = k.report;
	vd_states_free(&k.states);
	vd_paths_free(&k.made);
	return rc;
}

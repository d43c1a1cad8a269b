/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding and opening a state of a disk by its name, and what has changed since. */
#include "state.h"
#include "output.h"
#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sought {
	const char *name;
	char path[VDISK_PATH_MAX];
	bool external;
	unsigned found;
};

static void node_see(void *ctx, const struct vdisk_snapshot_node *s)
{
	struct sought *d = ctx;
	if (s->kind == VDISK_SNAPSHOT_VMWARE || (strcmp(s->id, d->name) && (!s->name || strcmp(s->name, d->name))))
		return;
	d->found++;
	d->external = s->kind == VDISK_SNAPSHOT_EXTERNAL;
	if (d->external)
		snprintf(d->path, sizeof(d->path), "%s", s->files[0]);
}

static int parent_open(const char *path, const struct vdisk_open_options *open, vdisk_image **img)
{
	struct vdisk_open_options o = *open;
	struct vdisk_layer_info info;
	vdisk_error err = { 0 };
	vdisk_image *chain;
	if (vdisk_open(path, open, &chain, &err))
		return fail_vdisk(&err);
	int status = 0;
	if (vdisk_depth(chain) < 2)
		status = fail("%s: has no parent", shown(path));
	else if (vdisk_layer_get(chain, 1, &info, &err))
		status = fail_vdisk(&err);
	if (!status) {
		o.format = info.format;
		o.options = NULL;
		if (vdisk_open(info.path, &o, img, &err))
			status = fail_vdisk(&err);
	}
	source_close(chain);
	return status;
}

int state_open(const char *path, const struct vdisk_open_options *open, const char *name, vdisk_image **img)
{
	struct vdisk_open_options o = *open;
	struct sought d = { .name = name };
	struct opt_list opts = { 0 };
	vdisk_error err = { 0 };
	snprintf(d.path, sizeof(d.path), "%s", path);
	if (name && vdisk_snapshot_tree(path, open, node_see, &d, &err))
		return fail_vdisk(&err);
	if (name && !d.found && !strcmp(name, "parent"))
		return parent_open(path, open, img);
	if (name && d.found != 1)
		return d.found ? fail("%s: \"%s\" is the name or ID of %u snapshots", shown(path), shown(name), d.found) :
		                 fail("%s: no snapshot has the name or ID \"%s\"", shown(path), shown(name));
	for (size_t i = 0; o.options && o.options[i]; i++)
		opt_list_add(&opts, o.options[i], strlen(o.options[i]));
	if (name && !d.external)
		opt_list_add_pair(&opts, "snapshot", name);
	if (d.external)
		o.format = NULL;
	o.options = d.external ? NULL : opts.v;
	int r = vdisk_open(d.path, &o, img, &err);
	opt_list_free(&opts);
	return r ? fail_vdisk(&err) : 0;
}

struct taking {
	struct ranges *changed;
	bool lacks;
};

static bool range_take(void *ctx, uint64_t off, uint64_t len)
{
	struct taking *t = ctx;
	t->lacks = ranges_add(t->changed, off, off + len) != 0;
	return !t->lacks;
}

int state_changes(const char *path, const struct source_args *source, const char *name, vdisk_image *img, bool places,
                  struct ranges *changed)
{
	struct opt_list opts = { 0 };
	struct taking t = { .changed = changed };
	vdisk_error err = { 0 };
	vdisk_image *then;
	if (!strncmp(name, STATE_BITMAP, strlen(STATE_BITMAP))) {
		int r = vdisk_bitmap_ranges(img, name + strlen(STATE_BITMAP), range_take, &t, &err) ? fail_vdisk(&err) : 0;
		return !r && t.lacks ? fail("out of memory") : r;
	}
	source_options_collect(source, &opts);
	const struct vdisk_open_options open = {
		.format = source->format,
		.flags = source->share ? VDISK_OPEN_NO_LOCK : 0,
		.options = opts.v,
		.allow_dirs = source->allow_dirs.v,
		.parent_map = source->parents.v,
		.remote = &source->remote,
		.cancel = cancel_asked(),
		.log = output_log,
	};
	int status = state_open(path, &open, name, &then);
	opt_list_free(&opts);
	if (status)
		return status;
	if ((places ? vdisk_diff_places : vdisk_diff)(then, img, NULL, range_take, &t, &err))
		status = fail_vdisk(&err);
	source_close(then);
	return !status && t.lacks ? fail("out of memory") : status;
}

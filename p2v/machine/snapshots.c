/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshots and their images in the model.  Nothing is opened here: what an image itself says of its parent is chain.c's
   business. */
#include "snapshots.h"

#include "common/fail.h"

#include <string.h>

int machine_image_find(const struct machine *m, const char *uuid, const char *path)
{
	for (size_t i = 0; i < m->images_n; i++) {
		const struct machine_image *x = &m->images[i];

		if (uuid ? x->uuid && !strcmp(uuid, x->uuid) : path && x->path && !strcmp(path, x->path))
			return (int)i;
	}
	return -1;
}

int machine_state_find(const struct machine *m, size_t snapshot, const char *disk)
{
	for (size_t i = 0; i < m->states_n; i++)
		if (m->states[i].snapshot == (int)snapshot && disk && m->states[i].disk && !strcmp(m->states[i].disk, disk))
			return m->states[i].image;
	return -1;
}

int machine_disk_image(const struct machine *m, const struct machine_disk *d)
{
	return d->path || d->image_uuid ? machine_image_find(m, d->image_uuid, d->path) : -1;
}

/* ---------------------------------------------------------------- judging */

static bool within(int place, size_t n) { return place >= -1 && (place < 0 || (size_t)place < n); }

static int image_judge(const struct machine *m, size_t at, vdisk_error *err)
{
	const struct machine_image *x = &m->images[at];
	size_t steps = 0;

	if (!within(x->parent, m->images_n))
		return fail(err, VDISK_CORRUPT, "image %zu lies over image %d, which is none", at + 1, x->parent);
	for (int up = x->parent; up >= 0; up = m->images[up].parent) {
		if (up == (int)at)
			return fail(err, VDISK_CORRUPT, "the image %.128s is its own ancestor",
			            x->uuid   ? x->uuid
			            : x->path ? x->path
			                      : "without a name");
		if (++steps > m->images_n)
			return fail(err, VDISK_CORRUPT, "the images that image %zu lies over are a circle", at + 1);
		if (steps >= SNAPSHOTS_DEPTH_MAX)
			return fail(err, VDISK_UNSUPPORTED, "images lie more than %d deep over each other", SNAPSHOTS_DEPTH_MAX);
		if (!within(m->images[up].parent, m->images_n))
			return fail(err, VDISK_CORRUPT, "image %d lies over image %d, which is none", up + 1, m->images[up].parent);
	}
	for (size_t i = 0; i < at; i++)
		if (x->uuid && m->images[i].uuid && !strcmp(x->uuid, m->images[i].uuid))
			return fail(err, VDISK_CORRUPT, "two images have the UUID %.64s", x->uuid);
	return 0;
}

static int snapshot_judge(const struct machine *m, size_t at, vdisk_error *err)
{
	const struct machine_snapshot *s = &m->snapshots[at];
	size_t steps = 0;

	if (!s->id)
		return fail(err, VDISK_CORRUPT, "snapshot %zu has no UUID", at + 1);
	if (!within(s->parent, m->snapshots_n))
		return fail(err, VDISK_CORRUPT, "snapshot %.64s goes on from snapshot %d, which is none", s->id, s->parent);
	for (int up = s->parent; up >= 0; up = m->snapshots[up].parent)
		if (++steps > m->snapshots_n || !within(m->snapshots[up].parent, m->snapshots_n))
			return fail(err, VDISK_CORRUPT, "the snapshot %.64s is its own ancestor", s->id);
	for (size_t i = 0; i < at; i++)
		if (!strcmp(s->id, m->snapshots[i].id))
			return fail(err, VDISK_CORRUPT, "two snapshots have the UUID %.64s", s->id);
	return 0;
}

int snapshots_judge(const struct machine *m, vdisk_error *err)
{
	for (size_t i = 0; i < m->images_n; i++)
		if (image_judge(m, i, err))
			return -1;
	for (size_t i = 0; i < m->snapshots_n; i++)
		if (snapshot_judge(m, i, err))
			return -1;
	for (size_t i = 0; i < m->states_n; i++) {
		const struct machine_state *s = &m->states[i];

		if (s->snapshot < 0 || (size_t)s->snapshot >= m->snapshots_n || s->image < 0 || (size_t)s->image >= m->images_n ||
		    !s->disk)
			return fail(err, VDISK_CORRUPT, "state %zu is of snapshot %d and image %d, which are none", i + 1,
			            s->snapshot, s->image);
	}
	return 0;
}

/* ---------------------------------------------------------------- what is lost */

void snapshots_lost(const struct machine *m, bool disks, struct machine_lost_list *lost)
{
	for (size_t i = 0; i < m->snapshots_n; i++) {
		const struct machine_snapshot *s = &m->snapshots[i];
		const char *name = s->name ? s->name : s->id;

		if (!disks)
			machine_lost_add(lost, name, "the machine is taken as it is now", "snapshot %zu", i + 1);
		if (s->memory)
			machine_lost_add(lost, s->memory, "another system cannot go on with it",
			                 "snapshot %zu, %.128s: memory of the running machine", i + 1, name);
	}
	if (disks && m->snapshots_n)
		machine_lost_add(lost, NULL, "what is kept is their disks", "snapshots: the machine's own settings at their time");
}

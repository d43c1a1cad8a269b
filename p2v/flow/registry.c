/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VirtualBox's account of images and snapshots, of the result: images as they name each other by their UUIDs, and snapshots, of all
 * disks together, as each disk tells of its own.  Snapshots are one where name and date are, and what they go on from.
 */
#include "flow/flow.h"

#include "common/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---------------------------------------------------------------- images */

/* VirtualBox reads a VHD's identity as a GUID, whose first fields are in the other byte order than those of the others' UUIDs. */
static void uuid_see(void *ctx, const struct vdisk_value *v)
{
	if (v->type == VDISK_VALUE_STRING && !strcmp(v->key, "uuid"))
		snprintf(ctx, 37, "%.36s", v->str);
}

/* One layer of the result, over the image `parent`; its place among the images in *at. */
static int image_take(struct flow *f, vdisk_image *img, unsigned depth, int parent, int *at, vdisk_error *err)
{
	struct vdisk_layer_info info;
	struct machine_image *x;
	char text[37] = "", uuid[37];
	const char *slash, *known;

	if (vdisk_layer_get(img, depth, &info, err) || vdisk_layer_values(img, depth, uuid_see, text, err))
		return -1;
	flow_uuid_swap(f->format, text, uuid);
	known = machine_uuid(f->m, uuid);
	*at = known ? machine_image_find(f->m, known, NULL) : -1;
	if (*at >= 0)
		return 0;
	x = machine_image_add(f->m);
	if (!x)
		return machine_judge(f->m, err);
	slash = strrchr(info.path, '/');
	x->uuid = known;
	x->path = machine_text(f->m, slash ? slash + 1 : info.path);
	x->format = machine_text(f->m, f->format);
	x->parent = parent;
	*at = (int)f->m->images_n - 1;
	return 0;
}

/* *at: the image itself. */
static int chain_take(struct flow *f, const char *path, int *at, vdisk_error *err)
{
	const struct vdisk_open_options o = {.format = f->format, .flags = VDISK_OPEN_INFO | VDISK_OPEN_CHAIN};
	vdisk_image *img;
	int rc = 0;

	*at = -1;
	if (vdisk_open(path, &o, &img, err))
		return -1;
	for (unsigned d = vdisk_depth(img); !rc && d-- > 0;)
		rc = image_take(f, img, d, *at, at, err);
	vdisk_close(img, NULL);
	return rc;
}

/* ---------------------------------------------------------------- snapshots */

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v = json_object_object_get(o, key);

	return v ? json_object_get_string(v) : NULL;
}

static uint64_t date_of(struct json_object *row)
{
	const char *text = text_of(row, "date");
	struct tm tm = {0};
	time_t t = text && strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm) ? timegm(&tm) : 0;

	return t > 0 ? (uint64_t)t : 0;
}

/* The snapshot that the row is one disk's part of; -1: none yet. */
static int snapshot_find(const struct flow *f, struct json_object *row, const char *disk)
{
	for (size_t i = 0; i < f->m->snapshots_n; i++) {
		const struct machine_snapshot *s = &f->m->snapshots[i];

		if (!strcmp(s->name ? s->name : "", text_of(row, "name")) && s->date == date_of(row) &&
		    machine_state_find(f->m, i, disk) < 0)
			return (int)i;
	}
	return -1;
}

static int snapshot_add(struct flow *f, struct json_object *row, int parent, vdisk_error *err)
{
	struct machine_snapshot *s = machine_snapshot_add(f->m);
	char seed[64], id[37];

	if (!s)
		return machine_judge(f->m, err);
	snprintf(seed, sizeof(seed), "snapshot %zu", f->m->snapshots_n);
	describe_image_uuid(f->m, seed, id);
	s->id = machine_uuid(f->m, id);
	s->name = machine_text_clean(f->m, text_of(row, "name"));
	s->description = machine_text_clean(f->m, text_of(row, "description"));
	s->date = date_of(row);
	s->parent = parent;
	s->current = json_object_get_boolean(json_object_object_get(row, "current"));
	return 0;
}

/* *agree false: the disks' trees are none of one machine. */
static int row_take(struct flow *f, const struct flow_disk *d, size_t at, int image, int *snapshots, bool *agree, vdisk_error *err)
{
	struct json_object *row = json_object_array_get_idx(d->kept, at);
	const char *over = text_of(row, "parent"), *disk = d->d->name ? d->d->name : "";
	struct machine_state *state;
	int parent = -1, found;

	for (size_t i = 0; over && i < at; i++)
		if (!strcmp(over, text_of(json_object_array_get_idx(d->kept, i), "id")))
			parent = snapshots[i];
	found = snapshot_find(f, row, disk);
	if (found < 0) {
		if (snapshot_add(f, row, parent, err))
			return -1;
		found = (int)f->m->snapshots_n - 1;
	}
	*agree = *agree && f->m->snapshots[found].parent == parent &&
		 f->m->snapshots[found].current == json_object_get_boolean(json_object_object_get(row, "current"));
	snapshots[at] = found;
	state = machine_state_add(f->m);
	if (!state)
		return machine_judge(f->m, err);
	state->snapshot = found;
	state->image = image;
	state->disk = machine_text(f->m, disk);
	return 0;
}

static int disk_take(struct flow *f, const struct flow_disk *d, bool *agree, vdisk_error *err)
{
	size_t n = json_object_array_length(d->kept);
	int *snapshots = calloc(n + 1, sizeof(*snapshots)), at, rc = snapshots ? 0 : fail_nomem(err);

	for (size_t i = 0; !rc && i < n; i++) {
		char *path = flow_file(f, text_of(json_object_array_get_idx(d->kept, i), "file"));

		rc = !path                                                                           ? fail_nomem(err)
		     : chain_take(f, path, &at, err) || row_take(f, d, i, at, snapshots, agree, err) ? -1
												     : 0;
		free(path);
	}
	free(snapshots);
	return rc || chain_take(f, d->work, &at, err) ? -1 : 0;
}

/* VirtualBox has one tree, of which the machine goes on from one, and each holds a state of every disk. */
static bool is_tree(const struct flow *f)
{
	const struct machine *m = f->m;
	size_t roots = 0, current = 0;

	for (size_t i = 0; i < m->snapshots_n; i++) {
		roots += m->snapshots[i].parent < 0;
		current += m->snapshots[i].current;
	}
	return roots == 1 && current == 1 && m->states_n == m->snapshots_n * f->n_disks;
}

int flow_registry(struct flow *f, enum describe_kind kind, vdisk_error *err)
{
	bool agree = true, any = false;

	f->m->images_n = f->m->snapshots_n = f->m->states_n = 0;
	if (kind != DESCRIBE_VBOX)
		return 0;
	for (size_t i = 0; i < f->n_disks; i++) {
		any |= f->disks[i].layers;
		if (f->disks[i].layers && disk_take(f, &f->disks[i], &agree, err))
			return -1;
	}
	if (any && (!agree || !is_tree(f))) {
		f->m->snapshots_n = f->m->states_n = 0;
		flow_layers_note(f);
	} else if (any) {
		flow_note(
		    f,
		    "the images of snapshots are protected from being written to: to delete snapshots, VirtualBox wants them to be "
		    "writable (chmod u+w)");
	}
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See chain.h.  Images are opened for their facts only, one layer at a time, and names in them are followed below the description's
   folder alone. */
#include "chain.h"

#include "common/fail.h"
#include "hyperv_snapshots.h"
#include "snapshots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void chain_free(struct chain *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->ancestors[i]);
	free(c->ancestors);
	free(c->path);
	free(c->format);
	*c = (struct chain){ 0 };
}

bool chain_same_file(const char *a, const char *b)
{
	struct stat x, y;

	return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int chain_place(const struct chain *c, const char *path)
{
	for (size_t i = 0; i < c->n; i++)
		if (chain_same_file(c->ancestors[i], path))
			return (int)i;
	return -1;
}

/* Takes the path, which may be NULL: it was not found. */
static int ancestor_add(struct chain *c, char *path, vdisk_error *err)
{
	char **more = path ? realloc(c->ancestors, (c->n + 2) * sizeof(*more)) : NULL;

	if (!more) {
		free(path);
		return path ? fail_nomem(err) : -1;
	}
	c->ancestors = more;
	c->ancestors[c->n++] = path;
	c->ancestors[c->n] = NULL;
	return 0;
}

/* ---------------------------------------------------------------- by what images say */

/* What the image at `path` calls its parent, to be freed; NULL: it has none, or cannot be read (whoever opens it will hear why). */
static char *parent_name(const char *path, const char *format)
{
	const struct vdisk_open_options o = { .format = format, .flags = VDISK_OPEN_INFO | VDISK_OPEN_NO_PARENT };
	struct vdisk_layer_info info;
	vdisk_image *img;
	char *name;

	if (vdisk_open(path, &o, &img, NULL))
		return NULL;
	name = !vdisk_layer_get(img, 0, &info, NULL) && info.parent_name ? strdup(info.parent_name) : NULL;
	vdisk_close(img, NULL);
	return name;
}

/* Beside the image, which has to lie below the description's folder; else as the description's own names. */
static char *parent_locate(const struct locate *l, const char *child, const char *name)
{
	const char *slash = strrchr(child, '/');
	char *beside = NULL, *path;

	if (!(machine_path_flags(name) & (MACHINE_PATH_ABSOLUTE | MACHINE_PATH_REMOTE)) &&
	    asprintf(&beside, "%.*s%s", slash ? (int)(slash - child) + 1 : 0, child, name) < 0)
		return NULL;
	if (beside && !access(beside, F_OK)) {
		struct locate here = { .folder = l->folder, .allow = l->allow };
		char *real = realpath(beside, NULL);

		free(beside);
		path = real ? machine_locate(&here, real, NULL) : NULL;
		free(real);
		return path;
	}
	free(beside);
	return machine_locate(l, name, NULL);
}

/* Stops where an image names a parent that is not found: opening the chain will say so, by its name. */
static int ancestors_ask(const struct locate *l, struct chain *c, vdisk_error *err)
{
	for (;;) {
		const char *last = c->n ? c->ancestors[c->n - 1] : c->path;
		char *name = parent_name(last, c->format), *path = name ? parent_locate(l, last, name) : NULL;

		free(name);
		if (!path)
			return 0;
		if (c->n == SNAPSHOTS_DEPTH_MAX || chain_same_file(path, c->path) || chain_place(c, path) >= 0) {
			fail(err, VDISK_CORRUPT, "%s: is its own ancestor, or has too many", path);
			free(path);
			return -1;
		}
		if (ancestor_add(c, path, err))
			return -1;
	}
}

/* ---------------------------------------------------------------- one chain */

int chain_find(const struct machine *m, const struct locate *l, int image, struct chain *c, vdisk_error *err)
{
	const struct machine_image *x = &m->images[image];

	*c = (struct chain){ .ancestors = calloc(1, sizeof(*c->ancestors)) };
	if (!c->ancestors || (x->format && !(c->format = strdup(x->format))))
		return fail_nomem(err);
	if (!x->path)
		return fail(err, VDISK_INVALID, "the description does not say where the image %s is",
		            x->uuid ? x->uuid : "without a name");
	c->path = machine_locate(l, x->path, err);
	if (!c->path)
		return -1;
	if (m->parents_by_images)
		return ancestors_ask(l, c, err);
	for (int up = x->parent; up >= 0; up = m->images[up].parent) {
		const char *name = m->images[up].path;

		if (!name)
			return fail(err, VDISK_INVALID, "the description does not say where the image %s is",
			            m->images[up].uuid ? m->images[up].uuid : "");
		if (ancestor_add(c, machine_locate(l, name, err), err))
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- snapshots by their images */

/* The snapshot whose image lies nearest below; -1: none. */
static int snapshot_below(const struct machine *m, const struct locate *l, const struct chain *c, int but)
{
	int found = -1, nearest = SNAPSHOTS_DEPTH_MAX + 1;

	for (size_t i = 0; i < m->states_n; i++) {
		const struct machine_state *s = &m->states[i];
		char *path = s->snapshot == but ? NULL : machine_locate(l, m->images[s->image].path, NULL);
		int place = path ? chain_place(c, path) : -1;

		free(path);
		if (place >= 0 && place < nearest) {
			nearest = place;
			found = s->snapshot;
		}
	}
	return found;
}

/* *out: what the image's disk goes on from; what cannot be found out is left to whoever lists or opens the image. */
static int below_find(const struct machine *m, const struct locate *l, int image, int but, int *out, vdisk_error *err)
{
	struct chain c;
	vdisk_error why = { 0 };
	int rc = 0;

	*out = -1;
	if (!chain_find(m, l, image, &c, &why))
		*out = snapshot_below(m, l, &c, but);
	else if (why.kind == VDISK_CORRUPT || why.kind == VDISK_NOMEM)
		rc = fail(err, why.kind, "%s", why.message);
	chain_free(&c);
	return rc;
}

int snapshots_join(struct machine *m, const struct locate *l, vdisk_error *err)
{
	int below;

	if (!m->parents_by_images)
		return 0;
	for (size_t i = 0; i < m->states_n; i++) {
		struct machine_state *s = &m->states[i];

		if (m->snapshots[s->snapshot].parent >= 0)
			continue; /* told by another of its disks */
		if (below_find(m, l, s->image, s->snapshot, &below, err))
			return -1;
		m->snapshots[s->snapshot].parent = below;
	}
	for (size_t i = 0; i < m->disks_n; i++) {
		int image = machine_disk_image(m, &m->disks[i]);

		if (image < 0)
			continue;
		if (below_find(m, l, image, -1, &below, err))
			return -1;
		if (below < 0)
			continue;
		m->snapshots[below].current = true;
		break;
	}
	return machine_judge(m, err);
}

int snapshots_load(struct machine *m, enum describe_kind kind, const char *description, const struct locate *l, vdisk_error *err)
{
	char *own = kind == DESCRIBE_HYPERV ? machine_folder(description, DESCRIBE_UNKNOWN) : NULL;
	bool is_snapshot = own && folder_is_called(own, "Snapshots");

	free(own);
	if (kind != DESCRIBE_HYPERV || is_snapshot) /* which is a state by itself */
		return 0;
	return hyperv_snapshots_read(m, l->folder, err);
}

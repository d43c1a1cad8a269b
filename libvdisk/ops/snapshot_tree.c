/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A disk's external snapshots, joined with its chain; and the list of all that there are. */
#include "ops/snapshot_tree.h"
#include "ops/snapshot_record.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/path.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* ---------------------------------------------------------------- the tree */

struct vd_snap *vd_snap_tree_add(struct vd_snap_tree *t, vd_error *err)
{
	struct vd_snap *more;

	if (t->n >= VD_SNAPSHOTS_MAX + VD_CHAIN_MAX) {
		vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "more than %u snapshots", VD_SNAPSHOTS_MAX);
		return NULL;
	}
	if (t->n == t->cap) {
		more = vd_realloc(t->v, t->cap ? t->cap * 2 : 8, sizeof(*more));
		if (!more) {
			vd_fail_nomem(err, t->cap * sizeof(*more));
			return NULL;
		}
		t->v = more;
		t->cap = t->cap ? t->cap * 2 : 8;
	}
	t->v[t->n] = (struct vd_snap){ .parent = -1, .depth = UINT_MAX };
	return &t->v[t->n++];
}

static void snap_free(struct vd_snap *s)
{
	vd_free(s->id);
	vd_free(s->name);
	vd_free(s->description);
	vd_free(s->problem);
	vd_free(s->format);
	vd_paths_free(&s->files);
}

void vd_snap_tree_drop(struct vd_snap_tree *t, size_t i)
{
	snap_free(&t->v[i]);
	memmove(t->v + i, t->v + i + 1, (t->n - i - 1) * sizeof(*t->v));
	t->n--;
}

void vd_snap_tree_free(struct vd_snap_tree *t)
{
	for (size_t i = 0; i < t->n; i++)
		snap_free(&t->v[i]);
	vd_free(t->v);
	vd_paths_free(&t->leaves);
	vd_free(t->record);
	vd_free(t->vmsd);
	*t = (struct vd_snap_tree){ 0 };
}

int vd_snap_tree_by_path(const struct vd_snap_tree *t, const char *path)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].uid && t->v[i].kind == VDISK_SNAPSHOT_EXTERNAL && vd_same_path(t->v[i].files.v[0], path))
			return (int)i;
	return -1;
}

int vd_snap_tree_find(const struct vd_snap_tree *t, const char *leaf, const char *which, size_t *i, vd_error *err)
{
	char text[VDISK_SNAPSHOT_NAME_MAX * 4 + 1];
	unsigned found = 0, all = 0;

	for (size_t k = 0; k < t->n; k++) {
		const struct vd_snap *s = &t->v[k];

		if (!s->uid || s->kind != VDISK_SNAPSHOT_EXTERNAL)
			continue;
		all++;
		if (strcmp(s->id, which) && strcmp(s->name, which))
			continue;
		found++;
		*i = k;
	}
	if (found == 1)
		return 0;
	vd_printable(text, sizeof(text), which, vd_min(strlen(which), (size_t)VDISK_SNAPSHOT_NAME_MAX));
	if (found)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
			       "%s: '%s' is the ID or name of %u snapshots: another one's must be said", leaf, text, found);
	if (!all && t->vmsd)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "%s: its snapshots are VMware's (%s): they are listed here, and changed there", leaf, t->vmsd);
	return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: none of its %u external snapshots has the ID or name '%s'", leaf,
		       all, text);
}

/* ---------------------------------------------------------------- joined with the chain */

static unsigned depth_of(const vdisk_image *chain, const char *path)
{
	for (unsigned i = 0; i < chain->n_layers; i++)
		if (vd_same_path(chain->chain[i]->path, path))
			return i;
	return UINT_MAX;
}

/* Of the snapshots on the images chain[from…], the one highest up. */
static int nearest(const struct vd_snap_tree *t, const vdisk_image *chain, unsigned from)
{
	for (unsigned d = from; d < chain->n_layers; d++)
		for (size_t i = 0; i < t->n; i++)
			if (t->v[i].kind == VDISK_SNAPSHOT_EXTERNAL && vd_same_path(t->v[i].files.v[0], chain->chain[d]->path))
				return (int)i;
	return -1;
}

static int problem_set(struct vd_snap *s, const char *text, vd_error *err)
{
	if (s->problem || !text)
		return 0;
	s->problem = vd_strdup(text);
	return s->problem ? 0 : vd_fail_nomem(err, strlen(text));
}

/* What is below a recorded snapshot, from its own image. */
static int branch_join(struct vd_snap_tree *t, size_t i, const struct vdisk_open_options *o, vd_error *err)
{
	struct vdisk_open_options open = { .format = t->v[i].format,
		                           .flags = VDISK_OPEN_INFO | VDISK_OPEN_CHAIN | VDISK_OPEN_NO_LOCK };
	vdisk_image *img;
	vd_error why = { 0 };
	int rc;

	if (o) {
		open.allow_dirs = o->allow_dirs;
		open.parent_map = o->parent_map;
	}
	if (vdisk_open(t->v[i].files.v[0], &open, &img, &why))
		return problem_set(&t->v[i], why.message, err);
	t->v[i].size = vdisk_size(img);
	t->v[i].parent = nearest(t, img, 1);
	rc = problem_set(&t->v[i], img->top->parent_problem, err);
	vdisk_close(img, NULL);
	return rc;
}

/* The images of the chain that have no name. */
static int layers_add(struct vd_snap_tree *t, const vdisk_image *chain, vd_error *err)
{
	for (unsigned d = 1; d < chain->n_layers; d++) {
		VD_AUTO_FREE char *path = NULL;
		struct vd_snap *s;
		struct stat st;

		if (vd_snap_tree_by_path(t, chain->chain[d]->path) >= 0)
			continue;
		s = vd_path_real(chain->chain[d]->path, &path, err) ? NULL : vd_snap_tree_add(t, err);
		if (!s || vd_paths_add(&s->files, path, err))
			return -1;
		s->kind = VDISK_SNAPSHOT_EXTERNAL;
		s->id = vd_strdup(vd_base_name(path));
		if (!s->id)
			return vd_fail_nomem(err, strlen(path));
		if (!stat(path, &st)) {
			s->date_sec = (uint64_t)st.st_mtim.tv_sec;
			s->date_nsec = (uint32_t)st.st_mtim.tv_nsec;
		}
	}
	return 0;
}

static int tree_join(struct vd_snap_tree *t, const vdisk_image *chain, const struct vdisk_open_options *o, vd_error *err)
{
	int current;

	if (layers_add(t, chain, err))
		return -1;
	for (size_t i = 0; i < t->n; i++) {
		struct vd_snap *s = &t->v[i];

		s->depth = depth_of(chain, s->files.v[0]);
		if (s->going && problem_set(s, "its deletion was begun, and has to be finished", err))
			return -1;
		if (s->depth != UINT_MAX) {
			s->size = chain->chain[s->depth]->size;
			s->parent = nearest(t, chain, s->depth + 1);
			if (problem_set(s, chain->chain[s->depth]->parent_problem, err))
				return -1;
		} else if (branch_join(t, i, o, err)) {
			return -1;
		}
	}
	current = nearest(t, chain, 0);
	if (current >= 0)
		t->v[current].current = true;
	return 0;
}

static bool tree_names(const struct vd_snap_tree *t, const vdisk_image *chain)
{
	for (size_t i = 0; i < t->n; i++)
		if (depth_of(chain, t->v[i].files.v[0]) != UINT_MAX)
			return true;
	return vd_paths_has(&t->leaves, chain->path);
}

static void tree_empty(struct vd_snap_tree *t)
{
	while (t->n)
		vd_snap_tree_drop(t, t->n - 1);
	vd_paths_free(&t->leaves);
	t->recorded = false;
	t->last_uid = 0;
}

/* The image that a record is named after may be gone; the record of the chain is the one that names an image of it. */
static int record_search(const vdisk_image *chain, struct vd_snap_tree *t, vd_error *err)
{
	int length = vd_folder_length(chain->path), rc = 0;
	const char *suffix = ".snapshots";
	VD_AUTO_FREE char *dir = vd_asprintf("%.*s", length, chain->path);
	struct dirent *e;
	DIR *d;

	if (!dir)
		return vd_fail_nomem(err, (size_t)length);
	d = opendir(*dir ? dir : ".");
	while (d && !rc && !t->recorded && (e = readdir(d))) {
		size_t n = strlen(e->d_name), k = strlen(suffix);
		VD_AUTO_FREE char *image =
		    n > k && !strcmp(e->d_name + n - k, suffix) ? vd_asprintf("%s%.*s", dir, (int)(n - k), e->d_name) : NULL;

		if (image && (vd_snap_record_load(image, t, NULL) || !tree_names(t, chain)))
			tree_empty(t);
	}
	if (d)
		closedir(d);
	return rc;
}

int vd_snap_tree_load(vdisk_image *chain, const struct vdisk_open_options *o, struct vd_snap_tree *t, vd_error *err)
{
	for (unsigned i = 0; i < chain->n_layers && !t->recorded; i++)
		if (vd_snap_record_load(chain->chain[i]->path, t, err))
			return -1;
	if (!t->recorded && record_search(chain, t, err))
		return -1;
	if (!t->recorded && vd_snap_record_load(chain->path, t, err)) /* there is none: it would be the leaf's */
		return -1;
	return tree_join(t, chain, o, err) || vd_vmsd_find(chain, &t->vmsd, err) ? -1 : 0;
}

/* ---------------------------------------------------------------- the list */

struct internal {
	struct vd_snap_tree *t;
	vd_error *err;
	bool failed;
};

static void internal_add(void *ctx, const struct vdisk_snapshot_info *x)
{
	struct internal *in = ctx;
	struct vd_snap *s = in->failed ? NULL : vd_snap_tree_add(in->t, in->err);

	if (!s) {
		in->failed = true;
		return;
	}
	s->kind = VDISK_SNAPSHOT_INTERNAL;
	s->id = vd_strdup(x->id);
	s->name = vd_strdup(x->name);
	s->date_sec = x->date_sec;
	s->date_nsec = x->date_nsec;
	s->size = x->virtual_size;
	s->vm_state = x->vm_state_bytes;
	s->vm_clock = x->vm_clock_nsec;
	if (!s->id || !s->name) {
		vd_fail_nomem(in->err, sizeof(*s));
		in->failed = true;
	}
}

static int snap_tell(const struct vd_snap_tree *t, const struct vd_snap *s, vdisk_snapshot_node_fn fn, void *ctx, vd_error *err)
{
	VD_AUTO_FREE const char **files = vd_calloc(s->files.n + 1, sizeof(*files));
	struct vdisk_snapshot_node n = {
		.kind = s->kind,
		.id = s->id,
		.name = s->name,
		.description = s->description,
		.parent_id = s->parent >= 0 ? t->v[s->parent].id : NULL,
		.files = files,
		.date_sec = s->date_sec,
		.date_nsec = s->date_nsec,
		.vm_state_bytes = s->vm_state,
		.vm_clock_nsec = s->vm_clock,
		.virtual_size = s->size,
		.current = s->current,
		.problem = s->problem,
	};

	if (!files)
		return vd_fail_nomem(err, s->files.n * sizeof(*files));
	for (size_t i = 0; i < s->files.n; i++)
		files[i] = s->files.v[i];
	fn(ctx, &n);
	return 0;
}

/* Those over `parent`, and what is over each of them; `left` bounds a circle, which a .vmsd can claim. */
static int branch_tell(const struct vd_snap_tree *t, int parent, size_t left, vdisk_snapshot_node_fn fn, void *ctx, vd_error *err)
{
	for (size_t i = 0; left && i < t->n; i++)
		if (t->v[i].parent == parent &&
		    (snap_tell(t, &t->v[i], fn, ctx, err) || branch_tell(t, (int)i, left - 1, fn, ctx, err)))
			return -1;
	return 0;
}

static int image_tree(const char *path, const struct vdisk_open_options *o, struct vd_snap_tree *t, vd_error *err)
{
	struct vdisk_open_options open = o ? *o : (struct vdisk_open_options){ 0 };
	struct internal in = { .t = t, .err = err };
	vdisk_image *img;
	int rc;

	open.flags = (open.flags & VDISK_OPEN_NO_LOCK) | VDISK_OPEN_INFO | VDISK_OPEN_CHAIN | VDISK_OPEN_CHECK;
	if (vdisk_open(path, &open, &img, err))
		return -1;
	rc = vd_snap_tree_load(img, o, t, err);
	rc = rc || vdisk_snapshots(img, internal_add, &in, err) || in.failed ? -1 : 0;
	vdisk_close(img, NULL);
	return rc || (t->vmsd && vd_vmsd_load(t->vmsd, t, err)) ? -1 : 0;
}

static bool ends_in(const char *path, const char *suffix)
{
	size_t n = strlen(path), k = strlen(suffix);

	return n > k && !strcasecmp(path + n - k, suffix);
}

int vdisk_snapshot_tree(const char *path, const struct vdisk_open_options *o, vdisk_snapshot_node_fn fn, void *ctx,
                        vdisk_error *err)
{
	struct vd_snap_tree t = { 0 };
	struct stat st;
	int rc;

	if (!stat(path, &st) && (S_ISDIR(st.st_mode) || ends_in(path, ".vmsd") || ends_in(path, ".vmx")))
		rc = vd_vmsd_load(path, &t, err);
	else
		rc = image_tree(path, o, &t, err);
	rc = rc || branch_tell(&t, -1, t.n, fn, ctx, err) ? -1 : 0;
	vd_snap_tree_free(&t);
	return rc;
}

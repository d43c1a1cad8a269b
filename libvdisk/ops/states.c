/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which states of a disk there are: names from its snapshots' records (ours, VMware's, qcow2's own), contents from the images. */
#include "ops/states.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/path.h"
#include "core/open.h"

#include <string.h>

struct vd_state *vd_states_add(struct vd_states *s, vd_error *err)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 8;
		struct vd_state *v = vd_realloc(s->v, cap, sizeof(*v));

		if (!v) {
			vd_fail_nomem(err, cap * sizeof(*v));
			return NULL;
		}
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n] = (struct vd_state){ .parent = -1 };
	return &s->v[s->n++];
}

void vd_states_free(struct vd_states *s)
{
	for (size_t i = 0; i < s->n; i++) {
		vd_free(s->v[i].path);
		vd_free(s->v[i].format);
		vd_free(s->v[i].id);
		vd_free(s->v[i].name);
		vd_free(s->v[i].description);
	}
	vd_free(s->v);
	*s = (struct vd_states){ 0 };
}

static int text_set(char **to, const char *text, vd_error *err)
{
	if (!text)
		return 0;
	*to = vd_strdup(text);
	return *to ? 0 : vd_fail_nomem(err, strlen(text));
}

/* ---------------------------------------------------------------- layers */

/* The snapshot that the layer holds: VMware's own name for it counts more than a file's. */
static struct vd_snap *layer_snap(const struct vd_snap_tree *t, const struct vd_layer *l)
{
	struct vd_snap *found = NULL;

	for (size_t i = 0; i < t->n; i++)
		if (vd_paths_has(&t->v[i].files, l->path) && (!found || t->v[i].kind > found->kind))
			found = &t->v[i];
	return found;
}

static const struct vdisk_keep_name *layer_name(const struct vd_states *s, const struct vd_layer *l)
{
	for (size_t i = 0; i < s->how->n_names; i++)
		if (vd_same_path(s->how->names[i].path, l->path))
			return &s->how->names[i];
	return NULL;
}

int vd_states_find(const struct vd_states *s, const char *path)
{
	for (size_t i = 0; i < s->n; i++)
		if (!s->v[i].id && vd_same_path(s->v[i].path, path))
			return (int)i;
	return -1;
}

int vd_states_add_layer(struct vd_states *s, const struct vd_snap_tree *t, const struct vd_layer *l, int parent,
                        const char *const *ancestors, vd_error *err)
{
	const struct vdisk_keep_name *name = layer_name(s, l);
	const struct vd_snap *snap = layer_snap(t, l);
	struct vd_state *x = vd_states_add(s, err);

	if (!x || text_set(&x->path, l->path, err) || text_set(&x->format, l->drv->info.name, err))
		return -1;
	x->size = l->size;
	x->parent = parent;
	x->ancestors = ancestors;
	if (name) {
		x->date_sec = name->date_sec;
		x->date_nsec = name->date_nsec;
		return text_set(&x->name, name->name, err) || text_set(&x->description, name->description, err) ? -1 : 0;
	}
	if (!snap)
		return text_set(&x->name, vd_base_name(l->path), err);
	x->date_sec = snap->date_sec;
	x->date_nsec = snap->date_nsec;
	return text_set(&x->name, snap->name ? snap->name : snap->id, err) || text_set(&x->description, snap->description, err) ? -1
	                                                                                                                        : 0;
}

/* The layers below the leaf, the first one first. */
static int line_add(vdisk_image *img, const struct vd_snap_tree *t, struct vd_states *s, vd_error *err)
{
	const char *const *above = s->how->open->ancestors;
	unsigned said = 0;

	while (above && above[said])
		said++;
	for (unsigned d = img->n_layers - 1; d > 0; d--)
		if (vd_states_add_layer(s, t, img->chain[d], (int)s->n - 1, above ? above + vd_min(d, said) : NULL, err))
			return -1;
	return 0;
}

/* ---------------------------------------------------------------- internal ones */

struct internal {
	struct vd_states *s;
	const char *path;
	vd_error *err;
	bool failed;
};

static void internal_add(void *ctx, const struct vdisk_snapshot_info *n)
{
	struct internal *in = ctx;
	struct vd_state *x = in->failed ? NULL : vd_states_add(in->s, in->err);

	in->failed = !x || text_set(&x->path, in->path, in->err) || text_set(&x->id, n->id, in->err) ||
	             text_set(&x->name, n->name && *n->name ? n->name : n->id, in->err);
	if (in->failed)
		return;
	x->date_sec = n->date_sec;
	x->date_nsec = n->date_nsec;
	x->vm_clock = n->vm_clock_nsec;
	x->size = n->virtual_size;
	x->parent = (int)in->s->n - 2;
	x->ancestors = in->s->how->open->ancestors;
}

/* ---------------------------------------------------------------- all */

int vd_states_load(vdisk_image *img, const struct vdisk_keep_options *how, struct vd_states *s, vd_error *err)
{
	struct internal in = { .s = s, .path = img->path, .err = err };
	struct vd_snap_tree t = { 0 };
	struct vd_state *x;
	int rc = -1;

	*s = (struct vd_states){ .how = how };
	if (vd_snap_tree_load(img, how->open, &t, err) || (t.vmsd && vd_vmsd_load(t.vmsd, &t, err)) ||
	    line_add(img, &t, s, err) || vdisk_snapshots(img, internal_add, &in, err) || in.failed)
		goto out;
	s->line = s->n;
	if (vd_states_add_branches(img, &t, s, err))
		goto out;
	x = vd_states_add(s, err);
	if (!x || text_set(&x->path, img->path, err))
		goto out;
	x->size = img->top->size;
	x->parent = (int)s->line - 1;
	x->ancestors = how->open->ancestors;
	rc = 0;
out:
	vd_snap_tree_free(&t);
	if (rc)
		vd_states_free(s);
	return rc;
}

int vd_state_open(const struct vd_states *s, size_t i, vdisk_image **img, vd_error *err)
{
	const struct vd_state *x = &s->v[i];
	struct vdisk_open_options o = *s->how->open;
	VD_AUTO_FREE const char **options = NULL;
	VD_AUTO_FREE char *which = NULL;
	size_t n = 0;

	if (x->format) {
		o.format = x->format;
		o.options = NULL;
	}
	o.ancestors = x->ancestors;
	if (x->id) {
		while (o.options && o.options[n])
			n++;
		options = vd_calloc(n + 2, sizeof(*options));
		which = vd_asprintf("snapshot=%s", x->id);
		if (!options || !which)
			return vd_fail_nomem(err, (n + 2) * sizeof(*options));
		for (size_t k = 0; k < n; k++)
			options[k] = o.options[k];
		options[n] = which;
		o.options = options;
	}
	return vdisk_open(x->path, &o, img, err);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * External snapshots made and applied.
 *
 * Made: the new leaf first, then the record, which is what makes the image a snapshot, then the protection.  Applied: the leaf is
 * replaced by an empty one over the snapshot, by a rename.
 */
#include "ops/snapshot_tree.h"
#include "ops/surgery.h"
#include "base/alloc.h"
#include "base/path.h"
#include "core/snapshot.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LEAF_DIGITS 6
#define LEAF_MAX 999999

static const struct vdisk_open_options plain;

/* ---------------------------------------------------------------- the new leaf's name */

/* Length of the name without "-000001" and the suffix. */
static int stem_length(const char *name, const char **dot)
{
	int n;

	*dot = strrchr(name, '.');
	n = *dot && *dot != name ? (int)(*dot - name) : (int)strlen(name);
	if (n <= LEAF_DIGITS + 1 || name[n - LEAF_DIGITS - 1] != '-')
		return n;
	for (int i = n - LEAF_DIGITS; i < n; i++)
		if (!isdigit((unsigned char)name[i]))
			return n;
	return n - LEAF_DIGITS - 1;
}

/* The largest number behind that stem in the folder. */
static unsigned long number_last(const char *folder, const char *stem, int n)
{
	unsigned long most = 0;
	struct dirent *e;
	DIR *d = opendir(*folder ? folder : ".");

	while (d && (e = readdir(d))) {
		const char *dot;

		if (stem_length(e->d_name, &dot) == n && !strncmp(e->d_name, stem, (size_t)n) && e->d_name[n] == '-') {
			unsigned long i = strtoul(e->d_name + n + 1, NULL, 10);

			most = i > most ? i : most;
		}
	}
	if (d)
		closedir(d);
	return most;
}

static int leaf_name(const char *path, const char *name, const struct vdisk_format_info *format, bool same, char *leaf,
                     vd_error *err)
{
	int folder = vd_folder_length(path), stem;
	VD_AUTO_FREE char *dir = vd_asprintf("%.*s", folder, path);
	const char *dot, *base = path + folder;
	unsigned long number;
	int n;

	if (!dir)
		return vd_fail_nomem(err, (size_t)folder);
	if (name && (!*name || strchr(name, '/')))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "the new layer lies beside %s: '%s' is no file name", path,
		               name);
	stem = stem_length(base, &dot);
	number = name ? 0 : number_last(dir, base, stem) + 1;
	if (number > LEAF_MAX)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "%s: there is a layer numbered %u already: the new one's name must be said", path, LEAF_MAX);
	if (name)
		n = snprintf(leaf, VDISK_PATH_MAX, "%s%s", dir, name);
	else
		n = snprintf(leaf, VDISK_PATH_MAX, "%s%.*s-%0*lu.%s", dir, stem, base, LEAF_DIGITS, number,
		             same && dot && dot != base ? dot + 1 : format->suffixes[0]);
	return n < VDISK_PATH_MAX ? 0
				  : vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
					    "%s: the new layer's path would be longer than %u bytes", path, VDISK_PATH_MAX - 1);
}

/* ---------------------------------------------------------------- create */

static int create_judge(const vdisk_image *img, const struct vd_snap_tree *t, const struct vdisk_layer_options *o, vd_error *err)
{
	int kept = vd_snap_tree_by_path(t, img->path);

	if (!o->name)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "a snapshot needs a name");
	if (vd_snapshot_name_judge(o->name, err))
		return -1;
	if (t->vmsd)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "%s: its snapshots are VMware's (%s): they are listed here, and changed there", img->path, t->vmsd);
	if (kept >= 0)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
			       "%s: is what the snapshot '%s' keeps: the disk goes on in a layer over it", img->path,
			       t->v[kept].name);
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].uid && (!strcmp(t->v[i].name, o->name) || !strcmp(t->v[i].id, o->name)))
			return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: '%s' is already the name or ID of a snapshot",
				       img->path, o->name);
	return 0;
}

static int entry_add(struct vd_snap_tree *t, const vdisk_image *img, const struct vdisk_layer_options *o, vd_error *err)
{
	struct vd_snap *s = vd_snap_tree_add(t, err);
	struct stat st;

	if (!s || vd_paths_add(&s->files, img->path, err))
		return -1;
	if (stat(img->path, &st) || !S_ISREG(st.st_mode))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "%s: is no file: a layer can lie over it, but it cannot be kept from changing", img->path);
	s->kind = VDISK_SNAPSHOT_EXTERNAL;
	s->uid = ++t->last_uid;
	s->mode = st.st_mode & 07777;
	s->date_sec = o->date_sec;
	s->date_nsec = o->date_nsec;
	if (o->date_sec == UINT64_MAX && vd_date_now(&s->date_sec, &s->date_nsec, err))
		return -1;
	s->name = vd_strdup(o->name);
	s->description = o->description ? vd_strdup(o->description) : NULL;
	s->format = vd_strdup(img->top->drv->info.name);
	if (!s->name || !s->format || (o->description && !s->description))
		return vd_fail_nomem(err, strlen(o->name));
	return 0;
}

static int snapshot_run(vdisk_image *img, const struct vdisk_layer_options *o, const struct vdisk_open_options *open, char *leaf,
			vd_error *err)
{
	const struct vd_driver *drv = img->top->drv;
	bool same = drv->info.caps & VDISK_FORMAT_BACKING;
	const struct vdisk_format_info *f = same ? &drv->info : vdisk_format_find("qcow2");
	struct vdisk_create_options c = {
		.format = f->name,
		.size = UINT64_MAX,
		.backing = img->path + vd_folder_length(img->path),
		.backing_format = drv->info.name,
		.flags = VDISK_CREATE_ANY_BACKING, /* it takes no time, and the disk stays as it is */
		.allow_dirs = open->allow_dirs,
		.log = open->log,
		.log_ctx = open->log_ctx,
	};
	struct vd_snap_tree t = { 0 };
	int rc = -1;

	if (vd_snap_tree_load(img, open, &t, err) || create_judge(img, &t, o, err) || entry_add(&t, img, o, err))
		goto out;
	if (leaf_name(img->path, o->leaf, f, same, leaf, err) || vdisk_create(leaf, &c, NULL, err))
		goto out;
	vd_paths_drop(&t.leaves, img->path);
	if (vd_paths_add(&t.leaves, leaf, err) || vd_snap_record_save(&t, err))
		goto out;
	/* The record needs the image, whatever becomes of the leaf. */
	rc = vd_children_protect(img, t.record, err) || vd_children_add(img->path, leaf, err) ? -1 : 0;
out:
	vd_snap_tree_free(&t);
	return rc;
}

int vdisk_layer_snapshot(const char *path, const struct vdisk_layer_options *o, char *leaf, vdisk_error *err)
{
	const struct vdisk_open_options *open = o->open ? o->open : &plain;
	VD_AUTO_FREE char *real = NULL;
	vdisk_image *img;
	int rc;

	if (vd_path_real(path, &real, err) || vdisk_open(real, open, &img, err))
		return -1;
	rc = snapshot_run(img, o, open, leaf, err);
	vdisk_close(img, NULL);
	return rc;
}

/* ---------------------------------------------------------------- apply */

static int apply_judge(const vdisk_image *img, const struct vd_snap_tree *t, const struct vd_snap *s,
                       const struct vdisk_open_options *open, vd_error *err)
{
	struct vd_paths over = { 0 };
	int kept = vd_snap_tree_by_path(t, img->path), rc;

	if (s->going)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
			       "%s: the deletion of the snapshot '%s' was begun: delete it again, to finish", img->path, s->name);
	if (kept >= 0)
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
			       "%s: is what the snapshot '%s' keeps, not the layer that the disk goes on in", img->path,
			       t->v[kept].name);
	if (img->top->n_files > 1)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "%s: consists of %u files, which cannot be replaced at one stroke", img->path, img->top->n_files);
	rc = vd_children_find(img->path, open, &over, err);
	if (!rc && over.n)
		rc = vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
			     "%s: %s lies over it, and would be lost: flatten or rebase that first", img->path, over.v[0]);
	vd_paths_free(&over);
	return rc;
}

static int apply_run(vdisk_image *img, const struct vdisk_open_options *open, const char *which, vd_error *err)
{
	struct vdisk_create_options c = {
		.format = img->top->drv->info.name,
		.size = UINT64_MAX,
		.flags = VDISK_CREATE_OVERWRITE | VDISK_CREATE_ANY_BACKING,
		.allow_dirs = open->allow_dirs,
		.log = open->log,
		.log_ctx = open->log_ctx,
	};
	int n = vd_folder_length(img->path), rc = -1;
	struct vd_snap_tree t = { 0 };
	const char *file;
	size_t i;

	if (vd_snap_tree_load(img, open, &t, err) || vd_snap_tree_find(&t, img->path, which, &i, err) ||
	    apply_judge(img, &t, &t.v[i], open, err))
		goto out;
	file = t.v[i].files.v[0];
	c.backing = strncmp(file, img->path, (size_t)n) ? file : file + n;
	c.backing_format = t.v[i].format;
	if (vd_children_add(file, img->path, err) || vdisk_create(img->path, &c, NULL, err))
		goto out;
	rc = 0;
	if (img->n_layers > 1 && !vd_same_path(img->chain[1]->path, file))
		rc = vd_children_remove(img->chain[1]->path, img->path, err);
out:
	vd_snap_tree_free(&t);
	return rc;
}

int vdisk_layer_apply(const char *path, const struct vdisk_layer_options *o, const char *which, vdisk_error *err)
{
	struct vdisk_open_options open = o->open ? *o->open : plain;
	VD_AUTO_FREE char *real = NULL;
	vdisk_image *img;
	int rc;

	open.flags |= VDISK_OPEN_RW; /* nobody else has it */
	if (vd_path_real(path, &real, err) || vdisk_open(real, &open, &img, err))
		return -1;
	rc = apply_run(img, &open, which, err);
	vdisk_close(img, NULL);
	return rc;
}

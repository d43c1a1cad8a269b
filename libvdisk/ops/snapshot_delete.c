/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vdisk_layer_delete(): a snapshot's image F goes; what lies right over it keeps its content.
 *
 *  Up:   each image over F takes over what it reads from F, and lies over F's parent then (a rebase).  When nobody lies over F,
 *        its file goes, and last its line in the record.
 *  Down: the only image C over F is committed into F.  From the first byte on F does not hold the snapshot any more, so the record
 *        says before that that it is going.  Those over C are pointed at F.  A C that the disk goes on in is replaced by F, by a
 *        rename; another one's line in the record is given F, and then C's file goes.
 * Each step leaves a chain that reads the same, and is found done by the next run.
 */
#include "ops/snapshot_tree.h"
#include "ops/surgery.h"
#include "base/alloc.h"
#include "base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct facts { /* of an image */
	char *parent, *format, *parent_format;
	uint64_t size, allocated;
	unsigned n_files, snapshots, bitmaps;
	struct vd_paths files;
};

struct removal {
	const struct vdisk_layer_options *o;
	struct vdisk_open_options open;
	const char *leaf;
	struct vd_snap_tree t;
	size_t at;              /* the snapshot, in t */
	char *file;             /* its image */
	const char **dirs;      /* its folder among those allowed: a linked clone elsewhere names it */
	struct facts f;
	bool missing;           /* that is gone already */
	struct vd_paths over;   /* right over it */
	struct vdisk_layer_report report;
};

static void facts_free(struct facts *f)
{
	vd_free(f->parent);
	vd_free(f->format);
	vd_free(f->parent_format);
	vd_paths_free(&f->files);
	*f = (struct facts){ 0 };
}

static void snapshot_count(void *ctx, const struct vdisk_snapshot_info *s)
{
	(void)s;
	++*(unsigned *)ctx;
}

static void bitmap_count(void *ctx, const struct vdisk_bitmap_info *b)
{
	(void)b;
	++*(unsigned *)ctx;
}

static int facts_take(vdisk_image *img, struct facts *f, vd_error *err)
{
	struct vdisk_layer_info info;

	if (vdisk_layer_get(img, 0, &info, err) || vdisk_snapshots(img, snapshot_count, &f->snapshots, err))
		return -1;
	if (vdisk_bitmaps(img, bitmap_count, &f->bitmaps, NULL)) /* that cannot be read are some, too */
		f->bitmaps++;
	f->size = info.virtual_size;
	f->allocated = info.allocated;
	f->n_files = info.n_files;
	f->format = vd_strdup(info.format);
	if (img->n_layers > 1) {
		f->parent_format = vd_strdup(img->chain[1]->drv->info.name);
		if (vd_path_real(img->chain[1]->path, &f->parent, err))
			return -1;
	}
	if (!f->format || (img->n_layers > 1 && !f->parent_format))
		return vd_fail_nomem(err, sizeof(*f));
	if (img->top->parent_ref.n_names && img->n_layers < 2) /* who opens it for its content judges the rest */
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "%s",
			       img->top->parent_problem ? img->top->parent_problem : "no parent");
	for (unsigned i = 0; i < img->top->n_files; i++)
		if (vd_paths_add(&f->files, i ? img->top->files[i]->name : img->top->path, err))
			return -1;
	return 0;
}

static int facts_get(const struct removal *r, const char *path, const char *format, struct facts *f, vd_error *err)
{
	struct vdisk_open_options open = r->open;
	vdisk_image *img;
	int rc;

	open.flags = VDISK_OPEN_INFO | VDISK_OPEN_CHAIN;
	open.format = format;
	open.options = NULL;
	if (vdisk_open(path, &open, &img, err))
		return -1;
	rc = facts_take(img, f, err);
	vdisk_close(img, NULL);
	return rc;
}

/* ---------------------------------------------------------------- steps */

/* The owner may write to it; what its permissions and its time stamp were comes back. */
static int writable(const char *path, mode_t *mode, struct timespec *stamp, vd_error *err)
{
	struct stat st;

	if (stat(path, &st))
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", path);
	*mode = st.st_mode & 07777;
	*stamp = st.st_mtim;
	if (st.st_mode & 0200 || !chmod(path, *mode | 0200))
		return 0;
	return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s: cannot be made writable", path);
}

/* Those over a VHD remember when it was last written to, and its content is the same; at worst they warn. */
static void stamp_restore(const char *path, struct timespec stamp)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, stamp };

	(void)!utimensat(AT_FDCWD, path, times, 0);
}

/* The image at `child` lies over `parent` (NULL: over nothing) from now on. */
static int child_move(struct removal *r, const char *child, const char *parent, const char *format, bool unsafe, vd_error *err)
{
	struct vdisk_open_options open = r->open;
	struct vdisk_rebase_options b = {
		.backing = parent ? vd_name_beside(child, parent) : NULL,
		.backing_format = parent ? format : NULL,
		.flags = unsafe ? VDISK_REBASE_UNSAFE : 0,
		.allow_dirs = open.allow_dirs,
		.parent_map = open.parent_map,
		.job = r->o->job,
	};
	uint64_t copied = 0;
	struct timespec stamp;
	vdisk_image *img;
	mode_t mode;
	int rc;

	if (!vd_same_path(child, r->leaf)) {
		open.format = NULL;
		open.options = NULL;
	}
	open.flags |= VDISK_OPEN_RW | VDISK_OPEN_FORCE | VDISK_OPEN_KEEP_ID | (unsafe ? VDISK_OPEN_NO_PARENT : 0);
	if (writable(child, &mode, &stamp, err))
		return -1;
	rc = vdisk_open(child, &open, &img, err);
	if (!rc) {
		bool vhd = !strcmp(vdisk_format_name(img), "vhd");

		rc = vdisk_rebase(img, &b, &copied, err);
		rc = vdisk_close(img, rc ? NULL : err) || rc ? -1 : 0;
		if (!rc && vhd)
			stamp_restore(child, stamp);
	}
	r->report.copied += copied;
	if (chmod(child, mode) && !rc)
		rc = vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s: cannot be made read-only again", child);
	return rc || (parent && vd_children_add(parent, child, err)) ? -1 : 0;
}

/* The image at `path` names its parent in one place only. */
static int settle(struct removal *r, const char *path, vd_error *err)
{
	struct vdisk_open_options look = { .flags = VDISK_OPEN_INFO | VDISK_OPEN_NO_PARENT | VDISK_OPEN_NO_LOCK },
	                          open = { .flags = VDISK_OPEN_RW | VDISK_OPEN_FORCE | VDISK_OPEN_KEEP_ID | VDISK_OPEN_NO_PARENT,
	                                   .allow_dirs = r->open.allow_dirs };
	struct timespec stamp;
	bool unsettled;
	vdisk_image *img;
	mode_t mode;
	int rc;

	if (vdisk_open(path, &look, &img, NULL)) /* a list may name what has gone */
		return 0;
	unsettled = img->top->flags & VD_LAYER_UNSETTLED;
	vdisk_close(img, NULL);
	if (!unsettled)
		return 0;
	if (writable(path, &mode, &stamp, err))
		return -1;
	rc = vdisk_open(path, &open, &img, err);
	if (!rc) {
		rc = vd_layer_begin(img->top, err);
		rc = vdisk_close(img, rc ? NULL : err) || rc ? -1 : 0;
	}
	if (chmod(path, mode) && !rc)
		rc = vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s: cannot be made read-only again", path);
	return rc;
}

/* Before a file goes: those that lay over it, and were moved by an earlier run, which was killed. */
static int settle_all(struct removal *r, const char *gone, vd_error *err)
{
	struct vd_paths around = { 0 };
	int rc = vd_children_around(gone, &around, err);

	for (size_t i = 0; !rc && i < around.n; i++)
		rc = settle(r, around.v[i], err);
	vd_paths_free(&around);
	return rc;
}

/* Extents first: the file that names them is what finds them. */
static int files_remove(const struct vd_paths *files, vd_error *err)
{
	for (size_t i = files->n; i > 0; i--)
		if (unlink(files->v[i - 1]) && errno != ENOENT)
			return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", files->v[i - 1]);
	return files->n ? vd_folder_sync(files->v[0], err) : 0;
}

static int record_drop(struct removal *r, vd_error *err)
{
	vd_snap_tree_drop(&r->t, r->at);
	return vd_snap_record_save(&r->t, err);
}

/* ---------------------------------------------------------------- up */

/* What would refuse to be moved refuses before any other is. */
static int over_judge(const struct removal *r, vd_error *err)
{
	for (size_t i = 0; i < r->over.n; i++) {
		const char *child = r->over.v[i];
		struct facts c = { 0 };
		int rc = facts_get(r, child, vd_same_path(child, r->leaf) ? r->open.format : NULL, &c, err);

		if (!rc && c.snapshots)
			rc = vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			             "%s: its %u internal snapshots rely on %s, too: delete these first", child, c.snapshots,
			             r->file);
		facts_free(&c);
		if (rc)
			return -1;
	}
	return 0;
}

static int merge_up(struct removal *r, vd_error *err)
{
	if (over_judge(r, err))
		return -1;
	for (size_t i = 0; i < r->over.n; i++) {
		if (child_move(r, r->over.v[i], r->f.parent, r->f.parent_format, false, err))
			return -1;
		r->report.merged++;
	}
	for (size_t i = 0; i < r->over.n; i++)
		if (vd_children_is(r->over.v[i], r->file, &r->open))
			return vd_fail(err, VDISK_IO, VDISK_NO_OFFSET, "%s: still lies over %s", r->over.v[i], r->file);
	if (settle_all(r, r->file, err) || (r->f.parent && vd_children_remove(r->f.parent, r->file, err)))
		return -1;
	return files_remove(&r->f.files, err) || record_drop(r, err) ? -1 : 0;
}

/* ---------------------------------------------------------------- down */

/* A leaf whose name F can take; a VMDK has its name inside. */
static bool leaf_replaceable(const struct removal *r, const char *child, const struct facts *c)
{
	size_t n = (size_t)vd_folder_length(child);

	return c->n_files == 1 && r->f.n_files == 1 && !strcmp(c->format, r->f.format) && strcmp(c->format, "vmdk") &&
	       !strncmp(child, r->file, n) && !strchr(r->file + n, '/');
}

/* Whether the one above is better written into F: less to copy, and nothing in the way or in it that would go with its file. */
static int down_judge(struct removal *r, bool *down, struct vd_paths *above, vd_error *err)
{
	const char *child = r->over.n ? r->over.v[0] : NULL;
	const struct vdisk_format_info *format = vdisk_format_find(r->f.format);
	struct facts c = { 0 };
	int rc;

	*down = false;
	if (r->over.n != 1 || r->f.snapshots || !format || !(format->caps & VDISK_FORMAT_WRITE))
		return 0;
	rc = facts_get(r, child, vd_same_path(child, r->leaf) ? r->open.format : NULL, &c, err) ||
	     vd_children_find(child, &r->open, above, err);
	if (!rc && c.size == r->f.size && !c.snapshots && !c.bitmaps && (c.allocated < r->f.allocated || r->t.v[r->at].going))
		*down = above->n || vd_snap_tree_by_path(&r->t, child) >= 0 || leaf_replaceable(r, child, &c);
	facts_free(&c);
	return rc ? -1 : 0;
}

static int child_commit(struct removal *r, const char *child, vd_error *err)
{
	struct vdisk_open_options open = r->open;
	struct vdisk_commit_options c = { .open = &open, .job = r->o->job };
	struct vdisk_commit_report report;
	struct timespec stamp;
	mode_t mode, ignored;

	if (!vd_same_path(child, r->leaf)) {
		open.format = NULL;
		open.options = NULL;
	}
	open.flags |= VDISK_OPEN_FORCE;
	if (writable(r->file, &ignored, &stamp, err) || writable(child, &mode, &stamp, err) ||
	    vdisk_commit(child, &c, &report, err))
		return -1;
	r->report.copied += report.copied;
	return chmod(child, mode) ? vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", child) : 0;
}

/* F takes the name of the empty leaf. */
static int leaf_replace(struct removal *r, const char *child, vd_error *err)
{
	struct stat st;

	if (stat(child, &st))
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", child);
	if (vd_children_clear(r->file, st.st_mode & 07777, err))
		return -1;
	if (r->f.parent && (vd_children_add(r->f.parent, child, err) || vd_children_remove(r->f.parent, r->file, err)))
		return -1;
	if (rename(r->file, child))
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s to %s", r->file, child);
	return vd_folder_sync(child, err) || record_drop(r, err) ? -1 : 0;
}

/* F takes the place of the empty layer in the middle: its line in the record, or nobody's. */
static int layer_replace(struct removal *r, const char *child, vd_error *err)
{
	int line = vd_snap_tree_by_path(&r->t, child);
	struct vd_paths gone = { 0 };
	int rc;

	if (line >= 0) {
		struct vd_snap *kept = &r->t.v[line], *gone_one = &r->t.v[r->at];
		struct vd_paths files = kept->files;
		char *format = kept->format;

		kept->files = gone_one->files;
		kept->format = gone_one->format;
		gone_one->files = files;
		gone_one->format = format;
		if (chmod(r->file, 0444 & r->t.v[line].mode))
			return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", r->file);
	} else if (vd_children_remove(r->file, r->t.record, err)) {
		return -1;
	}
	if (settle_all(r, child, err) || record_drop(r, err) || vd_children_remove(r->file, child, err))
		return -1;
	rc = vd_paths_add(&gone, child, err) || files_remove(&gone, err) ? -1 : 0;
	vd_paths_free(&gone);
	return rc;
}

static int merge_down(struct removal *r, const struct vd_paths *above, vd_error *err)
{
	const char *child = r->over.v[0];

	r->report.down = true;
	r->report.merged = 1;
	if (!r->t.v[r->at].going) {
		r->t.v[r->at].going = true;
		if (vd_snap_record_save(&r->t, err))
			return -1;
	}
	if (child_commit(r, child, err))
		return -1;
	for (size_t i = 0; i < above->n; i++)
		if (child_move(r, above->v[i], r->file, r->f.format, true, err))
			return -1;
	return above->n || vd_snap_tree_by_path(&r->t, child) >= 0 ? layer_replace(r, child, err) : leaf_replace(r, child, err);
}

/* ---------------------------------------------------------------- which, and which way */

static int removal_load(struct removal *r, const char *which, vd_error *err)
{
	struct vdisk_open_options open = r->open;
	struct stat st;
	vdisk_image *img;
	int rc;

	open.flags = VDISK_OPEN_INFO | VDISK_OPEN_CHAIN;
	if (vdisk_open(r->leaf, &open, &img, err))
		return -1;
	rc = vd_snap_tree_load(img, &r->open, &r->t, err) || vd_snap_tree_find(&r->t, r->leaf, which, &r->at, err);
	vdisk_close(img, NULL);
	if (rc)
		return -1;
	r->file = vd_strdup(r->t.v[r->at].files.v[0]);
	if (!r->file)
		return vd_fail_nomem(err, VDISK_PATH_MAX);
	r->dirs = vd_dirs_with(r->open.allow_dirs, r->file, err);
	if (!r->dirs)
		return -1;
	r->open.allow_dirs = r->dirs;
	r->missing = stat(r->file, &st) && errno == ENOENT;
	if (r->missing)
		return 0;
	return facts_get(r, r->file, r->t.v[r->at].format, &r->f, err) || vd_children_find(r->file, &r->open, &r->over, err) ? -1
	                                                                                                                     : 0;
}

static int removal_run(struct removal *r, const char *which, vd_error *err)
{
	struct vd_paths above = { 0 };
	bool down;
	int rc;

	if (removal_load(r, which, err))
		return -1;
	if (r->missing)
		return record_drop(r, err);
	if (r->f.snapshots)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
			       "%s: holds %u internal snapshots, which would go with it: delete these first", r->file,
			       r->f.snapshots);
	if (!r->over.n && vd_same_path(r->file, r->leaf)) /* the disk goes on in it: only the name goes */
		return vd_children_clear(r->file, r->t.v[r->at].mode ? r->t.v[r->at].mode : 0644, err) || record_drop(r, err) ? -1
		                                                                                                              : 0;
	rc = down_judge(r, &down, &above, err);
	if (!rc)
		rc = down ? merge_down(r, &above, err) : merge_up(r, err);
	vd_paths_free(&above);
	return rc;
}

int vdisk_layer_delete(const char *path, const struct vdisk_layer_options *o, const char *which, struct vdisk_layer_report *report,
		       vdisk_error *err)
{
	struct removal r = { .o = o };
	VD_AUTO_FREE char *real = NULL;
	int rc;

	if (vd_path_real(path, &real, err))
		return -1;
	if (o->open)
		r.open = *o->open;
	r.leaf = real;
	rc = removal_run(&r, which, err);
	if (report)
		*report = r.report;
	vd_snap_tree_free(&r.t);
	facts_free(&r.f);
	vd_paths_free(&r.over);
	vd_free(r.file);
	vd_free(r.dirs);
	return rc;
}

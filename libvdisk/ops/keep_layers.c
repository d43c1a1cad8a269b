/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * States as layers: an image for each, which holds what differs from the one that it goes on from, and lies over that.  They appear
 * under their names one by one, each whole, the leaf last; on failure what was made goes.
 */
#include "ops/keep.h"
#include "ops/snapshot_tree.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/path.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---------------------------------------------------------------- what differs */

/* The ranges that a state has from where the one before has them.  The rest is compared as it is converted. */
struct same {
	struct vdisk_range *v;
	size_t n, cap;
	uint64_t at;
	vd_error *err;
	bool failed;
};

static void same_add(struct same *s, uint64_t to)
{
	if (s->failed || to <= s->at)
		return;
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 64;
		struct vdisk_range *v = vd_realloc(s->v, cap, sizeof(*v));

		if (!v) {
			s->failed = true;
			vd_fail_nomem(s->err, cap * sizeof(*v));
			return;
		}
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n++] = (struct vdisk_range){ s->at, to - s->at };
}

static bool same_see(void *ctx, uint64_t off, uint64_t len)
{
	struct same *s = ctx;

	same_add(s, off);
	s->at = off + len;
	return !s->failed;
}

static int same_find(vdisk_image *before, vdisk_image *now, const struct vdisk_job_options *job, struct same *s, vd_error *err)
{
	uint64_t size = vd_min(before->top->size, now->top->size);
	struct vdisk_job_options quiet = *job;

	quiet.progress = NULL;
	s->err = err;
	if (vdisk_diff_places(before, now, &quiet, same_see, s, err) || s->failed)
		return -1;
	same_add(s, size);
	while (s->n && s->v[s->n - 1].off >= size)
		s->n--;
	if (s->n && s->v[s->n - 1].off + s->v[s->n - 1].len > size)
		s->v[s->n - 1].len = size - s->v[s->n - 1].off;
	return s->failed ? -1 : 0;
}

/* ---------------------------------------------------------------- layers */

/* "disk.vhd": "disk-s1.vhd", and so on; the last state has the name that was given.  A disk that is replaced keeps its layers until
   the new one is there, whose numbers are higher therefore. */
char *vd_keep_layer_name(const struct vd_keep *k, size_t i)
{
	const char *base = k->path + vd_folder_length(k->path), *dot = strrchr(base, '.');
	int stem = dot && dot != base ? (int)(dot - k->path) : (int)strlen(k->path);

	if (i + 1 == k->states.n)
		return vd_strdup(k->path);
	return vd_asprintf("%.*s-s%zu%s", stem, k->path, k->first + i + 1, k->path + stem);
}

/* All files of an image that was made here. */
static void image_remove(const char *path, const char *format)
{
	struct vdisk_open_options o = { .format = format, .flags = VDISK_OPEN_INFO | VDISK_OPEN_NO_PARENT };
	vdisk_image *img;

	if (!vdisk_open(path, &o, &img, NULL)) {
		for (unsigned i = 1; vdisk_layer_file(img, 0, i); i++)
			unlink(vdisk_layer_file(img, 0, i));
		vdisk_close(img, NULL);
	}
	unlink(path);
}

/* An identity that the caller says is the leaf's: two images that have one are one to whoever goes by it.  Returns owned. */
static const char **options_below(const char *const *options)
{
	size_t n = 0, kept = 0;
	const char **out;

	while (options && options[n])
		n++;
	out = vd_calloc(n + 1, sizeof(*out));
	for (size_t i = 0; out && i < n; i++)
		if (strncmp(options[i], "uuid=", 5))
			out[kept++] = options[i];
	return out;
}

static int layer_make(struct vd_keep *k, size_t i, vdisk_image *before, vdisk_image *now, vd_error *err)
{
	struct vdisk_convert_options o = vd_keep_options(k);
	struct vdisk_convert_report r = { 0 };
	struct vdisk_job_options job = vd_keep_job(k);
	VD_AUTO_FREE char *path = vd_keep_layer_name(k, i);
	VD_AUTO_FREE const char **own = NULL;
	struct same same = { 0 };
	int rc = -1;

	if (!path)
		return vd_fail_nomem(err, strlen(k->path));
	if (i + 1 < k->states.n) {
		own = options_below(k->c->options);
		if (!own)
			return vd_fail_nomem(err, sizeof(*own));
		o.options = own;
	}
	if (before) {
		const char *below = k->made.v[k->states.v[i].parent];

		o.backing = below + vd_folder_length(below);
		o.backing_format = k->format->name;
		/* What is read back for its digest is read whole. */
		if (!(o.flags & VDISK_CONVERT_VERIFY) && same_find(before, now, &job, &same, err))
			goto out;
		o.same = same.v;
		o.n_same = same.n;
	}
	if (vdisk_convert(now, path, &o, &r, err))
		goto out;
	k->report.data += r.data;
	k->report.size = r.size;
	rc = vd_paths_add(&k->made, path, err);
	if (rc)
		image_remove(path, k->format->name);
out:
	vd_free(same.v);
	return rc;
}

/* The image of a snapshot; those that lie over it are listed. */
static int layer_protect(const struct vd_keep *k, size_t i, const struct vd_snap_tree *t, vd_error *err)
{
	struct vdisk_open_options o = { .format = k->format->name, .flags = VDISK_OPEN_INFO | VDISK_OPEN_NO_PARENT };
	const char *path = t->v[i].files.v[0];
	vdisk_image *img;
	int rc;

	if (vdisk_open(path, &o, &img, err))
		return -1;
	rc = vd_children_protect(img, t->record, err);
	for (size_t above = i + 1; above < k->made.n && !rc; above++)
		if (k->states.v[above].parent == (int)i)
			rc = vd_children_add(path, above < t->n ? t->v[above].files.v[0] : t->leaves.v[0], err);
	vdisk_close(img, NULL);
	return rc;
}

/* Names and dates into the record of the new disk's snapshots; then their images are protected. */
static int record_make(struct vd_keep *k, vd_error *err)
{
	struct vd_snap_tree t = { 0 };
	VD_AUTO_FREE char *real = NULL;
	size_t n = k->made.n - 1;
	int rc = -1;

	if (vd_path_real(k->made.v[0], &real, err))
		return -1;
	t.record = vd_asprintf("%s.snapshots", real);
	if (!t.record)
		return vd_fail_nomem(err, strlen(real));
	for (size_t i = 0; i < n; i++) {
		const struct vd_state *x = &k->states.v[i];
		struct vd_snap *s = vd_snap_tree_add(&t, err);
		VD_AUTO_FREE char *file = NULL;
		struct stat st;

		if (!s || vd_path_real(k->made.v[i], &file, err) || vd_paths_add(&s->files, file, err))
			goto out;
		s->kind = VDISK_SNAPSHOT_EXTERNAL;
		s->uid = ++t.last_uid;
		s->mode = stat(file, &st) ? 0600 : st.st_mode & 07777;
		s->date_sec = x->date_sec;
		s->date_nsec = x->date_nsec;
		s->name = vd_strdup(x->name);
		s->description = x->description ? vd_strdup(x->description) : NULL;
		s->format = vd_strdup(k->format->name);
		if (!s->name || !s->format || (x->description && !s->description)) {
			vd_fail_nomem(err, strlen(x->name));
			goto out;
		}
	}
	vd_free(real);
	real = NULL;
	if (vd_path_real(k->path, &real, err) || vd_paths_add(&t.leaves, real, err) || vd_snap_record_save(&t, err))
		goto out;
	for (size_t i = 0; i < n; i++)
		if (layer_protect(k, i, &t, err))
			goto out;
	rc = 0;
out:
	if (rc)
		unlink(t.record);
	vd_snap_tree_free(&t);
	return rc;
}

int vd_keep_layers(struct vd_keep *k, vd_error *err)
{
	int rc = vd_keep_states(k, layer_make, err);

	if (!rc)
		rc = record_make(k, err);
	while (rc && k->made.n) {
		image_remove(k->made.v[k->made.n - 1], k->format->name);
		vd_paths_drop(&k->made, k->made.v[k->made.n - 1]);
	}
	return rc;
}

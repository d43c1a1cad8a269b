/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commits under an undo journal, and what is done with a journal that was left behind or kept.  ops/undo.h has the order of
   things. */
#include "ops/undo.h"
#include "ops/children.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/path.h"
#include "core/staging.h"
#include "core/trust.h"
#include "io/local.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORESEE_BATCH 32

static void run_clear(struct vd_undo_run *r)
{
	vd_undo_free(r->u);
	vd_free(r->journal);
	vd_free(r->image);
	vd_free(r->keep);
	*r = (struct vd_undo_run){ 0 };
}

/* The line "key value" of the journal's META; "" where there is none.  Returns owned. */
static char *meta_get(const struct vd_undo *u, const char *key)
{
	size_t n = strlen(key);

	for (const char *s = vd_undo_meta(u); s && *s; s = strchr(s, '\n'), s = s ? s + 1 : NULL)
		if (!strncmp(s, key, n) && s[n] == ' ')
			return vd_strndup(s + n + 1, strcspn(s + n + 1, "\n"));
	return vd_strdup("");
}

/* ---------------------------------------------------------------- beginning */

static int run_init(struct vd_undo_run *r, const char *image, vd_error *err)
{
	*r = (struct vd_undo_run){ .allow_dirs = r->allow_dirs, .hold = r->hold };
	if (vd_local_judge(image, err))
		return -1;
	if (!(r->journal = vd_undo_path(image)) || !(r->image = vd_strdup(image))) {
		run_clear(r);
		return vd_fail_nomem(err, strlen(image));
	}
	return 0;
}

/* The leaf's name, if it lies in the image's folder. */
static int leaf_name(const char *image, const char *leaf, char name[NAME_MAX + 1], vd_error *err)
{
	VD_AUTO_FREE char *a = NULL, *b = NULL;

	if (vd_path_real(image, &a, err) || vd_path_real(leaf, &b, err))
		return -1;
	if (vd_folder_length(a) != vd_folder_length(b) || strncmp(a, b, (size_t)vd_folder_length(a)) || strchr(b, '\n'))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "%s: does not lie in the folder of %s, as a commit with an undo journal wants it", leaf, image);
	snprintf(name, NAME_MAX + 1, "%s", b + vd_folder_length(b));
	return 0;
}

/* Opens the journal, alone. */
static int journal_open(const char *path, bool create, struct vd_file **f, vd_error *err)
{
	struct stat st;

	if (create && !lstat(path, &st) && !S_ISREG(st.st_mode))
		return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: is in the way of an undo journal", path);
	/* Where it is there already, or cannot be made, the second call opens it, or tells. */
	if ((!create || vd_file_posix(AT_FDCWD, path, path, VD_POSIX_RDWR | VD_POSIX_CREATE, f, NULL)) &&
	    vd_file_posix(AT_FDCWD, path, path, VD_POSIX_RDWR, f, err))
		return -1;
	if (!vd_file_lock(*f, true, err))
		return 0;
	vd_file_close(*f);
	return -1;
}

int vd_undo_begin(struct vd_undo_run *r, const char *image, const char *leaf, const char *format, const char *keep, vd_error *err)
{
	VD_AUTO_FREE char *meta = NULL;
	char name[NAME_MAX + 1];
	enum vd_undo_state state;
	struct vd_file *f;
	struct stat st;

	if (stat(image, &st))
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", image);
	if (!S_ISREG(st.st_mode))
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET,
		               "%s: is no file, and an undo journal has no lasting place beside it", image);
	if (keep && (!lstat(keep, &st) || strchr(keep, '\n')))
		return vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET, "%s: exists", keep);
	if (leaf_name(image, leaf, name, err) || run_init(r, image, err))
		return -1;
	if (keep && vd_path_real(keep, &r->keep, err))
		goto fail;
	meta = vd_asprintf("leaf %s\nformat %s\nkeep %s\n", name, format, r->keep ? r->keep : "");
	if (!meta) {
		vd_fail_nomem(err, sizeof(name));
		goto fail;
	}
	if (journal_open(r->journal, true, &f, err))
		goto fail;
	if (vd_undo_peek(f, &state, err) || state == VD_UNDO_ACTIVE || state == VD_UNDO_UNDOING) {
		if (state != VD_UNDO_NONE)
			vd_undone_judge(image, 0, err);
		vd_file_close(f);
		goto fail;
	}
	if (!vd_undo_new(f, meta, &r->u, err) && !vd_folder_sync(r->journal, err))
		return 0;
fail:
	run_clear(r);
	return -1;
}

/* ---------------------------------------------------------------- what will be overwritten */

static int extent_foresee(struct vd_commit *c, const struct vd_extent *x, vd_error *err)
{
	struct vd_extent v[FORESEE_BATCH];
	uint64_t off = vd_commit_from(c, x), end = vd_min(x->off + x->len, vdisk_size(c->to));

	while (off < end) {
		struct vd_extents e;

		vd_extents_init(&e, v, FORESEE_BATCH, off, end - off);
		if (vd_image_map(c->to, off, end - off, 0, &e, err))
			return -1;
		for (size_t i = 0; i < e.n; i++)
			if (!v[i].depth && (v[i].flags & VD_EXT_MAPPED) &&
			    vd_file_undo_log(vd_extent_file(c->to, &v[i]), v[i].host, v[i].host_len, err))
				return -1;
		off = e.next;
	}
	return 0;
}

int vd_undo_foresee(struct vd_commit *c, vd_error *err)
{
	struct vd_extent v[FORESEE_BATCH];
	uint64_t off = 0, size = vdisk_size(c->top);

	while (off < size) {
		struct vd_extents e;

		vd_extents_init(&e, v, FORESEE_BATCH, off, size - off);
		if (vd_image_map(c->top, off, size - off, 0, &e, err))
			return -1;
		for (size_t i = 0; i < e.n; i++)
			if (extent_foresee(c, &v[i], err))
				return -1;
		off = e.next;
	}
	return 0;
}

/* ---------------------------------------------------------------- back */

static int file_open(const struct vd_undo_run *r, const struct vd_undo_file *want, bool as_left, struct vd_file **f, vd_error *err)
{
	struct vd_trust t = { .image = r->image, .said = true, .format = "its", .allow_dirs = r->allow_dirs };
	struct vd_identity now;

	if (want->name[0] ? vd_trust_open(&t, want->name, true, f, NULL, err)
	                  : vd_file_posix(AT_FDCWD, r->image, r->image, VD_POSIX_RDWR, f, err))
		return -1;
	if (!vd_file_lock(*f, true, err)) {
		if (as_left || !want->id.ino)
			return 0;
		if (!vd_identity_of((*f)->fd, &now, err) && vd_identity_same(&now, &want->id))
			return 0;
		vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
		        "%s: is not the file that was being changed; if it is in order, remove %s", (*f)->name, r->journal);
	}
	vd_file_close(*f);
	return -1;
}

/* A further file that is gone, or refused, is found out before any is changed. */
static int files_restore(struct vd_undo_run *r, bool as_left, vd_error *err)
{
	for (int pass = 0; pass < 2; pass++) {
		for (unsigned i = 0; i < vd_undo_n_files(r->u); i++) {
			struct vd_file *f;
			int rc;

			if (file_open(r, vd_undo_file(r->u, i), as_left, &f, err))
				return -1;
			rc = pass ? vd_undo_restore(r->u, i, f, err) : 0;
			vd_file_close(f);
			if (rc)
				return -1;
		}
	}
	return 0;
}

static int journal_remove(struct vd_undo_run *r, vd_error *err)
{
	if (unlink(r->journal) && errno != ENOENT)
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s: cannot be removed", r->journal);
	return vd_folder_sync(r->journal, err);
}

int vd_undo_again(struct vd_undo_run *r, const char *image, char **leaf, char **format, vd_error *err)
{
	VD_AUTO_FREE char *name = NULL, *keep = NULL;
	struct vd_file *f;

	if (run_init(r, image, err))
		return -1;
	if (access(r->journal, F_OK)) {
		vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: no change of it was broken off", image);
		goto fail;
	}
	if (journal_open(r->journal, false, &f, err) || vd_undo_load(f, &r->u, err))
		goto fail;
	name = meta_get(r->u, "leaf");
	keep = meta_get(r->u, "keep");
	*format = meta_get(r->u, "format");
	if (!name || !keep || !*format) {
		vd_fail_nomem(err, PATH_MAX);
		goto fail;
	}
	if (vd_undo_state(r->u) != VD_UNDO_ACTIVE || !name[0] || strchr(name, '/')) {
		vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: cannot be gone on with: --undo takes it back", image);
		goto fail;
	}
	if (keep[0] && !(r->keep = vd_strdup(keep))) {
		vd_fail_nomem(err, strlen(keep));
		goto fail;
	}
	*leaf = vd_path_beside(image, name);
	if (!*leaf)
		vd_fail_nomem(err, strlen(name));
	else if (access(*leaf, R_OK))
		vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s: the layer that holds the changes (--undo takes back what was done)",
		              *leaf);
	else if (!files_restore(r, false, err))
		return 0;
	vd_free(*leaf);
	*leaf = NULL;
fail:
	vd_free(*format);
	*format = NULL;
	run_clear(r);
	return -1;
}

/* ---------------------------------------------------------------- the end */

static uint64_t mtime_ns(const struct stat *st)
{
	return (uint64_t)st->st_mtim.tv_sec * UINT64_C(1000000000) + (uint64_t)st->st_mtim.tv_nsec;
}

static int after_note(struct vd_undo_run *r, vd_error *err)
{
	for (unsigned i = 0; i < vd_undo_n_files(r->u); i++) {
		struct stat st;
		struct vd_file *f;
		int rc;

		if (file_open(r, vd_undo_file(r->u, i), false, &f, err))
			return -1;
		rc = fstat(f->fd, &st);
		vd_file_close(f);
		if (rc)
			return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", r->image);
		if (vd_undo_after(r->u, i, (uint64_t)st.st_size, mtime_ns(&st), err))
			return -1;
	}
	return 0;
}

static int file_copy(const char *from, const char *to, vd_error *err)
{
	VD_AUTO_FREE uint8_t *buf = vd_malloc(1u << 20);
	struct vd_file *in, *out;
	uint64_t size, at = 0;
	int rc = 0;

	if (!buf)
		return vd_fail_nomem(err, 1u << 20);
	if (vd_file_posix(AT_FDCWD, from, from, 0, &in, err))
		return -1;
	if (vd_file_posix(AT_FDCWD, to, to, VD_POSIX_RDWR | VD_POSIX_CREATE, &out, err)) {
		vd_file_close(in);
		return -1;
	}
	for (size = vd_file_size(in); at < size && !rc; at += vd_min(1u << 20, size - at)) {
		size_t n = (size_t)vd_min(1u << 20, size - at);

		rc = vd_file_pread(in, buf, n, at, err) || vd_file_pwrite(out, buf, n, at, err);
	}
	rc = rc || vd_file_flush(out, err) ? -1 : 0;
	vd_file_close(in);
	vd_file_close(out);
	if (rc)
		(void)unlink(to);
	return rc ? -1 : vd_folder_sync(to, err);
}

static int journal_keep(struct vd_undo_run *r, vd_error *err)
{
	if (after_note(r, err) || vd_undo_state_set(r->u, VD_UNDO_KEPT, err))
		return -1;
	if (!renameat2(AT_FDCWD, r->journal, AT_FDCWD, r->keep, RENAME_NOREPLACE))
		return vd_folder_sync(r->keep, err) || vd_folder_sync(r->journal, err) ? -1 : 0;
	if (errno != EXDEV && errno != EINVAL)
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s: the way back stays in %s", r->keep, r->journal);
	return file_copy(r->journal, r->keep, err) || journal_remove(r, err) ? -1 : 0;
}

int vd_undo_end(struct vd_undo_run *r, bool failed, vd_error *err)
{
	bool in_force = vd_undo_state(r->u) != VD_UNDO_NONE;
	vd_error why = { 0 };
	int rc = 0;

	if (failed) {
		rc = (in_force && files_restore(r, false, &why)) || journal_remove(r, &why) ? -1 : 0;
		if (rc && err) {
			vd_fail_in(err, "%s: could not be brought back to what it was (%.200s), 'vdisk adapt --undo' tries again",
			           r->image, why.message);
		}
		rc = -1;
	} else if (r->hold) {
		rc = vd_undo_arm(r->u, err); /* also where nothing was changed: it is asked for */
	} else if (r->keep && in_force) {
		rc = journal_keep(r, err);
	} else {
		rc = journal_remove(r, err);
	}
	run_clear(r);
	return rc;
}

/* ---------------------------------------------------------------- what was left behind */

int vdisk_undo_find(const char *path, struct vdisk_undo_info *out, vdisk_error *err)
{
	VD_AUTO_FREE char *journal = vd_undo_path(path), *name = NULL, *keep = NULL, *leaf = NULL;
	enum vd_undo_state state;
	struct vd_undo *u;
	struct vd_file *f;
	int rc;

	*out = (struct vdisk_undo_info){ 0 };
	if (!journal)
		return vd_fail_nomem(err, strlen(path));
	if (vd_local_judge(path, err))
		return -1;
	if (access(journal, F_OK))
		return 0;
	if (vd_file_posix(AT_FDCWD, journal, journal, 0, &f, err))
		return -1;
	rc = vd_undo_peek(f, &state, err);
	if (rc || state == VD_UNDO_NONE || state == VD_UNDO_KEPT) {
		vd_file_close(f);
		return rc;
	}
	if (vd_undo_load(f, &u, err))
		return -1;
	name = meta_get(u, "leaf");
	keep = meta_get(u, "keep");
	leaf = name && *name && !strchr(name, '/') ? vd_path_beside(path, name) : NULL;
	out->active = true;
	out->bytes = vd_undo_bytes(u);
	out->resumable = state == VD_UNDO_ACTIVE && leaf && !access(leaf, R_OK);
	snprintf(out->leaf, sizeof(out->leaf), "%s", leaf ? leaf : "");
	snprintf(out->keep, sizeof(out->keep), "%s", keep ? keep : "");
	vd_undo_free(u);
	return 0;
}

int vdisk_undo_end(const char *path, vdisk_error *err)
{
	struct vdisk_undo_info info;
	struct vd_undo_run r = { 0 };
	struct vd_file *f;
	int rc;

	if (vdisk_undo_find(path, &info, err) || run_init(&r, path, err))
		return -1;
	rc = !info.active ? vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: no change of it can be undone", path)
	     : journal_open(r.journal, false, &f, err) || vd_undo_load(f, &r.u, err) || journal_remove(&r, err) ? -1
	                                                                                                        : 0;
	run_clear(&r);
	return rc;
}

/* As the commit left them? */
static int unchanged(const struct vd_undo_run *r, const char *kept, vd_error *err)
{
	for (unsigned i = 0; i < vd_undo_n_files(r->u); i++) {
		const struct vd_undo_file *want = vd_undo_file(r->u, i);
		struct vd_file *f;
		struct stat st;
		bool same;

		if (file_open(r, want, true, &f, err))
			return -1;
		same = !fstat(f->fd, &st) && want->has_after && (uint64_t)st.st_size == want->after && mtime_ns(&st) == want->mtime;
		if (!same)
			vd_fail(err, VDISK_REFUSED, VDISK_NO_OFFSET,
			        "%s: was changed since %s was written, and cannot be brought back by it", f->name, kept);
		vd_file_close(f);
		if (!same)
			return -1;
	}
	return 0;
}

/* A copy of the kept journal comes into force beside the image, so that a kill leaves it as one that is half taken back. */
static int kept_enforce(struct vd_undo_run *r, const char *kept, vd_error *err)
{
	struct vd_file *f;
	int rc;

	if (vd_file_posix(AT_FDCWD, kept, kept, 0, &f, err) || vd_undo_load(f, &r->u, err))
		return -1;
	rc = vd_undo_state(r->u) != VD_UNDO_KEPT
	             ? vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: is not the journal of a complete change", kept)
	             : unchanged(r, kept, err);
	vd_undo_free(r->u);
	r->u = NULL;
	if (rc)
		return -1;
	(void)unlink(r->journal); /* one without force, as the image could be opened */
	if (file_copy(kept, r->journal, err) || journal_open(r->journal, false, &f, err) || vd_undo_load(f, &r->u, err))
		return -1;
	return vd_undo_state_set(r->u, VD_UNDO_UNDOING, err);
}

int vdisk_undo(const char *path, const struct vdisk_undo_options *o, vdisk_error *err)
{
	static const struct vdisk_undo_options none;
	struct vdisk_undo_info info;
	struct vd_undo_run r = { 0 };
	struct vd_file *f;
	int rc = -1;

	o = o ? o : &none;
	if (vdisk_undo_find(path, &info, err) || run_init(&r, path, err))
		return -1;
	r.allow_dirs = o->allow_dirs;
	if (o->file && info.active)
		vd_undone_judge(path, 0, err);
	else if (o->file)
		rc = kept_enforce(&r, o->file, err);
	else if (!info.active)
		vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET, "%s: no change of it was broken off", path);
	else
		rc = journal_open(r.journal, false, &f, err) || vd_undo_load(f, &r.u, err) ? -1 : 0;
	if (!rc)
		rc = files_restore(&r, vd_undo_state(r.u) == VD_UNDO_UNDOING, err) || journal_remove(&r, err) ? -1 : 0;
	run_clear(&r);
	return rc;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The record of a disk's external snapshots: a dictionary file, replaced as a whole. */
#include "ops/snapshot_tree.h"
#include "ops/snapshot_record.h"
#include "ops/dictionary.h"
#include "base/alloc.h"
#include "base/path.h"
#include "core/snapshot.h"
#include "core/staging.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORD_VERSION 1

static int text_get(const struct vd_dict *d, int i, const char *key, bool must, char **out, vd_error *err)
{
	const char *s = vd_dict_get(d, "snapshot%d.%s", i, key);

	*out = NULL;
	if (!s && must)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "snapshot%d.%s is not there", i, key);
	if (s && !(*out = vd_strdup(s)))
		return vd_fail_nomem(err, strlen(s));
	return 0;
}

static int number_get(const struct vd_dict *d, int i, const char *key, int64_t max, int64_t *out, vd_error *err)
{
	char name[80];

	snprintf(name, sizeof(name), "snapshot%d.%s", i, key);
	return vd_dict_number(d, name, 0, max, 0, out, err);
}

static int entry_get(const struct vd_dict *d, int i, struct vd_snap_tree *t, vd_error *err)
{
	struct vd_snap *s = vd_snap_tree_add(t, err);
	VD_AUTO_FREE char *file = NULL, *path = NULL;
	int64_t uid, sec, nsec, mode;

	if (!s || number_get(d, i, "uid", INT64_MAX, &uid, err) || number_get(d, i, "createSeconds", INT64_MAX, &sec, err) ||
	    number_get(d, i, "createNanoseconds", 999999999, &nsec, err) || number_get(d, i, "mode", 07777, &mode, err) ||
	    text_get(d, i, "fileName", true, &file, err) || text_get(d, i, "displayName", true, &s->name, err) ||
	    text_get(d, i, "description", false, &s->description, err) || text_get(d, i, "format", true, &s->format, err))
		return -1;
	if (!uid || (uint64_t)uid > t->last_uid)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "snapshot%d.uid is %" PRId64 ", not 1 to snapshot.lastUID", i,
		               uid);
	if (!*file || strchr(file, '/'))
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "snapshot%d.fileName names no file of the folder", i);
	if (vd_snapshot_name_judge(s->name, err))
		return -1;
	s->kind = VDISK_SNAPSHOT_EXTERNAL;
	s->uid = (uint64_t)uid;
	s->date_sec = (uint64_t)sec;
	s->date_nsec = (uint32_t)nsec;
	s->mode = (unsigned)mode;
	s->going = vd_dict_get(d, "snapshot%d.going", i) != NULL;
	s->id = vd_asprintf("%" PRIu64, s->uid);
	path = vd_asprintf("%.*s%s", vd_folder_length(t->record), t->record, file);
	if (!s->id || !path)
		return vd_fail_nomem(err, strlen(file));
	return vd_paths_add(&s->files, path, err);
}

static int leaves_take(const struct vd_dict *d, struct vd_snap_tree *t, vd_error *err)
{
	for (unsigned i = 0; i < VD_SNAPSHOTS_MAX; i++) {
		const char *name = vd_dict_get(d, "leaf%u.fileName", i);
		VD_AUTO_FREE char *path = name ? vd_asprintf("%.*s%s", vd_folder_length(t->record), t->record, name) : NULL;

		if (!name)
			break;
		if (!*name || strchr(name, '/'))
			return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "leaf%u.fileName names no file of the folder", i);
		if (!path)
			return vd_fail_nomem(err, strlen(name));
		if (vd_paths_add(&t->leaves, path, err))
			return -1;
	}
	return 0;
}

static int record_take(const struct vd_dict *d, struct vd_snap_tree *t, vd_error *err)
{
	int64_t version, last, n;

	if (vd_dict_number(d, "vdisk.snapshots", 1, INT64_MAX, -1, &version, err) ||
	    vd_dict_number(d, "snapshot.lastUID", 0, INT64_MAX, 0, &last, err) ||
	    vd_dict_number(d, "snapshot.numSnapshots", 0, VD_SNAPSHOTS_MAX, 0, &n, err))
		return -1;
	if (version != RECORD_VERSION)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "its version is %" PRId64 ", not %d", version,
		               RECORD_VERSION);
	t->last_uid = (uint64_t)last;
	for (int i = 0; i < n; i++)
		if (entry_get(d, i, t, err))
			return -1;
	return leaves_take(d, t, err);
}

int vd_snap_record_load(const char *image, struct vd_snap_tree *t, vd_error *err)
{
	struct vd_dict d;
	vd_error why = { 0 };
	VD_AUTO_FREE char *real = NULL;
	int rc;

	if (vd_path_real(image, &real, err))
		return -1;
	vd_free(t->record);
	t->record = vd_asprintf("%s.snapshots", real);
	if (!t->record)
		return vd_fail_nomem(err, strlen(image));
	if (vd_dict_load(t->record, &d, &why)) {
		if (why.kind == VDISK_IO && why.sys_errno == ENOENT)
			return 0;
		if (err)
			*err = why;
		return -1;
	}
	t->recorded = true;
	rc = record_take(&d, t, err) ? vd_fail_in(err, "%s", t->record) : 0;
	vd_dict_free(&d);
	return rc;
}

/* ---------------------------------------------------------------- writing */

static void entry_put(struct vd_dict_text *text, unsigned i, const struct vd_snap *s)
{
	const char *path = s->files.v[0];
	char number[24];

	snprintf(number, sizeof(number), "%" PRIu64, s->uid);
	vd_dict_add(text, number, "snapshot%u.uid", i);
	vd_dict_add(text, s->name, "snapshot%u.displayName", i);
	if (s->description)
		vd_dict_add(text, s->description, "snapshot%u.description", i);
	snprintf(number, sizeof(number), "%" PRIu64, s->date_sec);
	vd_dict_add(text, number, "snapshot%u.createSeconds", i);
	snprintf(number, sizeof(number), "%" PRIu32, s->date_nsec);
	vd_dict_add(text, number, "snapshot%u.createNanoseconds", i);
	vd_dict_add(text, path + vd_folder_length(path), "snapshot%u.fileName", i);
	vd_dict_add(text, s->format, "snapshot%u.format", i);
	snprintf(number, sizeof(number), "%u", s->mode);
	vd_dict_add(text, number, "snapshot%u.mode", i);
	if (s->going)
		vd_dict_add(text, "TRUE", "snapshot%u.going", i);
}

static int record_write(const char *path, const struct vd_dict_text *text, vd_error *err)
{
	struct vd_staging *s;
	struct vd_file *f;
	int rc;

	if (text->len > VD_DICT_BYTES_MAX)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: would be longer than %u bytes", path,
		               VD_DICT_BYTES_MAX);
	if (vd_staging_new(path, true, &s, &f, err))
		return -1;
	rc = vd_file_pwrite(f, text->s, text->len, 0, err) || vd_file_flush(f, err);
	vd_file_close(f);
	if (!rc)
		return vd_staging_commit(s, err);
	vd_staging_abort(s);
	return -1;
}

int vd_snap_record_save(const struct vd_snap_tree *t, vd_error *err)
{
	struct vd_dict_text text = { 0 };
	char number[24];
	unsigned n = 0, leaves = 0;
	int rc;

	vd_dict_add(&text, "1", "vdisk.snapshots");
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i].uid)
			entry_put(&text, n++, &t->v[i]);
	for (size_t i = 0; i < t->leaves.n; i++)
		if (!access(t->leaves.v[i], F_OK))
			vd_dict_add(&text, t->leaves.v[i] + vd_folder_length(t->leaves.v[i]), "leaf%u.fileName", leaves++);
	snprintf(number, sizeof(number), "%u", n);
	vd_dict_add(&text, number, "snapshot.numSnapshots");
	snprintf(number, sizeof(number), "%" PRIu64, t->last_uid);
	vd_dict_add(&text, number, "snapshot.lastUID");
	if (!n)
		rc = unlink(t->record) && errno != ENOENT ? vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", t->record) : 0;
	else
		rc = text.failed ? vd_fail_nomem(err, text.len) : record_write(t->record, &text, err);
	vd_free(text.s);
	return rc;
}

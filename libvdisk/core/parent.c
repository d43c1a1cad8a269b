/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A layer's parent: which file it is, whether it is the one that the child expects, and what is made of one that is not.  No lock:
   an image's opening is one thread's. */
#include "core/parent.h"
#include "core/layer.h"
#include "core/open.h"
#include "base/alloc.h"
#include "base/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

int vd_parent_cycle_judge(const vdisk_image *img, const struct vd_file *f, const char *path, vd_error *err)
{
	struct stat st = { 0 };

	if (img->n_layers >= VD_CHAIN_MAX)
		return vd_fail(err, VDISK_UNSUPPORTED, VDISK_NO_OFFSET, "%s: the chain of parents is longer than %u", path,
		               VD_CHAIN_MAX);
	if (f->fd < 0 || fstat(f->fd, &st))
		return 0;
	for (unsigned i = 0; i < img->n_layers; i++)
		if (img->chain[i]->ino && img->chain[i]->ino == st.st_ino && img->chain[i]->dev == st.st_dev)
			return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "%s: is its own ancestor", path);
	return 0;
}

bool vd_layer_same_file(const struct vd_layer *a, const struct vd_layer *b)
{
	return a->ino && a->ino == b->ino && a->dev == b->dev;
}

bool vd_image_has_file(const vdisk_image *img, const char *path)
{
	struct stat there, st;

	if (stat(path, &there) || S_ISCHR(there.st_mode))
		return false;
	for (unsigned d = 0; d < img->n_layers; d++) {
		const struct vd_layer *l = img->chain[d];

		/* The first file's descriptor may be hidden by what lies over it. */
		if (l->ino && l->ino == there.st_ino && l->dev == there.st_dev)
			return true;
		for (unsigned i = 0; i < l->n_files; i++)
			if (l->files[i]->fd >= 0 && !fstat(l->files[i]->fd, &st) && st.st_dev == there.st_dev &&
			    st.st_ino == there.st_ino)
				return true;
	}
	return false;
}

int vd_parent_judge(const vdisk_image *img, const struct vd_layer *child, const struct vd_layer *parent, vd_error *err)
{
	const struct vd_id *want = &child->parent_ref.id, *have = &parent->id;
	char a[VD_UUID_TEXT], b[VD_UUID_TEXT];
	struct stat st;

	if (want->kind == VD_ID_NONE)
		return 0;
	if (want->kind != have->kind)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "%s: expects a parent with a %s, which %s (%s) does not have",
		               child->path, want->kind == VD_ID_CID ? "CID" : "UUID", parent->path, parent->drv->info.name);
	if (want->kind == VD_ID_CID && want->cid != have->cid)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET,
		               "%s: parentCID is %08" PRIx32 ", but the CID of %s is %08" PRIx32 ": it was changed", child->path,
		               want->cid, parent->path, have->cid);
	if (want->kind == VD_ID_UUID && memcmp(want->uuid, have->uuid, 16)) {
		vd_uuid_format(a, want->uuid);
		vd_uuid_format(b, have->uuid);
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "%s: parent UUID is %s, but %s has %s", child->path, a,
		               parent->path, b);
	}
	if (child->parent_ref.mtime && parent->files[0]->fd >= 0 && !fstat(parent->files[0]->fd, &st) &&
	    (uint64_t)st.st_mtime != child->parent_ref.mtime) {
		if (img->flags & VDISK_OPEN_CHAIN)
			return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET,
			               "%s: its parent %s has another time stamp than when it was made (copying changes it)",
			               child->path, parent->path);
		vd_log(img, VDISK_LOG_WARNING,
		       "%s: its parent %s has another time stamp than when it was made (copying changes it)", child->path,
		       parent->path);
	}
	return 0;
}

/* "OLD=NEW[,format=FMT]" of the user's list whose OLD is `name`: NEW and FMT, returned owned.  False: none. */
static bool parent_mapped(const char *const *map, const char *name, char **path, char **format)
{
	size_t n = strlen(name);

	for (; map && *map; map++) {
		const char *value = *map + n + 1, *comma;

		if (strncmp(*map, name, n) || (*map)[n] != '=')
			continue;
		comma = strstr(value, ",format=");
		*path = vd_strndup(value, comma ? (size_t)(comma - value) : strlen(value));
		*format = comma ? vd_strdup(comma + 8) : NULL;
		return *path != NULL;
	}
	return false;
}

unsigned vd_ancestors_count(const struct vdisk_open_options *o)
{
	unsigned n = 0;

	while (o->ancestors && o->ancestors[n])
		n++;
	return n;
}

bool vd_parent_fits(const struct vd_layer *child, const struct vd_layer *parent)
{
	const struct vd_id *want = &child->parent_ref.id, *have = &parent->id;

	if (want->kind == VD_ID_NONE)
		return true;
	if (want->kind != have->kind)
		return false;
	return want->kind == VD_ID_CID ? want->cid == have->cid : !memcmp(want->uuid, have->uuid, 16);
}

/* 1: the user says which file it is, and it is open; 0: nothing is said. */
static int parent_said(const struct vd_layer *child, unsigned depth, const struct vdisk_open_options *o, struct vd_file **f,
                       char **path, char **format, vd_error *err)
{
	const struct vd_parent_ref *ref = &child->parent_ref;
	bool found = depth < vd_ancestors_count(o);

	if (found && !(*path = vd_strdup(o->ancestors[depth])))
		return vd_fail_nomem(err, strlen(o->ancestors[depth]));
	for (unsigned i = 0; !found && i < ref->n_names; i++)
		found = parent_mapped(o->parent_map, ref->names[i], path, format);
	if (!found)
		return 0;
	if (!*format && ref->format)
		*format = vd_strdup(ref->format);
	return vd_file_posix(AT_FDCWD, *path, *path, 0, f, err) ? -1 : 1;
}

int vd_parent_find(const struct vd_layer *child, unsigned depth, const struct vdisk_open_options *o, const struct vd_trust *t,
                   unsigned *at, struct vd_file **f, char **path, char **format, vd_error *err)
{
	const struct vd_parent_ref *ref = &child->parent_ref;
	unsigned from = *at;
	vd_error first = { 0 };
	int rc = parent_said(child, depth, o, f, path, format, err);

	if (rc) {
		*at = ref->n_names;
		return rc < 0 ? -1 : 0;
	}
	for (unsigned i = from; i < ref->n_names; i++) {
		*at = i + 1;
		if (!vd_trust_open(t, ref->names[i], false, f, path, i > from ? err : &first)) {
			*format = ref->format ? vd_strdup(ref->format) : NULL;
			return 0;
		}
	}
	if (err)
		*err = first;
	if (first.kind == VDISK_IO && first.sys_errno == ENOENT) {
		char name[128];

		vd_printable(name, sizeof(name), ref->names[0], strlen(ref->names[0]));
		return vd_fail_in(err, "%s: its parent (--parent '%s=FILE' says where it is now)", child->path, name);
	}
	return vd_fail_in(err, "%s: its parent", child->path);
}

int vd_parent_problem_keep(const vdisk_image *img, struct vd_layer *child, vd_error *err)
{
	if (!(img->flags & VDISK_OPEN_CHAIN) || err->kind == VDISK_NOMEM)
		return -1;
	child->parent_problem = vd_strdup(err->message);
	if (!child->parent_problem)
		return vd_fail_nomem(err, sizeof(err->message));
	vd_error_clear(err);
	return 0;
}

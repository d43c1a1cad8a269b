/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMware's .vmsd: the snapshots of a virtual machine, of all its disks together.  snapshot.numSnapshots of the numbered groups
 * count, in ascending order; what is left of older ones is passed over.  Times are microseconds since 1970 in two 32-bit halves,
 * each written as a signed number.
 */
#include "ops/dictionary.h"
#include "ops/snapshot_tree.h"
#include "base/alloc.h"
#include "base/path.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define VMSD_DISKS_MAX 256
#define VMSD_FOLDER_MAX 4096

static bool is_vmsd(const char *name)
{
	size_t n = strlen(name);

	return n > 5 && !strcasecmp(name + n - 5, ".vmsd");
}

/* ---------------------------------------------------------------- one snapshot */

static int disks_take(const struct vd_dict *d, int i, const char *path, struct vd_snap *s, vd_error *err)
{
	char key[64];
	int64_t n;

	snprintf(key, sizeof(key), "snapshot%d.numDisks", i);
	if (vd_dict_number(d, key, 0, VMSD_DISKS_MAX, 0, &n, err))
		return -1;
	for (int k = 0; k < n; k++) {
		const char *name = vd_dict_get(d, "snapshot%d.disk%d.fileName", i, k);
		VD_AUTO_FREE char *file = name ? vd_path_beside(path, name) : NULL;

		if (!name)
			return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "snapshot%d.disk%d.fileName is not there", i, k);
		if (!file)
			return vd_fail_nomem(err, strlen(name));
		if (vd_paths_add(&s->files, file, err))
			return -1;
	}
	return 0;
}

static int date_take(const struct vd_dict *d, int i, struct vd_snap *s, vd_error *err)
{
	char key[64];
	int64_t high, low;
	uint64_t usec;

	snprintf(key, sizeof(key), "snapshot%d.createTimeHigh", i);
	if (vd_dict_number(d, key, INT32_MIN, UINT32_MAX, 0, &high, err))
		return -1;
	snprintf(key, sizeof(key), "snapshot%d.createTimeLow", i);
	if (vd_dict_number(d, key, INT32_MIN, UINT32_MAX, 0, &low, err))
		return -1;
	usec = (uint64_t)(uint32_t)high << 32 | (uint32_t)low;
	s->date_sec = usec / 1000000;
	s->date_nsec = (uint32_t)(usec % 1000000) * 1000;
	return 0;
}

/* What the running machine had in memory lies beside its state: vm-Snapshot1.vmsn, vm-Snapshot1.vmem. */
static int memory_take(const struct vd_dict *d, int i, const char *path, struct vd_snap *s, vd_error *err)
{
	const char *name = vd_dict_get(d, "snapshot%d.filename", i);
	size_t n = name ? strlen(name) : 0;
	VD_AUTO_FREE char *memory = NULL, *file = NULL;
	struct stat st;

	if (n <= 5 || strcasecmp(name + n - 5, ".vmsn"))
		return 0;
	memory = vd_asprintf("%.*s.vmem", (int)n - 5, name);
	file = memory ? vd_path_beside(path, memory) : NULL;
	if (!file)
		return vd_fail_nomem(err, n);
	if (!stat(file, &st) && S_ISREG(st.st_mode))
		s->vm_state = (uint64_t)st.st_size;
	return 0;
}

static int snapshot_take(const struct vd_dict *d, int i, const char *path, struct vd_snap_tree *t, vd_error *err)
{
	const char *uid = vd_dict_get(d, "snapshot%d.uid", i), *name = vd_dict_get(d, "snapshot%d.displayName", i);
	const char *description = vd_dict_get(d, "snapshot%d.description", i), *current = vd_dict_get(d, "snapshot.current");
	struct vd_snap *s = vd_snap_tree_add(t, err);

	if (!s)
		return -1;
	s->kind = VDISK_SNAPSHOT_VMWARE;
	s->id = vd_strdup(uid);
	s->name = vd_strdup(name ? name : "");
	s->description = description && *description ? vd_strdup(description) : NULL;
	if (!s->id || !s->name || (description && *description && !s->description))
		return vd_fail_nomem(err, strlen(uid));
	s->current = current && !strcmp(current, uid);
	return date_take(d, i, s, err) || disks_take(d, i, path, s, err) || memory_take(d, i, path, s, err) ? -1 : 0;
}

/* Each one's parent, by its uid; nobody is his own ancestor. */
static int parents_take(const struct vd_dict *d, const int *numbers, size_t first, struct vd_snap_tree *t, vd_error *err)
{
	for (size_t i = first; i < t->n; i++) {
		const char *parent = vd_dict_get(d, "snapshot%d.parent", numbers[i - first]);

		for (size_t k = first; parent && *parent && k < t->n; k++)
			if (!strcmp(t->v[k].id, parent))
				t->v[i].parent = (int)k;
		if (parent && *parent && strcmp(parent, "0") && t->v[i].parent < 0)
			return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "snapshot%d.parent is none of the snapshots",
				       numbers[i - first]);
	}
	for (size_t i = first; i < t->n; i++) {
		size_t steps = 0;

		for (int at = t->v[i].parent; at >= 0; at = t->v[at].parent)
			if (++steps > t->n)
				return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "snapshot%d is its own ancestor",
				               numbers[i - first]);
	}
	return 0;
}

static int snapshots_take(const struct vd_dict *d, const char *path, struct vd_snap_tree *t, vd_error *err)
{
	VD_AUTO_FREE int *numbers = vd_calloc(VD_SNAPSHOTS_MAX, sizeof(int));
	size_t first = t->n;
	int64_t n, taken = 0;

	if (!numbers)
		return vd_fail_nomem(err, VD_SNAPSHOTS_MAX * sizeof(int));
	if (vd_dict_number(d, "snapshot.numSnapshots", 0, VD_SNAPSHOTS_MAX, 0, &n, err))
		return -1;
	for (int i = 0; taken < n && i < 2 * VD_SNAPSHOTS_MAX; i++) {
		if (!vd_dict_get(d, "snapshot%d.uid", i))
			continue;
		numbers[taken++] = i;
		if (snapshot_take(d, i, path, t, err))
			return -1;
	}
	if (taken < n)
		return vd_fail(err, VDISK_CORRUPT, VDISK_NO_OFFSET, "snapshot.numSnapshots is %" PRId64 ", but there are %" PRId64,
			       n, taken);
	return parents_take(d, numbers, first, t, err);
}

/* ---------------------------------------------------------------- which file */

/* The only .vmsd of a folder; returns owned. */
static int folder_look(const char *folder, char **out, vd_error *err)
{
	unsigned seen = 0, found = 0;
	struct dirent *e;
	DIR *d = opendir(folder);

	*out = NULL;
	if (!d)
		return vd_fail_errno(err, errno, VDISK_NO_OFFSET, "%s", folder);
	while (seen++ < VMSD_FOLDER_MAX && (e = readdir(d))) {
		if (!is_vmsd(e->d_name))
			continue;
		found++;
		vd_free(*out);
		*out = vd_asprintf("%s/%s", folder, e->d_name);
	}
	closedir(d);
	if (found == 1 && *out)
		return 0;
	vd_free(*out);
	*out = NULL;
	return vd_fail(err, VDISK_INVALID, VDISK_NO_OFFSET,
		       "%s: holds %u .vmsd files, so which virtual machine is meant must be said", folder, found);
}

int vd_vmsd_load(const char *path, struct vd_snap_tree *t, vd_error *err)
{
	size_t n = strlen(path);
	VD_AUTO_FREE char *file = NULL;
	struct vd_dict d;
	struct stat st;
	int rc;

	if (!stat(path, &st) && S_ISDIR(st.st_mode)) {
		if (folder_look(path, &file, err))
			return -1;
	} else {
		file = is_vmsd(path) ? vd_strdup(path) : vd_asprintf("%.*s.vmsd", (int)(n - 4), path);
	}
	if (!file)
		return vd_fail_nomem(err, n);
	if (vd_dict_load(file, &d, err))
		return -1;
	rc = snapshots_take(&d, file, t, err) ? vd_fail_in(err, "%s", file) : 0;
	vd_dict_free(&d);
	return rc;
}

/* Whether one of the snapshots is on an image of the chain. */
static bool vmsd_names(const struct vd_snap_tree *t, const vdisk_image *chain)
{
	for (size_t i = 0; i < t->n; i++)
		for (unsigned d = 0; d < chain->n_layers; d++)
			if (vd_paths_has(&t->v[i].files, chain->chain[d]->path))
				return true;
	return false;
}

int vd_vmsd_find(const vdisk_image *chain, char **path, vd_error *err)
{
	VD_AUTO_FREE char *dir = vd_path_beside(chain->path, ".");
	const char *where = strchr(chain->path, '/') ? dir : ".";
	unsigned seen = 0;
	struct dirent *e;
	int rc = 0;
	DIR *d;

	*path = NULL;
	if (!dir)
		return vd_fail_nomem(err, strlen(chain->path));
	d = strcmp(chain->top->drv->info.name, "vmdk") ? NULL : opendir(where);
	while (d && !rc && !*path && seen++ < VMSD_FOLDER_MAX && (e = readdir(d))) {
		VD_AUTO_FREE char *file = is_vmsd(e->d_name) ? vd_path_beside(chain->path, e->d_name) : NULL;
		struct vd_snap_tree t = { 0 };

		if (!file)
			continue;
		if (!vd_vmsd_load(file, &t, NULL) && vmsd_names(&t, chain) && !(*path = vd_strdup(file)))
			rc = vd_fail_nomem(err, strlen(file));
		vd_snap_tree_free(&t);
	}
	if (d)
		closedir(d);
	return rc;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libguestfs's inspection takes as long as all else together under emulation.  So where nothing but Linux' plain file systems are
 * on the disks, those are mounted here one after the other, and a root tells by its fstab where the others belong.  Whatever is not
 * quite clear (Windows, btrfs and its subvolumes, no system at all, a root without os-release, a name in fstab that nothing here
 * has) is left to the inspection, for all of them.
 */
#include "guestfs_roots.h"

#include "common/fail.h"
#include "facts_parts.h"
#include "guestfs_facts.h"
#include "lines.h"
#include "tree_guestfs.h"

#include <stdlib.h>
#include <string.h>

enum { CLEAR = 1, UNCLEAR = 0 }; /* and -1 with *err */

static bool is_one_of(const char *s, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(s, *list))
			return true;
	return false;
}

static bool holds_root(const char *type)
{
	static const char *const types[] = { "ext2", "ext3", "ext4", "xfs", NULL };

	return is_one_of(type, types);
}

static bool is_mounted(const char *type) { return holds_root(type) || !strcmp(type, "vfat"); }

static bool is_plain(const char *type)
{
	static const char *const others[] = { "", "swap", "LVM2_member", "linux_raid_member", "crypto_LUKS", NULL };

	return is_mounted(type) || is_one_of(type, others);
}

/* ---------------------------------------------------------------- facts of the disk */

static int fs_copy(const struct fact_fs *from, struct fact_fs *to, vdisk_error *err)
{
	*to = (struct fact_fs){
		.where = strdup(from->where),
		.device = strdup(from->device),
		.type = strdup(from->type),
		.uuid = strdup(from->uuid),
		.label = strdup(from->label),
		.partuuid = strdup(from->partuuid),
		.partlabel = strdup(from->partlabel),
		.mount = strdup(from->mount),
		.subvolume = strdup(from->subvolume),
		.fstab = strdup(from->fstab),
		.size = from->size,
		.disk = from->disk,
	};
	return to->where && to->device && to->type && to->uuid && to->label && to->partuuid && to->partlabel && to->mount &&
	                       to->subvolume && to->fstab
	               ? 0
	               : fail_nomem(err);
}

int guest_roots_facts(const struct guest_roots *r, struct facts *f, vdisk_error *err)
{
	f->fs = calloc(r->disk.fs_n + 1, sizeof(*f->fs));
	if (!f->fs)
		return fail_nomem(err);
	while (f->fs_n < r->disk.fs_n) {
		size_t i = f->fs_n++;

		if (fs_copy(&r->disk.fs[i], &f->fs[i], err))
			return -1;
	}
	return 0;
}

void guest_roots_free(struct guest_roots *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->v[i].device);
		guest_strings_free(r->v[i].places);
	}
	free(r->v);
	facts_destroy(&r->disk);
	*r = (struct guest_roots){ 0 };
}

/* Takes both. */
static int root_add(struct guest_roots *r, char *device, char **places, vdisk_error *err)
{
	struct guest_root *v = device ? reallocarray(r->v, r->n + 1, sizeof(*v)) : NULL;

	if (!v) {
		free(device);
		guest_strings_free(places);
		return fail_nomem(err);
	}
	r->v = v;
	v[r->n++] = (struct guest_root){ device, places };
	return 0;
}

/* ---------------------------------------------------------------- a root's fstab */

struct places {
	char **v; /* mount point, device … */
	size_t n;
};

static int place_add(struct places *p, const char *mountpoint, const char *device, vdisk_error *err)
{
	char **v = reallocarray(p->v, p->n + 3, sizeof(*v));

	if (!v)
		return fail_nomem(err);
	p->v = v;
	v[p->n] = strdup(mountpoint);
	v[p->n + 1] = v[p->n] ? strdup(device) : NULL;
	v[p->n + 2] = NULL;
	if (!v[p->n + 1]) {
		free(v[p->n]);
		v[p->n] = NULL;
		return fail_nomem(err);
	}
	p->n += 2;
	return 0;
}

/* One of its lines names a disk that is not here, and is to be mounted. */
static bool line_is_clear(const struct facts *f, const char *line, const char *end)
{
	static const char *const tags[] = { "/dev/", "UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", NULL };
	struct bytes v[4] = { { 0 } };
	const struct fact_fs *fs;
	const char *word;
	bool disk = false, clear;
	size_t n;

	for (int i = 0; i < 4; i++) {
		fstab_unescape("", 0, &v[i]);
		if (lines_word(&line, end, &word, &n))
			fstab_unescape(word, n, &v[i]);
	}
	for (const char *const *t = tags; v[0].at && *t; t++)
		disk = disk || !strncmp(v[0].at, *t, strlen(*t));
	/* The root is known; what is no folder is swap. */
	clear = !disk || (v[1].at && (strcmp(v[1].at, "/") == 0 || v[1].at[0] != '/'));
	if (!clear && v[3].at) {
		fs = facts_device(f, v[0].at);
		clear = fs ? is_mounted(fs->type) : strstr(v[3].at, "noauto") != NULL;
	}
	for (int i = 0; i < 4; i++)
		bytes_destroy(&v[i]);
	return clear;
}

static int fstab_judge(struct look *l)
{
	struct bytes b = { 0 };
	int rc = look_text(l, "/etc/fstab", &b);
	struct lines t = lines_of(&b);
	const char *line;
	size_t len;

	while (rc > 0 && lines_entry(&t, &line, &len))
		if (!line_is_clear(l->f, line, line + len))
			rc = UNCLEAR;
	bytes_destroy(&b);
	return rc;
}

/* The root `i` of the disk's file systems: what it mounts where, into *p. */
static int places_find(const struct guest *t, const struct guest_roots *r, size_t i, struct tree *tree, struct places *p,
                       vdisk_error *err)
{
	struct facts f = { .esp = strdup("") };
	struct look l = { .f = &f, .t = tree, .err = err };
	int rc = f.esp ? guest_roots_facts(r, &f, err) : fail_nomem(err);

	if (!rc)
		rc = facts_mounts(&l) || l.nomem ? l.nomem ? fail_nomem(err) : -1 : fstab_judge(&l);
	if (rc > 0 && f.fs_n != r->disk.fs_n)
		rc = UNCLEAR; /* one is mounted at two places */
	if (rc > 0 && place_add(p, "/", t->devices[i].name, err))
		rc = -1;
	for (size_t k = 0; rc > 0 && k < f.fs_n; k++)
		if (k != i && f.fs[k].mount[0] == '/' && f.fs[k].mount[1] && place_add(p, f.fs[k].mount, t->devices[k].name, err))
			rc = -1;
	facts_destroy(&f);
	return rc;
}

/* ---------------------------------------------------------------- looking for roots */

/* Is it one?  *root says; UNCLEAR: somebody else has to tell. */
static int root_judge(struct tree *t, bool *root, vdisk_error *err)
{
	static const char *const marks[] = { "/etc/fstab",  "/etc/os-release", "/usr/lib/os-release",
		                             "/etc/passwd", "/etc/rc.conf",    NULL };
	bool there[5];

	for (unsigned i = 0; marks[i]; i++) {
		int rc = tree_exists(t, marks[i], err);

		if (rc < 0)
			return -1;
		there[i] = rc;
	}
	*root = there[0] && (there[1] || there[2]);
	return *root || !(there[0] || there[1] || there[2] || there[3] || there[4]) ? CLEAR : UNCLEAR;
}

/* It is mounted on the appliance's root. */
static int mounted_look(struct guest *t, struct guest_roots *r, size_t i, vdisk_error *err)
{
	struct tree *tree = tree_guestfs_open(t->g, err);
	struct places p = { 0 };
	bool root = false;
	int rc = tree ? root_judge(tree, &root, err) : -1;

	if (rc > 0 && root)
		rc = places_find(t, r, i, tree, &p, err);
	tree_close(tree);
	if (rc > 0 && root)
		return root_add(r, strdup(t->devices[i].name), p.v, err) ? -1 : CLEAR;
	guest_strings_free(p.v);
	return rc;
}

static int one_look(struct guest *t, struct guest_roots *r, size_t i, vdisk_error *err)
{
	int rc;

	if (guestfs_mount_ro(t->g, t->devices[i].name, "/"))
		return UNCLEAR;
	rc = mounted_look(t, r, i, err);
	return guestfs_umount_all(t->g) ? guest_fail(t, err, "unmounting") : rc;
}

static int quick_find(struct guest *t, struct guest_roots *r, vdisk_error *err)
{
	int rc = CLEAR;

	for (size_t i = 0; i < r->disk.fs_n; i++)
		if (!is_plain(r->disk.fs[i].type))
			return UNCLEAR;
	for (size_t i = 0; rc > 0 && i < r->disk.fs_n; i++)
		if (holds_root(r->disk.fs[i].type))
			rc = one_look(t, r, i, err);
	return rc > 0 && !r->n ? UNCLEAR : rc;
}

/* By libguestfs. */
static int inspection_find(struct guest *t, struct guest_roots *r, vdisk_error *err)
{
	char **roots = guestfs_inspect_os(t->g);
	int rc = roots ? 0 : guest_fail(t, err, "looking for a system");

	for (char **p = roots; !rc && p && *p; p++)
		rc = root_add(r, strdup(*p), NULL, err);
	guest_strings_free(roots);
	return rc;
}

int guest_roots_find(struct guest *t, struct guest_roots *out, vdisk_error *err)
{
	int rc;

	*out = (struct guest_roots){ 0 };
	if (guestfs_facts(t, &out->disk, err))
		return -1;
	rc = quick_find(t, out, err);
	if (rc)
		return rc < 0 ? -1 : 0;
	while (out->n) { /* those of which it was clear so far, too */
		struct guest_root *last = &out->v[--out->n];

		free(last->device);
		guest_strings_free(last->places);
	}
	return inspection_find(t, out, err);
}

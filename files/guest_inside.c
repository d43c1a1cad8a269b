/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is mounted inside of the appliance: a system's file systems where its fstab has them, or those of a disk without one. */
#include "guest_parts.h"

#include "common/fail.h"
#include "common/say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Is it the one that the user named? */
static bool is_named(const struct guest *t, const char *device, const char *name)
{
	char shown[300];

	guest_name(t, device, shown, sizeof(shown));
	return !strcmp(shown, name);
}

struct place {
	const char *mountpoint, *device;
};

static int shorter(const void *a, const void *b)
{
	size_t x = strlen(((const struct place *)a)->mountpoint), y = strlen(((const struct place *)b)->mountpoint);

	return x < y ? -1 : x > y;
}

static int mount_one(struct guest *t, const char *device, const char *mountpoint)
{
	return guestfs_mount_options(t->g, t->rw ? "" : "ro", device, mountpoint);
}

/* A file system that cannot be mounted is a warning, but for the root. */
static int mount_places(struct guest *t, const char *root, char *const *pairs, vdisk_error *err)
{
	struct place *v;
	size_t n = 0;
	int rc = 0;

	while (pairs[2 * n])
		n++;
	v = calloc(n + 1, sizeof(*v));
	for (size_t i = 0; v && i < n; i++)
		v[i] = (struct place){ pairs[2 * i], pairs[2 * i + 1] };
	if (v)
		qsort(v, n, sizeof(*v), shorter);
	else
		rc = fail(err, VDISK_NOMEM, "out of memory");
	for (size_t i = 0; !rc && i < n; i++) {
		vdisk_error why;

		if (!mount_one(t, v[i].device, v[i].mountpoint))
			continue;
		/* fstab may call it by another name */
		if (!strcmp(v[i].mountpoint, "/") && strcmp(v[i].device, root) && !mount_one(t, root, "/"))
			continue;
		guest_fail(t, &why, v[i].device);
		if (!strcmp(v[i].mountpoint, "/")) {
			*err = why;
			rc = -1;
		} else {
			say(LOG_WARNING, "%s", why.message);
		}
	}
	free(v);
	return rc;
}

/* As the guest's fstab has it. */
static int mount_system(struct guest *t, const char *root, vdisk_error *err)
{
	char **pairs = guestfs_inspect_get_mountpoints(t->g, root);
	int rc = pairs ? mount_places(t, root, pairs, err) : guest_fail(t, err, root);

	guest_strings_free(pairs);
	return rc;
}

static bool is_file_system(const char *type)
{
	return *type && strcmp(type, "swap") && strcmp(type, "unknown") && strcmp(type, "crypto_LUKS") && strcmp(type, "BitLocker");
}

/* A disk without a system: its only file system, or each of them in a folder named like its device. */
static int mount_data(struct guest *t, const char *image, const char *only, vdisk_error *err)
{
	char **found = guestfs_list_filesystems(t->g), *one = NULL;
	unsigned n = 0, mounted = 0;
	int rc = 0;

	if (!found)
		return guest_fail(t, err, "looking for file systems");
	for (char **p = found; *p; p += 2)
		if (is_file_system(p[1]) && (!only || is_named(t, *p, only))) {
			one = *p;
			n++;
		}
	if (!n)
		rc = fail(err, VDISK_INVALID, "%s: %s%s", image, only ? "there is no file system on " : "no file system was found",
		          only ? only : "");
	else if (n == 1 && mount_one(t, one, "/"))
		rc = guest_fail(t, err, one);
	for (char **p = found; n > 1 && *p; p += 2) {
		char name[300], folder[302];
		vdisk_error why;

		if (!is_file_system(p[1]))
			continue;
		guest_name(t, *p, name, sizeof(name));
		snprintf(folder, sizeof(folder), "/%s", !strncmp(name, "/dev/", 5) ? name + 5 : name);
		for (char *c = folder + 1; *c; c++)
			*c = *c == '/' || *c == ':' ? '-' : *c;
		if (!guestfs_mkmountpoint(t->g, folder) && !mount_one(t, *p, folder)) {
			mounted++;
			continue;
		}
		guest_fail(t, &why, *p);
		say(LOG_WARNING, "%s", why.message);
	}
	if (!rc && n > 1 && !mounted)
		rc = fail(err, VDISK_IO, "%s: none of its %u file systems can be mounted", image, n);
	guest_strings_free(found);
	return rc;
}

int guest_inside_mount(struct guest *t, const struct guest_options *o, vdisk_error *err)
{
	char **roots = guestfs_inspect_os(t->g), list[400] = "";
	const char *root = NULL;
	size_t n = 0;
	int rc;

	if (!roots)
		return guest_fail(t, err, "looking for a system");
	for (; roots[n]; n++) {
		size_t len = strlen(list);
		char name[300];

		guest_name(t, roots[n], name, sizeof(name));
		snprintf(list + len, sizeof(list) - len, "%s%.90s", n ? ", " : "", name);
		if (!o->root || !strcmp(o->root, name))
			root = roots[n];
	}
	if (n > 1 && !o->root)
		rc = fail(err, VDISK_INVALID, "%s: holds several systems; --root takes one of %s", o->image, list);
	else if (root)
		rc = mount_system(t, root, err);
	else
		rc = mount_data(t, o->image, o->root, err);
	guest_strings_free(roots);
	if (rc && t->locked[0] && !o->n_keys)
		return fail(err, VDISK_INVALID, "%s: is encrypted; --key-file FILE gives its passphrase", t->locked);
	if (!rc && t->locked[0]) {
		snprintf(list, sizeof(list), "%s: is encrypted, and stays closed", t->locked);
		say(LOG_WARNING, "%s", list);
	}
	return rc;
}

int guest_system_mount(struct guest *t, const char *root, char *const *places, vdisk_error *err)
{
	return places ? mount_places(t, root, places, err) : mount_system(t, root, err);
}

int guest_system_unmount(struct guest *t, vdisk_error *err)
{
	return guestfs_umount_all(t->g) ? guest_fail(t, err, "unmounting") : 0;
}

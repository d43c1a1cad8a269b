/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfs_facts.h"

#include "common/fail.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHERE_MAX 320 /* a name, and a word before it */

static const char *value(char **pairs, const char *key)
{
	for (char **p = pairs; p && p[0] && p[1]; p += 2)
		if (!strcmp(p[0], key))
			return p[1];
	return "";
}

/* /dev/sdb3 as we call it: which disk, which partition; 0: none. */
static unsigned disk_of(const char *name, unsigned *partition)
{
	*partition = 0;
	if (strncmp(name, "/dev/sd", 7) || !islower((unsigned char)name[7]) || islower((unsigned char)name[8]))
		return 0;
	*partition = (unsigned)strtoul(name + 8, NULL, 10);
	return (unsigned)(name[7] - 'a');
}

/* As `vdisk mount` and `vdisk inspect` call it. */
static void where_make(const char *name, const char *uuid, unsigned partition, char out[WHERE_MAX])
{
	const char *slash;

	if (!strncmp(name, "/dev/sd", 7)) {
		if (partition)
			snprintf(out, WHERE_MAX, "partitions/%u", partition);
		else
			snprintf(out, WHERE_MAX, "disk");
	} else if (!strncmp(name, "/dev/md", 7)) {
		snprintf(out, WHERE_MAX, "md/%s", name + strcspn(name, "0123456789"));
	} else if (!strncmp(name, "/dev/mapper/", 12)) {
		snprintf(out, WHERE_MAX, "luks/%s", uuid);
	} else if (!strncmp(name, "/dev/", 5) && (slash = strchr(name + 5, '/'))) {
		snprintf(out, WHERE_MAX, "volumes/%s", name + 5);
	} else {
		snprintf(out, WHERE_MAX, "%s", name);
	}
}

static int fs_add(struct guest *t, struct facts *f, const char *device, vdisk_error *err)
{
	struct fact_fs *v = reallocarray(f->fs, f->fs_n + 1, sizeof(*v)), *s;
	char **pairs, name[300], where[WHERE_MAX];
	unsigned partition;
	int64_t size;

	if (!v)
		return fail(err, VDISK_NOMEM, "out of memory");
	f->fs = v;
	s = &v[f->fs_n++];
	*s = (struct fact_fs){ 0 };
	guest_name(t, device, name, sizeof(name));
	pairs = guestfs_blkid(t->g, device); /* NULL: it says nothing of an empty partition */
	size = guestfs_blockdev_getsize64(t->g, device);
	s->disk = disk_of(name, &partition);
	where_make(name, value(pairs, "UUID"), partition, where);
	s->where = strdup(where);
	s->device = strdup(name);
	s->type = strdup(value(pairs, "TYPE"));
	s->uuid = strdup(value(pairs, "UUID"));
	s->label = strdup(value(pairs, "LABEL"));
	s->partuuid = strdup(value(pairs, "PART_ENTRY_UUID"));
	s->partlabel = strdup(value(pairs, "PART_ENTRY_NAME"));
	s->mount = strdup("");
	s->subvolume = strdup("");
	s->fstab = strdup("");
	s->size = size > 0 ? (uint64_t)size : 0;
	guest_strings_free(pairs);
	return s->where && s->device && s->type && s->uuid && s->label && s->partuuid && s->partlabel && s->mount && s->subvolume && s->fstab
	               ? 0
	               : fail(err, VDISK_NOMEM, "out of memory");
}

/* The open side of a LUKS device is a device of its own, which no list but this one has. */
static char **mapped(guestfs_h *g) { return guestfs_list_dm_devices(g); }

int guestfs_facts(struct guest *t, struct facts *f, vdisk_error *err)
{
	char **lists[] = { guestfs_list_devices(t->g), guestfs_list_partitions(t->g), guestfs_list_md_devices(t->g), guestfs_lvs(t->g), mapped(t->g) };
	int rc = 0;

	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		if (!rc && !lists[i])
			rc = guest_fail(t, err, "what the disks hold");
		for (char **p = lists[i]; !rc && p && *p; p++)
			rc = fs_add(t, f, *p, err);
		guest_strings_free(lists[i]);
	}
	return rc;
}

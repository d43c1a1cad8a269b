/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfs_facts.h"

#include "common/fail.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WHERE_MAX 320 /* a name, and a word before it */

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

static int fs_add(const struct guest *t, struct facts *f, const struct guest_device *d, vdisk_error *err)
{
	struct fact_fs *v = reallocarray(f->fs, f->fs_n + 1, sizeof(*v)), *s;
	char name[300], where[WHERE_MAX];
	unsigned partition;

	if (!v)
		return fail(err, VDISK_NOMEM, "out of memory");
	f->fs = v;
	s = &v[f->fs_n++];
	*s = (struct fact_fs){ 0 };
	guest_name(t, d->name, name, sizeof(name));
	s->disk = disk_of(name, &partition);
	where_make(name, guest_device_value(d, "UUID"), partition, where);
	s->where = strdup(where);
	s->device = strdup(name);
	s->type = strdup(guest_device_value(d, "TYPE"));
	s->uuid = strdup(guest_device_value(d, "UUID"));
	s->label = strdup(guest_device_value(d, "LABEL"));
	s->partuuid = strdup(guest_device_value(d, "PART_ENTRY_UUID"));
	s->partlabel = strdup(guest_device_value(d, "PART_ENTRY_NAME"));
	s->mount = strdup("");
	s->subvolume = strdup("");
	s->fstab = strdup("");
	return s->where && s->device && s->type && s->uuid && s->label && s->partuuid && s->partlabel && s->mount && s->subvolume &&
	                       s->fstab
	               ? 0
	               : fail(err, VDISK_NOMEM, "out of memory");
}

int guestfs_facts(const struct guest *t, struct facts *f, vdisk_error *err)
{
	for (size_t i = 0; i < t->n_devices; i++)
		if (fs_add(t, f, &t->devices[i], err))
			return -1;
	return 0;
}

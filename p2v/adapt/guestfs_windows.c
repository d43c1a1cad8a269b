/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestfs_windows.h"

#include "common/fail.h"
#include "common/ntfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct device {
	struct guest *t;
	const char *name;
};

static int device_read(void *to, uint64_t off, void *buf, size_t len, vdisk_error *err)
{
	const struct device *d = to;
	size_t done = 0;

	while (done < len) {
		size_t n;
		char *part = guestfs_pread_device(d->t->g, d->name, (int)(len - done), (int64_t)(off + done), &n);

		if (!part)
			return guest_fail(d->t, err, d->name);
		if (n > len - done || !n)
			n = n ? len - done : 0;
		memcpy((char *)buf + done, part, n);
		free(part);
		if (!n)
			return fail(err, VDISK_CORRUPT, "%s ends before byte %llu", d->name, (unsigned long long)(off + len));
		done += n;
	}
	return 0;
}

/* LDM keeps its own table at the disk's end; the partition table says only that it does. */
static bool is_dynamic(struct guest *t, const char *disk, const char *partition)
{
	char *kind = guestfs_part_get_parttype(t->g, disk);
	int number = guestfs_part_to_partnum(t->g, partition);
	bool yes = false;

	if (kind && number > 0 && !strcmp(kind, "msdos")) {
		yes = guestfs_part_get_mbr_id(t->g, disk, number) == 0x42;
	} else if (kind && number > 0 && !strcmp(kind, "gpt")) {
		char *type = guestfs_part_get_gpt_type(t->g, disk, number);

		yes = type && (!strcasecmp(type, "AF9B60A0-1431-4F62-BC68-3311714A69AD") ||
		               !strcasecmp(type, "5808C8AA-7E8F-42E0-85D2-E1E90434CFB3"));
		free(type);
	}
	free(kind);
	return yes;
}

/* Looked at through a mount that writes nothing.  1, 0, -1. */
static int is_hibernated(struct guest *t, const char *device, vdisk_error *err)
{
	char *path, *head = NULL;
	size_t n = 0;
	int rc;

	if (guestfs_mount_ro(t->g, device, "/"))
		return guest_fail(t, err, device);
	path = guestfs_case_sensitive_path(t->g, "/hiberfil.sys");
	if (path && guestfs_is_file(t->g, path) > 0)
		head = guestfs_pread(t->g, path, 4, 0, &n);
	rc = head && n == 4 && !strncasecmp(head, "hibr", 4);
	free(head);
	free(path);
	return guestfs_umount_all(t->g) ? guest_fail(t, err, device) : rc;
}

static int ntfs_judge(struct guest *t, const char *device, const char *name, struct windows_barriers *out, vdisk_error *err)
{
	struct device d = { .t = t, .name = device };
	char *disk = guestfs_part_to_dev(t->g, device);
	const char *why;
	int rc;

	if (disk && is_dynamic(t, disk, device))
		guest_name(t, disk, out->dynamic, sizeof(out->dynamic));
	else if (!disk && strstr(device, "ldm_"))
		snprintf(out->dynamic, sizeof(out->dynamic), "%s", name);
	free(disk);
	rc = is_hibernated(t, device, err);
	if (rc)
		return rc < 0 ? -1 : windows_sleeps(err);
	rc = ntfs_state(device_read, &d, &why, err);
	if (!rc)
		snprintf(out->unclean, sizeof(out->unclean), "%s (%s)", name, why);
	return rc < 0 ? -1 : 0;
}

int guestfs_barriers(struct guest *t, const char *device, struct windows_barriers *out, vdisk_error *err)
{
	char *type = guestfs_vfs_type(t->g, device), name[300];
	int rc = 0;

	*out = (struct windows_barriers){ 0 };
	guest_name(t, device, name, sizeof(name));
	if (type && !strcmp(type, "ntfs"))
		rc = ntfs_judge(t, device, name, out, err);
	free(type);
	return rc;
}

/* The partition of the disk that has the type of an EFI system partition, and a FAT on it; owned, NULL: none. */
static char *esp_find(struct guest *t, const char *disk)
{
	char *kind = guestfs_part_get_parttype(t->g, disk),
	     **parts = kind && !strcmp(kind, "gpt") ? guestfs_list_partitions(t->g) : NULL, *found = NULL;

	for (char **p = parts; p && *p && !found; p++) {
		char *of = guestfs_part_to_dev(t->g, *p), *type = NULL, *fs = NULL;
		int number = of && !strcmp(of, disk) ? guestfs_part_to_partnum(t->g, *p) : -1;

		if (number > 0)
			type = guestfs_part_get_gpt_type(t->g, disk, number);
		if (type && !strcasecmp(type, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"))
			fs = guestfs_vfs_type(t->g, *p);
		if (fs && !strcmp(fs, "vfat"))
			found = strdup(*p);
		free(of);
		free(type);
		free(fs);
	}
	guest_strings_free(parts);
	free(kind);
	return found;
}

int guestfs_esp(struct guest *t, const char *device, char *path, size_t room, vdisk_error *err)
{
	char *type = guestfs_inspect_get_type(t->g, device),
	     *disk = type && !strcmp(type, "windows") ? guestfs_part_to_dev(t->g, device) : NULL;
	char *esp = disk ? esp_find(t, disk) : NULL, *at = esp ? guestfs_case_sensitive_path(t->g, "/Windows/Temp") : NULL;
	int rc = 0;

	*path = '\0';
	if (at && guestfs_is_dir(t->g, at) > 0 && strlen(at) < room) {
		rc = (t->rw ? guestfs_mount(t->g, esp, at) : guestfs_mount_ro(t->g, esp, at)) ? guest_fail(t, err, esp) : 0;
		if (!rc)
			strcpy(path, at);
	}
	free(at);
	free(esp);
	free(disk);
	free(type);
	return rc;
}

int guestfs_hidden(struct guest *t, const char *image, vdisk_error *err)
{
	char **parts = guestfs_list_partitions(t->g), name[300];
	int rc = 0;

	for (char **p = parts; p && *p && !rc; p++) {
		char *type = guestfs_vfs_type(t->g, *p), *disk = guestfs_part_to_dev(t->g, *p);

		if (type && !strcmp(type, "BitLocker")) {
			guest_name(t, *p, name, sizeof(name));
			rc = windows_encrypted(image, name, err);
		} else if (disk && is_dynamic(t, disk, *p)) {
			guest_name(t, disk, name, sizeof(name));
			rc = windows_dynamic(image, name, err);
		}
		free(type);
		free(disk);
	}
	guest_strings_free(parts);
	return rc;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is encrypted, opened with the user's passphrases. */
#include "guest_parts.h"

#include "common/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_MAX 8192u /* libguestfs hands it to cryptsetup as text */

/* What the file holds, without a newline at its end.  Returns owned. */
static char *key_read(const char *path, vdisk_error *err)
{
	char *key = calloc(1, KEY_MAX + 2);
	FILE *f = key ? fopen(path, "re") : NULL;
	size_t n;

	if (!f) {
		key ? fail_errno(err, "%s", path) : fail(err, VDISK_NOMEM, "out of memory");
		free(key);
		return NULL;
	}
	n = fread(key, 1, KEY_MAX + 1, f);
	if (ferror(f))
		fail_errno(err, "%s", path);
	else if (n > KEY_MAX)
		fail(err, VDISK_INVALID, "%s: is longer than a passphrase may be (%u bytes)", path, KEY_MAX);
	else if (memchr(key, 0, n))
		fail(err, VDISK_UNSUPPORTED, "%s: holds a NUL byte, and libguestfs takes passphrases of text only", path);
	else
		goto good;
	fclose(f);
	free(key);
	return NULL;
good:
	fclose(f);
	if (n && key[n - 1] == '\n')
		key[n - 1] = '\0';
	return key;
}

/* 0: open; 1: no key opens it; -1: *err.  What cryptsetup complains of besides is kept in t->trouble. */
static int unlock(struct guest *t, const struct guest_options *o, const char *device, unsigned number, vdisk_error *err)
{
	const struct guestfs_cryptsetup_open_argv how = { .bitmask = GUESTFS_CRYPTSETUP_OPEN_READONLY_BITMASK, .readonly = !t->rw };
	char name[32];

	snprintf(name, sizeof(name), "vdisk%u", number);
	for (size_t i = 0; i < o->n_keys; i++) {
		char *key = key_read(o->key_files[i], err);
		int rc;

		if (!key)
			return -1;
		rc = guestfs_cryptsetup_open_argv(t->g, device, key, name, &how);
		if (rc && guestfs_last_error(t->g) && !strstr(guestfs_last_error(t->g), "No key available"))
			guest_fail(t, &t->trouble, "libguestfs");
		explicit_bzero(key, strlen(key));
		free(key);
		if (!rc)
			return 0;
	}
	return 1;
}

static bool is_encrypted(const char *type) { return !strcmp(type, "crypto_LUKS") || !strcmp(type, "BitLocker"); }

/* What could not be opened is remembered in t->locked: whether it matters shows later. */
static int unlock_device(struct guest *t, const struct guest_options *o, const struct guest_device *d, unsigned *number,
                         vdisk_error *err)
{
	const char *device = d->name;
	bool encrypted = is_encrypted(guest_device_value(d, "TYPE"));
	char seen[260];
	int rc;

	snprintf(seen, sizeof(seen), " %s ", device);
	if (!encrypted || strstr(t->opened, seen) || strlen(t->opened) + strlen(seen) >= sizeof(t->opened))
		return 0;
	rc = unlock(t, o, device, *number, err);
	if (rc > 0) {
		guest_name(t, device, t->locked, sizeof(t->locked));
	} else if (!rc) {
		strcat(t->opened, seen);
		++*number;
	}
	return rc < 0 ? -1 : 0;
}

/* Wherever something encrypted may lie: list_filesystems() leaves such out. */
static int unlock_round(struct guest *t, const struct guest_options *o, unsigned *number, vdisk_error *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < t->n_devices; i++)
		rc = unlock_device(t, o, &t->devices[i], number, err);
	return rc;
}

/* One that lies on another comes to light when that is open: twice is as deep as anybody goes. */
int guest_unlock(struct guest *t, const struct guest_options *o, vdisk_error *err)
{
	unsigned n = 0, before;

	for (int depth = 0; depth < 2; depth++) {
		before = n;
		if (unlock_round(t, o, &n, err))
			return -1;
		if (n == before)
			break;
		t->locked[0] = '\0';
		if (guestfs_lvm_scan(t->g, 1))
			return guest_fail(t, err, "looking for volumes");
		if (guest_devices_look(t, err))
			return -1;
		if (unlock_round(t, &(struct guest_options){ .n_keys = 0 }, &n, err)) /* which are left? */
			return -1;
	}
	if (o->n_keys && !n && t->locked[0] && t->trouble.kind)
		return fail(err, VDISK_IO, "%s: is encrypted, and cannot be opened (%.200s)", t->locked, t->trouble.message);
	if (o->n_keys && !n)
		return t->locked[0] ? fail(err, VDISK_INVALID, "%s: is encrypted, and no key file opens it", t->locked)
		                    : fail(err, VDISK_INVALID, "%s: holds nothing encrypted, and --key-file was given", o->image);
	return 0;
}

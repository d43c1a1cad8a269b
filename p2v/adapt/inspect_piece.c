/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What lies on the disks.  First partitions and volumes, which vdisk-mount shows as files (without FUSE: ranges of a raw disk);
 * then what only GRUB puts together of those: arrays of the MD driver, volumes that lie on several disks or on an array, the inside
 * of LUKS; and what lies on that.
 */
#include "inspect_parts.h"

#include "common/fail.h"
#include "inspect_probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 4 /* LVM on LUKS on MD on partitions */

void piece_destroy(struct piece *p)
{
	tree_close(p->tree);
	free(p->fs.where);
	free(p->fs.device);
	free(p->fs.type);
	free(p->fs.uuid);
	free(p->fs.label);
	free(p->fs.partuuid);
	free(p->fs.partlabel);
	free(p->fs.mount);
	free(p->fs.subvolume);
	free(p->fs.fstab);
	free(p->grub_device);
	free(p->file);
	free(p->doubt);
	free(p->closed);
}

/* NULL with *err. */
static struct piece *piece_add(struct inspection *in, const char *where, unsigned disk, uint64_t size, vdisk_error *err)
{
	struct piece *p;
	bool ok = true;

	if (in->pieces_n == INSPECT_PIECES_MAX) {
		fail(err, VDISK_UNSUPPORTED, "there are more partitions and volumes than are looked at (%d)", INSPECT_PIECES_MAX);
		return NULL;
	}
	p = &in->pieces[in->pieces_n++];
	p->fs.where = inspect_dup(where, &ok);
	p->fs.disk = disk;
	p->fs.size = size;
	if (ok)
		return p;
	fail_nomem(err);
	return NULL;
}

static struct piece *piece_find(struct inspection *in, const char *where)
{
	for (size_t i = 0; i < in->pieces_n; i++)
		if (!strcmp(in->pieces[i].fs.where, where))
			return &in->pieces[i];
	return NULL;
}

/* Where the bytes of a partition or volume are: a file of vdisk-mount's, or a range of the raw disk, which GRUB calls `device`. */
static int place(struct inspection *in, struct piece *p, unsigned disk, uint64_t off, const char *device, vdisk_error *err)
{
	struct disk *d = &in->disks[disk];
	bool ok = true;

	if (in->fuse) {
		if (asprintf(&p->file, "%s/%s", d->shown.folder, p->fs.where) < 0)
			p->file = NULL;
		p->grub_device = inspect_dup("loop0", &ok);
		p->grub.files[0] = p->file;
		p->grub.files_n = 1;
		return ok && p->file ? 0 : fail_nomem(err);
	}
	p->grub_device = inspect_dup(device, &ok);
	for (size_t i = 0; i < in->disks_n; i++)
		p->grub.files[p->grub.files_n++] = in->disks[i].raw;
	p->off = off;
	if (off != UINT64_MAX)
		p->file = inspect_dup(d->raw, &ok);
	return ok ? 0 : fail_nomem(err);
}

/* ---------------------------------------------------------------- partitions */

/* /dev/sda1, as a Linux that finds the disks in this order calls it. */
static char *device_name(unsigned disk, unsigned part)
{
	char *name = NULL, letters[4], *at = letters;

	if (disk >= 26)
		*at++ = (char)('a' + disk / 26 - 1);
	*at++ = (char)('a' + disk % 26);
	*at = '\0';
	if ((part ? asprintf(&name, "/dev/sd%s%u", letters, part) : asprintf(&name, "/dev/sd%s", letters)) < 0)
		return NULL;
	return name;
}

static int partition_add(struct inspection *in, unsigned disk, const struct vdisk_partition *part, vdisk_error *err)
{
	const struct disk *d = &in->disks[disk];
	char where[32], device[64];
	struct piece *p;
	bool ok = true;

	snprintf(where, sizeof(where), part ? "partitions/%u" : "disk", part ? part->number : 0);
	if (part)
		snprintf(device, sizeof(device), "loop%u,%s%u", disk, d->table.kind == VDISK_TABLE_GPT ? "gpt" : "msdos",
			 part->number);
	else
		snprintf(device, sizeof(device), "loop%u", disk);
	p = piece_add(in, where, disk, part ? part->len : d->source.len, err);
	if (!p || place(in, p, disk, part ? part->off : 0, device, err))
		return -1;
	p->fs.device = device_name(disk, part ? part->number : 0);
	p->fs.partuuid = inspect_dup(part ? part->uuid : "", &ok);
	p->fs.partlabel = inspect_dup(part ? part->name : "", &ok);
	return ok && p->fs.device ? piece_probe(p, err) : fail_nomem(err);
}

/* ---------------------------------------------------------------- volumes */

/* GRUB's name of it: a - of either name is doubled. */
static void volume_device(const char *group, const char *name, struct bytes *out)
{
	bytes_text(out, "lvm/");
	for (const char *part = group; part; part = part == group ? name : NULL) {
		for (const char *at = part; *at; at++)
			bytes_text(out, *at == '-' ? "--" : (char[2]){ *at, 0 });
		if (part == group)
			bytes_text(out, "-");
	}
}

static int volume_add(struct inspection *in, unsigned disk, const struct vdisk_volume *v, vdisk_error *err)
{
	struct bytes where = { 0 }, device = { 0 };
	struct piece *p = NULL;
	bool plain = v->n_segments == 1 && v->segments[0].n_stripes == 1, ok = true;
	int rc = -1;

	bytes_format(&where, "volumes/%s/%s", v->group, v->name);
	volume_device(v->group, v->name, &device);
	if (where.failed || device.failed)
		fail_nomem(err);
	else if (piece_find(in, where.at)) /* from another disk of the group */
		rc = 0;
	else
		p = piece_add(in, where.at, disk, v->len, err);
	if (p) {
		if (asprintf(&p->fs.device, "/dev/%s/%s", v->group, v->name) < 0)
			p->fs.device = NULL;
		if (v->problem)
			p->closed = inspect_dup(v->problem, &ok);
		rc = !ok || !p->fs.device ? fail_nomem(err) : 0;
		if (!rc && !v->problem)
			rc = place(in, p, disk, plain ? v->segments[0].at[0] : UINT64_MAX, device.at, err) || piece_probe(p, err)
				 ? -1
				 : 0;
	}
	bytes_destroy(&where);
	bytes_destroy(&device);
	return rc;
}

static int volumes_add(struct inspection *in, unsigned disk, vdisk_error *err)
{
	const struct vdisk_volume *v;
	vdisk_volumes *all;
	int rc = 0;

	if (vdisk_volumes_read(in->disks[disk].source.img, &all, err))
		return -1;
	for (size_t i = 0; !rc && (v = vdisk_volumes_get(all, i)); i++)
		if (!v->hidden)
			rc = volume_add(in, disk, v, err);
	vdisk_volumes_free(all);
	return rc;
}

/* ---------------------------------------------------------------- what GRUB puts together */

/* "lvm/vg-root" to volumes/vg/root. */
static void volume_where(const char *device, struct bytes *out)
{
	bool parted = false;

	bytes_text(out, "volumes/");
	for (const char *at = device + 4; *at; at++) {
		bool twice = at[0] == '-' && at[1] == '-';

		bytes_text(out, *at == '-' && !twice && !parted ? "/" : (char[2]){ *at, 0 });
		parted |= *at == '-' && !twice;
		at += twice;
	}
}

/* A piece that GRUB alone can read.  One that was known, but closed, is opened by that. */
static int found_add(struct inspection *in, const struct grub_source *s, const char *device, uint64_t size, const char *where,
		     unsigned disk, vdisk_error *err)
{
	struct piece *p = piece_find(in, where);
	bool ok = true;

	if (p && (p->grub_device || !p->closed))
		return 0;
	if (!p)
		p = piece_add(in, where, disk, 0, err);
	if (!p)
		return -1;
	free(p->closed);
	p->closed = NULL;
	p->grub = *s;
	p->grub_device = inspect_dup(device, &ok);
	if (size)
		p->fs.size = size;
	if (!p->fs.device && !strncmp(where, "volumes/", 8) && asprintf(&p->fs.device, "/dev/%s", where + 8) < 0)
		ok = false;
	return ok ? piece_probe(p, err) : fail_nomem(err);
}

/* The logical volumes among GRUB's devices. */
static int found_volumes(struct inspection *in, const struct grub_source *s, const struct grub_device *v, size_t n, unsigned disk,
			 vdisk_error *err)
{
	struct bytes where = { 0 };
	int rc = 0;

	for (size_t i = 0; !rc && i < n; i++) {
		if (strncmp(v[i].name, "lvm/", 4))
			continue;
		bytes_clear(&where);
		volume_where(v[i].name, &where);
		rc = where.failed ? fail_nomem(err) : found_add(in, s, v[i].name, v[i].size, where.at, disk, err);
	}
	bytes_destroy(&where);
	return rc;
}

/* A UUID as GRUB writes it: hexadecimal digits alone. */
static void uuid_device(const char *kind, const char *uuid, struct bytes *out)
{
	bytes_text(out, kind);
	for (; *uuid; uuid++)
		if (*uuid != '-' && *uuid != ':')
			bytes_add(out, uuid, 1);
}

static int array_add(struct inspection *in, struct piece *first, vdisk_error *err)
{
	struct bytes device = { 0 }, where = { 0 };
	struct grub_source s = { 0 };
	struct grub_device *v;
	const char *name = strchr(first->fs.label, ':');
	unsigned disk = first->fs.disk;
	uint64_t size = 0;
	size_t n;
	int rc;

	for (size_t i = 0; i < in->pieces_n && s.files_n < GRUB_FILES_MAX; i++) {
		struct piece *p = &in->pieces[i];

		if (strcmp(p->fs.type ? p->fs.type : "", "linux_raid_member") || strcmp(p->fs.uuid, first->fs.uuid) ||
		    !p->grub.files_n)
			continue;
		if (in->fuse)
			s.files[s.files_n++] = p->grub.files[0];
		else
			s = p->grub;
	}
	uuid_device("mduuid/", first->fs.uuid, &device);
	bytes_format(&where, "md/%s", name && name[1] ? name + 1 : *first->fs.label ? first->fs.label : first->fs.uuid);
	if (!device.failed && !where.failed && piece_find(in, where.at)) { /* its other half brought it */
		bytes_destroy(&device);
		bytes_destroy(&where);
		return 0;
	}
	rc = grub_devices(&s, &v, &n, err) < 0 ? -1 : 0;
	for (size_t i = 0, arrays = 0; i < n; i++)
		if (!strncmp(v[i].name, "md/", 3))
			size = arrays++ ? 0 : v[i].size;
	if (!rc)
		rc = device.failed || where.failed ? fail_nomem(err) : found_add(in, &s, device.at, size, where.at, disk, err);
	grub_devices_free(v, n);
	bytes_destroy(&device);
	bytes_destroy(&where);
	return rc;
}

/* All physical volumes' files, for a group that lies on more than one, or on an array. */
static int groups_add(struct inspection *in, vdisk_error *err)
{
	struct grub_source s = { 0 };
	struct grub_device *v;
	bool wanted = false;
	size_t count;
	int rc;

	for (size_t i = 0; i < in->pieces_n; i++) {
		struct piece *p = &in->pieces[i];

		wanted |= p->closed && !strncmp(p->fs.where, "volumes/", 8) && !p->grub_device;
		if (strcmp(p->fs.type ? p->fs.type : "", "LVM2_member"))
			continue;
		wanted |= !strncmp(p->fs.where, "md/", 3);
		for (size_t k = 0; k < p->grub.files_n && s.files_n < GRUB_FILES_MAX; k++) {
			bool there = false;

			for (size_t j = 0; j < s.files_n; j++)
				there |= s.files[j] == p->grub.files[k];
			if (!there)
				s.files[s.files_n++] = p->grub.files[k];
		}
	}
	if (!wanted || !s.files_n)
		return 0;
	rc = grub_devices(&s, &v, &count, err);
	rc = rc > 0 ? found_volumes(in, &s, v, count, 0, err) : rc;
	grub_devices_free(v, count);
	return rc;
}

/* ---------------------------------------------------------------- LUKS */

static int closed_set(struct piece *p, const char *why, vdisk_error *err)
{
	char *text = NULL;

	if (asprintf(&text, "%s; %s", p->closed, why) < 0)
		return fail_nomem(err);
	free(p->closed);
	p->closed = text;
	return 0;
}

/* One key.  1: it opens it; 0, -1. */
static int luks_try(struct inspection *in, const struct grub_source *s, const char *where, unsigned disk, vdisk_error *err)
{
	struct grub_device *v;
	bool open = false;
	size_t n;
	int rc = grub_devices(s, &v, &n, err);

	for (size_t i = 0; rc > 0 && i < n && !open; i++) {
		open = !strncmp(v[i].name, "crypto", 6);
		if (open && found_add(in, s, v[i].name, v[i].size, where, disk, err))
			rc = -1;
	}
	if (rc > 0 && open && found_volumes(in, s, v, n, disk, err))
		rc = -1;
	grub_devices_free(v, n);
	return rc < 0 ? -1 : open;
}

/* With each key in turn. */
static int luks_open(struct inspection *in, struct piece *p, vdisk_error *err)
{
	struct bytes where = { 0 };
	int rc = 0;

	bytes_format(&where, "luks/%s", p->fs.uuid);
	if (where.failed)
		rc = fail_nomem(err);
	for (size_t i = 0; !rc && i < in->options->keys_n; i++) {
		struct grub_source s = p->grub;

		s.key = in->keys[i];
		rc = luks_try(in, &s, where.at, p->fs.disk, err);
	}
	bytes_destroy(&where);
	if (!rc)
		return closed_set(p, "no key file opens it", err);
	free(p->closed);
	p->closed = NULL;
	p->wants_key = true;
	return rc < 0 ? -1 : 0;
}

static int luks_take(struct inspection *in, struct piece *p, vdisk_error *err)
{
	if (!strcmp(p->fs.type, "BitLocker"))
		return closed_set(p, "nothing here opens that", err);
	if (!in->options->keys_n)
		return closed_set(p, "--key-file FILE gives its passphrase", err);
	if (!in->fuse)
		return closed_set(p, "it is opened with FUSE only", err);
	if (!strstr(p->closed, "argon2"))
		return luks_open(in, p, err);
	p->wants_key = true; /* libguestfs will tell whether one fits */
	return 0;
}

/* ---------------------------------------------------------------- all */

/* What is in pieces [from, …), which may bring new ones. */
static int opened_add(struct inspection *in, size_t from, vdisk_error *err)
{
	int rc = 0;

	for (size_t i = from, n = in->pieces_n; !rc && i < n; i++) {
		struct piece *p = &in->pieces[i];
		const char *type = p->fs.type ? p->fs.type : "";

		if (!strcmp(type, "linux_raid_member"))
			rc = array_add(in, p, err);
		else if (!strcmp(type, "crypto_LUKS") || !strcmp(type, "BitLocker"))
			rc = luks_take(in, p, err);
	}
	return rc ? -1 : groups_add(in, err);
}

int inspect_pieces(struct inspection *in, vdisk_error *err)
{
	int rc = 0;

	in->pieces = calloc(INSPECT_PIECES_MAX, sizeof(*in->pieces)); /* never moved */
	if (!in->pieces)
		return fail_nomem(err);
	for (unsigned i = 0; !rc && i < in->disks_n; i++) {
		struct disk *d = &in->disks[i];

		if (d->table.kind == VDISK_TABLE_NONE)
			rc = partition_add(in, i, NULL, err);
		for (size_t k = 0; !rc && k < d->parts_n; k++)
			rc = partition_add(in, i, &d->parts[k], err);
	}
	for (unsigned i = 0; !rc && i < in->disks_n; i++)
		rc = volumes_add(in, i, err);
	for (size_t depth = 0, from = 0; !rc && depth < DEPTH_MAX && from < in->pieces_n; depth++) {
		size_t n = in->pieces_n;

		rc = opened_add(in, from, err);
		from = n;
	}
	return rc ? -1 : 0;
}

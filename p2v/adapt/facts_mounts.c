/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fstab(5) matched with what the disk holds, and the many names that a guest has for a file system. */
#include "devices.h"
#include "facts_parts.h"
#include "lines.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---------------------------------------------------------------- names */

static unsigned digit(char hex) { return hex <= '9' ? (unsigned)(hex - '0') : (unsigned)((hex | 0x20) - 'a' + 10); }

/* udev's \x20 in by-label. */
static void udev_unescape(const char *at, struct bytes *out)
{
	bytes_add(out, "", 0);
	for (; *at; at++) {
		unsigned c;

		if (at[0] == '\\' && at[1] == 'x' && isxdigit((unsigned char)at[2]) && isxdigit((unsigned char)at[3]) &&
		    (c = digit(at[2]) << 4 | digit(at[3]))) {
			bytes_add(out, &(char){ (char)c }, 1);
			at += 3;
		} else {
			bytes_add(out, at, 1);
		}
	}
}

/* VG-LV of /dev/mapper, where a - of either name is doubled: as volumes/VG/LV. */
static void mapper_where(const char *name, struct bytes *out)
{
	bytes_text(out, "volumes/");
	for (; *name; name++) {
		bool twice = name[0] == '-' && name[1] == '-';

		bytes_add(out, *name == '-' && !twice ? "/" : name, 1);
		name += twice;
	}
}

static bool same(const char *a, const char *b, bool letters) { return *b && !(letters ? strcmp(a, b) : strcasecmp(a, b)); }

static const struct fact_fs *by_field(const struct facts *f, size_t offset, const char *value, bool letters)
{
	for (size_t i = 0; i < f->fs_n; i++)
		if (same(value, *(char *const *)((const char *)&f->fs[i] + offset), letters))
			return &f->fs[i];
	return NULL;
}

#define BY(f, field, value, letters) by_field(f, offsetof(struct fact_fs, field), value, letters)

static unsigned disks_count(const struct facts *f)
{
	unsigned n = 0;

	for (size_t i = 0; i < f->fs_n; i++)
		if (f->fs[i].disk >= n)
			n = f->fs[i].disk + 1;
	return n;
}

static const struct fact_fs *by_partition(const struct facts *f, unsigned disk, unsigned part)
{
	char where[32];

	if (part)
		snprintf(where, sizeof(where), "partitions/%u", part);
	else
		snprintf(where, sizeof(where), "disk");
	for (size_t i = 0; i < f->fs_n; i++)
		if (f->fs[i].disk == disk && !strcmp(f->fs[i].where, where))
			return &f->fs[i];
	return NULL;
}

/* A name that counts the machine's disks; or, by-id and by-path, one that tells the disk in a way that an image does not hold: with
   one disk there is but one that can be meant. */
static const struct fact_fs *by_hardware(const struct facts *f, const struct device_name *d)
{
	if (d->index < 0)
		return disks_count(f) == 1 ? by_partition(f, 0, d->part) : NULL;
	return by_partition(f, (unsigned)d->index, d->part);
}

/* A name below /dev/disk. */
static const struct fact_fs *by_link(const struct facts *f, const char *name)
{
	static const struct {
		const char *folder;
		size_t offset;
		bool letters;
	} v[] = { { "by-uuid/", offsetof(struct fact_fs, uuid), false },
		  { "by-label/", offsetof(struct fact_fs, label), true },
		  { "by-partuuid/", offsetof(struct fact_fs, partuuid), false },
		  { "by-partlabel/", offsetof(struct fact_fs, partlabel), true } };
	const struct fact_fs *found = NULL;

	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		size_t len = strlen(v[i].folder);
		struct bytes value = { 0 };

		if (strncmp(name, v[i].folder, len))
			continue;
		udev_unescape(name + len, &value);
		found = value.failed ? NULL : by_field(f, v[i].offset, value.at, v[i].letters);
		bytes_destroy(&value);
		return found;
	}
	if (!strncmp(name, "by-id/dm-name-", 14)) {
		struct bytes where = { 0 };

		mapper_where(name + 14, &where);
		found = where.failed ? NULL : BY(f, where, where.at, true);
		bytes_destroy(&where);
		return found;
	}
	return NULL;
}

static const struct fact_fs *by_device(const struct facts *f, const char *name)
{
	const struct fact_fs *found;
	const char *dev = name + 5;
	struct device_name d;
	struct bytes where = { 0 };

	if (device_parse(name, &d))
		return by_hardware(f, &d);
	if (!strncmp(dev, "disk/", 5))
		return by_link(f, dev + 5);
	found = BY(f, device, name, true);
	if (found)
		return found;
	if (!strncmp(dev, "mapper/", 7)) {
		mapper_where(dev + 7, &where);
	} else if (!strncmp(dev, "md/", 3) || (!strncmp(dev, "md", 2) && isdigit((unsigned char)dev[2]))) {
		bytes_format(&where, "md/%s", dev[2] == '/' ? dev + 3 : dev + 2);
	} else {
		bytes_format(&where, "volumes/%s", dev);
	}
	found = where.failed ? NULL : BY(f, where, where.at, true);
	bytes_destroy(&where);
	return found;
}

static const struct fact_fs *by_name(const struct facts *f, const char *name)
{
	static const struct {
		const char *tag;
		size_t offset;
		bool letters;
	} v[] = { { "UUID=", offsetof(struct fact_fs, uuid), false },
		  { "LABEL=", offsetof(struct fact_fs, label), true },
		  { "PARTUUID=", offsetof(struct fact_fs, partuuid), false },
		  { "PARTLABEL=", offsetof(struct fact_fs, partlabel), true } };

	for (size_t i = 0; i < sizeof(v) / sizeof(*v); i++) {
		size_t len = strlen(v[i].tag);

		if (!strncmp(name, v[i].tag, len))
			return by_field(f, v[i].offset, name + len, v[i].letters);
	}
	return strncmp(name, "/dev/", 5) ? NULL : by_device(f, name);
}

const struct fact_fs *facts_device(const struct facts *f, const char *name)
{
	const struct fact_fs *found = NULL;
	struct bytes plain = { 0 };

	for (const char *p = name; *p; p++) /* LABEL="My Disk" */
		if (*p != '"' && *p != '\'')
			bytes_add(&plain, p, 1);
	if (plain.len && !plain.failed)
		found = by_name(f, plain.at);
	bytes_destroy(&plain);
	return found;
}

/* ---------------------------------------------------------------- fstab */

enum { SPEC, FOLDER, TYPE, OPTIONS, FIELDS };

static void subvolume_find(const char *options, struct bytes *out)
{
	const char *at = options;

	bytes_clear(out);
	bytes_add(out, "", 0);
	for (; *at; at += strcspn(at, ","), at += *at == ',')
		if (!strncmp(at, "subvol=", 7)) {
			bytes_clear(out);
			bytes_add(out, at + 7, strcspn(at + 7, ","));
		}
}

#define PLACES_MAX 64

/* One more place of a file system that is mounted already: btrfs, by its subvolumes.  NULL: it has too many. */
static struct fact_fs *fs_again(struct look *l, size_t i)
{
	struct facts *f = l->f;
	struct fact_fs *v, *from, *to;
	unsigned places = 0;

	for (size_t n = 0; n < f->fs_n; n++)
		places += f->fs[n].disk == f->fs[i].disk && !strcmp(f->fs[n].where, f->fs[i].where);
	v = places < PLACES_MAX ? look_grow(l, f->fs, f->fs_n, sizeof(*v)) : NULL;
	if (!v)
		return NULL;
	f->fs = v;
	from = &v[i];
	to = &v[f->fs_n++];
	*to = (struct fact_fs){ .size = from->size, .disk = from->disk };
	look_set(l, &to->where, from->where);
	look_set(l, &to->device, from->device);
	look_set(l, &to->type, from->type);
	look_set(l, &to->uuid, from->uuid);
	look_set(l, &to->label, from->label);
	look_set(l, &to->partuuid, from->partuuid);
	look_set(l, &to->partlabel, from->partlabel);
	return to;
}

static void mount_take(struct look *l, const struct bytes v[FIELDS])
{
	const struct fact_fs *found = facts_device(l->f, v[SPEC].at);
	struct bytes subvolume = { 0 };
	struct fact_fs *s;

	if (!found)
		return;
	s = &l->f->fs[found - l->f->fs];
	if (s->mount && *s->mount && v[FOLDER].at[0] == '/')
		s = fs_again(l, (size_t)(found - l->f->fs));
	if (!s)
		return;
	subvolume_find(v[OPTIONS].at, &subvolume);
	if (v[FOLDER].at[0] == '/')
		look_set(l, &s->mount, v[FOLDER].at);
	look_set(l, &s->fstab, v[SPEC].at);
	look_set(l, &s->subvolume, subvolume.at);
	bytes_destroy(&subvolume);
}

/* The open side of LUKS is known by the name that crypttab(5) gives it. */
static int crypttab_read(struct look *l)
{
	struct bytes b = { 0 }, device = { 0 }, name = { 0 };
	int rc = look_text(l, "/etc/crypttab", &b);
	struct lines t = lines_of(&b);
	const char *line, *word, *spec;
	size_t len, n, m;

	while (rc > 0 && lines_entry(&t, &line, &len)) {
		const char *at = line;
		const struct fact_fs *closed;

		if (!lines_word(&at, line + len, &word, &n) || !lines_word(&at, line + len, &spec, &m))
			continue;
		bytes_clear(&device);
		bytes_add(&device, spec, m);
		bytes_clear(&name);
		bytes_format(&name, "/dev/mapper/%.*s", (int)n, word);
		l->nomem |= device.failed || name.failed;
		closed = l->nomem ? NULL : facts_device(l->f, device.at);
		for (size_t i = 0; closed && closed->uuid && i < l->f->fs_n; i++)
			if (!strncmp(l->f->fs[i].where, "luks/", 5) && !strcmp(l->f->fs[i].where + 5, closed->uuid))
				look_set(l, &l->f->fs[i].device, name.at);
	}
	bytes_destroy(&b);
	bytes_destroy(&device);
	bytes_destroy(&name);
	return rc < 0 ? -1 : 0;
}

/* An EFI system partition where the guest has mounted it: its fstab says so, or the folder there holds EFI. */
static int esp_find(struct look *l)
{
	static const char *const usual[] = { "/boot/efi", "/efi", "/boot", "/boot/EFI", NULL };

	for (const char *const *p = usual; *p && !*l->f->esp; p++) {
		char path[64];
		int rc;

		snprintf(path, sizeof(path), "%s/EFI", *p);
		rc = look_there(l, path);
		if (rc < 0)
			return -1;
		if (rc)
			look_set(l, &l->f->esp, *p);
	}
	for (size_t i = 0; i < l->f->fs_n && !*l->f->esp; i++)
		if (l->f->fs[i].mount && (!strcmp(l->f->fs[i].mount, "/boot/efi") || !strcmp(l->f->fs[i].mount, "/efi")))
			look_set(l, &l->f->esp, l->f->fs[i].mount);
	return 0;
}

int facts_mounts(struct look *l)
{
	struct bytes b = { 0 }, v[FIELDS] = { { 0 } };
	int rc = crypttab_read(l) ? -1 : look_text(l, "/etc/fstab", &b);
	struct lines t = lines_of(&b);
	const char *line;
	size_t len;

	while (rc > 0 && lines_entry(&t, &line, &len)) {
		const char *at = line, *word;
		size_t n;

		for (int i = 0; i < FIELDS; i++) {
			bytes_clear(&v[i]);
			fstab_unescape("", 0, &v[i]);
			if (lines_word(&at, line + len, &word, &n))
				fstab_unescape(word, n, &v[i]);
			l->nomem |= v[i].failed;
		}
		if (!l->nomem && v[FOLDER].len)
			mount_take(l, v);
	}
	for (int i = 0; i < FIELDS; i++)
		bytes_destroy(&v[i]);
	bytes_destroy(&b);
	return rc < 0 ? -1 : esp_find(l);
}

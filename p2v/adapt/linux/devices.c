/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which disk of those that were taken along did the old machine call /dev/sda?  Names count in the old machine's order, which
 * nobody recorded, so fstab has to tell: the disk of / is known, since its files were found there; any other name means the disk
 * that has the partitions and types which fstab expects of it.  Where several disks would do, the name's own place in the order
 * decides (sdb is the second), and where the name has none (by-id), nothing is decided: a wrong file system mounted is worse than
 * one that is missing and named.
 */
#include "devices.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DISK_GONE (-1)
#define DISK_UNSURE (-2)

struct use { /* a line of fstab that names a partition so */
	struct device_name name;
	char mount[256], type[32];
};

struct uses {
	struct use *v;
	size_t n, cap;
};

static unsigned fs_part(const struct fact_fs *fs)
{
	const char *s = strstr(fs->where, "partitions/");
	struct device_name name;
	unsigned part = 0;

	if (s && sscanf(s + strlen("partitions/"), "%u", &part) == 1)
		return part;
	return device_parse(fs->device, &name) ? name.part : 0;
}

/* A partition, or a whole disk; nothing that lies inside of another (a logical volume, the open side of LUKS). */
static bool fs_is_plain(const struct fact_fs *fs)
{
	struct device_name name;

	return strstr(fs->where, "partitions/") || !*fs->where || !strcmp(fs->where, "disk") ||
	       (!strchr(fs->where, '/') && device_parse(fs->device, &name));
}

static const struct fact_fs *fs_at(const struct facts *f, unsigned disk, unsigned part)
{
	for (size_t i = 0; i < f->fs_n; i++)
		if (f->fs[i].disk == disk && fs_is_plain(&f->fs[i]) && fs_part(&f->fs[i]) == part)
			return &f->fs[i];
	return NULL;
}

static const struct fact_fs *fs_mounted(const struct facts *f, const char *mount)
{
	for (size_t i = 0; i < f->fs_n; i++)
		if (!strcmp(f->fs[i].mount, mount))
			return &f->fs[i];
	return NULL;
}

static bool types_agree(const char *wanted, const char *found)
{
	if (!*wanted || !*found || !strcmp(wanted, "auto") || !strcmp(wanted, "none") || !strcmp(wanted, found))
		return true;
	if (!strncmp(wanted, "ext", 3) && !strncmp(found, "ext", 3))
		return true;
	if (!strncmp(wanted, "ntfs", 4) && !strncmp(found, "ntfs", 4))
		return true;
	return (!strcmp(wanted, "msdos") || !strcmp(wanted, "vfat")) && !strcmp(found, "vfat");
}

/* Is the partition known to be mounted elsewhere?  The facts have an entry for each place, since btrfs has many. */
static bool mounted_elsewhere(const struct facts *f, unsigned disk, unsigned part, const char *mount)
{
	bool elsewhere = false;

	for (size_t i = 0; *mount == '/' && i < f->fs_n; i++) {
		const struct fact_fs *fs = &f->fs[i];

		if (fs->disk != disk || !fs_is_plain(fs) || fs_part(fs) != part || *fs->mount != '/')
			continue;
		if (!strcmp(fs->mount, mount) && !strcmp(fs->type, "btrfs"))
			return false;
		elsewhere = elsewhere || strcmp(fs->mount, mount);
	}
	return elsewhere;
}

/* Could `disk` be what fstab calls `name`? */
static bool disk_fits(const struct facts *f, const struct uses *u, const char *name, unsigned disk)
{
	for (size_t i = 0; i < u->n; i++) {
		const struct fact_fs *fs;

		if (strcmp(u->v[i].name.disk, name))
			continue;
		fs = fs_at(f, disk, u->v[i].name.part);
		if (!fs || !types_agree(u->v[i].type, fs->type))
			return false;
		if (mounted_elsewhere(f, disk, u->v[i].name.part, u->v[i].mount))
			return false;
	}
	return true;
}

static int known_disk(const struct devices *d, const char *name)
{
	for (size_t i = 0; i < d->n; i++)
		if (!strcmp(d->known[i].name, name))
			return d->known[i].disk;
	return DISK_UNSURE;
}

static bool is_known(const struct devices *d, const char *name)
{
	for (size_t i = 0; i < d->n; i++)
		if (!strcmp(d->known[i].name, name))
			return true;
	return false;
}

/* Names of one kind (sda, sdb) mean different disks; names of different kinds may mean the same one. */
static bool same_kind(const char *a, const char *b)
{
	size_t n = strcspn(a + 5, "0123456789/");

	if (!strncmp(a, "/dev/disk/", 10) || !strncmp(a, "/dev/mapper/", 12))
		return false;
	if (!strncmp(a, "/dev/sd", 7) || !strncmp(a, "/dev/hd", 7) || !strncmp(a, "/dev/vd", 7))
		n = 2;
	else if (!strncmp(a, "/dev/xvd", 8))
		n = 3;
	return !strncmp(a, b, 5 + n);
}

static bool disk_is_taken(const struct devices *d, const char *name, int disk)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->known[i].disk == disk && same_kind(d->known[i].name, name))
			return true;
	return false;
}

static void disk_learn(struct devices *d, const char *name, int disk)
{
	if (d->n == DEVICE_DISKS_MAX || is_known(d, name))
		return;
	snprintf(d->known[d->n].name, sizeof(d->known[0].name), "%s", name);
	d->known[d->n++].disk = disk;
}

static int disk_guess(const struct devices *d, const struct uses *u, const struct device_name *name)
{
	int found = DISK_GONE, n = 0;

	for (unsigned i = 0; i < d->disks; i++) {
		if (disk_is_taken(d, name->disk, (int)i) || !disk_fits(d->facts, u, name->disk, i))
			continue;
		if (name->index == (int)i)
			return (int)i;
		found = (int)i;
		n++;
	}
	return n > 1 ? DISK_UNSURE : found;
}

/* ---------------------------------------------------------------- fstab */

static void use_add(struct uses *u, const char *name, const char *mount, const char *type)
{
	struct use *at;

	if (u->n == u->cap)
		return;
	at = &u->v[u->n];
	if (!device_parse(name, &at->name) || strlen(mount) >= sizeof(at->mount) || strlen(type) >= sizeof(at->type))
		return;
	snprintf(at->mount, sizeof(at->mount), "%s", mount);
	snprintf(at->type, sizeof(at->type), "%s", type);
	u->n++;
}

static int uses_read(struct uses *u, struct plan *p, const char *path, bool fstab, vdisk_error *err)
{
	char words[3][DEVICE_NAME_MAX];
	struct text t;
	int rc = text_open_old(&t, p, path, err); /* the names that an earlier step has taken out tell the later ones */

	while (rc > 0 && text_next(&t)) {
		const char *at = t.line.at, *end = at + t.line.len;
		struct span w;
		int n = 0;

		while (n < 3 && word_next(&at, end, &w) && (n || *w.at != '#') && span_copy(w, words[n], sizeof(words[n])))
			n++;
		if (fstab && n == 3 && !strstr(words[2], "iso9660") && !strstr(words[2], "udf"))
			use_add(u, words[0], words[1], words[2]);
		else if (!fstab && n >= 2)
			use_add(u, words[1], "", "");
	}
	text_close(&t);
	return rc < 0 ? -1 : 0;
}

/* Is there something that could hold file systems which the facts do not show? */
static bool has_closed(const struct facts *f)
{
	bool closed = false;

	for (size_t i = 0; i < f->fs_n; i++) {
		const char *type = f->fs[i].type, *inside = !strcmp(type, "LVM2_member")         ? "volumes/"
		                                            : !strcmp(type, "linux_raid_member") ? "md/"
		                                                                                 : NULL;
		char luks[DEVICE_NAME_MAX] = "";
		bool open = false;

		if (!strcmp(type, "crypto_LUKS"))
			snprintf(luks, sizeof(luks), "luks/%s", f->fs[i].uuid);
		else if (!inside)
			continue;
		for (size_t j = 0; j < f->fs_n; j++)
			open = open || strstr(f->fs[j].where, inside ? inside : luks);
		closed = closed || !open;
	}
	return closed;
}

int devices_read(struct devices *d, struct plan *p, const struct facts *f, vdisk_error *err)
{
	struct use v[DEVICE_DISKS_MAX];
	struct uses u = { v, 0, DEVICE_DISKS_MAX };
	const struct fact_fs *root = fs_mounted(f, "/");

	*d = (struct devices){ .facts = f, .closed = has_closed(f) };
	for (size_t i = 0; i < f->fs_n; i++)
		if (f->fs[i].disk >= d->disks)
			d->disks = f->fs[i].disk + 1;
	if (!d->disks)
		return 0;
	if (uses_read(&u, p, "/etc/fstab", true, err) || uses_read(&u, p, "/etc/crypttab", false, err))
		return -1;
	for (size_t i = 0; root && fs_is_plain(root) && i < u.n; i++)
		if (!strcmp(u.v[i].mount, "/") && u.v[i].name.part == fs_part(root))
			disk_learn(d, u.v[i].name.disk, (int)root->disk);
	for (int turn = 0; turn < 2; turn++) /* those that say which disk they mean come first */
		for (size_t i = 0; i < u.n; i++)
			if (!is_known(d, u.v[i].name.disk) && (turn || u.v[i].name.index >= 0))
				disk_learn(d, u.v[i].name.disk, disk_guess(d, &u, &u.v[i].name));
	return 0;
}

/* ---------------------------------------------------------------- answers */

enum device_answer device_find(const struct devices *d, const char *name, const struct fact_fs **fs)
{
	struct uses none = { 0 };
	struct device_name parsed;
	int disk;

	*fs = NULL;
	if (!d->disks || !device_parse(name, &parsed))
		return DEVICE_OTHER;
	disk = is_known(d, parsed.disk) ? known_disk(d, parsed.disk) : disk_guess(d, &none, &parsed);
	if (disk < 0)
		return disk == DISK_GONE ? DEVICE_GONE : DEVICE_UNSURE;
	*fs = fs_at(d->facts, (unsigned)disk, parsed.part);
	return *fs ? DEVICE_FOUND : DEVICE_GONE;
}

static bool tag_is(const char *name, const char *tag, const char **value)
{
	size_t n = strlen(tag);

	if (strncmp(name, tag, n))
		return false;
	*value = name + n;
	return true;
}

bool device_is_gone(const struct devices *d, const char *name)
{
	const struct fact_fs *fs;
	const char *value;
	bool label = false, part = false, known = false;

	if (device_find(d, name, &fs) == DEVICE_GONE)
		return true;
	if (!d->disks || d->closed)
		return false;
	if (tag_is(name, "LABEL=", &value) || tag_is(name, "/dev/disk/by-label/", &value))
		label = true;
	else if (tag_is(name, "PARTUUID=", &value) || tag_is(name, "/dev/disk/by-partuuid/", &value))
		part = true;
	else if (!tag_is(name, "UUID=", &value) && !tag_is(name, "/dev/disk/by-uuid/", &value))
		return false;
	if (strpbrk(value, "\"'\\")) /* written so that it would have to be read first */
		return false;
	for (size_t i = 0; i < d->facts->fs_n; i++) {
		const struct fact_fs *at = &d->facts->fs[i];
		const char *own = label ? at->label : part ? at->partuuid : at->uuid;

		if (!strcasecmp(own, value))
			return false;
		known = known || *own;
	}
	return known; /* where no name of that sort is known at all, nothing was looked at */
}

/* Folders of /dev that hold no volume group's volumes. */
static bool is_group(const char *name, size_t len)
{
	static const char *const others[] = { "disk", "mapper", "md", "block", "bus", "char", "input",
		                              "loop", "zvol",   "vx", "cciss", "ida", "rd",   NULL };

	for (const char *const *o = others; *o; o++)
		if (strlen(*o) == len && !memcmp(*o, name, len))
			return false;
	return len > 0;
}

bool volume_is_gone(const struct devices *d, const char *name)
{
	struct device_name parsed;
	const char *slash, *dash;

	if (!d->disks || d->closed || strncmp(name, "/dev/", 5) || device_parse(name, &parsed) ||
	    facts_device(d->facts, name))
		return false;
	slash = strchr(name + 5, '/');
	if (!slash || strchr(slash + 1, '/'))
		return false;
	if (strncmp(name, "/dev/mapper/", 12))
		return is_group(name + 5, (size_t)(slash - name - 5));
	dash = strchr(slash, '-'); /* VG-LV; a - of their own is written twice */
	return dash && dash > slash + 1 && dash[1] && strncmp(slash + 1, "luks-", 5) && strncmp(slash + 1, "crypt", 5);
}

static unsigned count_with(const struct facts *f, const char *value, bool label)
{
	unsigned n = 0;

	for (size_t i = 0; i < f->fs_n; i++) {
		bool again = false; /* one file system may stand there once for each of its subvolumes */

		for (size_t j = 0; j < i && !again; j++)
			again = f->fs[j].disk == f->fs[i].disk && !strcmp(f->fs[j].where, f->fs[i].where);
		n += !again && !strcmp(label ? f->fs[i].label : f->fs[i].uuid, value);
	}
	return n;
}

/* What would need quoting is no name for a kernel's line or for fstab. */
static bool is_simple(const char *s) { return *s && strlen(s) < 128 && !strpbrk(s, " \t\"'\\$`#,;"); }

bool device_lasting(const struct devices *d, const struct fact_fs *fs, bool part, char out[DEVICE_NAME_MAX])
{
	bool several = !strcmp(fs->type, "btrfs"); /* its devices have one UUID, rightly */

	if (!part && is_simple(fs->uuid) && (several || count_with(d->facts, fs->uuid, false) == 1))
		snprintf(out, DEVICE_NAME_MAX, "UUID=%s", fs->uuid);
	else if (is_simple(fs->partuuid))
		snprintf(out, DEVICE_NAME_MAX, "PARTUUID=%s", fs->partuuid);
	else if (!part && is_simple(fs->label) && count_with(d->facts, fs->label, true) == 1)
		snprintf(out, DEVICE_NAME_MAX, "LABEL=%s", fs->label);
	else
		return false;
	return true;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "find.h"
#include "find_text.h"

#include "common/fail.h"
#include "transfer/transfer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 8

/* sda of sda1; the device itself where it is no partition. */
static bool whole_of(char out[64], const char *root, const char *device)
{
	char path[PATH_MAX], *slash;

	if (!find_there(root, "/sys/class/block/%s/partition", device))
		return (size_t)snprintf(out, 64, "%s", device) < 64;
	if (!find_real(path, root, "/sys/class/block/%s", device))
		return false;
	slash = strrchr(path, '/');
	if (!slash)
		return false;
	*slash = '\0';
	slash = strrchr(path, '/');
	return slash && (size_t)snprintf(out, 64, "%s", slash + 1) < 64;
}

static void bottom(const char *root, const char *device, void (*fn)(void *, const char *), void *ctx, unsigned depth)
{
	char **names, whole[64];
	size_t n;

	if (depth > DEPTH_MAX || !whole_of(whole, root, device))
		return;
	names = find_names(root, &n, "/sys/class/block/%s/slaves", whole);
	for (size_t i = 0; i < n; i++)
		bottom(root, names[i], fn, ctx, depth + 1);
	if (!n || find_stack(root, whole) != FIND_PLAIN)
		fn(ctx, whole);
	find_names_free(names, n);
}

bool find_place(char disk[64], uint64_t *off, const char *root, const char *device)
{
	size_t n;
	char **names;

	if (!whole_of(disk, root, device))
		return false;
	*off = strcmp(disk, device) ? find_number(0, root, "/sys/class/block/%s/start", device) * 512 : 0;
	names = find_names(root, &n, "/sys/class/block/%s/slaves", disk);
	find_names_free(names, n);
	return !n || find_stack(root, disk) != FIND_PLAIN;
}

void find_bottom(const char *root, const char *device, void (*fn)(void *, const char *), void *ctx)
{
	bottom(root, device, fn, ctx, 0);
}

/* mountinfo writes blanks and backslashes as three octal digits. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++)
		if (*s == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	*to = '\0';
}

struct adding {
	struct find_mounts *out;
	struct find_mount like;
	const char *root;
	int rc;
};

static void add(void *ctx, const char *disk)
{
	struct adding *a = ctx;
	struct find_mount *v = realloc(a->out->v, (a->out->n + 1) * sizeof(*v)), *m;
	char name[TRANSFER_NAME_MAX + 1];

	if (!v) {
		a->rc = -1;
		return;
	}
	a->out->v = v;
	m = &v[a->out->n];
	*m = a->like;
	find_disk_name(name, a->root, disk);
	snprintf(m->disk, sizeof(m->disk), "%.63s", name);
	m->folder = strdup(a->like.folder);
	if (m->folder)
		a->out->n++;
	else
		a->rc = -1;
}

/* The device's name as /sys has it: by its number, or (btrfs has none of its own) by the name that was mounted. */
static bool device_of(char out[64], const char *root, const char *number, char *source)
{
	char path[PATH_MAX];

	if (strncmp(number, "0:", 2) && find_link(out, 64, root, "/sys/dev/block/%s", number))
		return true;
	unescape(source);
	if (strncmp(source, "/dev/", 5) || !find_real(path, root, "%s", source))
		return false;
	snprintf(out, 64, "%.63s", strrchr(path, '/') + 1);
	return find_there(root, "/sys/class/block/%s", out);
}

/* A btrfs may lie on several devices, of which /proc tells one. */
static bool btrfs_add(struct adding *a)
{
	size_t n, n_devices;
	char **all = find_names(a->root, &n, "/sys/fs/btrfs"), **devices;
	bool found = false;

	for (size_t i = 0; !found && i < n; i++) {
		if (!find_there(a->root, "/sys/fs/btrfs/%s/devices/%s", all[i], a->like.source))
			continue;
		found = true;
		devices = find_names(a->root, &n_devices, "/sys/fs/btrfs/%s/devices", all[i]);
		for (size_t k = 0; k < n_devices; k++) {
			snprintf(a->like.device, sizeof(a->like.device), "%.63s", devices[k]);
			find_bottom(a->root, devices[k], add, a);
		}
		find_names_free(devices, n_devices);
	}
	find_names_free(all, n);
	return found;
}

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue" (proc(5)). */
static int line_take(struct find_mounts *out, const char *root, char *line)
{
	char *fields[6], *rest = line, *tail = strstr(line, " - "), *fs, *source, *options;
	struct adding a = { .out = out, .root = root };

	if (!tail)
		return 0;
	*tail = '\0';
	tail += 3;
	for (size_t i = 0; i < 6; i++)
		if (!(fields[i] = strsep(&rest, " ")))
			return 0;
	fs = strsep(&tail, " ");
	source = strsep(&tail, " ");
	options = strsep(&tail, " ");
	if (!fs || !source || !options || !device_of(a.like.source, root, fields[2], source))
		return 0;
	unescape(fields[4]);
	snprintf(a.like.fs, sizeof(a.like.fs), "%.31s", fs);
	a.like.folder = fields[4];
	a.like.writable = strncmp(options, "rw", 2) == 0; /* of the file system: a mount may be read-only beside another that is
	                                                     not */
	if (strcmp(fs, "btrfs") || !btrfs_add(&a)) {
		memcpy(a.like.device, a.like.source, sizeof(a.like.device));
		find_bottom(root, a.like.source, add, &a);
	}
	return a.rc;
}

int find_mounts(struct find_mounts *out, const char *root, vdisk_error *err)
{
	char path[PATH_MAX], *line = NULL;
	size_t cap = 0;
	int rc = 0;
	FILE *f;

	*out = (struct find_mounts){ 0 };
	find_path(path, root, "/proc/self/mountinfo");
	f = fopen(path, "re");
	if (!f)
		return *root ? 0 : fail_errno(err, "%s", path);
	while (!rc && getline(&line, &cap, f) > 0) {
		line[strcspn(line, "\n")] = '\0';
		rc = line_take(out, root, line);
	}
	free(line);
	fclose(f);
	if (!rc)
		return 0;
	find_mounts_free(out);
	return fail_nomem(err);
}

void find_mounts_free(struct find_mounts *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->v[i].folder);
	free(m->v);
	*m = (struct find_mounts){ 0 };
}

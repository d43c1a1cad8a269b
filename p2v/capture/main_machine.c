/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "main_machine.h"

#include "find_text.h"
#include "boot.h"
#include "layout.h"
#include "main_show.h"

#include "common/fail.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define ROOT "" /* the real /sys and /proc */

static bool name_taken(const struct chosen *c, const char *name)
{
	for (size_t i = 0; i < c->n; i++)
		if (!strcasecmp(c->disks[i].name, name))
			return true;
	return false;
}

/* A device by find_disk_name(), a file by its own.  No two alike. */
static void name_make(const struct chosen *c, struct disk *d)
{
	char plain[TRANSFER_NAME_MAX + 1], name[TRANSFER_NAME_MAX + 16];
	const char *slash = strrchr(d->path, '/');

	if (*d->kernel)
		find_disk_name(plain, ROOT, d->kernel);
	else
		transfer_name_make(slash ? slash + 1 : d->path, plain);
	snprintf(name, sizeof(name), "%s", plain);
	for (unsigned i = 2; name_taken(c, name); i++)
		snprintf(name, sizeof(name), "%.*s-%u", (int)TRANSFER_NAME_MAX - 11, plain, i);
	memcpy(d->name, name, sizeof(d->name));
	d->name[TRANSFER_NAME_MAX] = '\0';
}

static int device_judge(const struct chosen *c, const struct disk *d, vdisk_error *err)
{
	char path[PATH_MAX], other[64], line[PATH_MAX + 256], *slash;
	unsigned number;
	struct stat a, b;

	if (*d->sys && find_there("", "%s/partition", d->sys) && realpath(d->sys, path)) {
		slash = strrchr(path, '/');
		*slash = '\0';
		return fail(err, VDISK_INVALID, "%s: is a partition; the disk is /dev/%s", d->path, strrchr(path, '/') + 1);
	}
	if (*d->kernel && find_text(line, sizeof(line), ROOT, "/sys/block/%s/dm/uuid", d->kernel) &&
	    sscanf(line, "part%u-mpath-", &number) == 1)
		return fail(err, VDISK_INVALID, "%s: is a partition of a multipath device", d->path);
	switch (*d->kernel ? find_member_of(other, ROOT, d->kernel) : FIND_PLAIN) {
	case FIND_MULTIPATH:
		return fail(err, VDISK_INVALID, "%s: is one of several paths to a disk; the disk is /dev/%s", d->path, other);
	case FIND_RAID:
		snprintf(line, sizeof(line),
		         "%s: is a member of the firmware's array %s, which is captured as one disk by that name", d->path, other);
		show_warning(line);
		break;
	case FIND_PLAIN: break;
	}
	for (size_t i = 0; i < c->n; i++)
		if (!fstat(c->disks[i].fd, &a) && !fstat(d->fd, &b) &&
		    (d->device ? a.st_rdev == b.st_rdev && c->disks[i].device : a.st_ino == b.st_ino && a.st_dev == b.st_dev))
			return fail(err, VDISK_INVALID, "%s: is named twice", d->path);
	return 0;
}

/* Of all disks, the stick or disk that this system may have been started from is not meant. */
static void medium_drop(struct chosen *c)
{
	struct disk *d = &c->disks[c->n - 1];
	char line[PATH_MAX + 64];

	if (!disk_is_iso(d))
		return;
	snprintf(line, sizeof(line), "%s: holds the capture ISO, and is left out", d->path);
	show_note(line);
	disk_close(d);
	c->n--;
}

/* A path, a name below /dev, or what the list calls it. */
static void path_find(char path[PATH_MAX], const char *device)
{
	char kernel[64];

	snprintf(path, PATH_MAX, "%s%s", strchr(device, '/') || !access(device, F_OK) ? "" : "/dev/", device);
	if (strchr(device, '/') || *path != '/')
		return;
	if (access(path, F_OK) && find_disk_kernel(kernel, ROOT, device))
		snprintf(path, PATH_MAX, "/dev/%s", kernel);
	for (char *p = path; (p = strchr(p, '!'));) /* what is "cciss!c0d0" in /sys is /dev/cciss/c0d0 */
		*p = '/';
}

static int one_open(struct chosen *c, const struct options *o, const char *device, vdisk_error *err)
{
	struct disk *d = &c->disks[c->n];
	char path[PATH_MAX];

	path_find(path, device);
	if (disk_open(d, path, err))
		return -1;
	d->retries = o->retries;
	d->said = show_bad;
	if (device_judge(c, d, err)) {
		disk_close(d);
		return -1;
	}
	name_make(c, d);
	c->n++;
	return 0;
}

int chosen_open(struct chosen *c, const struct options *o, vdisk_error *err)
{
	char **names = NULL;
	size_t n = o->n_devices, found = 0;
	int rc = 0;

	*c = (struct chosen){ 0 };
	if (!n) {
		names = find_disks(ROOT, &found);
		n = found;
	}
	if (n > TRANSFER_DISKS_MAX)
		rc = fail(err, VDISK_UNSUPPORTED, "%zu disks are too many for one capture, the most is %u", n, TRANSFER_DISKS_MAX);
	else if (!n && !o->list)
		rc = fail(err, VDISK_INVALID, "this machine has no disks that could be found");
	else if (!(c->disks = calloc(n ? n : 1, sizeof(*c->disks))))
		rc = fail_nomem(err);
	for (size_t i = 0; !rc && i < n; i++) {
		rc = one_open(c, o, names ? names[i] : o->devices[i], err);
		if (!rc && names)
			medium_drop(c);
		if (rc && names && o->list) { /* what it is can be told all the same */
			char *name = names[c->n_closed];

			names[c->n_closed++] = names[i];
			names[i] = name;
			rc = 0;
		}
	}
	if (!rc && names && !c->n && !o->list)
		rc = fail(err, VDISK_INVALID, "this machine has no disks but the one with the capture ISO");
	if (c->n_closed) {
		c->closed = names;
		for (size_t i = c->n_closed; i < found; i++)
			free(names[i]);
	} else {
		find_names_free(names, found);
	}
	return rc;
}

void chosen_close(struct chosen *c)
{
	for (size_t i = 0; i < c->n; i++)
		disk_close(&c->disks[i]);
	free(c->disks);
	find_names_free(c->closed, c->n_closed);
	*c = (struct chosen){ 0 };
}

static void closed_add(struct machine *m, const char *name)
{
	struct machine_disk *d = machine_disk_add(m);
	char called[TRANSFER_NAME_MAX + 1];

	if (!d)
		return;
	find_disk_name(called, ROOT, name);
	d->name = machine_text(m, called);
	d->size = find_number(0, ROOT, "/sys/block/%s/size", name) * 512;
	machine_disk_path(m, d, machine_text_format(m, "/dev/%s", name));
	if (d->name)
		find_disk(m, d, name, ROOT);
}

struct machine *chosen_machine(const struct chosen *c, vdisk_error *err)
{
	struct machine *m = machine_new();
	struct find_mounts mounts;

	if (!m) {
		fail_nomem(err);
		return NULL;
	}
	if (find_mounts(&mounts, ROOT, err)) {
		machine_free(m);
		return NULL;
	}
	find_board(m, ROOT);
	find_nics(m, ROOT);
	for (size_t i = 0; i < c->n; i++) {
		struct machine_disk *d = machine_disk_add(m);

		if (!d)
			break;
		d->name = machine_text(m, c->disks[i].name);
		d->size = c->disks[i].size;
		machine_disk_path(m, d, c->disks[i].path);
		d->format = machine_text(m, "raw");
		if (*c->disks[i].kernel && d->name)
			find_disk(m, d, c->disks[i].kernel, ROOT);
		else
			d->logical_sector = d->physical_sector = 512;
		layout_disk(m, &c->disks[i], &mounts, ROOT);
	}
	if (m->disks_n == c->n)
		boot_note(m, c->disks, c->n, ROOT);
	for (size_t i = 0; i < c->n_closed; i++)
		closed_add(m, c->closed[i]);
	layout_arrays(m, ROOT);
	find_mounts_free(&mounts);
	if (!machine_judge(m, err))
		return m;
	machine_free(m);
	return NULL;
}

static const char *or_nothing(const char *text) { return text ? text : "-"; }

void chosen_list(const struct machine *m)
{
	char size[SHOW_SIZE];

	printf("%s: %s%s%s, %s, %u CPU%s, %s of memory\n", or_nothing(m->name), m->host.vendor ? m->host.vendor : "",
	       m->host.vendor ? " " : "", m->host.product ? m->host.product : "machine",
	       m->firmware == MACHINE_FIRMWARE_UEFI ? m->secure_boot ? "UEFI with Secure Boot" : "UEFI" : "BIOS", m->cpus,
	       m->cpus == 1 ? "" : "s", show_size(size, m->memory));
	for (size_t i = 0; i < m->disks_n; i++) {
		const struct machine_disk *d = &m->disks[i];

		printf("%-10s %10s  %-6s  %s%s%s\n", or_nothing(d->name), show_size(size, d->size),
		       machine_bus_name(d->bus) ? machine_bus_name(d->bus) : "", or_nothing(d->model), d->serial ? ", " : "",
		       d->serial ? d->serial : "");
		for (size_t k = 0; k < m->partitions_n; k++) {
			const struct machine_partition *p = &m->partitions[k];

			if (p->disk && d->name && !strcmp(p->disk, d->name))
				printf("  %-8s %10s  %-12s %s%s%s\n", or_nothing(p->name), show_size(size, p->size),
				       or_nothing(p->fs), p->label ? p->label : "", p->mount ? " on " : "",
				       p->mount ? p->mount : "");
		}
	}
	for (size_t i = 0; i < m->volumes_n; i++)
		printf("  %s/%s %s  %s%s%s\n", or_nothing(m->volumes[i].group), or_nothing(m->volumes[i].name),
		       show_size(size, m->volumes[i].size), or_nothing(m->volumes[i].fs), m->volumes[i].mount ? " on " : "",
		       m->volumes[i].mount ? m->volumes[i].mount : "");
	for (size_t i = 0; i < m->nics_n; i++)
		printf("%-10s %s  %s%s%s\n", or_nothing(m->nics[i].name), or_nothing(m->nics[i].mac), or_nothing(m->nics[i].driver),
		       m->nics[i].addresses_n ? "  " : "", m->nics[i].addresses_n ? m->nics[i].addresses[0] : "");
}

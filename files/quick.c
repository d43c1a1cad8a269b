/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes hang together like this: vdisk-mount shows the disk in a folder of ours; grub-mount, confined, reads a partition or
 * volume there and goes into the background by itself, so that this process adopts it (PR_SET_CHILD_SUBREAPER) and knows when it
 * ends.  vdisk-mount dies with us.
 */
#include "quick.h"

#include "../fuse/unmount.h"
#include "common/child.h"
#include "common/fail.h"
#include "shown.h"
#include "stale.h"

#include <blkid/blkid.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CANDIDATES_MAX 128
#define PATIENCE_MS 60000

struct candidate {
	char path[6000], name[600]; /* name: as the guest's Linux would call it */
	bool root;
};

struct look {
	struct quick *q;
	const struct args *a;
	struct candidate *v;
	size_t n;
};

/* Not for GRUB's readers. */
static int pass_on(vdisk_error *err, const char *name, const char *why)
{
	fail(err, VDISK_UNSUPPORTED, "%s: %s", name, why);
	return 1;
}

/* ---------------------------------------------------------------- which file system */

static const char *readable[] = { "ext2", "ext3",    "ext4",     "xfs",  "btrfs",    "vfat", "exfat", "ntfs", "iso9660",
	                          "udf",  "hfsplus", "squashfs", "f2fs", "reiserfs", "jfs",  "minix", NULL };

/* 0: a candidate, or nothing that counts; 1, -1 as above. */
static int probe(struct look *l, const char *path, const char *name, vdisk_error *err)
{
	const char *type, *version = NULL, *why = NULL;
	blkid_probe pr = blkid_new_probe();
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;

	if (!pr || fd < 0 || blkid_probe_set_device(pr, fd, 0, 0)) {
		rc = pr && fd >= 0 ? 0 : fail_errno(err, "%s", name);
		goto out;
	}
	blkid_probe_enable_superblocks(pr, 1);
	blkid_probe_set_superblocks_flags(pr, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_VERSION);
	if (blkid_do_safeprobe(pr) || blkid_probe_lookup_value(pr, "TYPE", &type, NULL) || !strcmp(type, "swap") ||
	    !strcmp(type, "LVM2_member"))
		goto out;
	if (blkid_probe_lookup_value(pr, "VERSION", &version, NULL))
		version = NULL;
	if (!strcmp(type, "crypto_LUKS") || !strcmp(type, "BitLocker")) {
		rc = pass_on(err, name, locked_why(fd, type, version));
		goto out;
	}
	for (const char **p = readable; !why && *p; p++)
		why = strcmp(*p, type) ? NULL : "";
	why = why                                  ? stale_why(fd, type)
	      : !strcmp(type, "linux_raid_member") ? "it is part of a RAID"
	                                           : "GRUB does not read its type";
	if (why) {
		rc = pass_on(err, name, why);
	} else if (l->n < CANDIDATES_MAX) {
		snprintf(l->v[l->n].path, sizeof(l->v->path), "%s", path);
		snprintf(l->v[l->n].name, sizeof(l->v->name), "%s", name);
		l->n++;
	}
out:
	if (pr)
		blkid_free_probe(pr);
	if (fd >= 0)
		close(fd);
	return rc;
}

/* Each file in folder `sub` of the mount; `prefix`: what its name in the guest begins with. */
static int probe_folder(struct look *l, const char *sub, const char *prefix, vdisk_error *err)
{
	char folder[4300];
	struct dirent *e;
	DIR *d;
	int rc = 0;

	snprintf(folder, sizeof(folder), "%s/%s", l->q->disk.folder, sub);
	d = opendir(folder);
	while (!rc && d && (e = readdir(d))) {
		char path[6000], name[600];
		struct stat st;

		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		snprintf(name, sizeof(name), "%s%s", prefix, e->d_name);
		if (l->a->root && strcmp(l->a->root, name)) /* the others do not matter then */
			continue;
		if (!lstat(path, &st) && S_ISREG(st.st_mode))
			rc = probe(l, path, name, err);
	}
	if (d)
		closedir(d);
	return rc;
}

static int probe_all(struct look *l, vdisk_error *err)
{
	char path[4300];
	struct dirent *e;
	DIR *d;
	int rc = probe_folder(l, "partitions", "/dev/sda", err);

	snprintf(path, sizeof(path), "%s/volumes", l->q->disk.folder);
	d = opendir(path);
	while (!rc && d && (e = readdir(d))) {
		char sub[300], prefix[300];

		if (e->d_name[0] == '.')
			continue;
		snprintf(sub, sizeof(sub), "volumes/%s", e->d_name);
		snprintf(prefix, sizeof(prefix), "/dev/%s/", e->d_name);
		rc = probe_folder(l, sub, prefix, err);
	}
	if (d)
		closedir(d);
	if (rc || l->n || l->a->root)
		return rc;
	snprintf(path, sizeof(path), "%s/disk", l->q->disk.folder);
	return probe(l, path, "/dev/sda", err); /* a file system without a table */
}

/* Does it hold a system?  GRUB's readers say. */
static bool is_root(const char *reader, struct candidate *c)
{
	static const char *const marks[] = { "(loop0)/etc/fstab", "(loop0)/etc/os-release", "(loop0)/usr/lib/os-release",
	                                     "(loop0)/Windows/System32/config/SOFTWARE" };

	for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++) {
		char *argv[] = { (char *)"grub-fstest", c->path, (char *)"ls", (char *)marks[i], NULL };
		char out[256];

		if (!child_read(reader, argv, out, sizeof(out)) && out[0])
			return true;
	}
	return false;
}

static int choose(struct look *l, vdisk_error *err)
{
	char reader[4096], list[512] = "";
	struct candidate *one = l->n == 1 ? &l->v[0] : NULL;
	unsigned roots = 0;

	if (!l->n)
		return l->a->root ? fail(err, VDISK_INVALID, "%s: there is no file system on %s", l->a->source.image, l->a->root)
		                  : fail(err, VDISK_INVALID, "%s: no file system was found", l->a->source.image);
	if (!one && !child_find("grub-fstest", false, reader))
		return fail(err, VDISK_UNSUPPORTED, "--files=quick: the program grub-fstest is not installed");
	for (size_t i = 0; l->n > 1 && i < l->n; i++) {
		size_t len = strlen(list);

		if (!is_root(reader, &l->v[i]))
			continue;
		snprintf(list + len, sizeof(list) - len, "%s%.100s", roots++ ? ", " : "", l->v[i].name);
		one = &l->v[i];
	}
	if (roots > 1)
		return fail(err, VDISK_INVALID, "%s: holds several systems; --root takes one of %s", l->a->source.image, list);
	if (!one)
		return pass_on(err, l->a->source.image, "it has several file systems, and a system on none of them");
	snprintf(l->q->chosen, sizeof(l->q->chosen), "%s", one->path);
	return 0;
}

int quick_open(struct quick *q, const struct args *a, vdisk_error *err)
{
	struct look l = { .q = q, .a = a };
	int rc;

	*q = (struct quick){ 0 };
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	l.v = calloc(CANDIDATES_MAX, sizeof(*l.v));
	rc = l.v ? shown_open(&q->disk, &a->source, "--files=quick", err) : fail_nomem(err);
	if (!rc)
		rc = probe_all(&l, err);
	if (!rc)
		rc = choose(&l, err);
	free(l.v);
	if (rc)
		quick_close(q);
	return rc;
}

/* ---------------------------------------------------------------- the mount */

static bool is_mounted(const struct quick *q)
{
	struct stat st;

	return !stat(q->mountpoint, &st) && st.st_dev != q->before;
}

int quick_mount(struct quick *q, const char *mountpoint, bool allow_other, vdisk_error *err)
{
	char *argv[] = { (char *)"grub-mount", q->chosen, (char *)mountpoint, NULL }, path[4096];
	struct stat st;
	pid_t pid;

	if (allow_other)
		return pass_on(err, "--files=quick", "grub-mount knows no --allow-other");
	if (stat(mountpoint, &st))
		return fail_errno(err, "%s", mountpoint);
	q->mountpoint = mountpoint;
	q->before = st.st_dev;
	if (!child_find("grub-mount", false, path))
		return fail(err, VDISK_UNSUPPORTED, "--files=quick: the program grub-mount is not installed");
	pid = child_start(path, argv, true, -1);
	if (pid < 0)
		return fail_errno(err, "grub-mount");
	if (child_wait(pid)) /* it goes into the background once it is mounted */
		return pass_on(err, q->chosen + strlen(q->disk.folder) + 1, "grub-mount does not read it");
	for (unsigned ms = 0; !is_mounted(q); ms++) {
		if (ms == PATIENCE_MS)
			return fail(err, VDISK_IO, "grub-mount takes too long");
		shown_pause(1);
	}
	return 0;
}

/* grub-mount, which is our child by adoption: how often it was woken. */
unsigned long long quick_activity(const struct quick *q)
{
	char path[64], line[256], children[4096] = "", *next = children;
	unsigned long long sum = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	f = fopen(path, "re");
	if (!f || !fgets(children, sizeof(children), f))
		children[0] = '\0';
	if (f)
		fclose(f);
	for (long pid; (pid = strtol(next, &next, 10)) > 0;) {
		snprintf(path, sizeof(path), "/proc/%ld/status", pid);
		f = pid == q->disk.pid ? NULL : fopen(path, "re");
		while (f && fgets(line, sizeof(line), f))
			if (!strncmp(line, "voluntary_ctxt_switches:", 24))
				sum += strtoull(line + 24, NULL, 10);
		if (f)
			fclose(f);
	}
	return sum;
}

void quick_wait(struct quick *q)
{
	siginfo_t si;

	do { /* whatever of ours ends, the mount itself tells whether it was the reader */
		si.si_pid = 0;
		if (waitid(P_ALL, 0, &si, WEXITED) && errno != EINTR)
			return;
		if (si.si_pid && si.si_pid == q->disk.pid)
			q->disk.pid = 0; /* nothing can be read any more; whoever looks, sees errors */
	} while (is_mounted(q));
}

void quick_close(struct quick *q) { shown_close(&q->disk); }

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file system that cannot be frozen, as FAT, may be left alone by everybody all the same: the kernel counts what is written to
 * its device, and no more than before after a sync means that it was at rest.
 */
#include "live.h"

#include "find_text.h"

#include "common/fail.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool on_disk(const struct live *l, const char *source, const char *disk)
{
	for (size_t i = 0; i < l->all.n; i++)
		if (!strcmp(l->all.v[i].source, source) && !strcmp(l->all.v[i].disk, disk))
			return true;
	return false;
}

static struct live_mount *mount_of(struct live *l, const char *source)
{
	for (size_t i = 0; i < l->n; i++)
		if (!strcmp(l->mounts[i].source, source))
			return &l->mounts[i];
	return NULL;
}

static bool wanted(const struct find_mount *m, const char *const *disks, size_t n)
{
	for (size_t i = 0; m->writable && i < n; i++)
		if (!strcmp(m->disk, disks[i]))
			return true;
	return false;
}

/* Of a btrfs on several devices, those whose disks are not captured. */
static int lacks_find(struct live *l, const char *source, const char *const *disks, size_t n)
{
	const struct find_mount *first = NULL;
	char line[PATH_MAX + 512], missing[256] = "";
	unsigned n_missing = 0, n_taken = 0;
	char **v;

	for (size_t i = 0; i < l->all.n; i++) {
		const struct find_mount *m = &l->all.v[i];
		bool seen = false, taken = false;

		if (strcmp(m->source, source))
			continue;
		first = first ? first : m;
		for (size_t k = 0; k < l->all.n; k++) {
			const struct find_mount *o = &l->all.v[k];

			if (strcmp(o->source, source) || strcmp(o->device, m->device))
				continue;
			seen = seen || k < i;
			for (size_t d = 0; d < n; d++)
				taken = taken || !strcmp(o->disk, disks[d]);
		}
		if (!seen && !taken)
			snprintf(missing + strlen(missing), sizeof(missing) - strlen(missing), "%s%s", n_missing++ ? ", " : "",
			         m->device);
		n_taken += !seen && taken;
	}
	if (!n_missing || !n_taken)
		return 0;
	snprintf(line, sizeof(line), "%s (%s) lies on %s, too, which %s not captured: without it the file system may not be whole",
	         first->folder, first->fs, missing, n_missing == 1 ? "is" : "are");
	v = realloc(l->lacks, (l->n_lacks + 1) * sizeof(*v));
	if (!v)
		return -1;
	l->lacks = v;
	v[l->n_lacks] = strdup(line);
	return v[l->n_lacks++] ? 0 : -1;
}

static int all_lacks_find(struct live *l, const char *const *disks, size_t n)
{
	for (size_t i = 0; i < l->all.n; i++) {
		bool seen = strcmp(l->all.v[i].fs, "btrfs") != 0;

		for (size_t k = 0; k < i; k++)
			seen = seen || !strcmp(l->all.v[k].source, l->all.v[i].source);
		if (!seen && lacks_find(l, l->all.v[i].source, disks, n))
			return -1;
	}
	return 0;
}

int live_find(struct live *l, const char *const *disks, size_t n, const char *root, vdisk_error *err)
{
	size_t kept = 0;

	*l = (struct live){ 0 };
	if (find_mounts(&l->all, root, err))
		return -1;
	if (all_lacks_find(l, disks, n)) {
		live_free(l);
		return fail_nomem(err);
	}
	for (size_t i = 0; i < l->all.n; i++) {
		struct find_mount m = l->all.v[i];

		if (wanted(&m, disks, n)) {
			l->all.v[kept++] = m;
		} else {
			free(m.folder);
		}
	}
	l->all.n = kept;
	l->mounts = calloc(kept ? kept : 1, sizeof(*l->mounts));
	l->disks = calloc(n ? n : 1, sizeof(*l->disks));
	if (!l->mounts || !l->disks) {
		live_free(l);
		return fail_nomem(err);
	}
	l->n_disks = n;
	for (size_t i = 0; i < n; i++) {
		snprintf(l->disks[i].name, sizeof(l->disks[i].name), "%s", disks[i]);
		if (*disks[i])
			find_disk_kernel(l->disks[i].kernel, root, disks[i]);
	}
	for (size_t i = 0; i < kept; i++) {
		struct live_mount *m = mount_of(l, l->all.v[i].source);

		if (m)
			continue;
		m = &l->mounts[l->n++];
		memcpy(m->source, l->all.v[i].source, sizeof(m->source));
		memcpy(m->fs, l->all.v[i].fs, sizeof(m->fs));
		m->folder = l->all.v[i].folder;
	}
	return 0;
}

void live_free(struct live *l)
{
	live_thaw(l);
	find_mounts_free(&l->all);
	free(l->mounts);
	free(l->disks);
	for (size_t i = 0; i < l->n_lacks; i++)
		free(l->lacks[i]);
	free(l->lacks);
	*l = (struct live){ 0 };
}

bool live_on(const struct live *l, const char *disk)
{
	for (size_t i = 0; i < l->all.n; i++)
		if (!strcmp(l->all.v[i].disk, disk))
			return true;
	return false;
}

const struct live_mount *live_holds(const struct live *l, const char *path)
{
	char folder[PATH_MAX], *slash;
	struct stat st, there;

	snprintf(folder, sizeof(folder), "%s", path);
	if (stat(folder, &st)) {
		slash = strrchr(folder, '/');
		if (slash)
			slash[slash == folder] = '\0';
		if (stat(slash ? folder : ".", &st))
			return NULL;
	}
	for (size_t i = 0; i < l->n; i++)
		if (!stat(l->mounts[i].folder, &there) && there.st_dev == st.st_dev)
			return &l->mounts[i];
	return NULL;
}

/* What this program says goes there: it would wait for itself. */
static bool we_write_there(const char *folder)
{
	struct stat there, st;

	if (stat(folder, &there))
		return true;
	for (int fd = 1; fd <= 2; fd++)
		if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_dev == there.st_dev)
			return true;
	return false;
}

static const char *why_not(const struct live_mount *m, bool root_too)
{
	if (!strcmp(m->folder, "/") && !root_too)
		return "it is the running system's root (--freeze freezes it, too)";
	return we_write_there(m->folder) ? "this program's own output goes there" : NULL;
}

static void tell(void (*note)(const char *), const struct live_mount *m, const char *why)
{
	char line[PATH_MAX + 1024];

	snprintf(line, sizeof(line), "%s (%s on %s) is not frozen: %s", m->folder, m->fs, m->source, why);
	note(line);
}

void live_freeze(struct live *l, bool root_too, unsigned seconds, void (*note)(const char *))
{
	const char **folders = calloc(l->n ? l->n : 1, sizeof(*folders));
	struct live_mount **of = calloc(l->n ? l->n : 1, sizeof(*of));
	size_t n = 0, which;
	vdisk_error err = { 0 };

	for (size_t i = 0; folders && of && i < l->n; i++) {
		const char *why = l->mounts[i].snapped ? NULL : why_not(&l->mounts[i], root_too);

		if (l->mounts[i].snapped)
			continue;
		if (why) {
			tell(note, &l->mounts[i], why);
			continue;
		}
		of[n] = &l->mounts[i];
		folders[n++] = l->mounts[i].folder;
	}
	while (n && freeze_begin(&l->freeze, folders, n, seconds, &which, &err)) {
		if (which >= n) { /* not for a file system's sake */
			note(err.message);
			break;
		}
		tell(note, of[which], err.message);
		n--;
		memmove(of + which, of + which + 1, (n - which) * sizeof(*of));
		memmove(folders + which, folders + which + 1, (n - which) * sizeof(*folders));
	}
	for (size_t i = 0; l->freeze.keeper && i < n; i++)
		of[i]->frozen = true;
	free(folders);
	free(of);
}

/* Sectors written, the seventh number of the kernel's statistics; false: not known. */
static bool written(const char *root, const char *source, uint64_t *out)
{
	char text[512];
	unsigned long long v;

	if (!find_text(text, sizeof(text), root, "/sys/class/block/%s/stat", source) ||
	    sscanf(text, "%*u %*u %*u %*u %*u %*u %llu", &v) != 1)
		return false;
	*out = v;
	return true;
}

/* Those of all the devices that it lies on. */
static bool mount_written(const struct live *l, const struct live_mount *m, const char *root, uint64_t *out)
{
	uint64_t one;

	*out = 0;
	for (size_t i = 0; i < l->all.n; i++) {
		bool seen = strcmp(l->all.v[i].source, m->source) != 0;

		for (size_t k = 0; k < i; k++)
			seen = seen || (!strcmp(l->all.v[k].source, m->source) && !strcmp(l->all.v[k].device, l->all.v[i].device));
		if (seen)
			continue;
		if (!written(root, l->all.v[i].device, &one))
			return false;
		*out += one;
	}
	return true;
}

void live_watch(struct live *l, const char *root)
{
	for (size_t i = 0; i < l->n; i++) {
		struct live_mount *m = &l->mounts[i];
		int fd = m->frozen ? -1 : open(m->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0) {
			syncfs(fd);
			close(fd);
		}
		m->quiet = mount_written(l, m, root, &m->written);
	}
	for (size_t i = 0; i < l->n_disks; i++)
		l->disks[i].known = *l->disks[i].kernel && written(root, l->disks[i].kernel, &l->disks[i].written);
}

void live_ours(struct live *l, size_t disk) { l->disks[disk].known = false; }

bool live_frozen(const struct live *l, const char *disk)
{
	bool held = false;

	for (size_t i = 0; i < l->n; i++)
		if (!l->mounts[i].snapped && on_disk(l, l->mounts[i].source, disk)) {
			if (!l->mounts[i].frozen)
				return false;
			held = true;
		}
	return !held || freeze_holds(&l->freeze);
}

/* Of a disk of which nothing is known to be mounted; a file has no count. */
static bool untouched(const struct live *l, const char *disk, const char *root)
{
	uint64_t now;

	for (size_t i = 0; i < l->n_disks; i++)
		if (!strcmp(l->disks[i].name, disk) && l->disks[i].known)
			return written(root, l->disks[i].kernel, &now) && now == l->disks[i].written;
	return true;
}

bool live_still(struct live *l, const char *disk, const char *root)
{
	bool held = freeze_holds(&l->freeze);

	if (!live_on(l, disk))
		return untouched(l, disk, root);
	for (size_t i = 0; i < l->n; i++) {
		struct live_mount *m = &l->mounts[i];
		uint64_t now;

		if (!on_disk(l, m->source, disk) || m->snapped || (m->frozen && held))
			continue;
		/* What was written to memory alone is on its way to the disk, and counts. */
		if (!m->frozen) {
			int fd = open(m->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

			if (fd >= 0) {
				syncfs(fd);
				close(fd);
			}
		}
		if (m->frozen || !m->quiet || !mount_written(l, m, root, &now) || now != m->written)
			return false;
	}
	return true;
}

void live_thaw(struct live *l)
{
	freeze_end(&l->freeze);
	for (size_t i = 0; i < l->n; i++)
		l->mounts[i].frozen = l->mounts[i].snapped = false;
}

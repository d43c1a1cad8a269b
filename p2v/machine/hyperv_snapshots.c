/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hyper-V keeps a snapshot as a copy of the machine's configuration, "Snapshots/GUID.xml", whose drives name the images that were
 * frozen then; beside it, in "Snapshots/GUID", lies what the running machine had in memory.  Which snapshot goes on from which is
 * told by the images (AVHD over VHD).  In a folder that several machines share, those with the machine's own BIOS GUID are its own.
 */
#include "hyperv_snapshots.h"

#include "common/fail.h"
#include "describe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 1024

struct loading {
	struct machine *m;
	int dir; /* Snapshots */
	vdisk_error *err;
};

static char *bytes_read(int dir, const char *name, size_t *len, vdisk_error *err)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char *bytes = NULL;
	struct stat st;
	size_t got = 0;

	if (fd < 0 || fstat(fd, &st)) {
		fail_errno(err, "Snapshots/%s", name);
	} else if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > DESCRIBE_MAX) {
		fail(err, VDISK_INVALID, "Snapshots/%s: is no file of at most %zu bytes", name, DESCRIBE_MAX);
	} else if (!(bytes = malloc((size_t)st.st_size + 1))) {
		fail_nomem(err);
	} else {
		while (got < (size_t)st.st_size) {
			ssize_t n = read(fd, bytes + got, (size_t)st.st_size - got);

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				break;
			got += (size_t)n;
		}
	}
	if (fd >= 0)
		close(fd);
	*len = got;
	return bytes;
}

static int image_of(struct machine *m, const char *path, const char *format)
{
	int at = machine_image_find(m, NULL, path);
	struct machine_image *x;

	if (at >= 0)
		return at;
	x = machine_image_add(m);
	if (!x)
		return -1;
	x->path = machine_text(m, path);
	x->path_flags = machine_path_flags(path);
	x->format = machine_text(m, format);
	return (int)m->images_n - 1;
}

static int disks_take(struct loading *l, const struct machine *was)
{
	int snapshot = (int)l->m->snapshots_n - 1;

	for (size_t i = 0; i < was->disks_n; i++) {
		const struct machine_disk *d = &was->disks[i];
		struct machine_state *s;
		int image;

		if (d->medium != MACHINE_DISK || d->host || !d->path)
			continue;
		image = image_of(l->m, d->path, d->format);
		s = image < 0 ? NULL : machine_state_add(l->m);
		if (!s)
			return machine_judge(l->m, l->err);
		s->snapshot = snapshot;
		s->image = image;
		s->disk = machine_text(l->m, d->name);
	}
	return 0;
}

/* "GUID.xml", of a machine with the same BIOS. */
static int snapshot_take(struct loading *l, const char *id, const char *name, const struct machine *was)
{
	struct machine_snapshot *s;
	char memory[128];

	if (was->uuid && l->m->uuid && strcmp(was->uuid, l->m->uuid))
		return 0;
	s = machine_snapshot_add(l->m);
	if (!s)
		return machine_judge(l->m, l->err);
	s->id = id;
	s->name = machine_text(l->m, was->name);
	s->description = machine_text_clean(l->m, was->description);
	s->date = was->created;
	snprintf(memory, sizeof(memory), "%.*s/%.*s.bin", (int)strlen(name) - 4, name, (int)strlen(name) - 4, name);
	if (!faccessat(l->dir, memory, F_OK, AT_SYMLINK_NOFOLLOW))
		s->memory = machine_text_format(l->m, "Snapshots/%s", memory);
	return disks_take(l, was);
}

static int file_take(struct loading *l, const char *name)
{
	const struct describe_read how = { .kind = DESCRIBE_HYPERV };
	size_t n = strlen(name), len;
	char guid[64], *bytes;
	struct machine *was;
	const char *id;
	int rc;

	snprintf(guid, sizeof(guid), "%.*s", (int)n - 4, name);
	id = n < sizeof(guid) ? machine_uuid(l->m, guid) : NULL;
	if (!id) {
		machine_lost_add(&l->m->lost, name, "its name is no GUID", "file among the snapshots");
		return 0;
	}
	bytes = bytes_read(l->dir, name, &len, l->err);
	if (!bytes)
		return -1;
	rc = describe_read(bytes, len, &how, &was, l->err);
	free(bytes);
	if (rc) {
		char why[sizeof(l->err->message)];

		if (l->err) {
			snprintf(why, sizeof(why), "%s", l->err->message);
			fail(l->err, l->err->kind, "Snapshots/%s: %.700s", name, why);
		}
		return -1;
	}
	rc = snapshot_take(l, id, name, was);
	machine_free(was);
	return rc;
}

static bool is_xml(const char *name)
{
	size_t n = strlen(name);

	return n > 4 && !strcasecmp(name + n - 4, ".xml");
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Sorted: the order of a folder says nothing. */
static int files_take(struct loading *l, DIR *dir)
{
	char *names[FILES_MAX];
	struct dirent *e;
	size_t n = 0;
	int rc = 0;

	while (!rc && (e = readdir(dir))) {
		if (!is_xml(e->d_name))
			continue;
		if (n == FILES_MAX)
			rc = fail(l->err, VDISK_UNSUPPORTED, "Snapshots: holds more than %d descriptions", FILES_MAX);
		else if (!(names[n] = strdup(e->d_name)))
			rc = fail_nomem(l->err);
		else
			n++;
	}
	qsort(names, n, sizeof(*names), by_name);
	for (size_t i = 0; !rc && i < n; i++)
		rc = file_take(l, names[i]);
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	return rc;
}

int hyperv_snapshots_read(struct machine *m, const char *folder, vdisk_error *err)
{
	struct loading l = { .m = m, .err = err };
	int around = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC),
	    fd = around < 0 ? -1 : openat(around, "Snapshots", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	int rc = 0;

	if (around >= 0)
		close(around);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) ? 0
		                                                                         : fail_errno(err, "%s/Snapshots", folder);
	}
	l.dir = dirfd(dir);
	m->parents_by_images = true;
	for (size_t i = 0; !rc && i < m->disks_n; i++)
		if (m->disks[i].medium == MACHINE_DISK && !m->disks[i].host && m->disks[i].path &&
		    image_of(m, m->disks[i].path, m->disks[i].format) < 0)
			rc = machine_judge(m, err);
	rc = rc || files_take(&l, dir) ? -1 : 0;
	closedir(dir);
	return rc ? -1 : machine_judge(m, err);
}

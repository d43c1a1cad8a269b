/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Driver files out of an ISO, into a private folder.  Names come from the ISO: each part is checked and opened below the part before it, never
 * through a link, and nothing is ever overwritten.  Only what a driver package is made of is taken, and only so much of it.
 */
#include "windows.h"

#include "fail.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENTRIES_MAX 100000
#define FILE_MAX_BYTES (64u << 20)
#define TOTAL_MAX ((uint64_t)1 << 30)
#define DEPTH_MAX 16
#define BLOCK (64 * 1024)

static bool is_wanted(const char *name)
{
	static const char *const suffixes[] = { ".inf", ".sys", ".cat", ".dll" };
	size_t n = strlen(name);

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
		if (n > 4 && !strcasecmp(name + n - 4, suffixes[i]))
			return true;
	}
	return false;
}

/* The folder that a path's last part stands in, made where it is missing, below `root`; *last is that part.  -1: a name that none is made of,
   or *err. */
static int parent_open(int root, const char *path, char last[256], vdisk_error *err)
{
	int at = dup(root);

	for (unsigned depth = 0; at >= 0; depth++) {
		size_t n;
		int below;

		path += strspn(path, "/");
		n = strcspn(path, "/");
		if (!n || n > 255 || depth > DEPTH_MAX || (n <= 2 && !strncmp(path, "..", n))) {
			close(at);
			return fail(err, VDISK_CORRUPT, "the ISO holds a file that is named \"%.200s\"", path);
		}
		memcpy(last, path, n);
		last[n] = '\0';
		path += n;
		if (!*path)
			return at;
		if (mkdirat(at, last, 0700) && errno != EEXIST)
			below = -1;
		else
			below = openat(at, last, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below < 0)
			fail_errno(err, "%s", last);
		close(at);
		at = below;
	}
	return -1;
}

static int content_copy(struct archive *a, int fd, const char *name, uint64_t *total, vdisk_error *err)
{
	uint64_t size = 0;

	for (;;) {
		char part[BLOCK];
		la_ssize_t n = archive_read_data(a, part, sizeof(part));

		if (n <= 0)
			return n ? fail(err, VDISK_CORRUPT, "%s: %s", name, archive_error_string(a)) : 0;
		size += (uint64_t)n;
		*total += (uint64_t)n;
		if (size > FILE_MAX_BYTES || *total > TOTAL_MAX)
			return fail(err, VDISK_UNSUPPORTED, "%s: larger than any driver, or the ISO holds more than 1 GiB of them", name);
		for (la_ssize_t done = 0; done < n;) {
			ssize_t w = write(fd, part + done, (size_t)(n - done));

			if (w < 0 && errno != EINTR)
				return fail_errno(err, "%s", name);
			done += w > 0 ? w : 0;
		}
	}
}

/* A file that shares its content with one before it: libarchive tells the second as a link to the first. */
static int link_make(int root, const char *target, int folder, const char *name, vdisk_error *err)
{
	char last[256];
	int from = parent_open(root, target, last, err), rc;

	if (from < 0)
		return -1;
	rc = linkat(from, last, folder, name, 0);
	if (rc)
		fail_errno(err, "%s", name);
	close(from);
	return rc;
}

static int entry_take(struct archive *a, struct archive_entry *entry, int root, uint64_t *total, vdisk_error *err)
{
	const char *path = archive_entry_pathname(entry), *target = archive_entry_hardlink(entry);
	char last[256];
	int folder, fd, rc;

	if (!path || !is_wanted(path) || (!target && archive_entry_filetype(entry) != AE_IFREG))
		return 0;
	folder = parent_open(root, path, last, err);
	if (folder < 0)
		return -1;
	if (target) {
		rc = link_make(root, target, folder, last, err);
		close(folder);
		return rc;
	}
	fd = openat(folder, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	rc = fd < 0 ? fail_errno(err, "%s", last) : content_copy(a, fd, last, total, err);
	if (fd >= 0 && close(fd) && !rc)
		rc = fail_errno(err, "%s", last);
	close(folder);
	return rc;
}

int windows_drivers_unpack(const char *iso, const char *folder, vdisk_error *err)
{
	struct archive *a = archive_read_new();
	struct archive_entry *entry;
	uint64_t total = 0;
	int rc = 0, root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = ARCHIVE_OK;

	if (!a || root < 0) {
		rc = a ? fail_errno(err, "%s", folder) : fail_nomem(err);
	} else if (archive_read_support_format_iso9660(a) != ARCHIVE_OK || archive_read_open_filename(a, iso, BLOCK) != ARCHIVE_OK) {
		rc = fail(err, VDISK_UNSUPPORTED, "%s: %s", iso, archive_error_string(a) ? archive_error_string(a) : "is no ISO");
	}
	for (unsigned n = 0; !rc && (r = archive_read_next_header(a, &entry)) != ARCHIVE_EOF; n++) {
		if (r < ARCHIVE_WARN)
			rc = fail(err, VDISK_CORRUPT, "%s: %s", iso, archive_error_string(a) ? archive_error_string(a) : "is damaged");
		else if (n == ENTRIES_MAX)
			rc = fail(err, VDISK_UNSUPPORTED, "%s: holds more than %u files", iso, ENTRIES_MAX);
		else
			rc = entry_take(a, entry, root, &total, err);
	}
	if (root >= 0)
		close(root);
	archive_read_free(a);
	return rc;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libarchive from here alone. */
#include "tar.h"

#include "common/fail.h"
#include "package_own.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK ((size_t)256 << 10)

struct tar {
	struct archive *a;
	char *path;
	char name[NAME_MAX_BYTES + 1];
	uint64_t file_size;
	int fd;
	bool packed;
};

struct stream {
	struct archive *a;
	char *path;
	int fd;
};

static void filters_add(struct archive *a)
{
	archive_read_support_filter_gzip(a);
	archive_read_support_filter_bzip2(a);
	archive_read_support_filter_xz(a);
	archive_read_support_filter_zstd(a);
	archive_read_support_filter_lz4(a);
	archive_read_support_filter_lzop(a);
}

/* libarchive's message is about the content; ours says where. */
static int archive_fail(struct archive *a, const char *path, vdisk_error *err)
{
	const char *why = archive_error_string(a);
	char text[200];

	return fail(err, archive_errno(a) == ENOMEM ? VDISK_NOMEM : VDISK_CORRUPT, "%s: %s", path,
	            shown(why ? why : "is damaged", text));
}

static struct archive *reader_open(const char *path, bool packed, bool raw, int *fd, uint64_t *size, vdisk_error *err)
{
	struct archive *a = archive_read_new();
	struct stat st;

	*fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (!a || *fd < 0 || fstat(*fd, &st)) {
		fail_errno(err, "%s", path);
		goto fail;
	}
	if (!S_ISREG(st.st_mode)) {
		fail(err, VDISK_UNSUPPORTED, "%s: an archive is read from a plain file only", path);
		goto fail;
	}
	if (size)
		*size = (uint64_t)st.st_size;
	if (packed)
		filters_add(a);
	if (raw)
		archive_read_support_format_raw(a);
	else
		archive_read_support_format_tar(a);
	if (archive_read_open_fd(a, *fd, BLOCK) == ARCHIVE_OK)
		return a;
	archive_fail(a, path, err);
fail:
	archive_read_free(a);
	if (*fd >= 0)
		close(*fd);
	return NULL;
}

int tar_open(const char *path, bool packed, struct tar **out, vdisk_error *err)
{
	struct tar *t = calloc(1, sizeof(*t));

	*out = NULL;
	if (!t || !(t->path = strdup(path))) {
		free(t);
		return fail_nomem(err);
	}
	t->packed = packed;
	t->a = reader_open(path, packed, false, &t->fd, &t->file_size, err);
	if (!t->a) {
		free(t->path);
		free(t);
		return -1;
	}
	*out = t;
	return 0;
}

void tar_close(struct tar *t)
{
	if (!t)
		return;
	archive_read_free(t->a);
	close(t->fd);
	free(t->path);
	free(t);
}

static int entry_judge(struct tar *t, struct archive_entry *x, struct tar_entry *e, vdisk_error *err)
{
	const char *name = archive_entry_pathname(x), *why;
	int64_t size = archive_entry_size(x), at = archive_filter_bytes(t->a, 0);
	char text[200];

	if (!name || strlen(name) > NAME_MAX_BYTES)
		return fail(err, VDISK_CORRUPT, "%s: a member's name is longer than %u bytes, or no text", t->path, NAME_MAX_BYTES);
	while (name[0] == '.' && name[1] == '/' && name[2])
		name += 2;
	strcpy(t->name, name);
	why = name_judge(t->name);
	if (why)
		return fail(err, VDISK_REFUSED, "%s: the member '%s' %s", t->path, shown(t->name, text), why);
	if (archive_entry_filetype(x) != AE_IFREG || archive_entry_hardlink(x) || archive_entry_symlink(x) ||
	    archive_entry_sparse_count(x))
		return fail(err, VDISK_REFUSED, "%s: the member '%s' is no plain file", t->path, shown(t->name, text));
	if (size < 0 || at < 0)
		return fail(err, VDISK_CORRUPT, "%s: the member '%s' has no size", t->path, shown(t->name, text));
	*e = (struct tar_entry){ .name = t->name, .off = (uint64_t)at, .size = (uint64_t)size };
	if (!t->packed && (e->off > t->file_size || e->size > t->file_size - e->off))
		return fail(err, VDISK_CORRUPT, "%s: is cut short: the member '%s' has %llu bytes, of which %llu are there",
		            t->path, shown(t->name, text), (unsigned long long)e->size,
		            (unsigned long long)(t->file_size - (e->off < t->file_size ? e->off : t->file_size)));
	return 1;
}

int tar_next(struct tar *t, struct tar_entry *e, vdisk_error *err)
{
	for (;;) {
		struct archive_entry *x;
		int rc = archive_read_next_header(t->a, &x);

		if (rc == ARCHIVE_EOF)
			return 0;
		if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
			return archive_fail(t->a, t->path, err);
		if (archive_entry_filetype(x) != AE_IFDIR)
			return entry_judge(t, x, e, err);
	}
}

int tar_read(struct tar *t, void *buf, size_t len, vdisk_error *err)
{
	size_t done = 0;

	while (done < len) {
		la_ssize_t n = archive_read_data(t->a, (char *)buf + done, len - done);

		if (n < 0)
			return archive_fail(t->a, t->path, err);
		if (!n)
			return fail(err, VDISK_CORRUPT, "%s: is cut short: the member '%s' ends after %zu of %zu bytes", t->path,
			            t->name, done, len);
		done += (size_t)n;
	}
	return 0;
}

uint64_t tar_used(const struct tar *t)
{
	int64_t n = archive_filter_bytes(t->a, -1);

	return n < 0 ? 0 : (uint64_t)n;
}

/* ---------------------------------------------------------------- what is no tar */

int stream_open(const char *path, struct stream **out, vdisk_error *err)
{
	struct stream *s = calloc(1, sizeof(*s));
	struct archive_entry *x;

	*out = NULL;
	if (!s || !(s->path = strdup(path))) {
		free(s);
		return fail_nomem(err);
	}
	s->a = reader_open(path, true, true, &s->fd, NULL, err);
	if (!s->a) {
		free(s->path);
		free(s);
		return -1;
	}
	if (archive_read_next_header(s->a, &x) != ARCHIVE_OK) {
		archive_fail(s->a, path, err);
		stream_close(s);
		return -1;
	}
	*out = s;
	return 0;
}

int stream_read(struct stream *s, void *buf, size_t len, size_t *got, vdisk_error *err)
{
	for (*got = 0; *got < len;) {
		la_ssize_t n = archive_read_data(s->a, (char *)buf + *got, len - *got);

		if (n < 0)
			return archive_fail(s->a, s->path, err);
		if (!n)
			return 0;
		*got += (size_t)n;
	}
	return 0;
}

uint64_t stream_used(const struct stream *s)
{
	int64_t n = archive_filter_bytes(s->a, -1);

	return n < 0 ? 0 : (uint64_t)n;
}

void stream_close(struct stream *s)
{
	if (!s)
		return;
	archive_read_free(s->a);
	close(s->fd);
	free(s->path);
	free(s);
}

/* ---------------------------------------------------------------- one header */

int tar_header_read(const uint8_t in[TAR_HEADER_BYTES], char name[TAR_NAME_BYTES], struct tar_entry *e)
{
	struct archive *a = archive_read_new();
	struct archive_entry *x;
	const char *said;
	int rc = 0;

	if (!a)
		return -1;
	archive_read_support_format_tar(a);
	if (archive_read_open_memory(a, in, TAR_HEADER_BYTES) == ARCHIVE_OK && archive_read_next_header(a, &x) == ARCHIVE_OK &&
	    archive_entry_filetype(x) == AE_IFREG && !archive_entry_hardlink(x) && archive_entry_size(x) >= 0 &&
	    (said = archive_entry_pathname(x)) && strlen(said) < TAR_NAME_BYTES && !name_judge(said)) {
		while (said[0] == '.' && said[1] == '/' && said[2])
			said += 2;
		strcpy(name, said);
		*e = (struct tar_entry){ .name = name, .size = (uint64_t)archive_entry_size(x) };
		rc = 1;
	}
	archive_read_free(a);
	return rc;
}

/* ---------------------------------------------------------------- writing */

#define USTAR_SIZE_MAX ((UINT64_C(1) << 33) - 1)

int tar_header(const char *name, uint64_t size, uint64_t mtime, uint8_t out[TAR_HEADER_BYTES], vdisk_error *err)
{
	struct archive *a = archive_write_new();
	struct archive_entry *x = archive_entry_new();
	uint8_t room[4 * TAR_HEADER_BYTES]; /* a longer name would take a header of its own, which is refused */
	size_t used = 0;
	int rc = -1;

	if (!a || !x) {
		fail_nomem(err);
		goto out;
	}
	archive_entry_set_pathname(x, name);
	archive_entry_set_size(x, (la_int64_t)size);
	archive_entry_set_filetype(x, AE_IFREG);
	archive_entry_set_perm(x, 0644);
	archive_entry_set_mtime(x, (time_t)mtime, 0);
	if (size <= USTAR_SIZE_MAX)
		archive_write_set_format_ustar(a);
	else
		archive_write_set_format_gnutar(a);
	archive_write_set_bytes_per_block(a, TAR_HEADER_BYTES);
	if (archive_write_open_memory(a, room, sizeof(room), &used) != ARCHIVE_OK || archive_write_header(a, x) != ARCHIVE_OK) {
		archive_fail(a, name, err);
		goto out;
	}
	if (used != TAR_HEADER_BYTES) {
		fail(err, VDISK_INVALID, "%s: the name is too long for a tar file's header", name);
		goto out;
	}
	memcpy(out, room, TAR_HEADER_BYTES);
	rc = 0;
out:
	archive_entry_free(x);
	if (a)
		archive_write_close(a); /* fails where there is no room for the bytes that the header promises, and frees all the
		                           same */
	archive_write_free(a);
	return rc;
}

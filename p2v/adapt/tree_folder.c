/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A folder of this machine as a guest's root.  The kernel keeps every path inside of it (openat2(2) with RESOLVE_IN_ROOT: absolute
 * links and ".." begin at the folder, 40 links at most), so that no link of the guest leads to a file of this machine.  Only plain
 * files are opened for reading: a guest's pipe or device is looked at through O_PATH alone.
 */
#include "tree.h"

#include "common/fail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAMES_MAX (64u << 20) /* bytes of names in one folder */
#define RACES_MAX 16          /* somebody renames in the folder meanwhile */

struct folder {
	struct tree tree;
	int fd;
	bool sure;
};

static struct folder *folder_of(struct tree *t) { return (struct folder *)t; }

/* What means that there is no such file; a loop of links leads nowhere, too. */
static bool is_absent(int e) { return e == ENOENT || e == ENOTDIR || e == ELOOP || e == ENAMETOOLONG; }

static int open_inside(const struct folder *f, const char *path, int flags)
{
	struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	long fd = -1;

	for (int i = 0; i < RACES_MAX; i++) {
		fd = syscall(SYS_openat2, f->fd, *path ? path : "/", &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	return (int)fd;
}

/* 1 with *fd (O_PATH), 0, -1. */
static int find(const struct folder *f, const char *path, bool follow, int *fd, struct stat *st, vdisk_error *err)
{
	*fd = open_inside(f, path, O_PATH | (follow ? 0 : O_NOFOLLOW));
	if (*fd < 0)
		return is_absent(errno) ? 0 : fail_errno(err, "%s", path);
	if (!fstat(*fd, st))
		return 1;
	fail_errno(err, "%s", path);
	close(*fd);
	return -1;
}

static int folder_stat(struct tree *t, const char *path, bool follow, struct tree_stat *out, vdisk_error *err)
{
	struct folder *f = folder_of(t);
	struct stat st;
	int fd, rc = find(f, path, follow, &fd, &st, err);

	if (rc <= 0)
		return rc;
	close(fd);
	*out = (struct tree_stat){
	    .kind = S_ISREG(st.st_mode)   ? TREE_FILE
		    : S_ISDIR(st.st_mode) ? TREE_FOLDER
		    : S_ISLNK(st.st_mode) ? TREE_LINK
					  : TREE_OTHER,
	    .size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0,
	    .mode = st.st_mode & 07777,
	    .uid = st.st_uid,
	    .gid = st.st_gid,
	    .sure = f->sure,
	};
	return 1;
}

/* The size is what it was when it was opened; a file that grows or shrinks meanwhile is read as far as it goes then. */
static int read_all(int fd, const char *path, uint64_t max, struct bytes *out, vdisk_error *err)
{
	static const size_t piece = 1u << 20;
	uint64_t got = 0;
	char *buf = malloc(piece);
	int rc = buf ? 1 : fail(err, VDISK_NOMEM, "out of memory");

	while (rc > 0) {
		ssize_t n = read(fd, buf, piece);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = fail_errno(err, "%s", path);
		if (n <= 0)
			break;
		got += (uint64_t)n;
		if (got > max)
			rc = fail(err, VDISK_UNSUPPORTED, "%s: is longer than what is read (%llu bytes)", path,
				  (unsigned long long)max);
		else
			bytes_add(out, buf, (size_t)n);
	}
	free(buf);
	if (rc > 0 && !out->at)
		bytes_add(out, "", 0);
	return rc > 0 && out->failed ? fail(err, VDISK_NOMEM, "out of memory") : rc;
}

static int folder_read(struct tree *t, const char *path, uint64_t max, struct bytes *out, vdisk_error *err)
{
	struct stat st;
	int fd, rc = find(folder_of(t), path, true, &fd, &st, err);

	if (rc <= 0)
		return rc;
	close(fd);
	if (S_ISDIR(st.st_mode))
		return 0;
	if (!S_ISREG(st.st_mode))
		return fail(err, VDISK_UNSUPPORTED, "%s: is neither a file nor a folder", path);
	if ((uint64_t)st.st_size > max)
		return fail(err, VDISK_UNSUPPORTED, "%s: is longer (%llu bytes) than what is read (%llu)", path,
			    (unsigned long long)st.st_size, (unsigned long long)max);
	fd = open_inside(folder_of(t), path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return is_absent(errno) ? 0 : fail_errno(err, "%s", path);
	rc = read_all(fd, path, max, out, err);
	close(fd);
	return rc;
}

static int by_bytes(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Sorts the NUL-ended names of `in` into `out`. */
static int sort_names(const struct bytes *in, struct bytes *out, vdisk_error *err)
{
	const char **v;
	size_t n = 0, i = 0;

	for (size_t at = 0; at < in->len; at += strlen(in->at + at) + 1)
		n++;
	v = calloc(n + 1, sizeof(*v));
	if (!v)
		return fail(err, VDISK_NOMEM, "out of memory");
	for (size_t at = 0; at < in->len; at += strlen(in->at + at) + 1)
		v[i++] = in->at + at;
	qsort(v, n, sizeof(*v), by_bytes);
	for (i = 0; i < n; i++)
		bytes_add(out, v[i], strlen(v[i]) + 1);
	free(v);
	return out->failed ? fail(err, VDISK_NOMEM, "out of memory") : 1;
}

static int folder_list(struct tree *t, const char *path, struct bytes *names, vdisk_error *err)
{
	int fd = open_inside(folder_of(t), path, O_RDONLY | O_DIRECTORY | O_NONBLOCK), rc = 1;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct bytes found = { 0 };

	if (!d) {
		rc = fd < 0 && is_absent(errno) ? 0 : fail_errno(err, "%s", path);
		if (fd >= 0)
			close(fd);
		return rc;
	}
	for (;;) {
		struct dirent *e;

		errno = 0;
		e = readdir(d);
		if (!e) {
			rc = errno ? fail_errno(err, "%s", path) : 1;
			break;
		}
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		bytes_add(&found, e->d_name, strlen(e->d_name) + 1);
		if (found.failed || found.len > NAMES_MAX) {
			rc = found.failed
				 ? fail(err, VDISK_NOMEM, "out of memory")
				 : fail(err, VDISK_UNSUPPORTED, "%s: holds more names than are read (%u bytes)", path, NAMES_MAX);
			break;
		}
	}
	closedir(d);
	if (rc > 0)
		rc = sort_names(&found, names, err);
	bytes_destroy(&found);
	return rc;
}

static int folder_link(struct tree *t, const char *path, struct bytes *target, vdisk_error *err)
{
	char text[4097];
	struct stat st;
	ssize_t n;
	int fd, rc = find(folder_of(t), path, false, &fd, &st, err);

	if (rc <= 0)
		return rc;
	n = S_ISLNK(st.st_mode) ? readlinkat(fd, "", text, sizeof(text)) : 0;
	if (n < 0 || n == (ssize_t)sizeof(text))
		rc = n < 0 ? fail_errno(err, "%s", path)
			   : fail(err, VDISK_UNSUPPORTED, "%s: is a link of more than 4096 bytes", path);
	else if (!S_ISLNK(st.st_mode))
		rc = 0;
	close(fd);
	if (rc > 0) {
		bytes_add(target, text, (size_t)n);
		if (target->failed)
			return fail(err, VDISK_NOMEM, "out of memory");
	}
	return rc;
}

static void folder_close(struct tree *t)
{
	close(folder_of(t)->fd);
	free(t);
}

static int folder_head(struct tree *t, const char *path, size_t len, struct bytes *out, vdisk_error *err)
{
	char part[4096];
	struct stat st;
	ssize_t n;
	int fd, rc = find(folder_of(t), path, true, &fd, &st, err);

	if (rc <= 0)
		return rc;
	close(fd);
	if (!S_ISREG(st.st_mode))
		return 0;
	fd = open_inside(folder_of(t), path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return is_absent(errno) ? 0 : fail_errno(err, "%s", path);
	n = pread(fd, part, len < sizeof(part) ? len : sizeof(part), 0);
	rc = n < 0 ? fail_errno(err, "%s", path) : 1;
	close(fd);
	if (n > 0)
		bytes_add(out, part, (size_t)n);
	return out->failed ? fail(err, VDISK_NOMEM, "out of memory") : rc;
}

static const struct tree_ops folder_ops = { folder_stat, folder_read, folder_list, folder_link, folder_close, folder_head };

struct tree *tree_folder_open(const char *path, bool sure, vdisk_error *err)
{
	struct folder *f = calloc(1, sizeof(*f));

	if (!f) {
		fail(err, VDISK_NOMEM, "out of memory");
		return NULL;
	}
	f->tree.ops = &folder_ops;
	f->sure = sure;
	f->fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (f->fd < 0) {
		fail_errno(err, "%s", path);
		free(f);
		return NULL;
	}
	return &f->tree;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The folder of the result.  It is made as DIR.partial, whose file LOCK says by its lock that somebody is at work there; without
 * one it is what a killed run left, and goes.  Only what such a run makes is removed: plain files, in a folder that holds LOCK.
 */
#include "flow/flow.h"

#include "common/fail.h"
#include "common/write_all.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK ".vdisk-migrate"

char *flow_file(const struct flow *f, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", f->partial, name) < 0 ? NULL : path;
}

/* Judges, or removes, what is in the folder but LOCK. */
static int files_each(int dir_fd, const char *path, bool remove, vdisk_error *err)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int rc = 0;

	if (!dir)
		return fail_errno(err, "%s", path);
	while (!rc && (e = readdir(dir))) {
		struct stat st;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || !strcmp(e->d_name, LOCK))
			continue;
		if (fstatat(dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
			rc = fail_errno(err, "%s/%s", path, e->d_name);
		else if (!S_ISREG(st.st_mode) && !S_ISSOCK(st.st_mode))
			rc = fail(err, VDISK_REFUSED, "%s: holds '%s', which no run of this program makes: remove it yourself",
			          path, e->d_name);
		else if (remove && unlinkat(dir_fd, e->d_name, 0))
			rc = fail_errno(err, "%s/%s", path, e->d_name);
	}
	closedir(dir);
	return rc;
}

/* Files only, all of them or none, and LOCK last: killed in between, it can be gone on with. */
static int folder_empty(int dir_fd, const char *path, vdisk_error *err)
{
	if (files_each(dir_fd, path, false, err) || files_each(dir_fd, path, true, err))
		return -1;
	return unlinkat(dir_fd, LOCK, 0) && errno != ENOENT ? fail_errno(err, "%s/%s", path, LOCK) : 0;
}

/* What a run that was killed left. */
static int leftover_clear(const char *path, vdisk_error *err)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), lock, rc;
	struct stat st;

	if (dir < 0)
		return errno == ENOENT ? 0 : fail_errno(err, "%s", path);
	lock = openat(dir, LOCK, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (lock < 0)
		rc = rmdir(path) ? fail(err, VDISK_REFUSED, "%s: is there, and not a leftover of this program: remove it yourself",
		                        path)
		                 : 0;
	else if (flock(lock, LOCK_EX | LOCK_NB))
		rc = fail(err, VDISK_BUSY, "%s: another run is at work there", path);
	else if (fstat(lock, &st) || !st.st_nlink) /* it ended just now */
		rc = fail(err, VDISK_BUSY, "%s: another run is at work there", path);
	else
		rc = folder_empty(dir, path, err) || (rmdir(path) && fail_errno(err, "%s", path)) ? -1 : 0;
	if (lock >= 0)
		close(lock);
	close(dir);
	return rc;
}

static int names_make(struct flow *f, vdisk_error *err)
{
	const char *out = f->a->out;
	char *parent, *real, *slash;
	size_t n = strlen(out);

	while (n > 1 && out[n - 1] == '/')
		n--;
	parent = strndup(out, n);
	if (!parent)
		return fail_nomem(err);
	slash = strrchr(parent, '/');
	out += slash ? slash + 1 - parent : 0;
	n -= slash ? (size_t)(slash + 1 - parent) : 0;
	if (!n || (n == 1 && *out == '.') || (n == 2 && out[0] == '.' && out[1] == '.')) {
		free(parent);
		return fail(err, VDISK_INVALID, "--out %s: is not the name of a folder that can be made", f->a->out);
	}
	if (slash)
		slash[slash == parent] = '\0';
	real = realpath(slash ? parent : ".", NULL);
	if (!real)
		fail_errno(err, "--out %s: its folder", f->a->out);
	free(parent);
	if (!real)
		return -1;
	if (asprintf(&f->out, "%s/%.*s", !strcmp(real, "/") ? "" : real, (int)n, out) < 0 ||
	    asprintf(&f->partial, "%s.partial", f->out) < 0) {
		free(real);
		return fail_nomem(err);
	}
	free(real);
	return 0;
}

/* One cannot be replaced, and DIR.partial would lie outside of it. */
static bool is_mount_point(const char *path)
{
	struct statx x;

	return !statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, 0, &x) && x.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

static int out_judge(const struct flow *f, vdisk_error *err)
{
	struct stat st;
	struct dirent *e;
	DIR *dir;
	size_t n = 0;

	if (lstat(f->out, &st))
		return errno == ENOENT ? 0 : fail_errno(err, "%s", f->out);
	if (is_mount_point(f->out))
		return fail(err, VDISK_REFUSED, "%s: something is mounted there: name a folder in it, which is made", f->a->out);
	dir = S_ISDIR(st.st_mode) ? opendir(f->out) : NULL;
	while (dir && (e = readdir(dir)))
		n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	if (dir)
		closedir(dir);
	return dir && !n ? 0 : fail(err, VDISK_REFUSED, "%s: exists; --out names a folder that is new, or empty", f->a->out);
}

int flow_out_begin(struct flow *f, vdisk_error *err)
{
	if (names_make(f, err) || out_judge(f, err))
		return -1;
	if (f->a->dry_run)
		return 0;
	if (leftover_clear(f->partial, err))
		return -1;
	if (mkdir(f->partial, 0777))
		return fail_errno(err, "%s", f->partial);
	f->partial_fd = open(f->partial, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->lock_fd = f->partial_fd < 0 ? -1 : openat(f->partial_fd, LOCK, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (f->lock_fd < 0 || flock(f->lock_fd, LOCK_EX | LOCK_NB))
		return fail_errno(err, "%s", f->partial);
	return 0;
}

void flow_out_abort(struct flow *f)
{
	if (f->partial_fd >= 0) {
		if (!folder_empty(f->partial_fd, f->partial, NULL))
			rmdir(f->partial);
		close(f->partial_fd);
		f->partial_fd = -1;
	}
	if (f->lock_fd >= 0)
		close(f->lock_fd);
	f->lock_fd = -1;
}

static int parent_sync(const char *path, vdisk_error *err)
{
	char *copy = strdup(path), *slash = copy ? strrchr(copy, '/') : NULL;
	int fd, rc = 0;

	if (!copy)
		return fail_nomem(err);
	if (slash)
		slash[slash == copy] = '\0';
	fd = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd))
		rc = fail_errno(err, "%s", copy);
	if (fd >= 0)
		close(fd);
	free(copy);
	return rc;
}

int flow_out_commit(struct flow *f, vdisk_error *err)
{
	if (fsync(f->partial_fd))
		return fail_errno(err, "%s", f->partial);
	if (rmdir(f->out) && errno != ENOENT)
		return fail(err, VDISK_REFUSED, "%s: has come to be while this was made", f->a->out);
	if (renameat2(AT_FDCWD, f->partial, AT_FDCWD, f->out, RENAME_NOREPLACE)) {
		/* Some file systems know no such flag; then the moment in between has to do. */
		if (errno != EINVAL || !access(f->out, F_OK) || rename(f->partial, f->out))
			return fail_errno(err, "%s", f->out);
	}
	unlinkat(f->partial_fd, LOCK, 0); /* killed before this, one file too many is there */
	close(f->partial_fd);
	f->partial_fd = -1;
	close(f->lock_fd);
	f->lock_fd = -1;
	return parent_sync(f->out, err);
}

int flow_write(struct flow *f, const char *name, const void *bytes, size_t len, vdisk_error *err)
{
	int fd = openat(f->partial_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666), rc = 0;

	if (fd < 0)
		return fail_errno(err, "%s/%s", f->partial, name);
	if (write_all(fd, bytes, len) || fsync(fd))
		rc = fail_errno(err, "%s/%s", f->partial, name);
	if (close(fd) && !rc)
		rc = fail_errno(err, "%s/%s", f->partial, name);
	return rc;
}
